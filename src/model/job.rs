//! What libvirt is doing to a VM: migrate it, save it, back it up.

use std::time::Duration;

use super::Bytes;

/// A job's progress (`virDomainGetJobStats`). Parameters that a kind of job does not have are `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Whether and how it ends (`virDomainJobType`).
    pub kind: JobKind,
    /// What it does (`virDomainJobOperation`).
    pub operation: JobOperation,
    /// `time_elapsed`
    pub elapsed: Option<Duration>,
    /// `time_remaining`
    pub remaining: Option<Duration>,
    /// `downtime`
    pub downtime: Option<Duration>,
    /// `setup_time`
    pub setup: Option<Duration>,
    /// `data_total`
    pub data_total: Option<Bytes>,
    /// `data_processed`
    pub data_processed: Option<Bytes>,
    /// `data_remaining`
    pub data_remaining: Option<Bytes>,
    /// `memory_total`
    pub memory_total: Option<Bytes>,
    /// `memory_processed`
    pub memory_processed: Option<Bytes>,
    /// `memory_remaining`
    pub memory_remaining: Option<Bytes>,
    /// `memory_bps`, per second.
    pub memory_rate: Option<Bytes>,
    /// `memory_dirty_rate` times `memory_page_size`, per second.
    pub dirty_rate: Option<Bytes>,
    /// `memory_iteration`
    pub iteration: Option<u64>,
    /// `memory_postcopy_requests`
    pub postcopy_requests: Option<u64>,
    /// `disk_total`
    pub disk_total: Option<Bytes>,
    /// `disk_processed`
    pub disk_processed: Option<Bytes>,
    /// `disk_remaining`
    pub disk_remaining: Option<Bytes>,
    /// `disk_bps`, per second.
    pub disk_rate: Option<Bytes>,
    /// `auto_converge_throttle`, in percent of the vCPUs' time.
    pub auto_converge_throttle: Option<u64>,
}

impl Job {
    /// A job of which only kind and operation are known.
    #[must_use]
    pub const fn new(kind: JobKind, operation: JobOperation) -> Self {
        Self {
            kind,
            operation,
            elapsed: None,
            remaining: None,
            downtime: None,
            setup: None,
            data_total: None,
            data_processed: None,
            data_remaining: None,
            memory_total: None,
            memory_processed: None,
            memory_remaining: None,
            memory_rate: None,
            dirty_rate: None,
            iteration: None,
            postcopy_requests: None,
            disk_total: None,
            disk_processed: None,
            disk_remaining: None,
            disk_rate: None,
            auto_converge_throttle: None,
        }
    }
}

/// `virDomainJobType`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// No job is active.
    None,
    /// Its end can be foreseen.
    Bounded,
    /// Its end cannot be foreseen.
    Unbounded,
    /// It has ended well.
    Completed,
    /// It has failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl JobKind {
    /// Every value that a job has; [`JobKind::None`] is no job.
    pub const ALL: [Self; 5] = [Self::Bounded, Self::Unbounded, Self::Completed, Self::Failed, Self::Cancelled];

    /// The value of the attribute `libvirt.job.state`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bounded => "bounded",
            Self::Unbounded => "unbounded",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The kind that libvirt's number stands for; an unknown one is [`JobKind::None`].
    #[must_use]
    pub const fn from_libvirt(number: i64) -> Self {
        match number {
            1 => Self::Bounded,
            2 => Self::Unbounded,
            3 => Self::Completed,
            4 => Self::Failed,
            5 => Self::Cancelled,
            _ => Self::None,
        }
    }

    /// Whether the job is going on.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Bounded | Self::Unbounded)
    }
}

/// `virDomainJobOperation`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobOperation {
    /// A value that this version does not know.
    Unknown,
    /// The VM is being started.
    Start,
    /// The VM is being saved to a file.
    Save,
    /// The VM is being restored from a file.
    Restore,
    /// The VM is arriving from another host.
    MigrationIn,
    /// The VM is leaving for another host.
    MigrationOut,
    /// A snapshot is being taken.
    Snapshot,
    /// A snapshot is being restored.
    SnapshotRevert,
    /// The VM's memory is being dumped.
    Dump,
    /// The VM's disks are being backed up.
    Backup,
    /// A snapshot is being deleted.
    SnapshotDelete,
}

impl JobOperation {
    /// Every value.
    pub const ALL: [Self; 11] = [
        Self::Unknown,
        Self::Start,
        Self::Save,
        Self::Restore,
        Self::MigrationIn,
        Self::MigrationOut,
        Self::Snapshot,
        Self::SnapshotRevert,
        Self::Dump,
        Self::Backup,
        Self::SnapshotDelete,
    ];

    /// The operation that libvirt's number stands for.
    #[must_use]
    pub const fn from_libvirt(number: i64) -> Self {
        match number {
            1 => Self::Start,
            2 => Self::Save,
            3 => Self::Restore,
            4 => Self::MigrationIn,
            5 => Self::MigrationOut,
            6 => Self::Snapshot,
            7 => Self::SnapshotRevert,
            8 => Self::Dump,
            9 => Self::Backup,
            10 => Self::SnapshotDelete,
            _ => Self::Unknown,
        }
    }

    /// Whether the VM moves from one host to another.
    #[must_use]
    pub const fn is_migration(self) -> bool {
        matches!(self, Self::MigrationIn | Self::MigrationOut)
    }

    /// The value of the attribute `libvirt.job.operation`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Start => "start",
            Self::Save => "save",
            Self::Restore => "restore",
            Self::MigrationIn => "migration_in",
            Self::MigrationOut => "migration_out",
            Self::Snapshot => "snapshot",
            Self::SnapshotRevert => "snapshot_revert",
            Self::Dump => "dump",
            Self::Backup => "backup",
            Self::SnapshotDelete => "snapshot_delete",
        }
    }
}
