//! Runs a probe under its deadline, so that none holds up or ends the others.

use std::future::Future;
use std::time::Duration;

use super::finding::{Check, Finding};

/// How long what only asks this machine may take: microseconds, unless a file system hangs.
pub(super) const LOCAL: Duration = Duration::from_secs(5);

/// Why a probe has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// It did not end within this time.
    Late(Duration),
    /// It panicked.
    FellOver,
}

impl Broken {
    /// What is said of a check that has no result.
    pub(super) fn finding(self, check: Check) -> Finding {
        match self {
            Self::Late(limit) => Finding::failure(
                check,
                format!("it did not end within {limit:?}"),
                "look for a file system or a peer that does not answer, and try again",
            ),
            Self::FellOver => Finding::failure(
                check,
                "the check itself failed",
                "please report this, with what standard error says before it",
            ),
        }
    }
}

/// The result of a probe, if it has one within its time.
pub(super) async fn within<T: Send + 'static>(
    limit: Duration,
    probe: impl Future<Output = T> + Send + 'static,
) -> Result<T, Broken> {
    let mut task = tokio::spawn(probe);
    match tokio::time::timeout(limit, &mut task).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(_)) => Err(Broken::FellOver),
        Err(_) => {
            task.abort();
            Err(Broken::Late(limit))
        }
    }
}

/// The result of a probe that asks this machine. One that hangs keeps its thread.
pub(super) async fn blocking<T: Send + 'static>(probe: impl FnOnce() -> T + Send + 'static) -> Result<T, Broken> {
    match tokio::time::timeout(LOCAL, tokio::task::spawn_blocking(probe)).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(_)) => Err(Broken::FellOver),
        Err(_) => Err(Broken::Late(LOCAL)),
    }
}

/// The findings of a probe, or what is said of `check` if it has none.
pub(super) fn or_broken(check: Check, result: Result<Vec<Finding>, Broken>) -> Vec<Finding> {
    result.unwrap_or_else(|broken| vec![broken.finding(check)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Outcome;

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_hangs_or_falls_over_is_a_failure_with_a_next_step() {
        let late = within(LOCAL, std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(late, Broken::Late(LOCAL));
        let fell = within(LOCAL, async { panic!("for the test") }).await.map(|(): ()| ()).unwrap_err();
        assert_eq!(fell, Broken::FellOver);
        for broken in [late, fell] {
            let finding = broken.finding(Check::Kvm);
            assert!(finding.outcome == Outcome::Failure && finding.next_step.is_some());
        }
        assert_eq!(within(LOCAL, async { 7 }).await, Ok(7));
    }

    #[tokio::test]
    async fn a_local_probe_that_falls_over_is_that_checks_failure() {
        let findings = or_broken(Check::Selinux, blocking(|| panic!("for the test")).await);
        assert_eq!(findings, [Broken::FellOver.finding(Check::Selinux)]);
        assert_eq!(or_broken(Check::Selinux, blocking(Vec::new).await), []);
    }
}
