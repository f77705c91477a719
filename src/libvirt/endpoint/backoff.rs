//! How long to wait before the next attempt to connect. Pure but for the jitter.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// The first wait: a daemon that is restarted is back within a few tenths of a second.
pub(super) const FIRST: Duration = Duration::from_millis(100);

/// The longest wait for a daemon behind a local socket, before jitter. An attempt costs a look at a path and at most one
/// packet, so it can be frequent: a socket that appears is found within two seconds and a quarter.
pub(super) const LONGEST_LOCAL: Duration = Duration::from_millis(1_800);

/// The longest wait for a daemon on another host, whose attempts cost it a TLS or SSH handshake each.
pub(super) const LONGEST_REMOTE: Duration = Duration::from_secs(30);

/// Every wait is lengthened by up to this part of itself, so that the agents of many hosts, or one agent's endpoints,
/// do not knock in step.
const JITTER: f64 = 0.25;

/// Doubling waits with jitter.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Waits from [`FIRST`] to `longest`.
    pub(super) fn new(longest: Duration) -> Self {
        Self { next: FIRST.min(longest), longest }
    }

    /// The wait after one more failure.
    pub(super) fn fail(&mut self) -> Duration {
        self.fail_with(chance())
    }

    fn fail_with(&mut self, chance: f64) -> Duration {
        let wait = self.next.mul_f64(1.0 + JITTER * chance.clamp(0.0, 1.0));
        self.next = (self.next * 2).min(self.longest);
        wait
    }

    /// Begins anew after a success.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.longest);
    }
}

/// A number from 0 to 1, different each time: the standard library's keys for hash tables are random.
fn chance() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_longest_and_begins_anew() {
        let mut backoff = Backoff::new(LONGEST_LOCAL);
        let waits: Vec<u128> = (0..7).map(|_| backoff.fail_with(0.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 1800, 1800]);
        backoff.reset();
        assert_eq!(backoff.fail_with(0.0), FIRST);
        let longest = (0..20).map(|_| backoff.fail_with(1.0)).max();
        assert_eq!(longest, Some(Duration::from_millis(2_250)), "a socket that appears is found by then");
    }

    #[test]
    fn jitter_only_lengthens_and_by_a_quarter_at_most() {
        for _ in 0..1000 {
            let wait = Backoff::new(LONGEST_LOCAL).fail();
            assert!(wait >= FIRST && wait <= FIRST.mul_f64(1.25), "{wait:?}");
        }
        assert!(
            (0..20).map(|_| Backoff::new(LONGEST_LOCAL).fail()).collect::<std::collections::HashSet<_>>().len() > 1
        );
    }
}
