//! The one place where the wall clock is read.
//!
//! Timestamps never go backwards, whatever happens to the wall clock: a receiver refuses a whole request for one point
//! that is older than the last. When the wall clock is set back, timestamps run at half speed until it has caught up.

use std::sync::Mutex;
use std::time::Duration;

use rustix::time::{ClockId, DynamicClockId, clock_gettime, clock_gettime_dynamic};

use crate::model::Timestamp;

/// Where timestamps come from. Tests inject their own.
pub trait Clock: Send + Sync + 'static {
    /// The present moment; never before one that was returned earlier.
    fn now(&self) -> Timestamp;
}

/// The machine's clock, made monotonic.
#[derive(Debug)]
pub struct SystemClock {
    last: Mutex<Option<Last>>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    stamp: Timestamp,
    monotonic: tokio::time::Instant,
}

impl SystemClock {
    /// A clock that has not been read yet.
    #[must_use]
    pub fn new() -> Self {
        Self { last: Mutex::new(None) }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A std Mutex is right here: it is held for a few instructions and never across an await.
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let monotonic = tokio::time::Instant::now();
        let wall = wall();
        let stamp = match *last {
            None => wall,
            Some(before) => follow(before.stamp, monotonic.duration_since(before.monotonic), wall),
        };
        *last = Some(Last { stamp, monotonic });
        stamp
    }
}

/// The timestamp that follows `before` after `elapsed` of real time, when the wall clock shows `wall`.
fn follow(before: Timestamp, elapsed: Duration, wall: Timestamp) -> Timestamp {
    let slowest = before.after(elapsed / 2);
    wall.max(slowest)
}

#[expect(clippy::disallowed_methods, reason = "this is the one reader of the wall clock")]
fn wall() -> Timestamp {
    let since_epoch = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        // A machine whose clock stands before 1970 has larger problems; it still gets ordered timestamps.
        .unwrap_or_default();
    Timestamp::from_unix(since_epoch)
}

/// Whether the kernel was told how far atomic time (TAI) is from the wall clock, as by an NTP or PTP daemon that keeps it:
/// 37 seconds, and none until it is told.
#[must_use]
pub fn kernel_knows_tai() -> bool {
    let wall = clock_gettime(ClockId::Realtime);
    // They are read one after the other.
    clock_gettime_dynamic(DynamicClockId::Tai).is_ok_and(|tai| tai.tv_sec.abs_diff(wall.tv_sec) > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix(Duration::from_secs(seconds))
    }

    #[test]
    fn follows_the_wall_clock_forwards() {
        assert_eq!(follow(at(100), Duration::from_secs(1), at(101)), at(101));
        assert_eq!(follow(at(100), Duration::from_secs(1), at(500)), at(500));
    }

    #[test]
    fn runs_at_half_speed_while_the_wall_clock_is_behind() {
        assert_eq!(follow(at(100), Duration::from_secs(10), at(50)), at(105));
    }

    #[test]
    fn never_goes_backwards() {
        let clock = SystemClock::new();
        let mut before = clock.now();
        for _ in 0..1_000 {
            let now = clock.now();
            assert!(now >= before);
            before = now;
        }
    }
}
