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
    /// Whether a sidecar in its pod pushes it, so that this agent only serves it.
    pub has_sidecar: bool,
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
            has_sidecar: false,
        }
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
