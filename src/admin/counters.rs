//! The server's counters, for the agent's own metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The scrapes since the agent started.
#[derive(Debug, Default)]
pub struct ScrapeCounters {
    answered: AtomicU64,
    refused: AtomicU64,
    nanos: AtomicU64,
    bytes: AtomicU64,
}

impl ScrapeCounters {
    /// Scrapes that were answered.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Scrapes that were refused because too many ran at once.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Time spent rendering.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }

    /// Bytes rendered, before compression.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn answer(&self, took: Duration, bytes: usize) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}
