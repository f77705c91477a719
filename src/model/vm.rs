//! A VM with everything known about it at one moment.

use std::sync::Arc;

use super::{
    Collection, Cpu, Description, DirtyRate, Disk, HypervisorType, Identity, IoThread, Job, Memory, Nic, Status,
    Timestamp, Vcpus, VmKey, Vmi,
};

/// A VM with everything known about it at one moment. A field that is `None` has no series.
#[derive(Debug, Clone, PartialEq)]
pub struct Vm {
    /// Which one.
    pub key: VmKey,
    /// Its OpenTelemetry Resource.
    pub identity: Arc<Identity>,
    /// What the Kubernetes API says about it; `None` where no API is used.
    pub vmi: Option<Arc<Vmi>>,
    /// What really runs it; `None` for a domain that does not run.
    pub hypervisor: Option<HypervisorType>,
    /// What its XML says; `None` for a domain that does not run or whose XML could not be read.
    pub description: Option<Arc<Description>>,
    /// Its state and why.
    pub status: Option<Status>,
    /// Processor time.
    pub cpu: Option<Reading<Cpu>>,
    /// Virtual CPUs.
    pub vcpus: Option<Reading<Vcpus>>,
    /// Memory.
    pub memory: Option<Reading<Memory>>,
    /// Disks.
    pub disks: Option<Reading<Vec<Since<Disk>>>>,
    /// Network interfaces.
    pub nics: Option<Reading<Vec<Since<Nic>>>>,
    /// I/O threads.
    pub io_threads: Option<Reading<Vec<IoThread>>>,
    /// Memory dirty rate.
    pub dirty_rate: Option<Reading<DirtyRate>>,
    /// What libvirt is doing to it; `None` while it does nothing.
    pub job: Option<Reading<Job>>,
    /// How well it could be read.
    pub collection: Collection,
}

impl Vm {
    /// A VM of which only the identity is known.
    #[must_use]
    pub fn new(key: VmKey, identity: Arc<Identity>) -> Self {
        Self {
            key,
            identity,
            vmi: None,
            hypervisor: None,
            description: None,
            status: None,
            cpu: None,
            vcpus: None,
            memory: None,
            disks: None,
            nics: None,
            io_threads: None,
            dirty_rate: None,
            job: None,
            collection: Collection::default(),
        }
    }

    /// The time of its newest reading.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        [
            self.cpu.as_ref().map(|reading| reading.at),
            self.vcpus.as_ref().map(|reading| reading.at),
            self.memory.as_ref().map(|reading| reading.at),
            self.disks.as_ref().map(|reading| reading.at),
            self.nics.as_ref().map(|reading| reading.at),
            self.io_threads.as_ref().map(|reading| reading.at),
            self.dirty_rate.as_ref().map(|reading| reading.at),
            self.job.as_ref().map(|reading| reading.at),
        ]
        .into_iter()
        .flatten()
        .max()
    }
}

/// A reading: its value, when it arrived, and when its counters started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading<T> {
    /// When it arrived. Strictly increasing per VM, by a millisecond at least.
    pub at: Timestamp,
    /// The start time of its cumulative series: the incarnation's start if that was seen, else exactly the time of the
    /// first reading.
    pub start: Timestamp,
    /// The value.
    pub value: T,
}

/// One of several things that come and go on their own (disks, interfaces, vCPUs), with its own start time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since<T> {
    /// The start time of its cumulative series.
    pub start: Timestamp,
    /// The thing.
    pub value: T,
}

/// What is read together: one group of `virDomainListGetStats`, or the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// `VIR_DOMAIN_STATS_STATE`
    State,
    /// `VIR_DOMAIN_STATS_CPU_TOTAL`
    Cpu,
    /// `VIR_DOMAIN_STATS_BALLOON`
    Balloon,
    /// `VIR_DOMAIN_STATS_VCPU`
    Vcpu,
    /// `VIR_DOMAIN_STATS_INTERFACE`
    Interface,
    /// `VIR_DOMAIN_STATS_BLOCK`
    Block,
    /// `VIR_DOMAIN_STATS_IOTHREAD`
    Iothread,
    /// `VIR_DOMAIN_STATS_DIRTYRATE`
    Dirtyrate,
    /// `virDomainGetJobStats`
    Job,
}

impl Group {
    /// Every group.
    pub const ALL: [Self; 9] = [
        Self::State,
        Self::Cpu,
        Self::Balloon,
        Self::Vcpu,
        Self::Interface,
        Self::Block,
        Self::Iothread,
        Self::Dirtyrate,
        Self::Job,
    ];

    /// Its name on the command line and in labels: that of `virsh domstats`' options.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Cpu => "cpu",
            Self::Balloon => "balloon",
            Self::Vcpu => "vcpu",
            Self::Interface => "interface",
            Self::Block => "block",
            Self::Iothread => "iothread",
            Self::Dirtyrate => "dirtyrate",
            Self::Job => "job",
        }
    }

    /// Whether reading it may have to wait for the VM's QEMU.
    #[must_use]
    pub const fn needs_monitor(self) -> bool {
        !matches!(self, Self::State | Self::Interface)
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of groups.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Groups(u16);

impl Groups {
    /// No group.
    pub const NONE: Self = Self(0);

    /// Every group.
    #[must_use]
    pub fn all() -> Self {
        Group::ALL.into_iter().collect()
    }

    /// The groups that never wait for a QEMU.
    #[must_use]
    pub fn without_monitor(self) -> Self {
        self.iter().filter(|group| !group.needs_monitor()).collect()
    }

    /// Whether the group is in the set.
    #[must_use]
    pub const fn contains(self, group: Group) -> bool {
        self.0 & group.bit() != 0
    }

    /// Whether any group of the set may have to wait for a QEMU.
    #[must_use]
    pub fn needs_monitor(self) -> bool {
        self.iter().any(Group::needs_monitor)
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds a group.
    pub const fn insert(&mut self, group: Group) {
        self.0 |= group.bit();
    }

    /// The groups in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The groups, in the order of [`Group::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Group> {
        Group::ALL.into_iter().filter(move |group| self.contains(*group))
    }
}

impl FromIterator<Group> for Groups {
    fn from_iter<I: IntoIterator<Item = Group>>(groups: I) -> Self {
        let mut set = Self::NONE;
        for group in groups {
            set.insert(group);
        }
        set
    }
}

impl std::fmt::Debug for Groups {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.iter().map(Group::as_str)).finish()
    }
}
