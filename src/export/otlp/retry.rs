//! When a request may be sent again, and after how long.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::backoff::Waits;

/// The waits between attempts. A Collector that restarts is back in about a second; the longest wait, with its jitter,
/// is the longest of the Collector's own exporters, and twice our interval between pushes.
pub const WAITS: Waits = Waits { first: Duration::from_millis(500), longest: Duration::from_secs(15), jitter: true };

/// How long a push is kept while it cannot be delivered: as long as the Collector's own exporters keep theirs, and
/// well below the age at which Prometheus refuses a point.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(300);

/// The longest wait that a Collector can ask for. Requests are obeyed, but an absurd figure must not silence the agent
/// for good.
pub const LARGEST_THROTTLE: Duration = Duration::from_secs(3_600);

/// When to retry, and for how long.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// See [`WAITS`].
    pub waits: Waits,
    /// See [`GIVE_UP_AFTER`].
    pub give_up_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { waits: WAITS, give_up_after: GIVE_UP_AFTER }
    }
}

/// What the specification demands after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryDecision {
    /// It may be temporary: send the same again, no earlier than the Collector asked.
    Retry {
        /// What the Collector asked for (`google.rpc.RetryInfo`).
        after: Option<Duration>,
    },
    /// It is permanent: the data must be dropped.
    Drop,
}

/// What the specification demands after a failure (OTLP/gRPC, "Failures" and "OTLP/gRPC Throttling").
pub(super) fn retry_decision(status: &Status) -> RetryDecision {
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
        | Code::DataLoss => RetryDecision::Retry { after: asked() },
        // Retried only if the Collector says when; otherwise the request is too large.
        Code::ResourceExhausted => match asked() {
            Some(after) => RetryDecision::Retry { after: Some(after) },
            None => RetryDecision::Drop,
        },
        _ => RetryDecision::Drop,
    }
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
            .filter(|code| retry_decision(&Status::new(*code, "")) == RetryDecision::Retry { after: None })
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
        assert_eq!(retry_decision(&Status::resource_exhausted("too large")), RetryDecision::Drop);
        assert_eq!(
            retry_decision(&with_retry_info(Code::ResourceExhausted, delay)),
            RetryDecision::Retry { after: Some(delay) }
        );
        assert_eq!(
            retry_decision(&with_retry_info(Code::Unavailable, delay)),
            RetryDecision::Retry { after: Some(delay) }
        );
        assert_eq!(retry_decision(&with_retry_info(Code::InvalidArgument, delay)), RetryDecision::Drop);
    }

    #[test]
    fn a_collector_cannot_silence_the_agent_for_a_century() {
        let century = Duration::from_secs(100 * 365 * 86_400);
        assert_eq!(
            retry_decision(&with_retry_info(Code::Unavailable, century)),
            RetryDecision::Retry { after: Some(LARGEST_THROTTLE) }
        );
    }
}
