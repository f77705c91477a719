//! What is read together, and where an answer and a [`Vm`] keep it.

use std::time::Duration;

use super::{Cpu, DirtyRate, Disk, IoThread, Job, Memory, Nic, Reading, Status, Timestamp, Vcpu, Vm, names};

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

/// The properties of a group.
struct About {
    /// Its name on the command line and in labels: that of `virsh domstats`' options.
    word: &'static str,
    /// Whether reading it may have to wait for the VM's QEMU.
    monitor: bool,
    /// Its `virDomainStatsTypes`; none for the job, which has a call of its own.
    flag: u32,
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

    /// The names of all of them, in the same order.
    pub const WORDS: [&'static str; Self::ALL.len()] = names!(Self::ALL);

    const fn about(self) -> About {
        let (word, monitor, flag) = match self {
            Self::State => ("state", false, 1 << 0),
            Self::Cpu => ("cpu", true, 1 << 1),
            Self::Balloon => ("balloon", true, 1 << 2),
            Self::Vcpu => ("vcpu", true, 1 << 3),
            Self::Interface => ("interface", false, 1 << 4),
            Self::Block => ("block", true, 1 << 5),
            Self::Iothread => ("iothread", true, 1 << 7),
            Self::Dirtyrate => ("dirtyrate", true, 1 << 9),
            Self::Job => ("job", true, 0),
        };
        About { word, monitor, flag }
    }

    /// Its name on the command line and in labels: that of `virsh domstats`' options.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.about().word
    }

    /// Whether reading it may have to wait for the VM's QEMU.
    #[must_use]
    pub const fn needs_monitor(self) -> bool {
        self.about().monitor
    }

    /// Its `virDomainStatsTypes`; 0 for the job, which has a call of its own.
    #[must_use]
    pub const fn flag(self) -> u32 {
        self.about().flag
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

// Arrays by group are filled from `ALL` and indexed by the group.
const _: () = {
    let mut index = 0;
    while index < Group::ALL.len() {
        assert!(Group::ALL[index] as usize == index, "ALL is in the order of the variants");
        index += 1;
    }
};

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

/// The statistics of one domain, decoded. A group that is `None` was not requested or not answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// The domain's id when it answered; `None` for a domain that does not run. A new id is a new incarnation.
    pub id: Option<u32>,
    /// State and reason.
    pub status: Option<Status>,
    /// Processor time.
    pub cpu: Option<Cpu>,
    /// Memory; only a part of it for a busy domain.
    pub memory: Option<Memory>,
    /// `vcpu.current`, `vcpu.maximum` and each vCPU.
    pub vcpus: Option<VcpuStats>,
    /// Disks, without their descriptions. `None` for a busy domain: libvirt then only names the disks.
    pub disks: Option<Vec<Disk>>,
    /// Network interfaces, without their descriptions.
    pub nics: Option<Vec<Nic>>,
    /// I/O threads.
    pub io_threads: Option<Vec<IoThread>>,
    /// Dirty rate, if one was measured.
    pub dirty_rate: Option<DirtyRate>,
    /// The job; inside, `None` when there is none.
    pub job: Option<Option<Job>>,
    /// How the domain's QEMU took part in the answer.
    pub monitor: Monitor,
    /// Parameters that this version does not know: skipped, and counted here.
    pub unknown_parameters: u32,
    /// Parameters left out because they belong to vCPUs or devices beyond the limit.
    pub left_out: u32,
    /// Parameters in the answer, including those skipped or left out: what it cost to decode.
    pub parameters: u32,
    /// How long the call took, without the query's time in the queue.
    pub took: Duration,
}

/// The vCPUs of one domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VcpuStats {
    /// `vcpu.current`
    pub current: Option<u64>,
    /// `vcpu.maximum`
    pub maximum: Option<u64>,
    /// Each of them, by ascending number.
    pub each: Vec<Vcpu>,
}

/// How a domain's QEMU took part in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Monitor {
    /// It was not asked: no group needed it, or the budget for calls that may hang was used up.
    #[default]
    NotAsked,
    /// It answered: the groups asked for are complete.
    Answered,
    /// Another client's job on the domain blocked the call; libvirt answered without the QEMU.
    Busy,
    /// An earlier call of the agent still hangs in this QEMU; libvirt answered without it.
    Stuck,
}

/// Where a VM keeps what was read of a group.
trait Slot {
    fn is_filled(&self) -> bool;
    fn read_at(&self) -> Option<Timestamp>;
}

impl<T> Slot for Option<Reading<T>> {
    fn is_filled(&self) -> bool {
        self.is_some()
    }

    fn read_at(&self) -> Option<Timestamp> {
        self.as_ref().map(|reading| reading.at)
    }
}

/// A state is true until another one is known: it has no timestamp.
impl Slot for Option<Status> {
    fn is_filled(&self) -> bool {
        self.is_some()
    }

    fn read_at(&self) -> Option<Timestamp> {
        None
    }
}

/// What can be forgotten.
trait Clear {
    fn clear(&mut self);
}

impl<T> Clear for Option<T> {
    fn clear(&mut self) {
        *self = None;
    }
}

/// The field of a group, by reference or by mutable reference: it has the same name in an answer and in a VM.
macro_rules! slot {
    ($of:expr, $group:expr, $($reference:tt)+) => {
        match $group {
            Group::State => $($reference)+ $of.status,
            Group::Cpu => $($reference)+ $of.cpu,
            Group::Balloon => $($reference)+ $of.memory,
            Group::Vcpu => $($reference)+ $of.vcpus,
            Group::Interface => $($reference)+ $of.nics,
            Group::Block => $($reference)+ $of.disks,
            Group::Iothread => $($reference)+ $of.io_threads,
            Group::Dirtyrate => $($reference)+ $of.dirty_rate,
            Group::Job => $($reference)+ $of.job,
        }
    };
}

impl Vm {
    fn slot(&self, group: Group) -> &dyn Slot {
        slot!(self, group, &)
    }

    /// Whether it shows anything of a group.
    #[must_use]
    pub fn shows(&self, group: Group) -> bool {
        self.slot(group).is_filled()
    }

    /// When what it shows of a group was read; `None` for the state, which is true until another one is known.
    #[must_use]
    pub fn read_at(&self, group: Group) -> Option<Timestamp> {
        self.slot(group).read_at()
    }

    /// The time of its newest reading.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        Group::ALL.into_iter().filter_map(|group| self.read_at(group)).max()
    }

    /// Drops what it shows of a group.
    pub fn hide(&mut self, group: Group) {
        let slot: &mut dyn Clear = slot!(self, group, &mut);
        slot.clear();
    }
}

impl Stats {
    /// Forgets what it says about a group.
    pub fn forget(&mut self, group: Group) {
        let slot: &mut dyn Clear = slot!(self, group, &mut);
        slot.clear();
    }
}
