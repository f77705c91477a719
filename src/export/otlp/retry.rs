//! When a request may be sent again, and after how long.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The wait after the first failure: a Collector that restarts is back in about a second.
pub const FIRST_DELAY: Duration = Duration::from_secs(1);

/// The longest wait: the longest interval of the Collector's own exporters, and twice ours between pushes.
pub const LARGEST_DELAY: Duration = Duration::from_secs(30);

/// How long a push is kept while it cannot be delivered: as long as the Collector's own exporters keep theirs, and
/// well below the age at which Prometheus refuses a point.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(300);

/// The longest wait that a Collector can ask for. It is obeyed, but a figure that makes no sense must not silence the
/// agent for good.
pub const LARGEST_THROTTLE: Duration = Duration::from_secs(3_600);

/// When and how long to try again.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// See [`FIRST_DELAY`].
    pub first_delay: Duration,
    /// See [`LARGEST_DELAY`].
    pub largest_delay: Duration,
    /// See [`GIVE_UP_AFTER`].
    pub give_up_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { first_delay: FIRST_DELAY, largest_delay: LARGEST_DELAY, give_up_after: GIVE_UP_AFTER }
    }
}

/// What the specification says of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may pass: send the same again, not before the time that the Collector asked for.
    Retry {
        /// What the Collector asked for (`google.rpc.RetryInfo`).
        after: Option<Duration>,
    },
    /// It will not pass: the data must be dropped.
    Drop,
}

/// What the specification says of a failure (OTLP/gRPC, "Failures" and "OTLP/gRPC Throttling").
pub(super) fn verdict(status: &Status) -> Verdict {
    let asked = || {
        let info = status.get_details_retry_info()?;
        Some(info.retry_delay.unwrap_or_default().min(LARGEST_THROTTLE))
    };
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Verdict::Retry { after: asked() },
        // Only with the word that it is worth a second try; without, it is a request that is too large.
        Code::ResourceExhausted => match asked() {
            Some(after) => Verdict::Retry { after: Some(after) },
            None => Verdict::Drop,
        },
        _ => Verdict::Drop,
    }
}

/// Waits that double, each shortened at random by up to a half so that many agents do not come back at once.
#[derive(Debug)]
pub(super) struct Backoff {
    policy: RetryPolicy,
    next: Duration,
}

impl Backoff {
    /// Waits after these rules.
    pub(super) fn new(policy: RetryPolicy) -> Self {
        Self { next: policy.first_delay, policy }
    }

    /// The next wait. `random` is from 0 to 1.
    pub(super) fn delay(&mut self, random: f64) -> Duration {
        let full = self.next;
        self.next = full.saturating_mul(2).min(self.policy.largest_delay);
        full.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }

    /// It went well: the next wait is the first.
    pub(super) fn reset(&mut self) {
        self.next = self.policy.first_delay;
    }
}

/// A number from 0 to 1 that is good enough to spread clients: the key of the standard library's hasher is random.
pub(super) fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    let upper = u32::try_from(bits >> 32).unwrap_or_default();
    f64::from(upper) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn with_retry_info(code: Code, delay: Duration) -> Status {
        Status::with_error_details(code, "later", ErrorDetails::with_retry_info(Some(delay)))
    }

    #[test]
    fn only_the_codes_that_the_specification_lists_are_tried_again() {
        let retried: Vec<Code> = (0..=16)
            .map(Code::from)
            .filter(|code| verdict(&Status::new(*code, "")) == Verdict::Retry { after: None })
            .collect();
        assert_eq!(
            retried,
            [
                Code::Cancelled,
                Code::DeadlineExceeded,
                Code::Aborted,
                Code::OutOfRange,
                Code::Unavailable,
                Code::DataLoss
            ]
        );
    }

    #[test]
    fn resource_exhausted_is_tried_again_only_when_the_collector_says_when() {
        let delay = Duration::from_secs(7);
        assert_eq!(verdict(&Status::resource_exhausted("too large")), Verdict::Drop);
        assert_eq!(verdict(&with_retry_info(Code::ResourceExhausted, delay)), Verdict::Retry { after: Some(delay) });
        assert_eq!(verdict(&with_retry_info(Code::Unavailable, delay)), Verdict::Retry { after: Some(delay) });
        assert_eq!(verdict(&with_retry_info(Code::InvalidArgument, delay)), Verdict::Drop);
    }

    #[test]
    fn a_collector_cannot_silence_the_agent_for_a_century() {
        let century = Duration::from_secs(100 * 365 * 86_400);
        assert_eq!(
            verdict(&with_retry_info(Code::Unavailable, century)),
            Verdict::Retry { after: Some(LARGEST_THROTTLE) }
        );
    }

    #[test]
    fn waits_double_up_to_the_largest_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(RetryPolicy::default());
        let waits: Vec<u64> = (0..7).map(|_| backoff.delay(1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        backoff.reset();
        assert_eq!(backoff.delay(0.0), FIRST_DELAY / 2);
    }

    #[test]
    fn random_numbers_are_spread() {
        let mean = (0..1_000).map(|_| random()).sum::<f64>() / 1_000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }
}
