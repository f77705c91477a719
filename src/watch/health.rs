//! Tracks whether the API answers: the counters show it at once, the log once per change.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::counters::WatchCounters;
use super::fault::{Fault, FaultKind};
use crate::model::whole_millis;

/// How long a watch must stay open before it counts as a sign that the API works. Otherwise each attempt that opens a
/// watch and fails at once would look like a recovery and a failure.
const SETTLED: Duration = Duration::from_secs(2);

/// What is known about the API's health.
pub(super) struct ApiHealth {
    counters: Arc<WatchCounters>,
    server: Arc<str>,
    node: Arc<str>,
    /// When the last opened watch has been open for long enough; `None` if there is nothing to wait for.
    settles: Option<Instant>,
    /// The kinds of failures logged since the API went away: each is logged once.
    logged: Vec<FaultKind>,
    /// Harmless failures since the API last answered, see [`excusable`].
    excused: Vec<FaultKind>,
}

/// Whether a failure is harmless if it comes alone: a load balancer or a restarting server cuts a watch, or a watch
/// cannot resume because too much has changed since.
fn excusable(fault: &Fault) -> bool {
    fault.kind == FaultKind::Expired || fault.kind == FaultKind::Unreachable && fault.while_watching
}

impl ApiHealth {
    pub(super) fn new(counters: Arc<WatchCounters>, server: Arc<str>, node: Arc<str>) -> Self {
        Self { counters, server, node, settles: None, logged: Vec::new(), excused: Vec::new() }
    }

    /// A watch was opened.
    pub(super) fn opened(&mut self) {
        let doubtful = !self.counters.connected() || !self.excused.is_empty();
        self.settles = doubtful.then(|| Instant::now() + SETTLED);
    }

    /// Completes when the last opened watch has been open for long enough.
    pub(super) async fn settled(&self) {
        match self.settles {
            Some(moment) => sleep_until(moment).await,
            None => std::future::pending().await,
        }
    }

    /// The API has answered as requested.
    pub(super) fn answered(&mut self) {
        self.settles = None;
        self.excused.clear();
        if self.counters.connected() {
            return;
        }
        let away = self.counters.comes_back();
        if !self.logged.is_empty() {
            self.logged.clear();
            tracing::info!(
                server = %self.server, node = %self.node, away = ?whole_millis(away.unwrap_or_default()),
                "the Kubernetes API answers again"
            );
        }
    }

    /// A request failed.
    pub(super) fn failed(&mut self, fault: &Fault) {
        self.settles = None;
        self.counters.failed(fault.kind);
        if excusable(fault) && !self.excused.contains(&fault.kind) {
            self.excused.push(fault.kind);
            tracing::debug!(server = %self.server, node = %self.node, reason = fault.reason, "the watch begins anew");
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
