//! The agent's own metrics about its calls into libvirt.

use std::sync::Arc;

use super::counters::{CallCounters, CallName, EndpointCounters};
use crate::catalog::attribute::OWN_URI;
use crate::catalog::{Attribute, Emit, Label, OwnMetric, Unit, Value};

/// The kind of call.
const CALL: Attribute =
    Attribute::closed("libvirt.call", "libvirt_call", "What the agent asked libvirt.", &CallName::ALL);

/// The counters of each daemon, by its URI. Under KubeVirt all daemons of the node share one.
pub type Daemons = Vec<(String, Arc<EndpointCounters>)>;

fn each_daemon(daemons: &Daemons, emit: Emit<'_>, value: fn(&EndpointCounters) -> u64) {
    for (uri, counters) in daemons {
        emit(&[Label::new(&OWN_URI, uri)], value(counters).into());
    }
}

fn each_call(daemons: &Daemons, emit: Emit<'_>, value: fn(&CallCounters) -> Value) {
    for (uri, counters) in daemons {
        for (name, call) in counters.calls() {
            emit(&[Label::new(&OWN_URI, uri), Label::new(&CALL, name)], value(call));
        }
    }
}

/// One row per metric.
pub const METRICS: &[OwnMetric<Daemons>] = &[
    OwnMetric::counters(
        "virt_otel.libvirt.calls",
        Unit::Count("call"),
        &[&OWN_URI, &CALL],
        "Calls into libvirt that have returned.",
        |now, emit| each_call(now, emit, |call| call.returned().into()),
    ),
    OwnMetric::counters(
        "virt_otel.libvirt.call_failures",
        Unit::Count("call"),
        &[&OWN_URI, &CALL],
        "Calls that libvirt failed.",
        |now, emit| each_call(now, emit, |call| call.failed().into()),
    ),
    OwnMetric::counters(
        "virt_otel.libvirt.calls_late",
        Unit::Count("call"),
        &[&OWN_URI, &CALL],
        "Calls into libvirt that went past their deadline.",
        |now, emit| each_call(now, emit, |call| call.late().into()),
    ),
    OwnMetric::counters(
        "virt_otel.libvirt.call_duration",
        Unit::Seconds,
        &[&OWN_URI, &CALL],
        "Time taken by calls into libvirt that have returned.",
        |now, emit| each_call(now, emit, |call| call.duration().into()),
    ),
    OwnMetric::gauges(
        "virt_otel.libvirt.calls_in_flight",
        Unit::Count("call"),
        &[&OWN_URI],
        "Statistics calls within their deadline now.",
        |now, emit| each_daemon(now, emit, EndpointCounters::in_flight),
    ),
    OwnMetric::gauges(
        "virt_otel.libvirt.calls_abandoned",
        Unit::Count("call"),
        &[&OWN_URI],
        "Calls into libvirt that hang now and were left behind.",
        |now, emit| each_daemon(now, emit, EndpointCounters::abandoned),
    ),
    OwnMetric::counters(
        "virt_otel.libvirt.requests_refused",
        Unit::Count("request"),
        &[&OWN_URI],
        "Requests that were not made because too many calls waited or hung.",
        |now, emit| each_daemon(now, emit, EndpointCounters::requests_refused),
    ),
    OwnMetric::gauges(
        "virt_otel.libvirt.connections",
        Unit::Count("connection"),
        &[&OWN_URI],
        "Connections to the daemon now.",
        |now, emit| each_daemon(now, emit, EndpointCounters::connections),
    ),
    OwnMetric::counters(
        "virt_otel.libvirt.connects",
        Unit::Count("connection"),
        &[&OWN_URI],
        "Times the daemon was connected; all but the first are reconnects.",
        |now, emit| each_daemon(now, emit, EndpointCounters::connects),
    ),
    OwnMetric::counters(
        "virt_otel.libvirt.disconnects",
        Unit::Count("connection"),
        &[&OWN_URI],
        "Times the connection to the daemon was lost.",
        |now, emit| each_daemon(now, emit, EndpointCounters::disconnects),
    ),
    OwnMetric::counters(
        "virt_otel.libvirt.events",
        Unit::Count("event"),
        &[&OWN_URI],
        "Events that libvirt sent.",
        |now, emit| each_daemon(now, emit, EndpointCounters::events_received),
    ),
    OwnMetric::counters(
        "virt_otel.libvirt.events_dropped",
        Unit::Count("event"),
        &[&OWN_URI],
        "Events dropped because the queue was full; everything is then listed and read afresh.",
        |now, emit| each_daemon(now, emit, EndpointCounters::events_dropped),
    ),
];
