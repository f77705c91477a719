//! Adds and removes the loop's daemons.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::daemon::Keeper;
use super::engine::Engine;
use super::lines::{self, Lines};
use super::roster::{Feed, Roster};
use super::share::{self, Share};
use super::track::Surroundings;
use super::with_needed;
use crate::model::DaemonId;
use crate::source::SourceEvent;

impl Engine {
    /// Starts reading a daemon.
    pub(super) fn add(&mut self, feed: Feed) {
        let Feed { source, events, owner } = feed;
        let daemon = source.id().clone();
        self.remove(&daemon);
        let place = self.next_place;
        self.next_place += 1;
        let around = Surroundings {
            daemon: daemon.clone(),
            host_name: Arc::from(""),
            launcher: None,
            vmi: None,
            told: None,
            intervals: self.settings.intervals,
            groups: with_needed(self.settings.groups),
            epoch: self.epoch,
            health: Arc::clone(&self.health),
            lines: Arc::new(Lines::new(if owner.is_some() { lines::OF_A_LAUNCHER } else { lines::OF_A_HOST })),
            share: Arc::new(Share::new(
                &self.pool,
                if owner.is_some() { share::OF_A_LAUNCHER } else { share::OF_A_HOST },
            )),
        };
        self.publisher.regroup();
        self.keepers.insert(place, Keeper::new(source, around, owner));
        self.places.insert(daemon, place);
        self.forwarders.spawn(forward(place, events, self.forward.clone()));
    }

    /// Stops reading a daemon.
    fn remove(&mut self, daemon: &DaemonId) {
        let Some(place) = self.places.remove(daemon) else { return };
        self.disarm(place);
        self.publisher.regroup();
        // Dropping the source ends its forwarder.
        self.keepers.remove(&place);
    }

    /// The daemons to read have changed; `None`: no more changes come.
    pub(super) fn on_change(&mut self, change: Option<Roster>) {
        match change {
            Some(Roster::Add(feed)) => {
                self.add(feed);
                self.publisher.lifecycle();
            }
            Some(Roster::Update(daemon, owner)) => {
                let Some(place) = self.places.get(&daemon).copied() else { return };
                self.publisher.touch(place);
                let Some(keeper) = self.keepers.get_mut(&place) else { return };
                if keeper.own(owner, Instant::now()) {
                    if !keeper.is_open() {
                        self.disarm(place);
                    }
                    self.publisher.lifecycle();
                } else {
                    self.publisher.changed();
                }
                self.list_if_wanted(place);
            }
            Some(Roster::Remove(daemon)) => {
                self.remove(&daemon);
                self.publisher.lifecycle();
            }
            Some(Roster::Complete) => {
                self.rostered = true;
                self.publisher.changed();
            }
            None => self.roster = None,
        }
    }
}

/// The next change of daemons; waits for ever where there are none.
pub(super) async fn roster_change(roster: &mut Option<mpsc::Receiver<Roster>>) -> Option<Roster> {
    match roster {
        Some(roster) => roster.recv().await,
        None => std::future::pending().await,
    }
}

/// Carries one source's events to the loop. While the loop is behind, they wait in the source's own channel.
async fn forward(place: usize, mut feed: mpsc::Receiver<SourceEvent>, events: mpsc::Sender<(usize, SourceEvent)>) {
    while let Some(event) = feed.recv().await {
        if events.send((place, event)).await.is_err() {
            return;
        }
    }
    let reason = "the source has ended".to_owned();
    // If the loop is gone too, nothing needs to know.
    let _ = events.send((place, SourceEvent::Disconnected { reason, absent: true })).await;
}
