//! What the loop does of its own accord: it looks at those whose time has come.

use tokio::time::Instant;
use uuid::Uuid;

use super::engine::Engine;
use super::settings::CLUMP_MAX;
use super::track::{CallState, Phase};
use crate::source::{Ask, Order};

/// Stands for the list of a daemon's domains among the timers of its domains.
pub(super) const LIST_TIMER: Uuid = Uuid::nil();

impl Engine {
    /// Looks at every domain and daemon whose time has come.
    ///
    /// Readings that are due soon are made with those that are due now: a daemon that does the work of several readings
    /// one after the other wakes up once for them, and so do we.
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

    /// Reads the next ones that are due within the span of a clump, until it has [`CLUMP_MAX`].
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

    /// Reads what is due of a domain until `until`. `false` if nothing is.
    fn read_due(&mut self, place: usize, uuid: Uuid, until: Instant) -> bool {
        let Some(keeper) = self.keepers.get_mut(&place).filter(|keeper| keeper.up) else { return false };
        let Some(track) = keeper.tracks.get_mut(&uuid) else { return false };
        let Some(groups) = track.take_due(until, &keeper.around) else { return false };
        track.calls.read = CallState::Out;
        self.launch(place, Ask::Read(uuid, groups), Order::InTurn);
        true
    }

    /// Asks what is still to be asked.
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
