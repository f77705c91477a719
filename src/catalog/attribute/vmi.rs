//! Attributes of a VMI from the Kubernetes API. Their labels are KubeVirt's, where KubeVirt has the metric.

use super::Attribute;
use crate::model::ConditionKind;

/// The phase.
pub const PHASE: Attribute = Attribute::closed(
    "kubevirt.vmi.phase",
    "phase",
    "The phase of the VirtualMachineInstance, in small letters as KubeVirt writes it.",
    &["unset", "pending", "scheduling", "scheduled", "running", "succeeded", "failed", "waitingforsync", "unknown"],
);

/// A condition.
pub const CONDITION: Attribute = Attribute::closed(
    "kubevirt.vmi.condition",
    "condition",
    "The type of a condition of the VirtualMachineInstance, by KubeVirt's name.",
    &ConditionKind::ALL,
);

/// Whether it can be evicted.
pub const EVICTABLE: Attribute = Attribute::closed(
    "kubevirt.vmi.evictable",
    "evictable",
    "Whether the eviction strategy of the VirtualMachineInstance can be followed.",
    &["true", "false"],
);

/// Whether its launcher is outdated.
pub const OUTDATED: Attribute = Attribute::closed(
    "kubevirt.vmi.outdated",
    "outdated",
    "Whether the virt-launcher pod is of an older KubeVirt than the one that is installed.",
    &["true", "false"],
);

// From annotations.

/// The operating system that its template is for.
pub const OS: Attribute =
    Attribute::open("kubevirt.vmi.os", "os", "The annotation vm.kubevirt.io/os: what it was made for.", &["fedora"]);

/// The workload that its template is for.
pub const WORKLOAD: Attribute = Attribute::open(
    "kubevirt.vmi.workload",
    "workload",
    "The annotation vm.kubevirt.io/workload.",
    &["server", "desktop"],
);

/// The size that its template is for.
pub const FLAVOR: Attribute =
    Attribute::open("kubevirt.vmi.flavor", "flavor", "The annotation vm.kubevirt.io/flavor.", &["small"]);

/// Its instance type.
pub const INSTANCE_TYPE: Attribute = Attribute::open(
    "kubevirt.vmi.instance_type",
    "instance_type",
    "The instance type of the VirtualMachineInstance.",
    &["u1.medium"],
);

/// Its preference.
pub const PREFERENCE: Attribute = Attribute::open(
    "kubevirt.vmi.preference",
    "preference",
    "The preference of the VirtualMachineInstance.",
    &["fedora"],
);

// The guest's operating system, from its agent, and the machine.

/// The kernel.
pub const GUEST_OS_KERNEL_RELEASE: Attribute = Attribute::open(
    "kubevirt.vmi.guest_os.kernel_release",
    "guest_os_kernel_release",
    "The release of the guest's kernel.",
    &["6.14.0-63.fc42.x86_64"],
);

/// The machine type, under KubeVirt's label for it.
pub const GUEST_OS_MACHINE: Attribute = Attribute::open(
    "kubevirt.vmi.guest_os.machine",
    "guest_os_machine",
    "The machine type of the VirtualMachineInstance, which KubeVirt puts under this label.",
    &["pc-q35-rhel9.6.0"],
);

/// The architecture.
pub const GUEST_OS_ARCH: Attribute = Attribute::open(
    "kubevirt.vmi.guest_os.arch",
    "guest_os_arch",
    "The architecture that the guest's kernel was built for.",
    &["x86_64"],
);

/// The operating system.
pub const GUEST_OS_NAME: Attribute = Attribute::open(
    "kubevirt.vmi.guest_os.name",
    "guest_os_name",
    "The name of the guest's operating system.",
    &["Fedora Linux"],
);

/// Its version.
pub const GUEST_OS_VERSION_ID: Attribute = Attribute::open(
    "kubevirt.vmi.guest_os.version_id",
    "guest_os_version_id",
    "The version of the guest's operating system.",
    &["42"],
);

// Network interfaces.

/// The interface in the specification.
pub const VNIC_NAME: Attribute = Attribute::open(
    "kubevirt.vmi.interface.name",
    "vnic_name",
    "The network interface, by its name in the VirtualMachineInstance; the attribute network.interface.name has the same.",
    &["default"],
);

/// The interface in the guest.
pub const INTERFACE_NAME: Attribute = Attribute::open(
    "kubevirt.vmi.interface.guest_name",
    "interface_name",
    "The network interface, by its name in the guest.",
    &["eth0", "enp1s0"],
);

/// An address.
pub const ADDRESS: Attribute = Attribute::open(
    "kubevirt.vmi.interface.address",
    "address",
    "An IP address of the network interface.",
    &["10.244.1.17", "fd10:244::11"],
);

/// The kind of an address.
pub const ADDRESS_TYPE: Attribute = Attribute::closed(
    "kubevirt.vmi.interface.address_type",
    "type",
    "Whether the network interface has an address (ExternalInterface) or none (SystemInterface).",
    &["ExternalInterface", "SystemInterface"],
);

/// Whether KubeVirt or a plugin binds the interface.
pub const BINDING_TYPE: Attribute = Attribute::open(
    "kubevirt.vmi.interface.binding_type",
    "binding_type",
    "Whether the network interface is bound by KubeVirt itself or by a plugin.",
    &["core", "plugin"],
);

/// How the interface is bound.
pub const BINDING_NAME: Attribute = Attribute::open(
    "kubevirt.vmi.interface.binding_name",
    "binding_name",
    "How the network interface is bound: the binding, or the plugin's name.",
    &["masquerade", "bridge", "sriov"],
);

/// The network behind the interface.
pub const NETWORK: Attribute = Attribute::open(
    "kubevirt.vmi.interface.network",
    "network",
    "The network behind the interface.",
    &["pod networking", "default/vlan-100"],
);

/// The emulated model.
pub const VNIC_MODEL: Attribute = Attribute::open(
    "kubevirt.vmi.interface.model",
    "model",
    "The model that the VirtualMachineInstance asks for, or <none>.",
    &["virtio", "<none>"],
);

// Migration.

/// The migration.
pub const MIGRATION_UID: Attribute = Attribute::open(
    "kubevirt.vmi.migration.uid",
    "migration_uid",
    "The UID of the VirtualMachineInstanceMigration.",
    &["1f0d4f1e-7c39-4f3b-8a53-6f1d1d7c2b90"],
);

/// How it ended.
pub const MIGRATION_STATUS: Attribute =
    Attribute::closed("kubevirt.vmi.migration.status", "status", "How the migration ended.", &["succeeded", "failed"]);

/// The VMI again, under the label that two of KubeVirt's metrics have.
pub const MIGRATION_VMI: Attribute = Attribute::open(
    "kubevirt.vmi.migration.vmi",
    "vmi",
    "The name of the VirtualMachineInstance, under the label that KubeVirt has here.",
    &["web-1"],
);

// Volumes.

/// The claim behind a disk. The label is that of kube-state-metrics.
pub const PERSISTENT_VOLUME_CLAIM: Attribute = Attribute::open(
    "k8s.persistentvolumeclaim.name",
    "persistentvolumeclaim",
    "The PersistentVolumeClaim behind the disk.",
    &["web-1-root"],
);

/// The DataVolume that made the claim.
pub const DATA_VOLUME: Attribute = Attribute::open(
    "kubevirt.datavolume.name",
    "datavolume",
    "The DataVolume that made the claim behind the disk.",
    &["web-1-root"],
);
