//! The counters of each type, side by side, so that one rule can follow them all.

use std::time::Duration;

use crate::model::{Bytes, Cpu, Disk, Memory, Nic, Vcpu};

/// Something that has counters.
pub(super) trait Counters {
    /// An array with a place for each of them.
    type Values: AsRef<[Option<u64>]> + AsMut<[Option<u64>]> + Copy + std::fmt::Debug;

    /// Their values; `None` where libvirt reported none.
    fn counters(&self) -> Self::Values;
}

/// One of several things of a kind, told apart by a name that does not change.
pub(super) trait Named {
    /// The name.
    type Name: Clone + PartialEq + std::fmt::Debug;

    /// Its name.
    fn name(&self) -> &Self::Name;
}

fn nanos(time: Option<Duration>) -> Option<u64> {
    time.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

fn bytes(amount: Option<Bytes>) -> Option<u64> {
    amount.map(|Bytes(amount)| amount)
}

impl Counters for Cpu {
    type Values = [Option<u64>; 3];

    fn counters(&self) -> Self::Values {
        [nanos(self.time), nanos(self.user), nanos(self.system)]
    }
}

impl Counters for Vcpu {
    type Values = [Option<u64>; 3];

    fn counters(&self) -> Self::Values {
        [nanos(self.time), nanos(self.wait), nanos(self.delay)]
    }
}

impl Counters for Memory {
    type Values = [Option<u64>; 6];

    fn counters(&self) -> Self::Values {
        [
            bytes(self.swap_in),
            bytes(self.swap_out),
            self.major_faults,
            self.minor_faults,
            self.huge_page_allocations,
            self.huge_page_failures,
        ]
    }
}

impl Counters for Disk {
    type Values = [Option<u64>; 9];

    fn counters(&self) -> Self::Values {
        [
            self.read_requests,
            bytes(self.read_bytes),
            nanos(self.read_time),
            self.write_requests,
            bytes(self.write_bytes),
            nanos(self.write_time),
            self.flush_requests,
            nanos(self.flush_time),
            self.errors,
        ]
    }
}

impl Counters for Nic {
    type Values = [Option<u64>; 8];

    fn counters(&self) -> Self::Values {
        [
            bytes(self.receive_bytes),
            self.receive_packets,
            self.receive_errors,
            self.receive_drops,
            bytes(self.transmit_bytes),
            self.transmit_packets,
            self.transmit_errors,
            self.transmit_drops,
        ]
    }
}

impl Named for Vcpu {
    type Name = u32;

    fn name(&self) -> &u32 {
        &self.number
    }
}

impl Named for Disk {
    type Name = std::sync::Arc<str>;

    fn name(&self) -> &Self::Name {
        &self.target
    }
}

impl Named for Nic {
    type Name = std::sync::Arc<str>;

    fn name(&self) -> &Self::Name {
        &self.target
    }
}
