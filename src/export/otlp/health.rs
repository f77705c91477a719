//! Whether the Collector accepts metrics: one log line for each change, however often requests fail, and ever more rarely
//! another one while it does not.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tonic::{Code, Status};

use super::counters::OtlpCounters;
use super::failure::describe;
use crate::backoff::{Backoff, Waits};
use crate::model::whole_millis;

/// The waits between log lines about a failure that lasts. Who looks at the log of the last hour finds one.
const QUIET: Waits = Waits { first: Duration::from_secs(5 * 60), longest: Duration::from_secs(3_600), jitter: false };

/// Whether the Collector accepts metrics.
#[derive(Debug)]
pub(super) struct CollectorHealth {
    endpoint: String,
    counters: Arc<OtlpCounters>,
    /// Whether it has accepted a request.
    accepted: bool,
    /// While it does not accept requests.
    outage: Option<Box<Outage>>,
    /// Whether it rejects points of requests that it accepts.
    rejecting: bool,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    /// How many points had been dropped before.
    dropped: u64,
    /// How requests fail, and whether there is a connection.
    how: (Code, bool),
    /// When it is logged again if nothing changes.
    again: Instant,
    quiet: Backoff,
}

impl CollectorHealth {
    /// Nothing is known about the Collector yet.
    pub(super) fn new(endpoint: &str, counters: Arc<OtlpCounters>) -> Self {
        Self { endpoint: endpoint.to_owned(), counters, accepted: false, outage: None, rejecting: false }
    }

    /// A request was accepted, except `rejected` of its points.
    pub(super) fn accepted(&mut self, rejected: usize, message: &str) {
        self.counters.note_accepted();
        let endpoint = &self.endpoint;
        let before = std::mem::replace(&mut self.accepted, true);
        if let Some(outage) = self.outage.take() {
            tracing::info!(
                %endpoint,
                after = ?whole_millis(outage.since.elapsed()),
                points_lost = self.counters.all_dropped() - outage.dropped,
                "the Collector accepts metrics again"
            );
        } else if !before {
            tracing::info!(%endpoint, "the Collector accepts metrics");
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

    /// A request failed. `connected`: whether there was a connection.
    pub(super) fn failed(&mut self, status: &Status, connected: bool) {
        let (now, code) = (Instant::now(), status.code());
        self.counters.note_failure(format!("{}; {}", describe(status), next_step(code, connected)));
        let outage = self.outage.get_or_insert_with(|| {
            Box::new(Outage {
                since: now,
                dropped: self.counters.all_dropped(),
                how: (code, connected),
                again: now,
                quiet: Backoff::new(QUIET),
            })
        });
        if outage.how != (code, connected) {
            outage.how = (code, connected);
            outage.quiet.reset();
        } else if now < outage.again {
            return;
        }
        outage.again = now + outage.quiet.fail();
        tracing::warn!(
            endpoint = %self.endpoint,
            ?code,
            error = describe(status),
            lasts = ?whole_millis(now.saturating_duration_since(outage.since)),
            "the Collector does not accept metrics; {}; {}",
            next_step(code, connected),
            fate(code)
        );
    }
}

/// What to do about a failure. `connected`: whether there was a connection.
pub(super) const fn next_step(code: Code, connected: bool) -> &'static str {
    match code {
        Code::DeadlineExceeded | Code::Unavailable if !connected => {
            "no connection came up: check that it runs and that the endpoint is its OTLP/gRPC port, that its name \
             resolves, and that no firewall or NetworkPolicy keeps the agent from it"
        }
        Code::Unavailable => "check that it runs and that the endpoint is its OTLP/gRPC port",
        Code::DeadlineExceeded => "it may be overloaded, or OTEL_EXPORTER_OTLP_TIMEOUT too short",
        Code::Unauthenticated | Code::PermissionDenied => {
            "check OTEL_EXPORTER_OTLP_HEADERS, the file of --otlp-headers-file and the client certificate"
        }
        Code::Unimplemented => "check that its OTLP receiver is in a metrics pipeline",
        Code::ResourceExhausted => "raise max_recv_msg_size_mib of its OTLP receiver, or its memory limit",
        _ => "its own log says why",
    }
}

/// What becomes of the metrics of a failed request.
const fn fate(code: Code) -> &'static str {
    match code {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::Aborted
        | Code::OutOfRange
        | Code::DataLoss => "it is tried again",
        Code::ResourceExhausted => "the metrics are dropped unless it says when to come back",
        _ => "the metrics are dropped",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::counters::DropReason;
    use super::*;
    use crate::testing::logged::Logged;

    /// What `during` logs, line by line.
    fn logged(during: impl FnOnce()) -> Vec<String> {
        let (logged, _guard) = Logged::here();
        during();
        logged.lines()
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_said_once_and_its_end_with_what_was_lost() {
        let counters = Arc::new(OtlpCounters::default());
        let mut health = CollectorHealth::new("http://collector:4317", Arc::clone(&counters));
        counters.count_dropped(DropReason::Refused, 5);
        let lines = logged(|| {
            health.accepted(0, "");
            for _ in 0..100 {
                health.failed(&Status::unavailable("connection refused"), false);
            }
        });
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("accepts metrics"), "{lines:?}");
        assert!(lines[1].contains("connection refused") && lines[1].contains("check that it runs"), "{lines:?}");
        tokio::time::advance(Duration::from_secs(90)).await;
        counters.count_dropped(DropReason::QueueFull, 37);
        let lines = logged(|| {
            for _ in 0..100 {
                health.accepted(0, "");
            }
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("again") && lines[0].contains("points_lost=37"), "{lines:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn another_failure_than_before_is_said() {
        let mut health = CollectorHealth::new("http://collector:4317", Arc::default());
        let lines = logged(|| {
            health.failed(&Status::unavailable(""), true);
            health.failed(&Status::unauthenticated("who are you"), true);
            health.failed(&Status::unauthenticated("who are you"), true);
        });
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[1].contains("OTEL_EXPORTER_OTLP_HEADERS"), "{lines:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_never_comes_up_is_told_from_an_answer_that_does_not_come() {
        let mut health = CollectorHealth::new("http://collector:4317", Arc::default());
        let lines = logged(|| {
            health.failed(&Status::deadline_exceeded("no connection within 10s"), false);
            health.failed(&Status::deadline_exceeded("no answer within 10s"), true);
        });
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("NetworkPolicy") && !lines[0].contains("overloaded"), "{lines:?}");
        assert!(lines[1].contains("overloaded"), "{lines:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_that_lasts_is_said_again_ever_more_rarely() {
        let mut health = CollectorHealth::new("http://collector:4317", Arc::default());
        let mut said = Vec::new();
        for minute in 0..24 * 60 {
            let lines = logged(|| health.failed(&Status::deadline_exceeded("no connection within 10s"), false));
            said.extend(lines.iter().map(|_| minute));
            tokio::time::advance(Duration::from_secs(60)).await;
        }
        assert_eq!(said[..6], [0, 5, 15, 35, 75, 135], "{said:?}");
        assert!(said.len() < 30, "{said:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn rejected_points_are_said_once_until_they_stop() {
        let mut health = CollectorHealth::new("http://collector:4317", Arc::default());
        let lines = logged(|| {
            for rejected in [3, 3, 3, 0, 0, 1] {
                health.accepted(rejected, if rejected > 0 { "out of order" } else { "" });
            }
        });
        let warnings = lines.iter().filter(|line| line.contains("out of order")).count();
        assert_eq!((lines.len(), warnings), (4, 2), "{lines:?}");
    }
}
