//! Until when it is ordinary that nothing listens at a launcher's socket.
//!
//! A sidecar starts before its launcher's libvirt, and the Kubernetes API says for a while that a VMI runs whose pod has
//! ended. Both are over soon: only an absence that lasts is worth a warning.

use tokio::time::Instant;

/// See the module. By default, no absence is ordinary.
#[derive(Debug, Default)]
pub(super) struct Arrival {
    /// Until when an absence is ordinary.
    until: Option<Instant>,
    /// The reason of the absence, if that was ordinary and still lasts.
    absence: Option<Box<str>>,
}

impl Arrival {
    /// Nothing need listen before `until`.
    pub(super) const fn by(until: Instant) -> Self {
        Self { until: Some(until), absence: None }
    }

    /// Nothing listens, for this reason. Returns whether that is ordinary; [`overdue`](Self::overdue) then says when it
    /// no longer is.
    pub(super) fn is_early(&mut self, reason: &str, now: Instant) -> bool {
        let early = self.until.is_some_and(|until| now < until);
        self.absence = early.then(|| reason.into());
        early
    }

    /// Something listens, or did.
    pub(super) fn over(&mut self) {
        self.absence = None;
    }

    /// The reason of an absence that has become worth a warning; once.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<Box<str>> {
        if self.until.is_some_and(|until| now < until) {
            return None;
        }
        self.absence.take()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_absence_is_ordinary_for_a_while_and_then_told_once_with_its_last_reason() {
        let now = Instant::now();
        let mut arrival = Arrival::by(now + 3 * SECOND);
        assert!(arrival.is_early("no pod", now));
        assert!(arrival.is_early("no socket", now + SECOND));
        assert_eq!(arrival.overdue(now + 2 * SECOND), None);
        assert_eq!(arrival.overdue(now + 3 * SECOND).as_deref(), Some("no socket"));
        assert_eq!(arrival.overdue(now + 4 * SECOND), None);
        assert!(!arrival.is_early("no socket", now + 5 * SECOND));
        assert_eq!(arrival.overdue(now + 6 * SECOND), None, "it was told when it came");
    }

    #[test]
    fn who_has_come_is_not_overdue_and_without_a_limit_nothing_is_ordinary() {
        let now = Instant::now();
        let mut arrival = Arrival::by(now + SECOND);
        assert!(arrival.is_early("no socket", now));
        arrival.over();
        assert_eq!(arrival.overdue(now + 2 * SECOND), None);
        assert!(!Arrival::default().is_early("no socket", now));
    }
}
