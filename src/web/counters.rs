//! Counters of the guard, for the agent's own metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::admission::Refusal;

/// What was refused, and how the document fares.
#[derive(Debug)]
pub struct WebCounters {
    refused: [AtomicU64; Refusal::ALL.len()],
    handshakes_failed: AtomicU64,
    changes: AtomicU64,
    current: AtomicBool,
}

impl WebCounters {
    /// Nothing was refused, and the document is in force.
    #[must_use]
    pub fn new() -> Self {
        Self {
            refused: Default::default(),
            handshakes_failed: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            current: AtomicBool::new(true),
        }
    }

    /// Requests that were refused for this reason.
    #[must_use]
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refused.get(refusal as usize).map_or(0, |count| count.load(Relaxed))
    }

    /// TLS handshakes that failed.
    #[must_use]
    pub fn handshakes_failed(&self) -> u64 {
        self.handshakes_failed.load(Relaxed)
    }

    /// Changes of the document, or of a file that it names, that were taken over.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Relaxed)
    }

    /// Whether what the files have now is in force.
    #[must_use]
    pub fn current(&self) -> bool {
        self.current.load(Relaxed)
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        if let Some(count) = self.refused.get(refusal as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn fail_handshake(&self) {
        self.handshakes_failed.fetch_add(1, Relaxed);
    }

    pub(super) fn change(&self) {
        self.changes.fetch_add(1, Relaxed);
    }

    pub(super) fn set_current(&self, current: bool) {
        self.current.store(current, Relaxed);
    }
}

impl Default for WebCounters {
    fn default() -> Self {
        Self::new()
    }
}
