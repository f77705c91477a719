//! Limits the connections, and chooses which one ends to make room.

use std::sync::Arc;

use tokio::task::{AbortHandle, Id};

use super::slot::Slot;

/// The connections that are served.
#[derive(Debug)]
pub(super) struct Room {
    most: usize,
    inside: Vec<(Arc<Slot>, AbortHandle)>,
}

impl Room {
    /// Room for `most` connections.
    pub(super) fn new(most: usize) -> Self {
        Self { most, inside: Vec::with_capacity(most) }
    }

    /// Makes room for one more: if full, it ends the connection that has been idle longest, and before all others one
    /// whose handshake is not done. `false` if each has a request in flight.
    pub(super) fn make(&mut self) -> bool {
        if self.inside.len() < self.most {
            return true;
        }
        let idle =
            |(place, (slot, _)): (usize, &(Arc<Slot>, AbortHandle))| Some((slot.is_open(), slot.idle_since()?, place));
        let Some((_, _, place)) = self.inside.iter().enumerate().filter_map(idle).min() else { return false };
        self.inside.swap_remove(place).1.abort();
        true
    }

    /// Adds a connection, served by this task.
    pub(super) fn enter(&mut self, slot: Arc<Slot>, task: AbortHandle) {
        self.inside.push((slot, task));
    }

    /// The connection of this task has ended.
    pub(super) fn leave(&mut self, task: Id) {
        self.inside.retain(|(_, inside)| inside.id() != task);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    use super::*;

    /// A full room of three, each entered a second after the previous one.
    async fn full() -> (Room, [Arc<Slot>; 3], [JoinHandle<()>; 3]) {
        let origin = Instant::now();
        let (mut room, mut slots, mut tasks) = (Room::new(3), Vec::new(), Vec::new());
        for _ in 0..3 {
            assert!(room.make());
            let (slot, task) = (Arc::new(Slot::new(origin)), tokio::spawn(std::future::pending()));
            room.enter(Arc::clone(&slot), task.abort_handle());
            slots.push(slot);
            tasks.push(task);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        (room, slots.try_into().unwrap(), tasks.try_into().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn the_idlest_goes_for_whoever_comes() {
        let (mut room, [first, second, third], tasks) = full().await;
        // The first asks again, and is now the least idle; the second has a request in flight.
        first.asked();
        first.answered();
        first.flushed();
        second.asked();
        assert!(room.make());
        tokio::task::yield_now().await;
        assert_eq!(tasks.each_ref().map(JoinHandle::is_finished), [false, false, true]);
        assert_eq!(third.idle_since(), Some(Duration::from_secs(2)));
        assert!(room.make(), "its place is free until somebody takes it");
        assert_eq!(room.inside.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_not_shaken_hands_goes_before_who_is_idle() {
        let origin = Instant::now();
        let (mut room, mut tasks) = (Room::new(3), Vec::new());
        let late = Arc::new(Slot::shaking(origin));
        for slot in [Arc::new(Slot::new(origin)), Arc::clone(&late), Arc::new(Slot::shaking(origin))] {
            let task = tokio::spawn(std::future::pending::<()>());
            room.enter(slot, task.abort_handle());
            tasks.push(task);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        late.shaken();
        assert!(room.make());
        tokio::task::yield_now().await;
        assert_eq!(tasks.iter().map(JoinHandle::is_finished).collect::<Vec<_>>(), [false, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_goes_whose_request_is_in_flight() {
        let (mut room, slots, tasks) = full().await;
        slots.iter().for_each(|slot| slot.asked());
        assert!(!room.make());
        slots[0].answered();
        assert!(!room.make(), "its answer has not left yet");
        tokio::task::yield_now().await;
        assert!(tasks.iter().all(|task| !task.is_finished()));
        room.leave(tasks[1].id());
        assert!(room.make(), "one has ended");
    }
}
