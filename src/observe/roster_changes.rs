//! Adds, changes and removes the daemons of the loop.

use std::sync::Arc;

use tokio::time::Instant;

use super::context::DaemonContext;
use super::daemon::DaemonState;
use super::engine::Engine;
use super::lines::{self, Lines};
use super::roster::{Feed, Roster};
use super::share::{self, Share};
use super::with_needed;
use crate::model::DaemonId;

impl Engine {
    /// Starts reading a daemon.
    pub(super) fn add(&mut self, feed: Feed) {
        let Feed { source, events, owner } = feed;
        let daemon = source.id().clone();
        self.remove(&daemon);
        let place = self.members.add(daemon.clone());
        let context = DaemonContext {
            daemon: daemon.clone(),
            host_name: Arc::from(""),
            libvirt: None,
            launcher: None,
            vmi: None,
            has_sidecar: false,
            told: None,
            intervals: self.settings.intervals,
            groups: with_needed(self.settings.groups),
            choice: self.settings.choice.clone(),
            metadata_labels: Arc::clone(&self.settings.metadata_labels),
            not_yet: self.settings.not_yet,
            epoch: self.epoch,
            counters: Arc::clone(&self.counters),
            lines: Arc::new(Lines::new(if owner.is_some() { lines::OF_A_LAUNCHER } else { lines::OF_A_HOST })),
            share: Arc::new(Share::new(
                &self.pool,
                if owner.is_some() { share::OF_A_LAUNCHER } else { share::OF_A_HOST },
            )),
        };
        self.publisher.regroup();
        self.daemons.insert(place, DaemonState::new(source, context, owner));
        self.feeds.add(place, events);
    }

    /// Stops reading a daemon.
    fn remove(&mut self, daemon: &DaemonId) {
        let Some(place) = self.members.places.remove(daemon) else { return };
        self.disarm(place);
        self.publisher.regroup();
        // Dropping the source ends its forwarder.
        self.daemons.remove(&place);
    }

    /// The daemons to read have changed; `None`: no more changes come.
    pub(super) fn on_change(&mut self, change: Option<Roster>) {
        match change {
            Some(Roster::Add(feed)) => {
                self.add(feed);
                self.publisher.lifecycle();
            }
            Some(Roster::Update(daemon, owner)) => {
                let Some(place) = self.members.places.get(&daemon).copied() else { return };
                self.publisher.touch(place);
                let Some(daemon) = self.daemons.get_mut(&place) else { return };
                if daemon.own(owner, Instant::now()) {
                    if !daemon.is_open() {
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
                self.members.complete = true;
                self.publisher.changed();
            }
            None => self.members.changes = None,
        }
    }
}
