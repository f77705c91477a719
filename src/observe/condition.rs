//! How well a domain can be read.

use tokio::time::Instant;

/// What keeps a domain from being read whole, and what was logged about it.
#[derive(Debug, Default)]
pub(super) struct Condition {
    /// A call into its QEMU hangs.
    pub(super) hung: bool,
    /// Another client's job has kept the agent out for too long.
    pub(super) busy_long: bool,
    pub(super) busy_since: Option<Instant>,
    pub(super) job_active: bool,
    /// When the abandoned call was launched.
    pub(super) left_behind: Option<Instant>,
    /// Whether the last reading was whole; `None` before the first.
    pub(super) complete: Option<bool>,
    /// Whether a reading of this incarnation (or, at first, of its state) was answered or failed.
    pub(super) attempted: bool,
    /// Whether the last reading failed: it is logged once.
    pub(super) failing: bool,
    /// Whether it was already logged that a limit cut something.
    pub(super) cut_told: bool,
}

impl Condition {
    /// Whether a hang or a long job prevents reading it in full.
    pub(super) const fn is_stuck(&self) -> bool {
        self.hung || self.busy_long
    }
}
