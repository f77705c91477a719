//! Sends one request after another, each until it is delivered or dropped.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::client::Transport;
use super::counters::{DropReason, OtlpCounters};
use super::health::CollectorHealth;
use super::request::ExportRequest;
use super::retry::{self, RetryDecision};
use crate::backoff::{Backoff, Waits};

/// The only sender. It sends one request at a time, which keeps the order.
pub(super) struct Sender<T> {
    transport: T,
    timeout: Duration,
    backoff: Backoff,
    /// Until when nothing may be sent. It outlives the request that failed.
    pause: Option<Pause>,
    /// Cancelled at shutdown: it cuts one backoff wait short.
    hurry: CancellationToken,
    hurried: bool,
    health: CollectorHealth,
    counters: Arc<OtlpCounters>,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    /// The Collector asked for it.
    asked_for: bool,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The Collector has it.
    Delivered,
    /// It was dropped; the Collector may have it anyway.
    Dropped,
}

impl<T: Transport> Sender<T> {
    /// A sender over this connection. A request may take `timeout`.
    pub(super) fn new(
        transport: T,
        timeout: Duration,
        waits: Waits,
        hurry: CancellationToken,
        counters: Arc<OtlpCounters>,
    ) -> Self {
        Self {
            health: CollectorHealth::new(transport.name(), Arc::clone(&counters)),
            transport,
            timeout,
            backoff: Backoff::new(waits),
            pause: None,
            hurry,
            hurried: false,
            counters,
        }
    }

    /// Sends a request until it is delivered, refused for good, or would be tried again after `give_up`. It is tried
    /// at least once.
    pub(super) async fn send(&mut self, request: &ExportRequest, give_up: Instant) -> Outcome {
        let mut attempts = 0_u32;
        loop {
            self.wait().await;
            if attempts > 0 {
                self.counters.count_retried(request.points);
            }
            attempts = attempts.saturating_add(1);
            let (status, was_connected) = match self.attempt(request).await {
                Ok(()) => return Outcome::Delivered,
                Err(failure) => failure,
            };
            self.counters.count_failure();
            self.health.failed(&status, was_connected);
            let RetryDecision::Retry { after } = retry::retry_decision(&status) else {
                return self.drop(request, DropReason::Refused);
            };
            let delay = self.backoff.fail().max(after.unwrap_or_default());
            let until = Instant::now() + delay;
            self.pause = Some(Pause { until, asked_for: after.is_some() });
            if until > give_up {
                return self.drop(request, DropReason::GivenUp);
            }
        }
    }

    /// `Err`: why it failed, and whether there was a connection.
    async fn attempt(&mut self, request: &ExportRequest) -> Result<(), (Status, bool)> {
        self.counters.count_request(request.bytes.len());
        let answer = tokio::time::timeout(self.timeout, self.transport.export(request.bytes.clone())).await;
        let connected = self.transport.is_connected();
        let answer = answer.unwrap_or_else(|_| {
            let what = if connected { "answer" } else { "connection" };
            Err(Status::deadline_exceeded(format!("no {what} within {:?}", self.timeout)))
        });
        let response = answer.map_err(|status| {
            // The connection may be dead unnoticed (the peer vanished): use a new one next.
            if status.code() == Code::DeadlineExceeded {
                self.transport.reset();
            }
            (status, connected)
        })?;
        self.backoff.reset();
        self.pause = None;
        let partial = response.partial_success.unwrap_or_default();
        let rejected = usize::try_from(partial.rejected_data_points).unwrap_or(0);
        // Rejected points must not be sent again.
        self.counters.count_delivered(request.points, rejected);
        self.health.accepted(rejected, &partial.error_message);
        Ok(())
    }

    async fn wait(&mut self) {
        let Some(pause) = self.pause.take() else { return };
        let sleep = tokio::time::sleep_until(pause.until);
        if pause.asked_for || self.hurried {
            return sleep.await;
        }
        tokio::select! {
            () = sleep => {}
            () = self.hurry.cancelled() => self.hurried = true,
        }
    }

    fn drop(&mut self, request: &ExportRequest, reason: DropReason) -> Outcome {
        self.counters.count_dropped(reason, request.points);
        Outcome::Dropped
    }
}

#[cfg(test)]
mod tests;
