//! The exporter's settings, already validated, and its limits.

use std::sync::Arc;
use std::time::Duration;

use super::retry::RetryPolicy;
use super::spread::Spread;
use crate::collector::Collector;

/// How often everything is pushed: the default of `--interval`, so that a reading is pushed about once.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(15);

/// The largest request, in bytes before compression. Collectors refuse what is larger than 4 MiB after decompression,
/// with a status that must not be retried; half a mebibyte is left for whatever else they count.
pub const REQUEST_LIMIT: usize = 3_584 * 1_024;

/// How many pushes wait while one is in progress or the Collector does not answer. Two minutes at the default interval,
/// which is what the rolling update of a Collector takes; if there are more, the oldest is dropped.
pub const WAITING_PUSHES: usize = 8;

/// The minimum time between two pushes of lifecycle changes: a host that starts a hundred VMs at once causes a few
/// pushes, not a hundred.
pub const EVENT_SPACING: Duration = Duration::from_secs(1);

/// The longest that the last push may take, with all waiting ones, whatever the request timeout. At shutdown the agent
/// gives its stages three seconds to push: this is less, so that what is lost is counted and logged.
pub const LAST_PUSH: Duration = Duration::from_millis(2_500);

/// Where VMs' metrics are pushed, how often, and with which configured attributes.
#[derive(Debug, Clone)]
pub struct OtlpSettings {
    /// Where.
    pub collector: Collector,
    /// `OTEL_METRIC_EXPORT_INTERVAL`: how often everything is pushed; lifecycle changes are pushed at once.
    pub interval: Duration,
    /// Attributes of every VM.
    pub resource: ResourceSettings,
}

/// Attributes of every VM and daemon besides those that identify it.
#[derive(Debug, Clone, Default)]
pub struct ResourceSettings {
    /// `service.name` of VMs; `None`: `libvirt-domain`, under KubeVirt `kubevirt-vmi`.
    pub service_name: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES`. These do not override a key that identifies the VM.
    pub attributes: Vec<(String, String)>,
    /// The name of the agent's machine. It distinguishes a daemon that has never answered from those on other machines.
    pub host_name: Option<Arc<str>>,
}

/// Limits that only tests change, their defaults are constants; and what distinguishes one agent from others.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// When to retry, and for how long.
    pub retry: RetryPolicy,
    /// See [`EVENT_SPACING`].
    pub event_spacing: Duration,
    /// See [`REQUEST_LIMIT`].
    pub request_limit: usize,
    /// See [`WAITING_PUSHES`].
    pub waiting_pushes: usize,
    /// See [`LAST_PUSH`].
    pub last_push: Duration,
    /// When this agent pushes.
    pub spread: Spread,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            event_spacing: EVENT_SPACING,
            request_limit: REQUEST_LIMIT,
            waiting_pushes: WAITING_PUSHES,
            last_push: LAST_PUSH,
            spread: Spread::default(),
        }
    }
}

impl Default for OtlpSettings {
    fn default() -> Self {
        Self { collector: Collector::default(), interval: DEFAULT_INTERVAL, resource: ResourceSettings::default() }
    }
}
