//! What runs the VM, and the machine that the guest sees.

use super::attribute::{ARCH, DOMAIN_TYPE, DOMAIN_UUID, HYPERVISOR_TYPE, MACHINE, OS_TYPE};
use super::identity::hyphenated;
use super::{Kind, Label, Metric, Read, Section, Stability, Unit, Value, info};
use crate::model::{Identity, Place};

/// The rows and what to know about them.
pub(super) const SECTION: Section = Section {
    title: "The machine",
    brief: "What runs the VM and what machine it is: info metrics, always 1, to be joined with the others.",
    metrics: METRICS,
};

const METRICS: &[Metric] = &[
    Metric {
        name: "hypervisor.info",
        unit: Unit::None,
        kind: Kind::Gauge,
        brief: "What really runs the VM, from the type attribute of the running domain's XML, always 1.",
        stability: Stability::Stable,
        source: "virDomainGetXMLDesc /domain/@type",
        kubevirt: "Not in KubeVirt 1.9; the name is the one that was proposed for it, kubevirt_vmi_hypervisor_info.",
        read: Read::Identified(&[&HYPERVISOR_TYPE], |vm, emit| {
            if let Some(hypervisor) = vm.hypervisor {
                emit(&[Label::new(&HYPERVISOR_TYPE, hypervisor.as_str())], Value::Integer(1));
            }
        }),
    },
    Metric {
        name: "machine.info",
        unit: Unit::None,
        kind: Kind::Gauge,
        brief: "The machine that the guest sees, always 1.",
        stability: Stability::Development,
        source: "virDomainGetXMLDesc /domain/@type, /domain/os/type; virDomainGetUUID",
        kubevirt: "Named machine_info because kubevirt_vmi_info is KubeVirt's own, with other labels. It alone has the domain's UUID there.",
        read: Read::VmEach(&[&DOMAIN_TYPE, &ARCH, &MACHINE, &OS_TYPE, &DOMAIN_UUID], |vm, emit| {
            if let Some(description) = &vm.description {
                let uuid = further_uuid(&vm.identity);
                info(
                    &[
                        (&DOMAIN_TYPE, Some(&description.domain_type)),
                        (&ARCH, description.arch.as_deref()),
                        (&MACHINE, description.machine.as_deref()),
                        (&OS_TYPE, description.os_type.as_deref()),
                        (&DOMAIN_UUID, uuid.as_ref().and_then(|uuid| std::str::from_utf8(uuid).ok())),
                    ],
                    emit,
                );
            }
        }),
    },
];

/// The domain's UUID where it is not a part of the identity already: under KubeVirt.
fn further_uuid(identity: &Identity) -> Option<[u8; uuid::fmt::Hyphenated::LENGTH]> {
    match identity.place {
        Place::Host { .. } => None,
        Place::Launcher(_) => identity.uuid.map(hyphenated),
    }
}
