//! The VMI, from the Kubernetes API.

use super::attribute::{
    CONDITION, EVICTABLE, FLAVOR, GUEST_OS_ARCH, GUEST_OS_KERNEL_RELEASE, GUEST_OS_MACHINE, GUEST_OS_NAME,
    GUEST_OS_VERSION_ID, INSTANCE_TYPE, OS, OUTDATED, PHASE, PREFERENCE, WORKLOAD,
};
use super::{Emit, Kind, Label, Metric, Read, Section, Stability, Unit, Value, info};
use crate::model::{Phase, Vmi};

/// The rows and what to know about them.
pub(super) const SECTION: Section = Section {
    title: "The VirtualMachineInstance",
    brief: "What the Kubernetes API says of a VM under KubeVirt. There is none of it in libvirt mode, nor in sidecar mode, which asks no API.",
    metrics: METRICS,
};

const METRICS: &[Metric] = &[
    Metric {
        name: "info",
        unit: Unit::None,
        kind: Kind::Gauge,
        brief: "What the VirtualMachineInstance is, always 1.",
        stability: Stability::Stable,
        source: "VMI status.phase, status.guestOSInfo, status.machine, metadata.annotations",
        kubevirt: "kubevirt_vmi_info, without vmi_pod; evictable is there only if the VMI has an eviction strategy of its own.",
        read: Read::VmiEach(
            &[
                &PHASE,
                &OS,
                &WORKLOAD,
                &FLAVOR,
                &INSTANCE_TYPE,
                &PREFERENCE,
                &GUEST_OS_KERNEL_RELEASE,
                &GUEST_OS_MACHINE,
                &GUEST_OS_ARCH,
                &GUEST_OS_NAME,
                &GUEST_OS_VERSION_ID,
                &EVICTABLE,
                &OUTDATED,
            ],
            describe,
        ),
    },
    Metric {
        name: "phase",
        unit: Unit::Count("vmi"),
        kind: Kind::UpDownCounter,
        brief: "Whether the VirtualMachineInstance is in this phase, 1 or 0, with one series for each phase.",
        stability: Stability::Development,
        source: "VMI status.phase",
        kubevirt: "KubeVirt has the phase on kubevirt_vmi_info alone.",
        read: Read::VmiEach(&[&PHASE], |vmi, emit| {
            for phase in Phase::ALL {
                emit(&[Label::new(&PHASE, phase.as_str())], (phase == vmi.phase).into());
            }
        }),
    },
    Metric {
        name: "condition",
        unit: Unit::Count("vmi"),
        kind: Kind::UpDownCounter,
        brief: "Whether a condition of the VirtualMachineInstance is true, 1 or 0, with one series for each condition that it has.",
        stability: Stability::Development,
        source: "VMI status.conditions",
        kubevirt: "",
        read: Read::VmiEach(&[&CONDITION], |vmi, emit| {
            for (index, condition) in vmi.conditions.iter().enumerate() {
                let Some(is_true) = condition.is_true else { continue };
                // Of a duplicate kind the first counts: a duplicate series would cost the whole page.
                if !vmi.conditions[..index].iter().any(|earlier| earlier.kind == condition.kind) {
                    emit(&[Label::new(&CONDITION, condition.kind.as_str())], is_true.into());
                }
            }
        }),
    },
    Metric {
        name: "non_evictable",
        unit: Unit::None,
        kind: Kind::Gauge,
        brief: "Whether the VirtualMachineInstance is to be live-migrated when its node is drained, and cannot be, 1 or 0; only if it has an eviction strategy of its own.",
        stability: Stability::Stable,
        source: "VMI spec.evictionStrategy, status.conditions LiveMigratable",
        kubevirt: "kubevirt_vmi_non_evictable",
        read: Read::Vmi(|vmi| evictable(vmi).map(|evictable| (!evictable).into())),
    },
    Metric {
        name: "launcher_memory_overhead",
        unit: Unit::Bytes,
        kind: Kind::UpDownCounter,
        brief: "Memory that the virt-launcher pod is estimated to need besides the guest's.",
        stability: Stability::Stable,
        source: "VMI status.memory.memoryOverhead",
        kubevirt: "kubevirt_vmi_launcher_memory_overhead_bytes",
        read: Read::Vmi(|vmi| vmi.memory.overhead.map(Value::from)),
    },
    Metric {
        name: "memory.guest_at_boot",
        unit: Unit::Bytes,
        kind: Kind::UpDownCounter,
        brief: "Memory that the guest was started with.",
        stability: Stability::Development,
        source: "VMI status.memory.guestAtBoot",
        kubevirt: "",
        read: Read::Vmi(|vmi| vmi.memory.guest_at_boot.map(Value::from)),
    },
    Metric {
        name: "memory.guest_current",
        unit: Unit::Bytes,
        kind: Kind::UpDownCounter,
        brief: "Memory that the guest has now, as KubeVirt says.",
        stability: Stability::Development,
        source: "VMI status.memory.guestCurrent",
        kubevirt: "",
        read: Read::Vmi(|vmi| vmi.memory.guest_current.map(Value::from)),
    },
    Metric {
        name: "memory.guest_requested",
        unit: Unit::Bytes,
        kind: Kind::UpDownCounter,
        brief: "Memory that the guest is to have.",
        stability: Stability::Development,
        source: "VMI status.memory.guestRequested",
        kubevirt: "",
        read: Read::Vmi(|vmi| vmi.memory.guest_requested.map(Value::from)),
    },
    Metric {
        name: "cpu.sockets",
        unit: Unit::Count("socket"),
        kind: Kind::UpDownCounter,
        brief: "Sockets of the guest's processor topology.",
        stability: Stability::Development,
        source: "VMI status.currentCPUTopology.sockets, else spec.domain.cpu.sockets",
        kubevirt: "",
        read: Read::Vmi(|vmi| vmi.topology.sockets.map(Value::from)),
    },
    Metric {
        name: "cpu.cores_per_socket",
        unit: Unit::Count("core"),
        kind: Kind::Gauge,
        brief: "Cores in each socket of the guest's processor topology.",
        stability: Stability::Development,
        source: "VMI status.currentCPUTopology.cores, else spec.domain.cpu.cores",
        kubevirt: "",
        read: Read::Vmi(|vmi| vmi.topology.cores.map(Value::from)),
    },
    Metric {
        name: "cpu.threads_per_core",
        unit: Unit::Count("thread"),
        kind: Kind::Gauge,
        brief: "Threads of each core of the guest's processor topology.",
        stability: Stability::Development,
        source: "VMI status.currentCPUTopology.threads, else spec.domain.cpu.threads",
        kubevirt: "",
        read: Read::Vmi(|vmi| vmi.topology.threads.map(Value::from)),
    },
];

