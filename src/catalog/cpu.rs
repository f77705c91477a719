//! Processor time.

use super::{Kind, Metric, Read, Stability, Unit, Value};

/// The rows of the VM's processor time.
pub(super) const METRICS: &[Metric] = &[Metric {
    name: "cpu.usage",
    unit: Unit::Seconds,
    kind: Kind::Counter,
    brief: "Total CPU time spent in all modes, by the virtual CPUs and by QEMU itself.",
    stability: Stability::Stable,
    source: "virDomainListGetStats cpu.time",
    kubevirt: "kubevirt_vmi_cpu_usage_seconds_total",
    read: Read::Cpu(|cpu| cpu.time.map(Value::from)),
}];
