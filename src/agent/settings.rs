//! From the configuration to what each stage is told.

use crate::catalog::Selection;
use crate::export::otlp::{Compression, OtlpSettings, ResourceSettings};
use crate::observe::{self, Intervals};
use crate::{config, telemetry};

/// Where Linux keeps the machine's name.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// The name of this machine; in a container, the container's.
fn host_name() -> String {
    let name = std::fs::read_to_string(HOST_NAME).unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

/// Who the agent is. The port keeps two agents on one machine apart, and the same agent the same after a restart.
#[must_use]
pub fn identity(config: &config::Identity, port: u16) -> telemetry::Identity {
    let host_name = host_name();
    let attributes = config.common_attributes.iter().chain(&config.own_attributes).cloned().collect();
    telemetry::Identity {
        service_name: config.own_service_name.clone(),
        instance_id: format!("{host_name}:{port}"),
        host_name,
        attributes,
    }
}

/// What is said of every VM.
#[must_use]
pub fn resource(source: &config::Source, identity: &config::Identity) -> ResourceSettings {
    ResourceSettings {
        service_name: Some(source.service_name.clone()),
        attributes: identity.common_attributes.clone(),
        host_name: Some(host_name().into()),
    }
}

pub(super) fn otlp(config: &config::Run, otlp: &config::Otlp) -> OtlpSettings {
    let (certificate, key) = otlp.client_files.clone().unzip();
    OtlpSettings {
        endpoint: otlp.endpoint.to_string(),
        // The configuration has given the endpoint its scheme.
        insecure: false,
        headers: otlp.headers.clone(),
        // One is of a request and the other of an export; an export is one request at a time, so the shorter holds.
        timeout: otlp.timeout.min(config.export_timeout),
        compression: if otlp.gzip { Compression::Gzip } else { Compression::None },
        ca_file: otlp.ca_file.clone(),
        client_certificate_file: certificate,
        client_key_file: key,
        interval: config.export_interval,
        resource: resource(&config.source, &config.identity),
    }
}

pub(super) fn collector(otlp: &config::Otlp) -> telemetry::Collector {
    telemetry::Collector {
        endpoint: otlp.endpoint.clone(),
        headers: otlp.headers.clone(),
        timeout: otlp.timeout,
        gzip: otlp.gzip,
        ca_file: otlp.ca_file.clone(),
        client_files: otlp.client_files.clone(),
    }
}

/// What nobody wants to see is not read: a group without a selected row costs its VM nothing.
pub(super) fn observe(reading: &config::Reading, selection: &Selection) -> observe::Settings {
    let intervals = reading
        .groups
        .iter()
        .fold(Intervals::uniform(reading.interval), |intervals, (group, interval)| intervals.with(*group, *interval));
    let groups = selection.vm.iter().filter_map(|row| row.metric.read.group()).collect();
    observe::Settings { intervals, groups }
}

/// How is logged.
#[must_use]
pub fn logs(logs: &config::Logs, otlp: Option<&config::Otlp>) -> telemetry::LogSettings {
    telemetry::LogSettings {
        format: match logs.format {
            config::LogFormat::Text => telemetry::LogFormat::Text,
            config::LogFormat::Json => telemetry::LogFormat::Json,
        },
        filter: logs.filter.clone(),
        collector: otlp.map(collector),
    }
}
