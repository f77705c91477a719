//! What one turn of the loop does of its own accord: looks at those whose time has come, and makes the calls for which
//! there is room. Its cost is that of what is to be done, not of how many daemons there are.

use tokio::time::Instant;
use uuid::Uuid;

use super::calls::{Ask, Call};
use super::engine::Engine;

/// Stands for the list of a daemon's domains among the timers of its domains.
pub(super) const LIST_TIMER: Uuid = Uuid::nil();

impl Engine {
    /// Looks at every domain and daemon whose time has come.
    pub(super) fn fire(&mut self) {
        let now = Instant::now();
        while let Some((_, place, uuid)) = self.timers.first().filter(|(at, ..)| *at <= now).copied() {
            self.timers.pop_first();
            let Some(keeper) = self.keepers.get_mut(&place) else { continue };
            if uuid == LIST_TIMER {
                if keeper.up && keeper.list_due.take_if(|due| *due <= now).is_some() {
                    keeper.list_call.request();
                    self.waiting.insert(place);
                }
                continue;
            }
            let Some(track) = keeper.tracks.get_mut(&uuid) else { continue };
            track.wake = None;
            let wants = track.on_wake(now, &keeper.around);
            if track.is_due(now, &keeper.around) {
                keeper.ask_due_reading(uuid);
            }
            self.follow(place, uuid, wants);
        }
    }

    /// Makes the calls for which there is room.
    pub(super) fn dispatch(&mut self) {
        let mut control = Vec::new();
        for place in &self.waiting {
            let Some(keeper) = self.keepers.get_mut(place) else { continue };
            while let Some((ask, epoch)) = keeper.next_control() {
                keeper.control_in_flight += 1;
                control.push((*place, ask, epoch));
            }
        }
        for (place, ask, epoch) in control {
            self.launch(place, ask, epoch);
        }
        // One each in turn, so that a daemon with a long queue does not keep the others waiting.
        let now = Instant::now();
        let mut without = 0;
        while without < self.waiting.len() && self.slots.any(now) {
            let Some(place) = self.waiting.range(self.turn..).next().copied() else {
                self.turn = 0;
                continue;
            };
            self.turn = place + 1;
            let read = self.keepers.get_mut(&place).and_then(|keeper| {
                let read = keeper.next_read(now)?;
                keeper.reads_in_flight += 1;
                Some(read)
            });
            match read {
                Some((ask, epoch)) => {
                    without = 0;
                    self.reads_in_flight += 1;
                    self.launch(place, ask, epoch);
                }
                None => without += 1,
            }
        }
        self.waiting.retain(|place| self.keepers.get(place).is_some_and(|keeper| keeper.has_waiting()));
        self.health.in_flight.set(u64::try_from(self.reads_in_flight).unwrap_or(u64::MAX));
    }

    fn launch(&mut self, place: usize, ask: Ask, epoch: u32) {
        let Some(keeper) = self.keepers.get(&place) else { return };
        match ask {
            Ask::List => self.health.lists.one(),
            Ask::Status(_) => self.health.status_queries.one(),
            Ask::Describe(_) => self.health.describe_queries.one(),
            Ask::Read(..) => {} // counted when it is answered
        }
        let launched = Instant::now();
        let slot = matches!(ask, Ask::Read(..)).then(|| self.slots.take(launched));
        let call = Call { daemon: place, generation: keeper.generation, epoch, ask, launched, slot };
        self.calls.launch(&keeper.source, call);
    }
}
