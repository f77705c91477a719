//! How well a VM can be read.

use super::attribute::GROUP;
use super::{Kind, Label, Metric, Read, Section, Stability, Unit, Value};
use crate::model::GroupAge;

/// The rows and what to know about them.
pub(super) const SECTION: Section = Section {
    title: "Collection",
    brief: "How well virt-otel can read this VM. A VM whose QEMU hangs is stuck: it keeps its state, and loses figures instead of repeating old ones.",
    metrics: METRICS,
};

const METRICS: &[Metric] = &[
    Metric {
        name: "collection.connected",
        unit: Unit::None,
        kind: Kind::Gauge,
        brief: "Whether the libvirt that runs the VM can be reached, 1 or 0.",
        stability: Stability::Development,
        source: "virt-otel",
        kubevirt: "KubeVirt has no such metric; a VMI whose libvirt cannot be reached is missing there.",
        read: Read::Vm(|vm| vm.collection.connected.map(Value::from)),
    },
    Metric {
        name: "collection.stuck",
        unit: Unit::None,
        kind: Kind::Gauge,
        brief: "Whether a call into the VM's QEMU hangs, or somebody else's job has kept virt-otel out for long, 1 or 0.",
        stability: Stability::Development,
        source: "virt-otel",
        kubevirt: "KubeVirt has no such metric; a VMI that is stuck is missing there.",
        read: Read::Vm(|vm| {
            // Before anything is known about a VM, this is unknown too.
            let heard = vm.status.is_some() || vm.collection.complete.is_some();
            heard.then(|| vm.collection.stuck.into())
        }),
    },
    Metric {
        name: "collection.success",
        unit: Unit::None,
        kind: Kind::Gauge,
        brief: "Whether the last reading of the VM gave every group of statistics that was asked for, 1 or 0.",
        stability: Stability::Development,
        source: "virt-otel",
        kubevirt: "",
        read: Read::Vm(|vm| vm.collection.complete.map(Value::from)),
    },
    Metric {
        name: "collection.age",
        unit: Unit::Seconds,
        kind: Kind::Gauge,
        brief: "How old the newest reading of each group of statistics is.",
        stability: Stability::Development,
        source: "virt-otel",
        kubevirt: "",
        read: Read::VmEach(&[&GROUP], |vm, emit| {
            for GroupAge { group, age } in &vm.collection.ages {
                emit(&[Label::new(&GROUP, group.as_str())], (*age).into());
            }
        }),
    },
];
