//! How it stands with the Collector: one log line for each change, however often requests fail.

use std::sync::Arc;

use tokio::time::Instant;
use tonic::{Code, Status};

use super::client::describe;
use super::counters::OtlpCounters;

/// How it stands with the Collector.
#[derive(Debug)]
pub(super) struct Health {
    endpoint: String,
    counters: Arc<OtlpCounters>,
    condition: Condition,
    /// Whether it rejects points out of requests that it accepts.
    rejecting: bool,
}

#[derive(Debug)]
enum Condition {
    /// Nothing was sent yet.
    Unknown,
    /// It accepts requests.
    Accepting,
    /// It does not.
    Failing {
        since: Instant,
        code: Code,
        /// How many points had been dropped before.
        dropped: u64,
    },
}

impl Health {
    /// Of a Collector that nothing is known of.
    pub(super) fn new(endpoint: &str, counters: Arc<OtlpCounters>) -> Self {
        Self { endpoint: endpoint.to_owned(), counters, condition: Condition::Unknown, rejecting: false }
    }

    /// A request was accepted, but for so many points.
    pub(super) fn accepted(&mut self, rejected: usize, message: &str) {
        let endpoint = &self.endpoint;
        match std::mem::replace(&mut self.condition, Condition::Accepting) {
            Condition::Accepting => {}
            Condition::Unknown => tracing::info!(%endpoint, "the Collector accepts metrics"),
            Condition::Failing { since, dropped, .. } => {
                tracing::info!(
                    %endpoint,
                    after = ?since.elapsed(),
                    points_lost = self.counters.all_dropped() - dropped,
                    "the Collector accepts metrics again"
                );
            }
        }
        let complains = rejected > 0 || !message.is_empty();
        if complains && !self.rejecting {
            tracing::warn!(
                %endpoint,
                points = rejected,
                message,
                "the Collector rejects a part of the metrics; its own log says what is wrong with them"
            );
        } else if self.rejecting && !complains {
            tracing::info!(%endpoint, "the Collector no longer rejects a part of the metrics");
        }
        self.rejecting = complains;
    }

    /// A request failed.
    pub(super) fn failed(&mut self, status: &Status) {
        let (since, dropped) = match self.condition {
            // What is wrong has not changed.
            Condition::Failing { code, .. } if code == status.code() => return,
            Condition::Failing { since, dropped, .. } => (since, dropped),
            _ => (Instant::now(), self.counters.all_dropped()),
        };
        self.condition = Condition::Failing { since, code: status.code(), dropped };
        tracing::warn!(
            endpoint = %self.endpoint,
            code = ?status.code(),
            error = describe(status),
            "the Collector does not accept metrics; {}",
            next_step(status.code())
        );
    }
}

/// What to do about a failure.
const fn next_step(code: Code) -> &'static str {
    match code {
        Code::Unavailable => "check that it runs and that the endpoint is its OTLP/gRPC port; it is tried again",
        Code::DeadlineExceeded => "it may be overloaded, or OTEL_EXPORTER_OTLP_TIMEOUT too short; it is tried again",
        Code::Unauthenticated | Code::PermissionDenied => {
            "check OTEL_EXPORTER_OTLP_HEADERS and the client certificate; the metrics are dropped"
        }
        Code::Unimplemented => "check that its OTLP receiver is in a metrics pipeline; the metrics are dropped",
        Code::ResourceExhausted => {
            "raise max_recv_msg_size_mib of its OTLP receiver, or its memory limit; the metrics are dropped unless it \
             says when to come back"
        }
        Code::Cancelled | Code::Aborted | Code::OutOfRange | Code::DataLoss => {
            "its own log says why; it is tried again"
        }
        _ => "its own log says why; the metrics are dropped",
    }
}
