//! A token bucket: so many at once, and then one each interval.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// The bucket. It is full at first.
#[derive(Debug)]
pub(super) struct Rate {
    interval: u64,
    /// How far the bucket may be drawn into the future.
    slack: u64,
    origin: Instant,
    /// When the bucket is full again, in nanoseconds after `origin`.
    full: AtomicU64,
}

impl Rate {
    /// One each interval, and `burst` at once.
    pub(super) fn new(interval: Duration, burst: u32) -> Self {
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self {
            interval: nanos(interval),
            slack: nanos(interval.saturating_mul(burst)),
            origin: Instant::now(),
            full: AtomicU64::new(0),
        }
    }

    /// Takes one from the bucket; `false` if it is empty.
    pub(super) fn take(&self) -> bool {
        let now = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let taken = self.full.fetch_update(Relaxed, Relaxed, |full| {
            let full = full.max(now).saturating_add(self.interval);
            (full - now <= self.slack).then_some(full)
        });
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_then_one_each_interval() {
        let rate = Rate::new(Duration::from_secs(2), 3);
        let taken = |tries: usize| (0..tries).filter(|_| rate.take()).count();
        assert_eq!(taken(10), 3);
        tokio::time::advance(Duration::from_millis(1_999)).await;
        assert_eq!(taken(10), 0);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(taken(10), 1);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(taken(10), 3, "it holds no more than a burst");
    }
}
