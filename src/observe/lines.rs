//! Limits what is logged about one daemon's domains: a compromised daemon could report trouble with each of them all
//! day.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::DaemonId;

/// Lines at once for a host: one for each of a thousand domains that get the same trouble together.
pub(super) const OF_A_HOST: u32 = 1_024;

/// Lines at once for a launcher, which has one domain.
pub(super) const OF_A_LAUNCHER: u32 = 16;

/// How often one more line is allowed.
const REFILL: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(super) struct Lines {
    most: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    left: u32,
    since: Instant,
    /// Whether it was logged that lines are left out.
    told: bool,
}

impl Lines {
    /// A full budget of `most`.
    pub(super) fn new(most: u32) -> Self {
        Self { most, state: Mutex::new(State { left: most, since: Instant::now(), told: false }) }
    }

    /// Whether one more line may be logged about this daemon's domains. The first refusal is itself logged.
    pub(super) fn one(&self, daemon: &DaemonId) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let refill = now.saturating_duration_since(state.since).as_secs() / REFILL.as_secs();
        if refill > 0 {
            state.left = state.left.saturating_add(u32::try_from(refill).unwrap_or(u32::MAX)).min(self.most);
            state.since = now;
            state.told &= state.left < self.most;
        }
        if let Some(left) = state.left.checked_sub(1) {
            state.left = left;
            return true;
        }
        if !std::mem::replace(&mut state.told, true) {
            tracing::warn!(
                %daemon,
                "so much has happened to this daemon's domains that no more is logged of them than a line a minute; their \
                 metrics go on"
            );
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::logged::Logged;

    #[tokio::test(start_paused = true)]
    async fn who_has_said_much_says_a_line_a_minute_and_much_again_after_a_long_rest() {
        let (logged, _guard) = Logged::here();
        let (lines, daemon) = (Lines::new(OF_A_LAUNCHER), DaemonId("shop/web".into()));
        let said = |times: usize| (0..times).filter(|_| lines.one(&daemon)).count();
        assert_eq!(said(100), OF_A_LAUNCHER as usize);
        for _ in 0..5 {
            tokio::time::advance(REFILL).await;
            assert_eq!(said(100), 1);
        }
        assert_eq!(logged.with("no more is logged of them").len(), 1);
        tokio::time::advance(REFILL * 100).await;
        assert_eq!(said(100), OF_A_LAUNCHER as usize);
        assert_eq!(logged.with("no more is logged of them").len(), 2);
    }
}