fn describe(vmi: &Vmi, emit: Emit<'_>) {
    // KubeVirt has no label for a phase that is not set.
    let phase = Some(vmi.phase).filter(|phase| *phase != Phase::Unset).map(Phase::as_str);
    let word = |truth: bool| if truth { "true" } else { "false" };
    let (origin, guest) = (&vmi.origin, &vmi.guest);
    info(
        &[
            (&PHASE, phase),
            (&OS, origin.os.as_deref()),
            (&WORKLOAD, origin.workload.as_deref()),
            (&FLAVOR, origin.flavor.as_deref()),
            (&INSTANCE_TYPE, origin.instance_type.as_deref()),
            (&PREFERENCE, origin.preference.as_deref()),
            (&GUEST_OS_KERNEL_RELEASE, guest.kernel_release.as_deref()),
            // KubeVirt chose what these two labels hold.
            (&GUEST_OS_MACHINE, vmi.machine.as_deref()),
            (&GUEST_OS_ARCH, guest.machine.as_deref()),
            (&GUEST_OS_NAME, guest.name.as_deref()),
            (&GUEST_OS_VERSION_ID, guest.version_id.as_deref()),
            (&EVICTABLE, evictable(vmi).map(word)),
            (&OUTDATED, Some(word(vmi.outdated))),
        ],
        emit,
    );
}

