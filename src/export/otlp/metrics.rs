//! The agent's own metrics about the push.

use super::counters::{DropReason, OtlpCounters};
use crate::catalog::{Attribute, Label, OwnMetric, Unit};

/// Why points were not delivered.
const REASON: Attribute =
    Attribute::closed("virt_otel.otlp.drop_reason", "reason", "Why points were not delivered.", &DropReason::NAMES);

/// One row per metric.
pub const METRICS: &[OwnMetric<OtlpCounters>] = &[
    OwnMetric::counter("virt_otel.otlp.points_sent", Unit::Count("point"), "Points the Collector accepted.", |now| {
        Some(now.points_sent().into())
    }),
    OwnMetric::counter(
        "virt_otel.otlp.points_rejected",
        Unit::Count("point"),
        "Points the Collector said it rejected out of a request it accepted.",
        |now| Some(now.points_rejected().into()),
    ),
    OwnMetric::counter(
        "virt_otel.otlp.points_retried",
        Unit::Count("point"),
        "Points in requests that were sent again, counted each time.",
        |now| Some(now.points_retried().into()),
    ),
    OwnMetric::counters(
        "virt_otel.otlp.points_dropped",
        Unit::Count("point"),
        &[&REASON],
        "Points that were never delivered.",
        |now, emit| {
            for reason in DropReason::ALL {
                emit(&[Label::new(&REASON, reason.as_str())], now.points_dropped(reason).into());
            }
        },
    ),
    OwnMetric::counter("virt_otel.otlp.requests", Unit::Count("request"), "Requests to the Collector.", |now| {
        Some(now.requests().into())
    }),
    OwnMetric::counter(
        "virt_otel.otlp.request_failures",
        Unit::Count("request"),
        "Requests to the Collector that failed.",
        |now| Some(now.failed_requests().into()),
    ),
    OwnMetric::counter(
        "virt_otel.otlp.size",
        Unit::Bytes,
        "Size of the requests to the Collector before compression.",
        |now| Some(now.bytes().into()),
    ),
    OwnMetric::gauge("virt_otel.otlp.queued", Unit::Count("push"), "Pushes that wait for the Collector.", |now| {
        Some(now.queued().into())
    }),
    OwnMetric::gauge(
        "virt_otel.otlp.vms_left_to_sidecars",
        Unit::Count("vm"),
        "VMs that are not pushed because a sidecar in their virt-launcher pod pushes them.",
        |now| Some(now.left_to_sidecars().into()),
    ),
];
