//! What became of new credentials.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What became of new credentials since the agent started.
#[derive(Debug, Default)]
pub struct CredentialCounters {
    renewed: AtomicU64,
    refused: AtomicU64,
    unusable: AtomicU64,
}

impl CredentialCounters {
    /// How often new ones were taken into use.
    #[must_use]
    pub fn renewed(&self) -> u64 {
        self.renewed.load(Relaxed)
    }

    /// How often new ones could not be used.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// How many cannot be used now, so that their last good content is.
    #[must_use]
    pub fn unusable(&self) -> u64 {
        self.unusable.load(Relaxed)
    }

    pub(super) fn count_renewed(&self) {
        self.renewed.fetch_add(1, Relaxed);
    }

    /// `was_good`: until now.
    pub(super) fn count_refused(&self, was_good: bool) {
        self.refused.fetch_add(1, Relaxed);
        self.unusable.fetch_add(u64::from(was_good), Relaxed);
    }

    /// What could not be used can be used again.
    pub(super) fn count_recovered(&self) {
        self.unusable.fetch_sub(1, Relaxed);
    }
}
