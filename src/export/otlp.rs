//! Pushes snapshots as OTLP over gRPC.
//!
//! ```text
//!  settings ─► client      the connection to the Collector
//!  snapshot ─► queue       a few waiting snapshots
//!              delivery    what was sent, and so what is new and what has ended
//!              encode      points as messages          resource  a VM's attributes
//!              request     messages as requests below the size limit
//!              sender      one request at a time; retries, throttling
//! ```
//!
//! Every VM is a Resource. A push contains only the readings made since the last one, and the states. Lifecycle changes
//! are pushed at once, everything else at the export interval. Nothing that reads or serves waits for a push.

mod client;
mod counters;
mod delivery;
mod encode;
mod health;
mod metrics;
mod offline;
mod push;
mod queue;
mod request;
mod resource;
mod resource_kind;
mod retry;
mod sender;
mod settings;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod script;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use counters::{DropReason, OtlpCounters};
pub use encode::{SCHEMA_URL, SCOPE_NAME};
pub use metrics::METRICS;
pub use offline::{Requests, otlp_json};
pub use resource::{DAEMON_SERVICE_NAME, DOMAIN_SERVICE_NAME, VMI_SERVICE_NAME};
pub use retry::{GIVE_UP_AFTER, LARGEST_THROTTLE, RetryPolicy, WAITS};
pub use settings::{
    DEFAULT_INTERVAL, EVENT_SPACING, LAST_PUSH, OtlpSettings, REQUEST_LIMIT, ResourceSettings, Tuning, WAITING_PUSHES,
};

use crate::catalog::Selection;
use crate::clock::Clock;
use crate::collector::CollectorError;
use crate::heartbeat::Pulse;
use crate::snapshot::Snapshots;

/// Pushes snapshots to a Collector.
pub struct Exporter {
    settings: OtlpSettings,
    client: client::Client,
    selection: Selection,
    clock: Arc<dyn Clock>,
    counters: Arc<OtlpCounters>,
    tuning: Tuning,
    pulse: Pulse,
}

impl Exporter {
    /// An exporter with these settings. It reads the certificate files, and connects with the first push.
    ///
    /// # Errors
    ///
    /// When a certificate file cannot be used. The Collector need not be reachable.
    pub fn new(
        settings: OtlpSettings,
        selection: Selection,
        clock: Arc<dyn Clock>,
        counters: Arc<OtlpCounters>,
    ) -> Result<Self, CollectorError> {
        let client = client::Client::new(&settings.collector)?;
        Ok(Self { settings, client, selection, clock, counters, tuning: Tuning::default(), pulse: Pulse::default() })
    }

    /// With other limits; for tests.
    #[must_use]
    pub fn with_tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    /// With this heartbeat.
    #[must_use]
    pub fn with_pulse(mut self, pulse: Pulse) -> Self {
        self.pulse = pulse;
        self
    }

    /// Pushes until `shutdown` is cancelled or the writer of the snapshots is gone, then once more, within the request
    /// timeout and [`LAST_PUSH`].
    ///
    /// It ends no series then: an agent that restarts continues them, and otherwise receivers forget them by
    /// themselves.
    pub async fn run(self, snapshots: Snapshots, shutdown: CancellationToken) {
        let Self { settings, client, selection, clock, counters, tuning, pulse } = self;
        push::run(client, settings, selection, clock, counters, tuning, pulse, snapshots, shutdown).await;
    }
}
