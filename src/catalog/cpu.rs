//! Processor time.

use super::{Kind, Metric, Read, Section, Stability, Unit, Value};

/// The rows and what to know about them.
pub(super) const SECTION: Section = Section {
    title: "CPU",
    brief: "The processor time of the whole VM on the host, QEMU's own threads included.",
    metrics: METRICS,
};

const METRICS: &[Metric] = &[
    Metric {
        name: "cpu.usage",
        unit: Unit::Seconds,
        kind: Kind::Counter,
        brief: "Total CPU time spent in all modes, by the virtual CPUs and by QEMU itself.",
        stability: Stability::Stable,
        source: "virDomainListGetStats cpu.time",
        kubevirt: "kubevirt_vmi_cpu_usage_seconds_total",
        read: Read::Cpu(|cpu| cpu.time.map(Value::from)),
    },
    Metric {
        name: "cpu.user_usage",
        unit: Unit::Seconds,
        kind: Kind::Counter,
        brief: "CPU time spent in user space on the host.",
        stability: Stability::Stable,
        source: "virDomainListGetStats cpu.user",
        kubevirt: "kubevirt_vmi_cpu_user_usage_seconds_total",
        read: Read::Cpu(|cpu| cpu.user.map(Value::from)),
    },
    Metric {
        name: "cpu.system_usage",
        unit: Unit::Seconds,
        kind: Kind::Counter,
        brief: "CPU time spent in the host's kernel.",
        stability: Stability::Stable,
        source: "virDomainListGetStats cpu.system",
        kubevirt: "kubevirt_vmi_cpu_system_usage_seconds_total",
        read: Read::Cpu(|cpu| cpu.system.map(Value::from)),
    },
];
