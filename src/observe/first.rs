//! The start: what the VMs are comes before what they do. On a node with a thousand VMs each of them is soon known, and the
//! first readings, which take ten times as long, begin when all are.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::engine::{Engine, reading_of};
use super::track::{Phase, Track};

/// How long the first readings wait for the next answer that tells who a VM is. A daemon gives one in milliseconds; a VM
/// that hangs, or a daemon that is away, is not waited for.
const QUIET: Duration = Duration::from_millis(250);

/// How long they wait at most, however many VMs there are.
const MOST: Duration = Duration::from_secs(5);

/// The readings that wait for the start to be over.
#[derive(Debug)]
pub(super) struct First {
    waiting: Vec<(usize, Uuid)>,
    quiet_at: Instant,
    /// By when it is over; `None` once it is.
    until: Option<Instant>,
}

impl First {
    pub(super) fn new(now: Instant) -> Self {
        Self { waiting: Vec::new(), quiet_at: now + QUIET, until: Some(now + MOST) }
    }

    /// Something was said that tells who a VM is, or may be asked for it.
    pub(super) fn heard(&mut self, now: Instant) {
        self.quiet_at = now + QUIET;
    }

    /// Keeps a reading back. `false` if the start is over.
    pub(super) fn keep(&mut self, place: usize, uuid: Uuid) -> bool {
        if self.until.is_some() {
            self.waiting.push((place, uuid));
        }
        self.until.is_some()
    }

    /// When it is over though nothing happens; `None` if it is, or nothing waits for it.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.until.filter(|_| !self.waiting.is_empty()).map(|until| until.min(self.quiet_at))
    }

    /// The readings that may begin now, if `known` says that every VM is known, or they have waited for long enough.
    pub(super) fn take(&mut self, known: bool, now: Instant) -> Vec<(usize, Uuid)> {
        if known || self.wake().is_some_and(|wake| wake <= now) {
            self.until = None;
        }
        if self.until.is_some() { Vec::new() } else { std::mem::take(&mut self.waiting) }
    }
}

impl Track {
    /// Whether what it is is known, or cannot be.
    pub(super) fn is_known(&self) -> bool {
        match self.phase {
            Phase::Unknown => self.attempted,
            Phase::Inactive | Phase::Arriving => true,
            Phase::Active => self.visible,
        }
    }
}

impl Engine {
    /// Lets the first readings begin, once the VMs are known.
    pub(super) fn begin_to_read(&mut self, now: Instant) {
        let readings = self.first.take(self.publisher.knows_all(), now);
        if !readings.is_empty() {
            self.outgoing.extend(readings.into_iter().map(|(place, uuid)| (place, reading_of(uuid))));
            self.send_out();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: Uuid = Uuid::from_u128(1);

    #[test]
    fn readings_wait_until_all_are_known() {
        let now = Instant::now();
        let mut first = First::new(now);
        assert!(first.keep(0, VM) && first.take(false, now).is_empty());
        assert_eq!(first.take(true, now), [(0, VM)]);
        assert!(!first.keep(0, VM), "it is over for good");
        assert_eq!(first.wake(), None);
    }

    #[test]
    fn nobody_waits_for_those_who_say_nothing() {
        let now = Instant::now();
        let mut first = First::new(now);
        assert_eq!(first.wake(), None, "nothing waits");
        assert!(first.keep(0, VM));
        first.heard(now + QUIET / 2);
        assert!(first.take(false, now + QUIET).is_empty());
        assert_eq!(first.wake(), Some(now + QUIET * 3 / 2));
        assert_eq!(first.take(false, now + QUIET * 3 / 2), [(0, VM)]);
    }

    #[test]
    fn nobody_waits_for_long_though_there_is_always_another() {
        let now = Instant::now();
        let mut first = First::new(now);
        assert!(first.keep(0, VM));
        first.heard(now + MOST);
        assert_eq!(first.take(false, now + MOST), [(0, VM)]);
    }
}
