//! Limits the queries that a daemon's events trigger. An event costs the daemon nothing; an answer may have 8 MiB, and
//! a compromised daemon can send events without end.

use std::time::Duration;

use tokio::time::Instant;

use super::queries::Actions;

/// `burst` at once, then one more after each `every`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) burst: u32,
    pub(super) every: Duration,
}

/// A token bucket.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    pace: Pace,
    left: u32,
    /// When it was last filled.
    since: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(super) const fn new(pace: Pace, now: Instant) -> Self {
        Self { pace, left: pace.burst, since: now }
    }

    /// Takes a token. `false` if none is left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.since).as_nanos() / self.pace.every.as_nanos().max(1);
        let gained = u32::try_from(gained).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(gained).min(self.pace.burst);
        self.since = if self.left == self.pace.burst { now } else { self.since + self.pace.every * gained };
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        true
    }

    /// Takes more tokens, because a query turned out to cost more. Those that are missing are owed.
    pub(super) fn charge(&mut self, more: u32, now: Instant) {
        let owed = more.saturating_sub(self.left);
        self.left = self.left.saturating_sub(more);
        if owed > 0 {
            self.since = self.since.max(now) + self.pace.every * owed;
        }
    }

    /// When the next token comes, after none was left.
    pub(super) fn next(&self) -> Instant {
        self.since + self.pace.every
    }
}

/// Queries of events that used up their burst.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owed {
    /// When they go out.
    pub(super) due: Instant,
    pub(super) status: bool,
    pub(super) describe: bool,
    pub(super) read: bool,
}

impl Owed {
    /// Adds them to what a domain needs. One that does not run has only a state.
    pub(super) fn add_to(self, actions: &mut Actions, runs: bool) {
        actions.status |= self.status;
        actions.describe |= self.describe && runs;
        actions.read |= self.read && runs;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const PACE: Pace = Pace { burst: 3, every: SECOND };

    #[test]
    fn a_burst_and_then_one_at_a_time() {
        let start = Instant::now();
        let mut bucket = Bucket::new(PACE, start);
        let taken = |bucket: &mut Bucket, now: Instant| (0..10).filter(|_| bucket.take(now)).count();
        assert_eq!(taken(&mut bucket, start), 3);
        assert_eq!(bucket.next(), start + SECOND);
        assert_eq!(taken(&mut bucket, start + SECOND / 2), 0);
        assert_eq!(taken(&mut bucket, start + SECOND * 3 / 2), 1);
        assert_eq!(bucket.next(), start + 2 * SECOND, "what was gained in part is not lost");
        assert_eq!(taken(&mut bucket, start + 2 * SECOND), 1);
        assert_eq!(taken(&mut bucket, start + 100 * SECOND), 3, "and after a rest a burst again");
    }

    #[test]
    fn what_costs_more_is_paid_for_before_the_next() {
        let start = Instant::now();
        let mut bucket = Bucket::new(PACE, start);
        assert!(bucket.take(start));
        bucket.charge(1, start);
        assert!(bucket.take(start), "it had that many");
        bucket.charge(10, start);
        assert!(!bucket.take(start + 10 * SECOND));
        assert_eq!(bucket.next(), start + 11 * SECOND);
        assert!(bucket.take(start + 11 * SECOND));
    }

    #[test]
    fn a_minute_of_asking_all_the_time_gives_no_more_than_the_burst_and_one_a_second() {
        let start = Instant::now();
        let mut bucket = Bucket::new(PACE, start);
        let taken = (0..60_000).filter(|milli| bucket.take(start + Duration::from_millis(*milli))).count();
        assert_eq!(taken, 3 + 59);
    }
}
