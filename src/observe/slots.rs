//! How many reads run at once over all daemons.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::settings::SLOW_READ;

/// The places for reads. One that is slow gives its place back: it waits, and uses nothing of the machine, and there may
/// be as many of them as there are daemons with a QEMU that hangs.
#[derive(Debug)]
pub(super) struct Slots {
    most: usize,
    next: u64,
    /// By ticket, which is the order in which they were taken.
    held: BTreeMap<u64, Instant>,
}

/// A place that was taken.
pub(super) type Ticket = u64;

impl Slots {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(1), next: 0, held: BTreeMap::new() }
    }

    /// Whether a place is free.
    pub(super) fn any(&mut self, now: Instant) -> bool {
        while self.held.first_entry().is_some_and(|first| *first.get() + SLOW_READ <= now) {
            self.held.pop_first();
        }
        self.held.len() < self.most
    }

    /// Takes a place.
    pub(super) fn take(&mut self, now: Instant) -> Ticket {
        let ticket = self.next;
        self.next = self.next.wrapping_add(1);
        self.held.insert(ticket, now);
        ticket
    }

    /// Gives a place back.
    pub(super) fn give_back(&mut self, ticket: Ticket) {
        self.held.remove(&ticket);
    }

    /// When a place becomes free though no read returns; `None` while one is free.
    pub(super) fn next(&self) -> Option<Instant> {
        let first = self.held.values().next()?;
        (self.held.len() >= self.most).then(|| *first + SLOW_READ)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_slow_read_gives_its_place_back_and_a_quick_one_when_it_returns() {
        let start = Instant::now();
        let mut slots = Slots::new(2);
        let quick = slots.take(start);
        let slow = slots.take(start + Duration::from_millis(1));
        assert!(!slots.any(start + Duration::from_millis(2)));
        assert_eq!(slots.next(), Some(start + SLOW_READ));
        slots.give_back(quick);
        assert!(slots.any(start + Duration::from_millis(3)));
        assert_eq!(slots.next(), None);
        slots.take(start + Duration::from_millis(3));
        assert!(!slots.any(start + SLOW_READ));
        assert!(slots.any(start + SLOW_READ + Duration::from_millis(1)));
        slots.give_back(slow);
        assert!(slots.any(start + SLOW_READ + Duration::from_millis(1)), "given back twice, it is one place");
    }
}
