//! The pushes that wait while another is in progress. A waiting push holds a snapshot, not messages: they are built
//! when its turn comes, so that dropping it leaves no gap in the delivery state.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::delivery::{Cycle, Extent};
use crate::snapshot::Snapshot;

/// A push that waits.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    /// What to push.
    pub(super) cycle: Cycle,
    /// When it was queued.
    pub(super) since: Instant,
}

/// The pushes that wait, in order.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    limit: usize,
}

impl Queue {
    /// A queue of at most `limit` pushes, and at least one.
    pub(super) fn new(limit: usize) -> Self {
        Self { waiting: VecDeque::new(), limit: limit.max(1) }
    }

    /// Appends a push. Returns the one that was dropped for it, if any (the oldest, if the queue was full), and the
    /// snapshot of the next one.
    ///
    /// A waiting push of changes is replaced by the next push, which contains all of it: otherwise a minute of
    /// lifecycle changes would fill the queue.
    pub(super) fn push(&mut self, push: Waiting) -> Option<(Waiting, Arc<Snapshot>)> {
        let changes = self.waiting.back().is_some_and(|last| last.cycle.extent == Extent::Changes);
        let dropped = match self.waiting.len() {
            _ if changes => self.waiting.pop_back().map(|last| (last, Arc::clone(&push.cycle.snapshot))),
            length if length >= self.limit => self.waiting.pop_front().map(|first| {
                let next = self.waiting.front().unwrap_or(&push);
                (first, Arc::clone(&next.cycle.snapshot))
            }),
            _ => None,
        };
        self.waiting.push_back(push);
        dropped
    }

    /// Takes the oldest.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        self.waiting.pop_front()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn push(number: u64, extent: Extent) -> Waiting {
        Waiting {
            cycle: Cycle { snapshot: Arc::new(Snapshot::default()), taken: Timestamp::from_unix_nanos(number), extent },
            since: Instant::now(),
        }
    }

    fn numbers(queue: &mut Queue) -> Vec<u64> {
        std::iter::from_fn(|| queue.pop()).map(|push| push.cycle.taken.unix_nanos()).collect()
    }

    #[test]
    fn the_oldest_goes_when_it_is_full() {
        let mut queue = Queue::new(3);
        for number in 0..3 {
            assert!(queue.push(push(number, Extent::Everything)).is_none());
        }
        let (dropped, _) = queue.push(push(3, Extent::Everything)).unwrap();
        assert_eq!(dropped.cycle.taken.unix_nanos(), 0);
        assert_eq!(queue.len(), 3);
        assert_eq!(numbers(&mut queue), [1, 2, 3]);
    }

    #[test]
    fn changes_take_one_place_however_many_there_are() {
        let mut queue = Queue::new(3);
        queue.push(push(0, Extent::Everything));
        for number in 1..100 {
            queue.push(push(number, Extent::Changes));
        }
        assert_eq!(numbers(&mut queue), [0, 99]);
    }
}
