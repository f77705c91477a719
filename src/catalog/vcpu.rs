//! Virtual CPUs.

use super::attribute::{CPU, VCPU_STATE};
use super::{Decimal, Kind, Label, Metric, Read, Section, Stability, Unit, Value};
use crate::model::VcpuState;

/// The rows and what to know about them.
pub(super) const SECTION: Section =
    Section { title: "Virtual CPUs", brief: "One series for each virtual CPU, by its number.", metrics: METRICS };

const METRICS: &[Metric] = &[
    Metric {
        name: "vcpu_current",
        unit: Unit::Count("cpu"),
        kind: Kind::UpDownCounter,
        brief: "How many virtual CPUs are plugged in.",
        stability: Stability::Development,
        source: "virDomainListGetStats vcpu.current",
        kubevirt: "",
        read: Read::Vcpus(|vcpus| vcpus.current.map(Value::from)),
    },
    Metric {
        name: "vcpu_maximum",
        unit: Unit::Count("cpu"),
        kind: Kind::UpDownCounter,
        brief: "How many virtual CPUs could be plugged in.",
        stability: Stability::Development,
        source: "virDomainListGetStats vcpu.maximum",
        kubevirt: "",
        read: Read::Vcpus(|vcpus| vcpus.maximum.map(Value::from)),
    },
    Metric {
        name: "vcpu",
        unit: Unit::Seconds,
        kind: Kind::Counter,
        brief: "CPU time spent by the virtual CPU, under the state that it is in now.",
        stability: Stability::Stable,
        source: "virDomainListGetStats vcpu.<n>.time, vcpu.<n>.state",
        kubevirt: "kubevirt_vmi_vcpu_seconds_total",
        read: Read::VcpuEach(&[&CPU, &VCPU_STATE], |vcpu, emit| {
            if let Some(time) = vcpu.time {
                let number = Decimal::new(vcpu.number);
                let state = vcpu.state.unwrap_or(VcpuState::Unknown);
                emit(&[Label::new(&CPU, number.as_str()), Label::new(&VCPU_STATE, state.as_str())], time.into());
            }
        }),
    },
    Metric {
        name: "vcpu_state",
        unit: Unit::Count("cpu"),
        kind: Kind::UpDownCounter,
        brief: "Whether the virtual CPU is in this state, 1 or 0, with one series for each state.",
        stability: Stability::Development,
        source: "virDomainListGetStats vcpu.<n>.state",
        kubevirt: "",
        read: Read::VcpuEach(&[&CPU, &VCPU_STATE], |vcpu, emit| {
            if let Some(present) = vcpu.state {
                let number = Decimal::new(vcpu.number);
                for state in VcpuState::ALL {
                    let labels = [Label::new(&CPU, number.as_str()), Label::new(&VCPU_STATE, state.as_str())];
                    emit(&labels, (state == present).into());
                }
            }
        }),
    },
    Metric {
        name: "vcpu_wait",
        unit: Unit::Seconds,
        kind: Kind::Counter,
        brief: "Time that the virtual CPU's thread has waited on a run queue of the host.",
        stability: Stability::Stable,
        source: "virDomainListGetStats vcpu.<n>.wait",
        kubevirt: "kubevirt_vmi_vcpu_wait_seconds_total",
        read: Read::Vcpu(|vcpu| vcpu.wait.map(Value::from)),
    },
    Metric {
        name: "vcpu_delay",
        unit: Unit::Seconds,
        kind: Kind::Counter,
        brief: "Time that the virtual CPU's thread was ready to run while the host ran something else, which the guest sees as steal.",
        stability: Stability::Stable,
        source: "virDomainListGetStats vcpu.<n>.delay",
        kubevirt: "kubevirt_vmi_vcpu_delay_seconds_total",
        read: Read::Vcpu(|vcpu| vcpu.delay.map(Value::from)),
    },
    Metric {
        name: "vcpu_halted",
        unit: Unit::Count("cpu"),
        kind: Kind::UpDownCounter,
        brief: "Whether the guest has halted the virtual CPU, 1 or 0.",
        stability: Stability::Development,
        source: "virDomainListGetStats vcpu.<n>.halted",
        kubevirt: "",
        read: Read::Vcpu(|vcpu| vcpu.halted.map(Value::from)),
    },
];
