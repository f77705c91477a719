//! Remembers which connects and disconnects of a daemon were logged, so that a flapping daemon does not flood the log.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::{Backoff, Waits};

/// Most reasons remembered until a connection has held: a daemon that has more makes them up.
const REASONS_MAX: usize = 8;

/// How long a connection must have held for its loss to be logged, whatever the reason.
const STEADY: Duration = Duration::from_secs(600);

/// How long a logged reason is not logged again, until a connection has held.
const QUIET: Waits = Waits { first: Duration::from_secs(60), longest: Duration::from_secs(3_600), jitter: false };

/// A reason that was logged.
#[derive(Debug)]
struct Reason {
    /// Without digits, which may differ each time.
    text: String,
    quiet_until: Instant,
    quiet: Backoff,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The reasons that were logged since a connection held.
    reasons: Vec<Reason>,
    /// Whether the last change that was logged is a connect.
    connected: bool,
    since: Option<Instant>,
}

impl Told {
    /// The daemon connected. Returns whether to log that.
    pub(super) fn connected(&mut self, now: Instant) -> bool {
        self.since = Some(now);
        !std::mem::replace(&mut self.connected, true)
    }

    /// It disconnected, or could not connect. Returns whether to log that.
    pub(super) fn disconnected(&mut self, reason: &str, now: Instant) -> bool {
        if self.since.take().is_some_and(|since| now.saturating_duration_since(since) >= STEADY) {
            self.reasons.clear();
        }
        let text: String = reason.chars().filter(|c| !c.is_ascii_digit()).collect();
        let is_full = self.reasons.len() >= REASONS_MAX;
        match self.reasons.iter_mut().find(|told| told.text == text) {
            Some(told) if now < told.quiet_until => return false,
            Some(told) => told.quiet_until = now + told.quiet.fail(),
            None if is_full => return false,
            None => {
                let mut quiet = Backoff::new(QUIET);
                self.reasons.push(Reason { text, quiet_until: now + quiet.fail(), quiet });
            }
        }
        self.connected = false;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_comes_and_goes_is_told_once_and_again_after_it_held() {
        let mut told = Told::default();
        let start = Instant::now();
        assert!(told.connected(start));
        assert!(told.disconnected("call 5 broke it", start));
        assert!(told.connected(start));
        for number in 0..10 {
            assert!(!told.disconnected(&format!("call {number} broke it"), start));
            assert!(!told.connected(start));
        }
        assert!(told.disconnected("another reason", start));
        assert!(told.connected(start));
        assert!(told.disconnected("call 5 broke it", start + STEADY), "it had held");
    }

    #[test]
    fn one_that_comes_and_goes_all_day_is_told_ever_more_rarely() {
        let mut told = Told::default();
        let mut now = Instant::now();
        let mut logged = 0;
        // Every half minute for a day.
        for _ in 0..2 * 60 * 24 {
            now += Duration::from_secs(10);
            told.connected(now);
            now += Duration::from_secs(20);
            logged += usize::from(told.disconnected("it broke", now));
        }
        assert!((24..34).contains(&logged), "{logged}");
    }

    #[test]
    fn reasons_that_are_made_up_are_not_told_for_ever() {
        let mut told = Told::default();
        let reasons = (0..100_u8).map(|number| "x".repeat(number.into()));
        let logged = reasons.filter(|reason| told.disconnected(reason, Instant::now())).count();
        assert_eq!(logged, REASONS_MAX);
    }
}
