//! How to reach the Collector and what to say of the VMs, already validated.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::retry::RetryPolicy;

/// How long one request may take: the default of `OTEL_EXPORTER_OTLP_TIMEOUT`.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often everything is pushed: the default of `--interval`, so that a reading is pushed about once.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(15);

/// Where the Collector listens: the default of `OTEL_EXPORTER_OTLP_ENDPOINT`.
pub const DEFAULT_ENDPOINT: &str = "http://localhost:4317";

/// The largest request, in bytes before compression. Collectors refuse what is larger than 4 MiB after decompression,
/// with a status that must not be retried; half a mebibyte is left for what they may count besides.
pub const REQUEST_LIMIT: usize = 3_584 * 1_024;

/// How many pushes wait while one is under way or the Collector does not answer. Two minutes at the default interval,
/// which is what the rolling update of a Collector takes; the oldest is dropped when there are more.
pub const WAITING_PUSHES: usize = 8;

/// The least time between two pushes of lifecycle changes: a host that starts a hundred VMs at once makes a few pushes
/// of it, not a hundred.
pub const EVENT_SPACING: Duration = Duration::from_secs(1);

/// The longest that the last push may take, with all that waits before it, however long a request may take otherwise.
/// The agent gives its stages three seconds to push when it ends: below that, what is lost is counted and said.
pub const LAST_PUSH: Duration = Duration::from_millis(2_500);

/// How to reach the Collector and what to say of the VMs.
#[derive(Clone)]
pub struct OtlpSettings {
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: `http://host:port`, `https://host:port` or `host:port`.
    pub endpoint: String,
    /// `OTEL_EXPORTER_OTLP_INSECURE`: an endpoint without a scheme is reached without TLS.
    pub insecure: bool,
    /// `OTEL_EXPORTER_OTLP_HEADERS`, percent-decoded.
    pub headers: Vec<(String, String)>,
    /// `OTEL_EXPORTER_OTLP_TIMEOUT`: how long one request may take.
    pub timeout: Duration,
    /// `OTEL_EXPORTER_OTLP_COMPRESSION`
    pub compression: Compression,
    /// `OTEL_EXPORTER_OTLP_CERTIFICATE`: a PEM file with the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// `OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE`: a PEM file.
    pub client_certificate_file: Option<PathBuf>,
    /// `OTEL_EXPORTER_OTLP_CLIENT_KEY`: a PEM file.
    pub client_key_file: Option<PathBuf>,
    /// `OTEL_METRIC_EXPORT_INTERVAL`: how often everything is pushed; lifecycle changes are pushed at once.
    pub interval: Duration,
    /// What is said of every VM.
    pub resource: ResourceSettings,
}

/// How requests are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    None,
    /// `gzip`, which every receiver of OTLP must understand.
    #[default]
    Gzip,
}

/// What is said of every VM and daemon besides what identifies it.
#[derive(Debug, Clone, Default)]
pub struct ResourceSettings {
    /// `service.name` of VMs; `None`: `libvirt-domain`, under KubeVirt `kubevirt-vmi`.
    pub service_name: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES`. A key that identifies the VM is not overridden by one of these.
    pub attributes: Vec<(String, String)>,
    /// The name of the machine that the agent runs on: a daemon that has never answered is told apart by it from
    /// those on other machines.
    pub host_name: Option<Arc<str>>,
}

/// What only tests change: the bounds whose values in use are constants of this module.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// When and how long to try again.
    pub retry: RetryPolicy,
    /// See [`EVENT_SPACING`].
    pub event_spacing: Duration,
    /// See [`REQUEST_LIMIT`].
    pub request_limit: usize,
    /// See [`WAITING_PUSHES`].
    pub waiting_pushes: usize,
    /// See [`LAST_PUSH`].
    pub last_push: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            event_spacing: EVENT_SPACING,
            request_limit: REQUEST_LIMIT,
            waiting_pushes: WAITING_PUSHES,
            last_push: LAST_PUSH,
        }
    }
}

impl Default for OtlpSettings {
    fn default() -> Self {
        Self {
            endpoint: DEFAULT_ENDPOINT.to_owned(),
            insecure: false,
            headers: Vec::new(),
            timeout: DEFAULT_TIMEOUT,
            compression: Compression::default(),
            ca_file: None,
            client_certificate_file: None,
            client_key_file: None,
            interval: DEFAULT_INTERVAL,
            resource: ResourceSettings::default(),
        }
    }
}

/// Header values are credentials more often than not: only their names are shown.
impl fmt::Debug for OtlpSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header_names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        formatter
            .debug_struct("OtlpSettings")
            .field("endpoint", &self.endpoint)
            .field("insecure", &self.insecure)
            .field("headers", &header_names)
            .field("timeout", &self.timeout)
            .field("compression", &self.compression)
            .field("ca_file", &self.ca_file)
            .field("client_certificate_file", &self.client_certificate_file)
            .field("client_key_file", &self.client_key_file)
            .field("interval", &self.interval)
            .field("resource", &self.resource)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_not_printed() {
        let settings = OtlpSettings {
            headers: vec![("authorization".to_owned(), "Bearer secret".to_owned())],
            ..OtlpSettings::default()
        };
        let printed = format!("{settings:?}");
        assert!(printed.contains("authorization"));
        assert!(!printed.contains("secret"));
    }
}
