//! Memory.

use super::{Bytes, Timestamp};

/// The memory of a VM (`balloon.*` of `virDomainListGetStats`). The guest's figures exist only with a balloon driver in
/// the guest and a `<stats period>` on its balloon device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// `balloon.current`: what the VM has now.
    pub current: Option<Bytes>,
    /// `balloon.maximum`: what it may have.
    pub maximum: Option<Bytes>,
    /// `balloon.swap_in`: read back from swap in the guest.
    pub swap_in: Option<Bytes>,
    /// `balloon.swap_out`: written out to swap in the guest.
    pub swap_out: Option<Bytes>,
    /// `balloon.major_fault`: page faults in the guest that needed a disk.
    pub major_faults: Option<u64>,
    /// `balloon.minor_fault`: page faults in the guest that did not.
    pub minor_faults: Option<u64>,
    /// `balloon.unused`: left unused by the guest.
    pub unused: Option<Bytes>,
    /// `balloon.available`: usable by the guest's operating system in total.
    pub available: Option<Bytes>,
    /// `balloon.usable`: could be reclaimed by the guest without swapping.
    pub usable: Option<Bytes>,
    /// `balloon.disk_caches`: used for caches by the guest.
    pub disk_caches: Option<Bytes>,
    /// `balloon.hugetlb_pgalloc`: huge pages allocated by the guest.
    pub huge_page_allocations: Option<u64>,
    /// `balloon.hugetlb_pgfail`: huge pages that the guest could not allocate.
    pub huge_page_failures: Option<u64>,
    /// `balloon.last-update`: when the guest last reported; `None` if it never did.
    pub last_update: Option<Timestamp>,
    /// `balloon.rss`: the QEMU process' resident memory on the host.
    pub resident: Option<Bytes>,
}

impl Memory {
    /// What the guest itself reports as used. QEMU's memory on the host is something else.
    #[must_use]
    pub fn used(&self) -> Option<Bytes> {
        let free = self.usable.or(self.unused)?;
        self.available?.0.checked_sub(free.0).map(Bytes)
    }
}

/// How fast the VM writes to its memory, if somebody asked libvirt to measure it (`dirtyrate.*`). virt-otel never
/// starts such a measurement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirtyRate {
    /// `dirtyrate.megabytes_per_second`, in bytes per second.
    pub bytes_per_second: Option<Bytes>,
    /// `dirtyrate.calc_start_time` plus the period: when it was measured.
    pub measured: Option<Timestamp>,
}
