//! Startup: identifying the VMs comes before reading their statistics. On a node with a thousand VMs each is soon
//! identified; the first readings, which take ten times as long, begin after that.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

/// How long the first readings wait for the next answer that identifies a VM. A daemon answers in milliseconds; a VM
/// that hangs, or a daemon that is unreachable, is not waited for.
const QUIET: Duration = Duration::from_millis(250);

/// How long they wait at most, however many VMs there are.
const MOST: Duration = Duration::from_secs(5);

/// The readings that wait for startup to finish.
#[derive(Debug)]
pub(super) struct First {
    waiting: Vec<(usize, Uuid)>,
    quiet_at: Instant,
    /// The latest end of startup; `None` once it is over.
    until: Option<Instant>,
}

impl First {
    pub(super) fn new(now: Instant) -> Self {
        Self { waiting: Vec::new(), quiet_at: now + QUIET, until: Some(now + MOST) }
    }

    /// A daemon connected, or answered a query other than a reading.
    pub(super) fn heard(&mut self, now: Instant) {
        self.quiet_at = now + QUIET;
    }

    /// Holds a reading back. `false` if startup is over.
    pub(super) fn keep(&mut self, place: usize, uuid: Uuid) -> bool {
        if self.until.is_some() {
            self.waiting.push((place, uuid));
        }
        self.until.is_some()
    }

    /// When startup ends if nothing more happens; `None` if it is over or no reading waits.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.until.filter(|_| !self.waiting.is_empty()).map(|until| until.min(self.quiet_at))
    }

    /// The readings that may begin now, because every VM is identified (`known`) or they have waited long enough.
    pub(super) fn take(&mut self, known: bool, now: Instant) -> Vec<(usize, Uuid)> {
        if known || self.wake().is_some_and(|wake| wake <= now) {
            self.until = None;
        }
        if self.until.is_some() { Vec::new() } else { std::mem::take(&mut self.waiting) }
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
