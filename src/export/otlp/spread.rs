//! When one agent of many pushes. After an update or a power cut they start together, and one Collector serves them all.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// The longest that the first push waits: thousands of agents then come over some seconds, and nobody waits long for the
/// first point of a VM.
pub const FIRST_PUSH_WITHIN: Duration = Duration::from_secs(5);

/// What an agent adds to the times at which it pushes; as long as it runs, the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spread {
    /// To its first push.
    pub first: Duration,
    /// To each interval, in which it pushes everything.
    pub each: Duration,
}

impl Spread {
    /// A place of its own in the interval, at random.
    #[must_use]
    pub fn at_random(interval: Duration) -> Self {
        // The standard library seeds each of these anew.
        let [high, low, ..] = RandomState::new().build_hasher().finish().to_be_bytes();
        Self::at(u16::from_be_bytes([high, low]), interval)
    }

    /// The place that is so many 65,536ths of the interval after its beginning.
    fn at(place: u16, interval: Duration) -> Self {
        let part = |of: Duration| of / (u32::from(u16::MAX) + 1) * u32::from(place);
        Self { first: part(interval.min(FIRST_PUSH_WITHIN)), each: part(interval) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);

    #[test]
    fn a_place_is_within_the_interval_and_the_first_push_within_seconds() {
        assert_eq!(Spread::at(0, INTERVAL), Spread::default());
        let last = Spread::at(u16::MAX, INTERVAL);
        assert!(last.each < INTERVAL && last.each > INTERVAL - Duration::from_millis(10), "{last:?}");
        assert!(last.first < FIRST_PUSH_WITHIN, "{last:?}");
        let short = Spread::at(u16::MAX, Duration::from_secs(1));
        assert!(short.first < Duration::from_secs(1), "{short:?}");
    }

    #[test]
    fn agents_have_different_places() {
        let places: std::collections::HashSet<Duration> = (0..100).map(|_| Spread::at_random(INTERVAL).each).collect();
        assert!(places.len() > 90, "{}", places.len());
    }
}
