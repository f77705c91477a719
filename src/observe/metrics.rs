//! The agent's own metrics about reading.

use super::counters::ObserveCounters;
use crate::catalog::attribute::OWN_GROUP;
use crate::catalog::{Label, OwnMetric, Unit};
use crate::model::Group;

/// One row per metric.
pub const METRICS: &[OwnMetric<ObserveCounters>] = &[
    OwnMetric::counter("virt_otel.loop.turns", Unit::Count("turn"), "Turns of the reading loop.", |now| {
        Some(now.turns.get().into())
    }),
    OwnMetric::counter("virt_otel.readings", Unit::Count("reading"), "Readings of a VM that were answered.", |now| {
        Some(now.readings.get().into())
    }),
    OwnMetric::counter("virt_otel.reading_failures", Unit::Count("reading"), "Readings of a VM that failed.", |now| {
        Some(now.reading_failures.get().into())
    }),
    OwnMetric::counters(
        "virt_otel.group.readings",
        Unit::Count("reading"),
        &[&OWN_GROUP],
        "Calls that asked for a group of statistics and were answered.",
        |now, emit| {
            for group in Group::ALL {
                emit(&[Label::new(&OWN_GROUP, group.as_str())], now.durations(group).count.get().into());
            }
        },
    ),
    OwnMetric::counters(
        "virt_otel.group.duration",
        Unit::Seconds,
        &[&OWN_GROUP],
        "Time taken by calls that asked for a group of statistics.",
        |now, emit| {
            for group in Group::ALL {
                emit(&[Label::new(&OWN_GROUP, group.as_str())], now.durations(group).sum().into());
            }
        },
    ),
    OwnMetric::gauge(
        "virt_otel.stuck",
        Unit::Count("vm"),
        "VMs that are stuck: a call into their QEMU hangs past its deadline.",
        |now| Some(now.stuck.get().into()),
    ),
    OwnMetric::gauge("virt_otel.busy", Unit::Count("vm"), "VMs that somebody else's job keeps busy.", |now| {
        Some(now.busy.get().into())
    }),
    OwnMetric::counter(
        "virt_otel.descriptions",
        Unit::Count("query"),
        "Queries of a domain's XML; one a detection.",
        |now| Some(now.describe_queries.get().into()),
    ),
    OwnMetric::counter(
        "virt_otel.description_failures",
        Unit::Count("query"),
        "Queries of a domain's XML that failed or could not be understood.",
        |now| Some(now.describe_failures.get().into()),
    ),
    OwnMetric::counter(
        "virt_otel.unknown_parameters",
        Unit::Count("parameter"),
        "Statistics of libvirt that this version does not know, counted each time they are read.",
        |now| Some(now.unknown_parameters.get().into()),
    ),
    OwnMetric::counter(
        "virt_otel.left_out",
        Unit::Count("item"),
        "vCPUs and devices that were left out because one VM, or all of a daemon, may not have so many, or because another has the same name, counted each time they are read.",
        |now| Some(now.left_out.get().into()),
    ),
    OwnMetric::counter(
        "virt_otel.domains_left_out",
        Unit::Count("domain"),
        "Domains that were left out because one daemon may not have so many, counted each time they are named.",
        |now| Some(now.domains_left_out.get().into()),
    ),
    OwnMetric::counter("virt_otel.snapshots", Unit::Count("snapshot"), "Snapshots published.", |now| {
        Some(now.snapshots.get().into())
    }),
];
