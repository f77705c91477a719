//! What the loop does on its own: it handles what is due.

use tokio::time::Instant;
use uuid::Uuid;

use super::engine::Engine;
use super::incarnation::DomainPhase;
use super::queries::CallState;
use super::schedule::LIST_TIMER;
use super::settings::CLUMP_MAX;
use crate::source::{Ask, Order};

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
            let Some(daemon) = self.daemons.get_mut(&place) else { continue };
            if uuid == LIST_TIMER {
                if daemon.connection.up && daemon.listing.due.take_if(|due| *due <= now).is_some() {
                    daemon.listing.pace.take(now);
                    self.ask(place, Ask::List);
                }
                continue;
            }
            let Some(domain) = daemon.domains.get_mut(&uuid) else { continue };
            domain.due.wake = None;
            let actions = domain.on_wake(now, &daemon.context);
            clump += usize::from(!actions.read && self.read_due(place, uuid, now));
            self.follow(place, uuid, actions);
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
                self.follow(place, uuid, super::queries::Actions::default());
            }
        }
    }

    /// Lists a daemon's domains because of an event.
    pub(super) fn list_soon(&mut self, place: usize, now: Instant) {
        let Some(daemon) = self.daemons.get_mut(&place) else { return };
        daemon.list_soon(now);
        self.timers.extend(daemon.listing.due.map(|due| (due, place, LIST_TIMER)));
        self.list_if_wanted(place);
    }

    /// Reads a domain's groups that are due by `until`. `false` if none is.
    fn read_due(&mut self, place: usize, uuid: Uuid, until: Instant) -> bool {
        let Some(daemon) = self.daemons.get_mut(&place).filter(|daemon| daemon.connection.up) else { return false };
        let Some(domain) = daemon.domains.get_mut(&uuid) else { return false };
        let Some(groups) = domain.take_due(until, &daemon.context) else { return false };
        domain.calls.read = CallState::Out;
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
            let Some(daemon) = self.daemons.get_mut(&place).filter(|daemon| daemon.connection.up) else { continue };
            let Some(state) = daemon.state_of(ask) else { continue };
            if !state.go() {
                continue;
            }
            let Ask::Read(uuid, _) = ask else {
                self.launch(place, ask, Order::AtOnce);
                continue;
            };
            let Some(domain) = daemon.domains.get_mut(&uuid) else { continue };
            if domain.incarnation.phase == DomainPhase::Active {
                let groups = domain.take_all(Instant::now(), &daemon.context);
                self.launch(place, Ask::Read(uuid, groups), Order::AtOnce);
            } else {
                domain.calls.read = CallState::Idle;
            }
        }
    }
}
