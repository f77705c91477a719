//! The agent's own metrics about the watch of the Kubernetes API.

use super::counters::{EventKind, WatchCounters};
use super::fault::FaultKind;
use crate::catalog::{Attribute, Label, OwnMetric, Unit};

/// What the watch reported.
const EVENT: Attribute =
    Attribute::closed("virt_otel.kubernetes.event", "kind", "What the watch said of a VMI.", &EventKind::NAMES);

/// Why a request failed.
const ERROR: Attribute =
    Attribute::closed("error.type", "reason", "Why a request to the Kubernetes API failed.", &FaultKind::NAMES);

/// One row per metric.
pub const METRICS: &[OwnMetric<WatchCounters>] = &[
    OwnMetric::gauge(
        "virt_otel.kubernetes.connected",
        Unit::None,
        "Whether the Kubernetes API answered when it was last asked, 1 or 0.",
        |now| Some(now.connected().into()),
    ),
    OwnMetric::gauge(
        "virt_otel.kubernetes.away",
        Unit::Seconds,
        "Time since the Kubernetes API stopped answering, 0 while it answers; what is known of VMIs stays meanwhile.",
        |now| Some(now.away().unwrap_or_default().into()),
    ),
    OwnMetric::counters(
        "virt_otel.kubernetes.events",
        Unit::Count("event"),
        &[&EVENT],
        "What the watch said of the VMIs of this node: restarted and synced count lists.",
        |now, emit| {
            for kind in EventKind::ALL {
                emit(&[Label::new(&EVENT, kind.as_str())], now.events(kind).into());
            }
        },
    ),
    OwnMetric::counters(
        "virt_otel.kubernetes.errors",
        Unit::Count("error"),
        &[&ERROR],
        "Requests to the Kubernetes API, and answers of it, that failed.",
        |now, emit| {
            for kind in FaultKind::ALL {
                emit(&[Label::new(&ERROR, kind.as_str())], now.errors(kind).into());
            }
        },
    ),
    OwnMetric::counter(
        "virt_otel.kubernetes.objects_dropped",
        Unit::Count("object"),
        "Objects without a namespace, a name or a UID, counted each time they came.",
        |now| Some(now.objects_dropped().into()),
    ),
    OwnMetric::counter(
        "virt_otel.kubernetes.fields_dropped",
        Unit::Count("field"),
        "Values of VMIs of the wrong type, too long, out of range or too many, counted each time they came.",
        |now| Some(now.fields_dropped().into()),
    ),
    OwnMetric::counter(
        "virt_otel.kubernetes.labels_dropped",
        Unit::Count("label"),
        "Allowed labels that were too long, too many or alike in Prometheus, counted each time they came.",
        |now| Some(now.labels_dropped().into()),
    ),
];
