//! The table of the agent's own metrics: one row a metric. The instruments and the documentation loop over it.

use std::fmt::Write as _;

use super::readings::{Calls, Daemon, Group, Otlp, Readings, Watch};
use crate::catalog::{Kind, Unit, Value};

/// Takes the attributes and the value of each series of a row.
pub type Emit<'e> = &'e mut dyn FnMut(&[(&'static str, &str)], Value);

/// A row: one metric of the agent itself.
#[derive(Debug)]
pub struct OwnMetric {
    /// The OpenTelemetry name. Prometheus' name is derived.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Whether it counts, adds up, or neither.
    pub kind: Kind,
    /// The keys of its attributes.
    pub attributes: &'static [&'static str],
    /// One sentence with a full stop.
    pub brief: &'static str,
    /// How it is read.
    pub read: fn(&Readings, Emit<'_>),
}

const VERSION: &str = "version";
const URI: &str = "libvirt.uri";
const CALL: &str = "libvirt.call";
const GROUP: &str = "libvirt.stats.group";
const REASON: &str = "reason";
const KIND: &str = "kind";

/// A row that only grows.
const fn counter(
    name: &'static str,
    unit: Unit,
    attributes: &'static [&'static str],
    brief: &'static str,
    read: fn(&Readings, Emit<'_>),
) -> OwnMetric {
    OwnMetric { name, unit, kind: Kind::Counter, attributes, brief, read }
}

/// A row that goes up and down.
const fn gauge(
    name: &'static str,
    unit: Unit,
    attributes: &'static [&'static str],
    brief: &'static str,
    read: fn(&Readings, Emit<'_>),
) -> OwnMetric {
    OwnMetric { name, unit, kind: Kind::Gauge, attributes, brief, read }
}

/// One series a daemon.
fn each_daemon(readings: &Readings, emit: Emit<'_>, value: fn(&Daemon) -> u64) {
    for daemon in &readings.daemons {
        emit(&[(URI, &daemon.uri)], value(daemon).into());
    }
}

/// One series a daemon and kind of call.
fn each_call(readings: &Readings, emit: Emit<'_>, value: fn(&Calls) -> Value) {
    for daemon in &readings.daemons {
        for call in &daemon.calls {
            emit(&[(URI, &daemon.uri), (CALL, call.kind)], value(call));
        }
    }
}

/// One series a group of statistics.
fn each_group(readings: &Readings, emit: Emit<'_>, value: fn(&Group) -> Value) {
    for group in &readings.groups {
        emit(&[(GROUP, group.name)], value(group));
    }
}

/// One series, if the Kubernetes API is watched.
fn of_watch(readings: &Readings, emit: Emit<'_>, value: fn(&Watch) -> Value) {
    if let Some(watch) = &readings.watch {
        emit(&[], value(watch));
    }
}

/// One series, if VMs' metrics are pushed.
fn of_otlp(readings: &Readings, emit: Emit<'_>, value: fn(&Otlp) -> u64) {
    if let Some(otlp) = &readings.otlp {
        emit(&[], value(otlp).into());
    }
}

/// Every metric of the agent itself, in the order of the documentation.
pub const METRICS: &[OwnMetric] = &[
    gauge("virt_otel.build.info", Unit::None, &[VERSION], "The agent's version; always 1.", |_, emit| {
        emit(&[(VERSION, env!("CARGO_PKG_VERSION"))], 1_u64.into());
    }),
    counter("virt_otel.loop.turns", Unit::Count("turn"), &[], "Turns of the reading loop.", |now, emit| {
        emit(&[], now.observe.turns.into());
    }),
    counter("virt_otel.readings", Unit::Count("reading"), &[], "Readings of a VM that were answered.", |now, emit| {
        emit(&[], now.observe.readings.into());
    }),
    counter("virt_otel.reading_failures", Unit::Count("reading"), &[], "Readings of a VM that failed.", |now, emit| {
        emit(&[], now.observe.failures.into());
    }),
    counter(
        "virt_otel.group.readings",
        Unit::Count("reading"),
        &[GROUP],
        "Calls that asked for a group of statistics and were answered.",
        |now, emit| each_group(now, emit, |group| group.readings.into()),
    ),
    counter(
        "virt_otel.group.duration",
        Unit::Seconds,
        &[GROUP],
        "Time that the calls took which asked for a group of statistics.",
        |now, emit| each_group(now, emit, |group| group.duration.into()),
    ),
    gauge(
        "virt_otel.stuck",
        Unit::Count("vm"),
        &[],
        "VMs that are stuck: a call into their QEMU hangs past its deadline.",
        |now, emit| emit(&[], now.observe.stuck.into()),
    ),
    gauge("virt_otel.busy", Unit::Count("vm"), &[], "VMs that somebody else's job keeps busy.", |now, emit| {
        emit(&[], now.observe.busy.into())
    }),
    counter(
        "virt_otel.descriptions",
        Unit::Count("query"),
        &[],
        "Queries of a domain's XML; one a detection.",
        |now, emit| emit(&[], now.observe.descriptions.into()),
    ),
    counter(
        "virt_otel.description_failures",
        Unit::Count("query"),
        &[],
        "Queries of a domain's XML that failed or could not be understood.",
        |now, emit| emit(&[], now.observe.description_failures.into()),
    ),
    counter(
        "virt_otel.unknown_parameters",
        Unit::Count("parameter"),
        &[],
        "Statistics of libvirt that this version does not know, counted each time they are read.",
        |now, emit| emit(&[], now.observe.unknown_parameters.into()),
    ),
    counter(
        "virt_otel.left_out",
        Unit::Count("item"),
        &[],
        "vCPUs and devices that were left out because one VM, or all of a daemon, may not have so many, counted each time they are read.",
        |now, emit| emit(&[], now.observe.left_out.into()),
    ),
    counter(
        "virt_otel.domains_left_out",
        Unit::Count("domain"),
        &[],
        "Domains that were left out because one daemon may not have so many, counted each time they are named.",
        |now, emit| emit(&[], now.observe.domains_left_out.into()),
    ),
    counter("virt_otel.snapshots", Unit::Count("snapshot"), &[], "Snapshots published.", |now, emit| {
        emit(&[], now.observe.snapshots.into());
    }),
    gauge("virt_otel.snapshot.age", Unit::Seconds, &[], "Age of the latest snapshot.", |now, emit| {
        if let Some(age) = now.snapshot_age {
            emit(&[], age.into());
        }
    }),
    counter(
        "virt_otel.libvirt.calls",
        Unit::Count("call"),
        &[URI, CALL],
        "Calls into libvirt that have returned.",
        |now, emit| each_call(now, emit, |call| call.returned.into()),
    ),
    counter(
        "virt_otel.libvirt.call_failures",
        Unit::Count("call"),
        &[URI, CALL],
        "Calls that libvirt failed.",
        |now, emit| each_call(now, emit, |call| call.failed.into()),
    ),
    counter(
        "virt_otel.libvirt.calls_late",
        Unit::Count("call"),
        &[URI, CALL],
        "Calls into libvirt that went past their deadline.",
        |now, emit| each_call(now, emit, |call| call.late.into()),
    ),
    counter(
        "virt_otel.libvirt.call_duration",
        Unit::Seconds,
        &[URI, CALL],
        "Time that the calls into libvirt took which have returned.",
        |now, emit| each_call(now, emit, |call| call.duration.into()),
    ),
    gauge(
        "virt_otel.libvirt.calls_in_flight",
        Unit::Count("call"),
        &[URI],
        "Statistics calls within their deadline now.",
        |now, emit| each_daemon(now, emit, |daemon| daemon.in_flight),
    ),
    gauge(
        "virt_otel.libvirt.calls_abandoned",
        Unit::Count("call"),
        &[URI],
        "Calls into libvirt that hang now and were left behind.",
        |now, emit| each_daemon(now, emit, |daemon| daemon.abandoned),
    ),
    counter(
        "virt_otel.libvirt.requests_refused",
        Unit::Count("request"),
        &[URI],
        "Requests that were not made because too many calls waited or hung.",
        |now, emit| each_daemon(now, emit, |daemon| daemon.refused),
    ),
    gauge(
        "virt_otel.libvirt.connections",
        Unit::Count("connection"),
        &[URI],
        "Connections to the daemon now.",
        |now, emit| each_daemon(now, emit, |daemon| daemon.connections),
    ),
    counter(
        "virt_otel.libvirt.connects",
        Unit::Count("connection"),
        &[URI],
        "Times the daemon was connected; all but the first are reconnects.",
        |now, emit| each_daemon(now, emit, |daemon| daemon.connects),
    ),
    counter(
        "virt_otel.libvirt.disconnects",
        Unit::Count("connection"),
        &[URI],
        "Times the connection to the daemon was lost.",
        |now, emit| each_daemon(now, emit, |daemon| daemon.disconnects),
    ),
    counter("virt_otel.libvirt.events", Unit::Count("event"), &[URI], "Events that libvirt sent.", |now, emit| {
        each_daemon(now, emit, |daemon| daemon.events);
    }),
    counter(
        "virt_otel.libvirt.events_dropped",
        Unit::Count("event"),
        &[URI],
        "Events dropped because the queue was full; everything is then listed and read afresh.",
        |now, emit| each_daemon(now, emit, |daemon| daemon.events_dropped),
    ),
    counter("virt_otel.otlp.points_sent", Unit::Count("point"), &[], "Points the Collector accepted.", |now, emit| {
        of_otlp(now, emit, |otlp| otlp.sent);
    }),
    counter(
        "virt_otel.otlp.points_rejected",
        Unit::Count("point"),
        &[],
        "Points the Collector said it rejected out of a request it accepted.",
        |now, emit| of_otlp(now, emit, |otlp| otlp.rejected),
    ),
    counter(
        "virt_otel.otlp.points_retried",
        Unit::Count("point"),
        &[],
        "Points in requests that were sent again, counted each time.",
        |now, emit| of_otlp(now, emit, |otlp| otlp.retried),
    ),
    counter(
        "virt_otel.otlp.points_dropped",
        Unit::Count("point"),
        &[REASON],
        "Points that were never delivered.",
        |now, emit| {
            for (reason, points) in now.otlp.iter().flat_map(|otlp| &otlp.dropped) {
                emit(&[(REASON, reason)], (*points).into());
            }
        },
    ),
    gauge(
        "virt_otel.kubernetes.connected",
        Unit::None,
        &[],
        "Whether the Kubernetes API answered when it was last asked, 1 or 0.",
        |now, emit| of_watch(now, emit, |watch| watch.connected.into()),
    ),
    gauge(
        "virt_otel.kubernetes.away",
        Unit::Seconds,
        &[],
        "Time since the Kubernetes API stopped answering, 0 while it answers; what is known of VMIs stays meanwhile.",
        |now, emit| of_watch(now, emit, |watch| watch.away.unwrap_or_default().into()),
    ),
    counter(
        "virt_otel.kubernetes.events",
        Unit::Count("event"),
        &[KIND],
        "What the watch said of the VMIs of this node: restarted and synced count lists.",
        |now, emit| {
            for (kind, events) in now.watch.iter().flat_map(|watch| &watch.events) {
                emit(&[(KIND, kind)], (*events).into());
            }
        },
    ),
    counter(
        "virt_otel.kubernetes.errors",
        Unit::Count("error"),
        &[REASON],
        "Requests to the Kubernetes API, and answers of it, that failed.",
        |now, emit| {
            for (reason, errors) in now.watch.iter().flat_map(|watch| &watch.errors) {
                emit(&[(REASON, reason)], (*errors).into());
            }
        },
    ),
    counter(
        "virt_otel.kubernetes.objects_dropped",
        Unit::Count("object"),
        &[],
        "Objects without a namespace, a name or a UID, counted each time they came.",
        |now, emit| of_watch(now, emit, |watch| watch.objects_dropped.into()),
    ),
    counter(
        "virt_otel.kubernetes.fields_dropped",
        Unit::Count("field"),
        &[],
        "Values of VMIs of the wrong type, too long, out of range or too many, counted each time they came.",
        |now, emit| of_watch(now, emit, |watch| watch.fields_dropped.into()),
    ),
    counter(
        "virt_otel.kubernetes.labels_dropped",
        Unit::Count("label"),
        &[],
        "Allowed labels that were too long, too many or alike in Prometheus, counted each time they came.",
        |now, emit| of_watch(now, emit, |watch| watch.labels_dropped.into()),
    ),
    counter("virt_otel.otlp.requests", Unit::Count("request"), &[], "Requests to the Collector.", |now, emit| {
        of_otlp(now, emit, |otlp| otlp.requests);
    }),
    counter(
        "virt_otel.otlp.request_failures",
        Unit::Count("request"),
        &[],
        "Requests to the Collector that failed.",
        |now, emit| of_otlp(now, emit, |otlp| otlp.failed_requests),
    ),
    counter(
        "virt_otel.otlp.size",
        Unit::Bytes,
        &[],
        "Size of the requests to the Collector before compression.",
        |now, emit| of_otlp(now, emit, |otlp| otlp.bytes),
    ),
    gauge("virt_otel.otlp.queued", Unit::Count("push"), &[], "Pushes that wait for the Collector.", |now, emit| {
        of_otlp(now, emit, |otlp| otlp.queued);
    }),
    counter("virt_otel.scrapes", Unit::Count("scrape"), &[], "Scrapes of /metrics that were answered.", |now, emit| {
        if let Some(scrapes) = &now.scrapes {
            emit(&[], scrapes.answered.into());
        }
    }),
    counter(
        "virt_otel.scrapes_refused",
        Unit::Count("scrape"),
        &[],
        "Scrapes of /metrics that were refused because too many ran at once.",
        |now, emit| {
            if let Some(scrapes) = &now.scrapes {
                emit(&[], scrapes.refused.into());
            }
        },
    ),
    counter("virt_otel.scrape.duration", Unit::Seconds, &[], "Time spent rendering /metrics.", |now, emit| {
        if let Some(scrapes) = &now.scrapes {
            emit(&[], scrapes.duration.into());
        }
    }),
    counter(
        "virt_otel.scrape.size",
        Unit::Bytes,
        &[],
        "Size of the rendered /metrics before compression.",
        |now, emit| {
            if let Some(scrapes) = &now.scrapes {
                emit(&[], scrapes.bytes.into());
            }
        },
    ),
];

/// The table for `docs/metrics.md`: a section without a heading.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from("| metric | unit | kind | attributes | meaning |\n|---|---|---|---|---|\n");
    for row in METRICS {
        let unit = row.unit.ucum();
        let unit = if unit.is_empty() { String::new() } else { format!("`{unit}`") };
        let kind = match row.kind {
            Kind::Counter => "counter",
            Kind::UpDownCounter => "up-down counter",
            Kind::Gauge => "gauge",
        };
        let attributes: Vec<String> = row.attributes.iter().map(|key| format!("`{key}`")).collect();
        let _ = writeln!(page, "| `{}` | {unit} | {kind} | {} | {} |", row.name, attributes.join(", "), row.brief);
    }
    page
}
