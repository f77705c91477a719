//! What the exporter did, counted for the agent's own metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::model::names;

/// Why points were not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// The Collector did not take earlier pushes in time, and more waited than the queue holds.
    QueueFull,
    /// The Collector refused the request for good.
    Refused,
    /// The Collector could not be reached for longer than a push is kept.
    GivenUp,
    /// One VM alone is larger than a request may be.
    TooLarge,
    /// They were read before the last push but published after it: receivers refuse points out of order.
    Late,
    /// Two URIs lead to the same VM, or a series occurs twice.
    Duplicate,
    /// The agent ended before they could be delivered.
    Shutdown,
}

impl DropReason {
    /// Every value.
    pub const ALL: [Self; 7] =
        [Self::QueueFull, Self::Refused, Self::GivenUp, Self::TooLarge, Self::Late, Self::Duplicate, Self::Shutdown];

    /// The name of every value, for a closed set of labels.
    pub(super) const NAMES: [&'static str; Self::ALL.len()] = names!(Self::ALL);

    /// The value of the attribute `reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Refused => "refused",
            Self::GivenUp => "given_up",
            Self::TooLarge => "too_large",
            Self::Late => "late",
            Self::Duplicate => "duplicate",
            Self::Shutdown => "shutdown",
        }
    }
}

/// What the exporter did since the agent started. Everything only grows, except those described as "now".
#[derive(Debug, Default)]
pub struct OtlpCounters {
    sent: AtomicU64,
    rejected: AtomicU64,
    retried: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    requests: AtomicU64,
    failed_requests: AtomicU64,
    bytes: AtomicU64,
    queued: AtomicU64,
    left_to_sidecars: AtomicU64,
    newest: watch::Sender<Newest>,
}

/// What became of the newest requests.
#[derive(Debug, Default)]
struct Newest {
    accepted: Option<Instant>,
    /// Why the newest one failed; `None` if it did not.
    failure: Option<String>,
}

impl OtlpCounters {
    /// Points that the Collector accepted.
    #[must_use]
    pub fn points_sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Points that the Collector rejected in a request that it accepted (partial success).
    #[must_use]
    pub fn points_rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// Points in requests that were sent again, counted each time.
    #[must_use]
    pub fn points_retried(&self) -> u64 {
        self.retried.load(Ordering::Relaxed)
    }

    /// Points that were never delivered for this reason.
    #[must_use]
    pub fn points_dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize].load(Ordering::Relaxed)
    }

    /// Points that were never delivered, for whatever reason.
    #[must_use]
    pub fn all_dropped(&self) -> u64 {
        self.dropped.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Requests made; every attempt counts.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Requests that failed; every attempt counts.
    #[must_use]
    pub fn failed_requests(&self) -> u64 {
        self.failed_requests.load(Ordering::Relaxed)
    }

    /// Bytes of requests before compression; every attempt counts.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Pushes that wait now.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    /// VMs that are not pushed now, because a sidecar pushes them.
    #[must_use]
    pub fn left_to_sidecars(&self) -> u64 {
        self.left_to_sidecars.load(Ordering::Relaxed)
    }

    /// How long ago the Collector accepted a request; `None` before the first.
    #[must_use]
    pub fn since_accepted(&self) -> Option<Duration> {
        self.newest.borrow().accepted.map(|accepted| accepted.elapsed())
    }

    /// Why the newest request failed; `None` if it did not.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.newest.borrow().failure.clone()
    }

    pub(super) fn note_accepted(&self) {
        self.newest.send_replace(Newest { accepted: Some(Instant::now()), failure: None });
    }

    pub(super) fn note_failure(&self, failure: String) {
        self.newest.send_modify(|newest| newest.failure = Some(failure));
    }

    pub(super) fn count_request(&self, bytes: usize) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        add(&self.bytes, bytes);
    }

    pub(super) fn count_failure(&self) {
        self.failed_requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_retried(&self, points: usize) {
        add(&self.retried, points);
    }

    pub(super) fn count_delivered(&self, points: usize, rejected: usize) {
        let rejected = rejected.min(points);
        add(&self.sent, points - rejected);
        add(&self.rejected, rejected);
    }

    pub(super) fn count_dropped(&self, reason: DropReason, points: usize) {
        add(&self.dropped[reason as usize], points);
    }

    pub(super) fn set_queued(&self, waiting: usize) {
        set(&self.queued, waiting);
    }

    pub(super) fn set_left_to_sidecars(&self, vms: usize) {
        set(&self.left_to_sidecars, vms);
    }
}

fn add(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(u64::try_from(amount).unwrap_or(u64::MAX), Ordering::Relaxed);
}

fn set(gauge: &AtomicU64, value: usize) {
    gauge.store(u64::try_from(value).unwrap_or(u64::MAX), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_count() {
        let counters = OtlpCounters::default();
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            counters.count_dropped(reason, index + 1);
        }
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(counters.points_dropped(reason), index as u64 + 1, "{}", reason.as_str());
        }
    }

    #[test]
    fn a_collector_that_rejects_more_than_it_got_cannot_make_the_count_wrap() {
        let counters = OtlpCounters::default();
        counters.count_delivered(3, 100);
        assert_eq!((counters.points_sent(), counters.points_rejected()), (0, 3));
    }
}
