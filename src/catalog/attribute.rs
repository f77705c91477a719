//! The dictionary of attributes: each key once, with its Prometheus label.

pub mod metadata;
mod resource;
mod vmi;

use crate::model::Group;

pub use resource::*;
pub use vmi::*;

/// An attribute: a dimension of a metric, or a part of a VM's identity.
#[derive(Debug, PartialEq, Eq)]
pub struct Attribute {
    /// The OpenTelemetry key.
    pub key: &'static str,
    /// The Prometheus label; empty for attributes that are only on Resources, and on no series at the endpoint.
    pub label: &'static str,
    /// One sentence: what it is.
    pub brief: &'static str,
    /// Whether its values are integers; all others are strings.
    pub integer: bool,
    /// Its values, where they are a closed set.
    pub values: &'static [&'static str],
    /// Some values, where they are not.
    pub examples: &'static [&'static str],
}

impl Attribute {
    /// An attribute with any value.
    pub(crate) const fn open(
        key: &'static str,
        label: &'static str,
        brief: &'static str,
        examples: &'static [&'static str],
    ) -> Self {
        Self { key, label, brief, integer: false, values: &[], examples }
    }

    /// An attribute that is only on Resources.
    const fn resource(key: &'static str, brief: &'static str, examples: &'static [&'static str]) -> Self {
        Self::open(key, "", brief, examples)
    }

    /// The same with values that are integers.
    const fn integer(mut self) -> Self {
        self.integer = true;
        self
    }

    /// An attribute with a closed set of values.
    pub(crate) const fn closed(
        key: &'static str,
        label: &'static str,
        brief: &'static str,
        values: &'static [&'static str],
    ) -> Self {
        Self { key, label, brief, integer: false, values, examples: &[] }
    }
}

/// Every attribute, in the order of the documentation.
pub const ALL: &[&Attribute] = &[
    &DOMAIN,
    &UUID,
    &NAMESPACE,
    &NAME,
    &NODE,
    &URI,
    &HYPERVISOR_TYPE,
    &DOMAIN_TYPE,
    &ARCH,
    &MACHINE,
    &OS_TYPE,
    &metadata::TITLE,
    &metadata::OS_ID,
    &metadata::INSTANCE_NAME,
    &metadata::HOST_TYPE,
    &metadata::CLOUD_ACCOUNT,
    &metadata::PROJECT_NAME,
    &metadata::USER_ID,
    &metadata::USER_NAME,
    &metadata::HOST_IMAGE,
    &STATE,
    &STATE_REASON,
    &GROUP,
    &CPU,
    &VCPU_STATE,
    &DEVICE,
    &DISK_TARGET,
    &DISK_DEVICE,
    &DISK_BUS,
    &DISK_SOURCE_TYPE,
    &DISK_SOURCE,
    &DISK_PROTOCOL,
    &DISK_FORMAT,
    &DISK_CACHE,
    &DISK_SERIAL,
    &PERSISTENT_VOLUME_CLAIM,
    &DATA_VOLUME,
    &INTERFACE,
    &NIC_TARGET,
    &NIC_MAC,
    &NIC_MODEL,
    &NIC_SOURCE_TYPE,
    &NIC_SOURCE,
    &NIC_MTU,
    &IO_THREAD,
    &JOB_OPERATION,
    &JOB_STATE,
    &DRIVER,
    &HOST,
    &LIBVIRT_VERSION,
    &HYPERVISOR_VERSION,
    &PHASE,
    &CONDITION,
    &EVICTABLE,
    &OUTDATED,
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
    &VNIC_NAME,
    &INTERFACE_NAME,
    &ADDRESS,
    &ADDRESS_TYPE,
    &BINDING_TYPE,
    &BINDING_NAME,
    &NETWORK,
    &VNIC_MODEL,
    &MIGRATION_UID,
    &MIGRATION_STATUS,
    &MIGRATION_VMI,
    &SERVICE_NAMESPACE,
    &SERVICE_NAME,
    &SERVICE_INSTANCE,
    &DOMAIN_NAME,
    &DOMAIN_UUID,
    &HOST_ARCH,
    &K8S_NAMESPACE,
    &K8S_NODE,
    &K8S_POD_UID,
    &VMI_NAME,
    &VMI_UID,
    &VMI_LABEL,
    &OS_NAME,
    &OS_VERSION,
    &OS_DESCRIPTION,
    &OS_BUILD_ID,
];

// Identity. These keys deliberately have no namespace: they are the labels that `hypervisor_info` promises, and a
// receiver that derives Prometheus labels from OTLP attributes must get exactly these.

/// The domain, by name.
pub const DOMAIN: Attribute = Attribute::open("domain", "domain", "The libvirt domain's name.", &["web-1"]);

