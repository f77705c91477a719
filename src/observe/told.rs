//! What was logged of a daemon's coming and going, so that one that comes and goes all the time is not logged all the time.

use std::time::Duration;

use tokio::time::Instant;

/// Reasons that are logged until a connection has held: a daemon that has more of them makes them up.
const REASONS_MAX: usize = 8;

/// How long a connection must have held for its loss to be news, whatever the reason.
const STEADY: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The reasons that were logged since a connection held.
    reasons: Vec<String>,
    /// Whether the last thing that was logged is that it is connected.
    connected: bool,
    since: Option<Instant>,
}

impl Told {
    /// It is connected. Whether that is to be logged.
    pub(super) fn connected(&mut self, now: Instant) -> bool {
        self.since = Some(now);
        !std::mem::replace(&mut self.connected, true)
    }

    /// It is not connected, for this reason. Whether that is to be logged.
    pub(super) fn disconnected(&mut self, reason: &str, now: Instant) -> bool {
        if self.since.take().is_some_and(|since| now.saturating_duration_since(since) >= STEADY) {
            self.reasons.clear();
        }
        if self.reasons.len() >= REASONS_MAX || self.reasons.iter().any(|told| told == reason) {
            return false;
        }
        self.reasons.push(reason.to_owned());
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
        assert!(told.disconnected("it broke", start));
        assert!(told.connected(start));
        for _ in 0..10 {
            assert!(!told.disconnected("it broke", start));
            assert!(!told.connected(start));
        }
        assert!(told.disconnected("another reason", start));
        assert!(told.connected(start));
        assert!(told.disconnected("it broke", start + STEADY), "it had held");
    }

    #[test]
    fn reasons_that_are_made_up_are_not_told_for_ever() {
        let mut told = Told::default();
        let logged = (0..100).filter(|number: &i32| told.disconnected(&number.to_string(), Instant::now())).count();
        assert_eq!(logged, REASONS_MAX);
    }
}
