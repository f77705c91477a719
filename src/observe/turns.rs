//! What the loop does on its own: it handles what is due.

use tokio::time::Instant;
use uuid::Uuid;

use super::engine::Engine;
use super::settings::CLUMP_MAX;
use super::track::{CallState, Phase};
use crate::source::{Ask, Order};

/// Marks the timer of a daemon's list among the timers of its domains.
pub(super) const LIST_TIMER: Uuid = Uuid::nil();

impl Engine {
    /// Handles every domain and daemon that is due.
    ///
    /// Readings due soon are made with those due now: a daemon that does several readings one after the other wakes up
    /// once for them, and so does the agent.
    pub(super) fn fire(&mut self) {
        let now = Instant::now();
        let mut clump = 0;
        while let Some((_, place, uuid)) = self.timers.first().filter(|(at, ..)| *at <= now).copied() {
            self.timers.pop_first();
            let Some(keeper) = self.keepers.get_mut(&place) else { continue };
            if uuid == LIST_TIMER {
                if keeper.up && keeper.list_due.take_if(|due| *due <= now).is_some() {
                    keeper.lists.take(now);
                    self.ask(place, Ask::List);
                }
                continue;
            }
            let Some(track) = keeper.tracks.get_mut(&uuid) else { continue };
            track.wake = None;
            let wants = track.on_wake(now, &keeper.around);
            clump += usize::from(!wants.read && self.read_due(place, uuid, now));
            self.follow(place, uuid, wants);
        }
        if clump > 0 {
            self.fill_clump(now, clump);
        }
    }

    /// Adds readings that are due within the clump's span, until it has [`CLUMP_MAX`].
    fn fill_clump(&mut self, now: Instant, mut clump: usize) {
        let until = now + self.settings.intervals.clump_span();
        let soon: Vec<_> = self.timers.range(..=(until, usize::MAX, Uuid::max())).copied().collect();
        for (_, place, uuid) in soon {
            if clump >= CLUMP_MAX {
                return;
            }
            if uuid != LIST_TIMER && self.read_due(place, uuid, until) {
                clump += 1;
                self.follow(place, uuid, super::track::Wants::default());
            }
        }
    }

    /// Lists a daemon's domains because of an event.
    pub(super) fn list_soon(&mut self, place: usize, now: Instant) {
        let Some(keeper) = self.keepers.get_mut(&place) else { return };
        keeper.list_soon(now);
        self.timers.extend(keeper.list_due.map(|due| (due, place, LIST_TIMER)));
        self.list_if_wanted(place);
    }

    /// Reads a domain's groups that are due by `until`. `false` if none is.
    fn read_due(&mut self, place: usize, uuid: Uuid, until: Instant) -> bool {
        let Some(keeper) = self.keepers.get_mut(&place).filter(|keeper| keeper.up) else { return false };
        let Some(track) = keeper.tracks.get_mut(&uuid) else { return false };
        let Some(groups) = track.take_due(until, &keeper.around) else { return false };
        track.calls.read = CallState::Out;
        self.launch(place, Ask::Read(uuid, groups), Order::InTurn);
        true
    }

    /// Sends the queued queries.
    pub(super) fn send_out(&mut self) {
        for (place, ask) in std::mem::take(&mut self.outgoing) {
            if let Ask::Read(uuid, _) = ask
                && self.first.keep(place, uuid)
            {
                continue;
            }
            let Some(keeper) = self.keepers.get_mut(&place).filter(|keeper| keeper.up) else { continue };
            let Some(state) = keeper.state_of(ask) else { continue };
            if !state.go() {
                continue;
            }
            let Ask::Read(uuid, _) = ask else {
                self.launch(place, ask, Order::AtOnce);
                continue;
            };
            let Some(track) = keeper.tracks.get_mut(&uuid) else { continue };
            if track.phase == Phase::Active {
                let groups = track.take_all(Instant::now(), &keeper.around);
                self.launch(place, Ask::Read(uuid, groups), Order::AtOnce);
            } else {
                track.calls.read = CallState::Idle;
            }
        }
    }
}