/// The domain, by UUID.
pub const UUID: Attribute =
    Attribute::open("uuid", "uuid", "The libvirt domain's UUID.", &["6695eb01-f6a4-8304-79aa-97f2502e193f"]);

/// The VMI, by namespace.
pub const NAMESPACE: Attribute =
    Attribute::open("namespace", "namespace", "The namespace of the VirtualMachineInstance.", &["default"]);

/// The VMI, by name.
pub const NAME: Attribute = Attribute::open("name", "name", "The name of the VirtualMachineInstance.", &["web-1"]);

/// The node that runs it.
pub const NODE: Attribute =
    Attribute::open("node", "node", "The node that runs the VirtualMachineInstance.", &["node-17"]);

/// The daemon.
pub const URI: Attribute =
    Attribute::open("libvirt.uri", "uri", "The URI through which the libvirt daemon is read.", &["qemu:///system"]);

/// What runs the VM.
pub const HYPERVISOR_TYPE: Attribute = Attribute::closed(
    "hypervisor_type",
    "hypervisor_type",
    "What really runs the VM, from the type attribute of the running domain's XML.",
    &["kvm", "qemu-tcg", "hyperv", "unknown"],
);

// The machine.

/// The XML's type attribute.
pub const DOMAIN_TYPE: Attribute = Attribute::open(
    "libvirt.domain.type",
    "domain_type",
    "The type attribute of the domain's XML, as it stands there.",
    &["kvm", "qemu"],
);

/// The guest's architecture.
pub const ARCH: Attribute = Attribute::open(
    "libvirt.domain.arch",
    "arch",
    "The guest's architecture, in libvirt's spelling.",
    &["x86_64", "aarch64"],
);

/// The machine type.
pub const MACHINE: Attribute = Attribute::open(
    "libvirt.domain.machine",
    "machine",
    "The machine type that QEMU emulates.",
    &["pc-q35-7.2", "virt-7.2"],
);

/// How the guest is booted.
pub const OS_TYPE: Attribute =
    Attribute::open("libvirt.domain.os_type", "os_type", "How the guest's operating system is booted.", &["hvm"]);

// State and collection.

