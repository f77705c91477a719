//! I/O threads.

use super::{Kind, Metric, Read, Section, Stability, Unit, Value};

/// The rows and what to know about them.
pub(super) const SECTION: Section = Section {
    title: "I/O threads",
    brief: "One series for each I/O thread, by its id. They are settings, not loads.",
    metrics: METRICS,
};

const METRICS: &[Metric] = &[
    Metric {
        name: "iothread.poll_max",
        unit: Unit::Seconds,
        kind: Kind::Gauge,
        brief: "How long the I/O thread polls at most before it sleeps.",
        stability: Stability::Development,
        source: "virDomainListGetStats iothread.<id>.poll-max-ns",
        kubevirt: "",
        read: Read::IoThread(|thread| thread.poll_max.map(Value::from)),
    },
    Metric {
        name: "iothread.poll_grow",
        unit: Unit::None,
        kind: Kind::Gauge,
        brief: "The factor by which the I/O thread lengthens its polling; 0 is QEMU's own choice.",
        stability: Stability::Development,
        source: "virDomainListGetStats iothread.<id>.poll-grow",
        kubevirt: "",
        read: Read::IoThread(|thread| thread.poll_grow.map(Value::from)),
    },
    Metric {
        name: "iothread.poll_shrink",
        unit: Unit::None,
        kind: Kind::Gauge,
        brief: "The divisor by which the I/O thread shortens its polling; 0 is QEMU's own choice.",
        stability: Stability::Development,
        source: "virDomainListGetStats iothread.<id>.poll-shrink",
        kubevirt: "",
        read: Read::IoThread(|thread| thread.poll_shrink.map(Value::from)),
    },
];
