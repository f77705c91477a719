//! Whether the API answers: told by the counters at once, and in the log once per change.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::counters::WatchCounters;
use super::fault::{Fault, FaultKind};

/// How long a watch must stand before it counts as a sign that the API is well. An error that comes at once, in place
/// of the events, would otherwise be a recovery and a failure each time it is tried.
const SETTLED: Duration = Duration::from_secs(2);

/// What is known of the API's health.
pub(super) struct Health {
    counters: Arc<WatchCounters>,
    server: Arc<str>,
    node: Arc<str>,
    /// When the watch that was opened last will have stood for long enough; `None` if there is nothing to wait for.
    settles: Option<Instant>,
    /// The kinds of failures that were logged since the API went away: each is news once.
    logged: Vec<FaultKind>,
    /// Whether the last thing that happened was that what we wanted to go on from is too old.
    expired: bool,
}

impl Health {
    pub(super) fn new(counters: Arc<WatchCounters>, server: Arc<str>, node: Arc<str>) -> Self {
        Self { counters, server, node, settles: None, logged: Vec::new(), expired: false }
    }

    /// A watch was opened.
    pub(super) fn opened(&mut self) {
        self.settles = (!self.counters.connected()).then(|| Instant::now() + SETTLED);
    }

    /// Ends when the watch that was opened last has stood for long enough.
    pub(super) async fn settled(&self) {
        match self.settles {
            Some(moment) => sleep_until(moment).await,
            None => std::future::pending().await,
        }
    }

    /// The API has answered with what was asked for.
    pub(super) fn answered(&mut self) {
        self.settles = None;
        self.expired = false;
        if self.counters.connected() {
            return;
        }
        let away = self.counters.comes_back();
        if !self.logged.is_empty() {
            self.logged.clear();
            tracing::info!(
                server = %self.server, node = %self.node, away = ?away.unwrap_or_default(),
                "the Kubernetes API answers again"
            );
        }
    }

    /// A request failed.
    pub(super) fn failed(&mut self, fault: &Fault) {
        self.settles = None;
        self.counters.failed(fault.kind);
        // Once, it is how Kubernetes says that much has happened; again and again, nothing comes of it.
        if fault.kind == FaultKind::Expired && !self.expired {
            self.expired = true;
            tracing::debug!(server = %self.server, node = %self.node, reason = fault.reason, "the VMIs are listed afresh");
            return;
        }
        self.counters.goes_away();
        if self.logged.contains(&fault.kind) {
            return;
        }
        self.logged.push(fault.kind);
        let known = if self.counters.synced() {
            "what is known of the VMIs is kept and read on"
        } else {
            "no VMI is known yet"
        };
        tracing::warn!(
            server = %self.server, node = %self.node, reason = fault.reason,
            "could not {}: {}. It is tried again until it works; {known}",
            fault.attempted, fault.kind.advice().trim_end_matches(['.', '?'])
        );
    }
}
