//! Pushes snapshots as OTLP over gRPC.
//!
//! ```text
//!  settings ─► client      sends to the Collector              failure   why it failed
//!              connection  made, lost, and made anew with new credentials
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
mod connection;
mod counters;
mod delivery;
mod encode;
mod failure;
mod health;
mod metrics;
mod offline;
mod probe;
mod push;
mod queue;
mod request;
mod resource;
mod resource_kind;
mod retry;
mod sender;
mod settings;
mod spread;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod script;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use counters::{DropReason, OtlpCounters};
pub use encode::{SCHEMA_URL, SCOPE_NAME};
pub use metrics::METRICS;
pub use offline::{PushSize, Requests, otlp_json};
pub use probe::{Accepted, ProbeError, Signal, probe};
pub use resource::{DAEMON_SERVICE_NAME, DOMAIN_SERVICE_NAME, VMI_SERVICE_NAME};
pub use retry::{GIVE_UP_AFTER, LARGEST_THROTTLE, RetryPolicy, WAITS};
pub use settings::{
    DEFAULT_INTERVAL, EVENT_SPACING, LAST_PUSH, OtlpSettings, REQUEST_LIMIT, ResourceSettings, Tuning, WAITING_PUSHES,
};
pub use spread::{FIRST_PUSH_WITHIN, Spread};

use crate::catalog::Selection;
use crate::clock::Clock;
use crate::collector::Credentials;
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
    /// An exporter with these settings, whose connections have what `credentials` are at the moment. It connects with the
    /// first push.
    #[must_use]
    pub fn new(
        settings: OtlpSettings,
        credentials: Credentials,
        selection: Selection,
        clock: Arc<dyn Clock>,
        counters: Arc<OtlpCounters>,
    ) -> Self {
        let client = client::Client::new(&settings.collector, credentials);
        Self { settings, client, selection, clock, counters, tuning: Tuning::default(), pulse: Pulse::default() }
    }

    /// With other limits; for tests.
    #[must_use]
    pub fn with_tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    /// Pushing at these times of its own.
    #[must_use]
    pub fn with_spread(mut self, spread: Spread) -> Self {
        self.tuning.spread = spread;
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
