//! The dictionary of attributes: each key once, with its Prometheus label.

/// An attribute: a dimension of a metric, or a part of a VM's identity.
#[derive(Debug, PartialEq, Eq)]
pub struct Attribute {
    /// The OpenTelemetry key.
    pub key: &'static str,
    /// The Prometheus label.
    pub label: &'static str,
    /// One sentence: what it is.
    pub brief: &'static str,
    /// Its values, where they are a closed set.
    pub values: &'static [&'static str],
    /// Some values, where they are not.
    pub examples: &'static [&'static str],
}

/// The disk.
pub const DEVICE: Attribute = Attribute {
    key: "system.device",
    label: "drive",
    brief: "The disk: the alias that the user chose for it, else its target name.",
    values: &[],
    examples: &["vda", "rootdisk"],
};

/// The network interface.
pub const INTERFACE: Attribute = Attribute {
    key: "network.interface.name",
    label: "interface",
    brief: "The network interface: the alias that the user chose for it, else its target name.",
    values: &[],
    examples: &["vnet0", "default"],
};

/// The vCPU.
pub const CPU: Attribute = Attribute {
    key: "cpu.logical_number",
    label: "id",
    brief: "The number of the vCPU, from 0.",
    values: &[],
    examples: &["0", "1"],
};

/// The I/O thread.
pub const IO_THREAD: Attribute = Attribute {
    key: "libvirt.iothread.id",
    label: "iothread",
    brief: "The id of the I/O thread, from 1.",
    values: &[],
    examples: &["1"],
};

/// What a job does.
pub const JOB_OPERATION: Attribute = Attribute {
    key: "libvirt.job.operation",
    label: "operation",
    brief: "What libvirt is doing to the VM.",
    values: &[
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
    examples: &[],
};