/// The domain's state.
pub const STATE: Attribute = Attribute::closed(
    "libvirt.domain.state",
    "state",
    "The state of the domain, in libvirt's words.",
    &["no_state", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended"],
);

/// Why it is in its state.
pub const STATE_REASON: Attribute = Attribute::closed(
    "libvirt.domain.state_reason",
    "reason",
    "Why the domain is in its state, by libvirt's names of the reasons for each state.",
    &[
        "unknown",
        "booted",
        "migrated",
        "restored",
        "from_snapshot",
        "unpaused",
        "migration_canceled",
        "save_canceled",
        "wakeup",
        "crashed",
        "postcopy",
        "postcopy_failed",
        "user",
        "migration",
        "save",
        "dump",
        "ioerror",
        "watchdog",
        "shutting_down",
        "snapshot",
        "starting_up",
        "api_error",
        "shutdown",
        "destroyed",
        "saved",
        "failed",
        "daemon",
        "panicked",
    ],
);

/// A group of statistics.
pub const GROUP: Attribute = Attribute::closed(
    "libvirt.stats.group",
    "group",
    "What is read together, by the name that virsh domstats has for it.",
    &Group::WORDS,
);

// On the agent's own metrics. The labels are older than the ones that VMs' series have for the same keys.

/// [`URI`] on the agent's own metrics.
pub const OWN_URI: Attribute = Attribute { label: "libvirt_uri", ..URI };

/// [`GROUP`] on the agent's own metrics.
pub const OWN_GROUP: Attribute = Attribute { label: "libvirt_stats_group", ..GROUP };

// Virtual CPUs.

/// The vCPU.
pub const CPU: Attribute =
    Attribute::open("cpu.logical_number", "id", "The number of the vCPU, from 0.", &["0", "1"]).integer();

/// The vCPU's state.
pub const VCPU_STATE: Attribute = Attribute::closed(
    "libvirt.vcpu.state",
    "state",
    "What the vCPU is doing.",
    &["offline", "running", "blocked", "unknown"],
);

// Disks.

/// The disk.
pub const DEVICE: Attribute = Attribute::open(
    "system.device",
    "drive",
    "The disk: the alias that the user chose for it, else its target name.",
    &["vda", "rootdisk"],
);

/// The disk's target.
pub const DISK_TARGET: Attribute =
    Attribute::open("libvirt.disk.target", "target", "The disk's target name.", &["vda", "sdb"]);

/// The disk's device type.
pub const DISK_DEVICE: Attribute = Attribute::open(
    "libvirt.disk.device",
    "device",
    "How the disk shows itself to the guest.",
    &["disk", "cdrom", "lun", "floppy"],
);

/// The disk's bus.
pub const DISK_BUS: Attribute =
    Attribute::open("libvirt.disk.bus", "bus", "The bus on which the disk is.", &["virtio", "scsi", "sata"]);

/// The kind of the disk's source.
pub const DISK_SOURCE_TYPE: Attribute = Attribute::open(
    "libvirt.disk.source_type",
    "source_type",
    "What kind of thing is behind the disk.",
    &["file", "block", "network"],
);

/// The disk's source.
pub const DISK_SOURCE: Attribute = Attribute::open(
    "libvirt.disk.source",
    "source",
    "The file, device, volume or name that is behind the disk.",
    &["/var/lib/libvirt/images/web-1.qcow2", "pool/image"],
);

/// A network disk's protocol.
pub const DISK_PROTOCOL: Attribute = Attribute::open(
    "libvirt.disk.protocol",
    "protocol",
    "The protocol by which a network disk is reached.",
    &["rbd", "iscsi", "nbd"],
);

/// The image's format.
pub const DISK_FORMAT: Attribute =
    Attribute::open("libvirt.disk.format", "format", "The format of the disk's image.", &["qcow2", "raw"]);

/// The cache mode.
pub const DISK_CACHE: Attribute = Attribute::open(
    "libvirt.disk.cache",
    "cache",
    "How the host caches the disk.",
    &["none", "writeback", "writethrough"],
);

/// The serial number.
pub const DISK_SERIAL: Attribute =
    Attribute::open("libvirt.disk.serial", "serial", "The serial number that the guest sees.", &["WD-WMAP9A966149"]);

// Network interfaces.

/// The network interface.
pub const INTERFACE: Attribute = Attribute::open(
    "network.interface.name",
    "interface",
    "The network interface: the alias that the user chose for it, else its target name.",
    &["vnet0", "default"],
);

/// Its device on the host.
pub const NIC_TARGET: Attribute = Attribute::open(
    "libvirt.interface.target",
    "target",
    "The device on the host to which the interface is connected.",
    &["vnet0", "tap37a259274"],
);

/// The MAC address.
pub const NIC_MAC: Attribute =
    Attribute::open("libvirt.interface.mac", "mac", "The interface's MAC address.", &["52:54:00:12:34:56"]);

/// The emulated model.
pub const NIC_MODEL: Attribute =
    Attribute::open("libvirt.interface.model", "model", "The network card that the guest sees.", &["virtio", "e1000e"]);

/// The kind of its source.
pub const NIC_SOURCE_TYPE: Attribute = Attribute::open(
    "libvirt.interface.source_type",
    "source_type",
    "What kind of thing the interface is connected to.",
    &["bridge", "network", "ethernet"],
);

/// Its source.
pub const NIC_SOURCE: Attribute = Attribute::open(
    "libvirt.interface.source",
    "source",
    "The bridge, network or device that the interface is connected to.",
    &["br0", "default"],
);

/// The MTU.
pub const NIC_MTU: Attribute = Attribute::open(
    "libvirt.interface.mtu",
    "mtu",
    "The largest packet that the interface carries, in bytes.",
    &["1500", "9000"],
);

// I/O threads and jobs.

/// The I/O thread.
pub const IO_THREAD: Attribute =
    Attribute::open("libvirt.iothread.id", "iothread", "The id of the I/O thread, from 1.", &["1"]);

/// What a job does.
pub const JOB_OPERATION: Attribute = Attribute::closed(
    "libvirt.job.operation",
    "operation",
    "What libvirt is doing to the VM.",
    &[
        "unknown",
        "start",
        "save",
        "restore",
        "migration_in",
        "migration_out",
        "snapshot",
        "snapshot_revert",
        "dump",
        "backup",
        "snapshot_delete",
    ],
);

/// The job's state.
pub const JOB_STATE: Attribute = Attribute::closed(
    "libvirt.job.state",
    "state",
    "Whether the job goes on, with an end that can be foreseen (bounded) or not, and else how it ended.",
    &["bounded", "unbounded", "completed", "failed", "cancelled"],
);

// Daemons.

/// The hypervisor driver.
pub const DRIVER: Attribute =
    Attribute::open("libvirt.driver", "driver", "The hypervisor driver of the daemon.", &["QEMU", "Test"]);

/// The daemon's host.
pub const HOST: Attribute = Attribute::open(
    "libvirt.host.name",
    "host",
    "The name of the host, as its libvirt gives it.",
    &["kvm-17.example.org"],
);

/// libvirt's version.
pub const LIBVIRT_VERSION: Attribute =
    Attribute::open("libvirt.version", "libvirt_version", "The version of the libvirt daemon.", &["9.0.0"]);

/// The hypervisor's version.
pub const HYPERVISOR_VERSION: Attribute = Attribute::open(
    "libvirt.hypervisor.version",
    "hypervisor_version",
    "The version of the hypervisor that libvirt drives, QEMU as a rule.",
    &["7.2.15"],
);
