//! The liveness check of a daemon.

use std::time::Duration;

use tokio::time::Instant;

/// How long a daemon may take to answer a liveness check. It takes 0.1 to 0.5 ms, even with as many hung calls as there
/// may be: the answer comes from workers that no hung call can hold.
pub(super) const SIGN_DEADLINE: Duration = Duration::from_secs(1);

/// A liveness check that has not been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) since: Instant,
    /// Its deadline.
    pub(super) until: Instant,
}