/// Whether the VMI can leave its node as its eviction strategy requires. As in KubeVirt, only `LiveMigrate` requires
/// migration, and a VMI without the condition `LiveMigratable` counts as one that cannot migrate.
///
/// `None` for a VMI without a strategy of its own: the cluster's default then decides, which the object does not
/// contain.
fn evictable(vmi: &Vmi) -> Option<bool> {
    let strategy = vmi.eviction_strategy.as_deref()?;
    let migratable = vmi.condition("LiveMigratable").is_some_and(|condition| condition.is_true != Some(false));
    Some(strategy != "LiveMigrate" || migratable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Condition, ConditionKind};

    fn condition(kind: &str, is_true: Option<bool>) -> Condition {
        Condition { kind: ConditionKind::from_api(kind).unwrap(), is_true }
    }

    fn series(name: &str, vmi: &Vmi) -> Vec<(Vec<String>, Value)> {
        let row = METRICS.iter().find(|row| row.name == name).unwrap();
        let Read::VmiEach(_, read) = row.read else { panic!("{name} has one series") };
        let mut series = Vec::new();
        read(vmi, &mut |labels, value| {
            series.push((labels.iter().map(|label| label.value.to_owned()).collect(), value));
        });
        series
    }

    #[test]
    fn a_vmi_is_evictable_as_kubevirt_has_it_and_undecided_without_a_strategy() {
        for (strategy, migratable, expected) in [
            (None, None, None),
            (None, Some(Some(false)), None),
            (Some("LiveMigrate"), None, Some(false)),
            (Some("LiveMigrate"), Some(Some(false)), Some(false)),
            (Some("LiveMigrate"), Some(None), Some(true)),
            (Some("LiveMigrate"), Some(Some(true)), Some(true)),
            (Some("LiveMigrateIfPossible"), Some(Some(false)), Some(true)),
            (Some("External"), Some(Some(false)), Some(true)),
            (Some("None"), None, Some(true)),
        ] {
            let vmi = Vmi {
                eviction_strategy: strategy.map(Into::into),
                conditions: migratable.into_iter().map(|is_true| condition("LiveMigratable", is_true)).collect(),
                ..Vmi::default()
            };
            assert_eq!(evictable(&vmi), expected, "{strategy:?} {migratable:?}");
        }
    }

    #[test]
    fn a_condition_has_one_series_and_none_while_it_is_not_known() {
        let conditions = vec![
            condition("Ready", Some(false)),
            condition("Paused", Some(true)),
            condition("Ready", Some(true)),
            condition("LiveMigratable", None),
        ];
        let vmi = Vmi { conditions: conditions.into(), ..Vmi::default() };
        let expected =
            [("Ready", 0), ("Paused", 1)].map(|(kind, value)| (vec![kind.to_owned()], Value::Integer(value)));
        assert_eq!(series("condition", &vmi), expected);
    }

    #[test]
    fn exactly_one_phase_is_1() {
        let series = series("phase", &Vmi { phase: Phase::Running, ..Vmi::default() });
        assert_eq!(series.len(), Phase::ALL.len());
        let present: Vec<_> = series.into_iter().filter(|(_, value)| *value == Value::Integer(1)).collect();
        assert_eq!(present, [(vec!["running".to_owned()], Value::Integer(1))]);
    }

    #[test]
    fn what_the_object_does_not_say_has_no_label() {
        let vmi = Vmi { phase: Phase::Scheduled, ..Vmi::default() };
        assert_eq!(series("info", &vmi), [(vec!["scheduled".to_owned(), "false".to_owned()], Value::Integer(1))]);
    }
}
