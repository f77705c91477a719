//! Disks, network interfaces, I/O threads.

use std::sync::Arc;
use std::time::Duration;

use super::{Bytes, DiskDescription, NicDescription};

/// One disk (`block.<n>.*` of `virDomainListGetStats`, joined with the domain's XML by its target name).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// The target's name (`vda`): unique within the VM, and stable while libvirt's indices shift.
    pub target: Arc<str>,
    /// What the XML says about it; `None` until the XML was read with this disk in it.
    pub description: Option<Arc<DiskDescription>>,
    /// `.rd.reqs`
    pub read_requests: Option<u64>,
    /// `.rd.bytes`
    pub read_bytes: Option<Bytes>,
    /// `.rd.times`: in all requests in total.
    pub read_time: Option<Duration>,
    /// `.wr.reqs`
    pub write_requests: Option<u64>,
    /// `.wr.bytes`
    pub write_bytes: Option<Bytes>,
    /// `.wr.times`
    pub write_time: Option<Duration>,
    /// `.fl.reqs`
    pub flush_requests: Option<u64>,
    /// `.fl.times`
    pub flush_time: Option<Duration>,
    /// `.errors`
    pub errors: Option<u64>,
    /// `.capacity`: what the guest sees.
    pub capacity: Option<Bytes>,
    /// `.allocation`: the highest offset written.
    pub allocation: Option<Bytes>,
    /// `.physical`: the size of the file or device behind it.
    pub physical: Option<Bytes>,
}

impl Disk {
    /// The name of this disk on its series, as KubeVirt gives it: the alias that the user chose, else the target.
    #[must_use]
    pub fn drive(&self) -> &str {
        self.description.as_ref().and_then(|disk| disk.user_alias.as_deref()).unwrap_or(&self.target)
    }
}

/// One network interface (`net.<n>.*`, joined with the XML by its target name). Directions are the guest's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nic {
    /// The name of the device on the host (`vnet0`).
    pub target: Arc<str>,
    /// What the XML says about it; `None` until the XML was read with this interface in it.
    pub description: Option<Arc<NicDescription>>,
    /// `.rx.bytes`
    pub receive_bytes: Option<Bytes>,
    /// `.rx.pkts`
    pub receive_packets: Option<u64>,
    /// `.rx.errs`
    pub receive_errors: Option<u64>,
    /// `.rx.drop`
    pub receive_drops: Option<u64>,
    /// `.tx.bytes`
    pub transmit_bytes: Option<Bytes>,
    /// `.tx.pkts`
    pub transmit_packets: Option<u64>,
    /// `.tx.errs`
    pub transmit_errors: Option<u64>,
    /// `.tx.drop`
    pub transmit_drops: Option<u64>,
}

impl Nic {
    /// The name of this interface on its series, as KubeVirt gives it: the alias that the user chose, else the
    /// target.
    #[must_use]
    pub fn interface(&self) -> &str {
        self.description.as_ref().and_then(|nic| nic.user_alias.as_deref()).unwrap_or(&self.target)
    }
}

/// One I/O thread (`iothread.<id>.*`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IoThread {
    /// Its id, from 1.
    pub id: u32,
    /// `.poll-max-ns`: how long it polls at most before it sleeps.
    pub poll_max: Option<Duration>,
    /// `.poll-grow`: the factor by which polling grows.
    pub poll_grow: Option<u64>,
    /// `.poll-shrink`: the divisor by which polling shrinks.
    pub poll_shrink: Option<u64>,
}
