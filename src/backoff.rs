//! How long to wait before a retry.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// The waits: from the first, twice as long each time, up to the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// The wait after the first failure.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// Whether each is lengthened at random by up to as much again, so that clients that fail together do not retry
    /// together.
    pub jitter: bool,
}

/// The waits of a client that may fail repeatedly. It takes a few bytes until it has failed.
#[derive(Debug)]
pub struct Backoff {
    waits: Waits,
    failing: Option<Box<ExponentialBackoff>>,
}

impl Backoff {
    /// Nothing has failed yet.
    #[must_use]
    pub const fn new(waits: Waits) -> Self {
        Self { waits, failing: None }
    }

    /// How long to wait after one more failure.
    pub fn fail(&mut self) -> Duration {
        let Waits { first, longest, jitter } = self.waits;
        let failing = self.failing.get_or_insert_with(|| {
            let builder = ExponentialBuilder::new().with_min_delay(first).with_max_delay(longest).without_max_times();
            Box::new(if jitter { builder.with_jitter() } else { builder }.build())
        });
        failing.next().unwrap_or(longest)
    }

    /// An attempt succeeded: the next wait is the first.
    pub fn reset(&mut self) {
        self.failing = None;
    }

    /// Whether the last attempt has failed.
    #[must_use]
    pub const fn is_failing(&self) -> bool {
        self.failing.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITS: Waits = Waits { first: Duration::from_secs(1), longest: Duration::from_secs(12), jitter: false };

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(WAITS);
        let waits: Vec<u64> = (0..7).map(|_| backoff.fail().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 12, 12, 12]);
        assert!(backoff.is_failing());
        backoff.reset();
        assert!(!backoff.is_failing());
        assert_eq!(backoff.fail(), WAITS.first);
    }

    #[test]
    fn jitter_lengthens_by_as_much_again_at_most_and_is_not_always_the_same() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1_000 {
            let wait = Backoff::new(Waits { jitter: true, ..WAITS }).fail();
            assert!(wait >= WAITS.first && wait <= WAITS.first * 2, "{wait:?}");
            seen.insert(wait);
        }
        assert!(seen.len() > 100, "{}", seen.len());
    }

    /// A daemon or a Collector may be unreachable for weeks.
    #[test]
    fn it_never_gives_up() {
        let mut backoff = Backoff::new(WAITS);
        assert!((0..100_000).all(|_| backoff.fail() <= WAITS.longest));
    }
}
