//! Turns the configuration into each stage's settings.

use std::sync::Arc;

use crate::collector::{Collector, Credentials};
use crate::export::otlp::{OtlpSettings, ResourceSettings};
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

/// The agent's identity. The port distinguishes two agents on one machine, and is the same after a restart; under
/// Kubernetes the name of the node survives that of the pod.
#[must_use]
pub fn identity(source: &config::Source, config: &config::Identity, port: u16) -> telemetry::Identity {
    let host_name = host_name();
    let attributes = config.common_attributes.iter().chain(&config.own_attributes).cloned().collect();
    telemetry::Identity {
        node: source.vms.node().map(str::to_owned),
        service_name: config.own_service_name.clone(),
        instance_id: format!("{host_name}:{port}"),
        host_name,
        attributes,
    }
}

/// The Resource settings of every VM.
#[must_use]
pub fn resource(source: &config::Source, identity: &config::Identity) -> ResourceSettings {
    ResourceSettings {
        service_name: Some(source.service_name.clone()),
        attributes: identity.common_attributes.clone(),
        host_name: Some(host_name().into()),
    }
}

pub(super) fn otlp(config: &config::Run, collector: &Collector) -> OtlpSettings {
    // One limits a request and the other an export; an export is one request at a time, so the shorter applies.
    let timeout = collector.timeout.min(config.export_timeout);
    OtlpSettings {
        collector: Collector { timeout, ..collector.clone() },
        interval: config.export_interval,
        resource: resource(&config.source, &config.identity),
    }
}

pub(super) fn intervals(reading: &config::ReadSettings) -> Intervals {
    let general = Intervals::uniform(reading.interval);
    reading.groups.iter().fold(general, |intervals, (group, interval)| intervals.with(*group, *interval))
}

/// What is not published is not read: a group without a selected row costs its VM nothing.
pub(super) fn observe(config: &config::Run) -> observe::Settings {
    let served = config.prometheus.then_some(&config.served);
    let pushed = config.otlp_metrics.is_some().then_some(&config.pushed);
    let rows = served.into_iter().chain(pushed).flat_map(|selection| &selection.vm);
    let groups = rows.filter_map(|row| row.metric.read.group()).collect();
    observe::Settings {
        intervals: intervals(&config.reading),
        groups,
        choice: config.source.choice.clone(),
        metadata_labels: Arc::clone(&config.source.metadata_labels),
        ..observe::Settings::default()
    }
}

/// The settings of the log.
#[must_use]
pub fn logs(logs: &config::Logs, collector: Option<(Collector, Credentials)>) -> telemetry::LogSettings {
    telemetry::LogSettings {
        format: match logs.format {
            config::LogFormat::Text => telemetry::LogFormat::Text,
            config::LogFormat::Json => telemetry::LogFormat::Json,
        },
        filter: logs.filter.clone(),
        collector,
    }
}
