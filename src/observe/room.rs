//! How much one VM may add to the page and to a push. Pure.
//!
//! A Resource is never split between requests, so what one VM has must fit into one; and a daemon may say anything, so
//! what it invents may neither flood a backend nor make the others' figures late. What does not fit is cut off from the
//! ends of the lists: first of the vCPUs, then of the I/O threads, the interfaces and the disks.
//!
//! What a series takes is reckoned, not measured: `tests/bounds.rs` holds these figures against what is encoded.

use crate::model::{Description, Disk, DiskDescription, Nic, NicDescription, Place, Since, Vm};

/// Series that one VM has of its vCPUs and devices at most. 512 vCPUs with 64 disks and 64 interfaces take 6,720.
pub const SERIES_MAX: usize = 12_288;

/// Bytes that these may take of a request: with what the VM says once and with what ends, less than the 3.5 MiB that one
/// may have.
pub const PUSH_MAX: usize = 2 * 1_024 * 1_024;

/// Bytes that these may take at the endpoint, where each series has the labels of its VM: eight times the page of a VM of
/// 512 vCPUs.
pub const PAGE_MAX: usize = 16 * 1_024 * 1_024;

/// Bytes of label values that the description of a VM's devices may have: what 64 disks have that all say everything at
/// the greatest length.
pub const DESCRIPTION_MAX: usize = 512 * 1_024;

/// Series of one vCPU at most.
pub const VCPU_SERIES: usize = 8;

/// Series of one disk at most.
pub const DISK_SERIES: usize = 32;

/// Series of one interface at most.
pub const NIC_SERIES: usize = 9;

/// Series of one I/O thread at most.
pub const IO_THREAD_SERIES: usize = 3;

/// Bytes of one series in a request, without the values of the labels of devices.
pub const POINT_BYTES: usize = 128;

/// Bytes of one series at the endpoint, likewise, and without the labels of the VM.
pub const LINE_BYTES: usize = 192;

/// What is left.
struct Room {
    series: usize,
    push: usize,
    page: usize,
    /// Bytes of the VM's own labels, on each series at the endpoint.
    identity: usize,
}

impl Room {
    fn of(vm: &Vm) -> Self {
        Self { series: SERIES_MAX, push: PUSH_MAX, page: PAGE_MAX, identity: identity(vm) }
    }

    /// Whether one more thing fits, which has so many series with so many bytes of label values each.
    fn takes(&mut self, series: usize, label: usize) -> bool {
        let left = |left: usize, each: usize| left.checked_sub(series * each);
        let room = (|| {
            Some(Self {
                series: left(self.series, 1)?,
                push: left(self.push, POINT_BYTES + label)?,
                // A character may be escaped.
                page: left(self.page, LINE_BYTES + self.identity + 2 * label)?,
                identity: self.identity,
            })
        })();
        let fits = room.is_some();
        if let Some(room) = room {
            *self = room;
        }
        fits
    }

    /// Cuts a list to what fits. How many went.
    fn cut<T>(&mut self, list: &mut Vec<T>, series: usize, label: impl Fn(&T) -> usize) -> usize {
        let fits = list.iter().take_while(|thing| self.takes(series, label(thing))).count();
        let cut = list.len() - fits;
        list.truncate(fits);
        cut
    }
}

/// How many of each kind went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cut {
    /// Disks.
    pub disks: usize,
    /// Network interfaces.
    pub nics: usize,
    /// I/O threads.
    pub io_threads: usize,
    /// Virtual CPUs.
    pub vcpus: usize,
}

/// Cuts a VM's vCPUs and devices to what it may have.
pub fn fit(vm: &mut Vm) -> Cut {
    let mut room = Room::of(vm);
    let disk = |disk: &Since<Disk>| disk.value.drive().len();
    let nic = |nic: &Since<Nic>| nic.value.interface().len();
    let disks = vm.disks.as_mut().map_or(0, |disks| room.cut(&mut disks.value, DISK_SERIES, disk));
    let nics = vm.nics.as_mut().map_or(0, |nics| room.cut(&mut nics.value, NIC_SERIES, nic));
    let io_threads = vm.io_threads.as_mut().map_or(0, |threads| room.cut(&mut threads.value, IO_THREAD_SERIES, |_| 0));
    let vcpus = vm.vcpus.as_mut().map_or(0, |vcpus| room.cut(&mut vcpus.value.each, VCPU_SERIES, |_| 0));
    Cut { disks, nics, io_threads, vcpus }
}

/// Cuts the description of a VM's devices to what it may have. How many went is added to those that had gone before.
pub fn fit_description(description: &mut Description) {
    let before = description.disks.len() + description.nics.len();
    // More than that of them are not shown either.
    description.disks.truncate(SERIES_MAX / DISK_SERIES);
    description.nics.truncate(SERIES_MAX / NIC_SERIES);
    let mut left = DESCRIPTION_MAX;
    let mut fits = |bytes: usize| left.checked_sub(bytes).map(|rest| left = rest).is_some();
    let disks = description.disks.iter().take_while(|disk| fits(disk_bytes(disk))).count();
    let nics = description.nics.iter().take_while(|nic| fits(nic_bytes(nic))).count();
    description.disks.truncate(disks);
    description.nics.truncate(nics);
    let cut = before - disks - nics;
    description.left_out = description.left_out.saturating_add(u32::try_from(cut).unwrap_or(u32::MAX));
}

fn disk_bytes(disk: &DiskDescription) -> usize {
    let DiskDescription {
        target, user_alias, source_kind, source, protocol, bus, device, format, cache, serial, ..
    } = disk;
    target.len() + bytes(&[user_alias, source_kind, source, protocol, bus, device, format, cache, serial])
}

fn nic_bytes(nic: &NicDescription) -> usize {
    let NicDescription { target, user_alias, mac, model, source_kind, source, .. } = nic;
    bytes(&[target, user_alias, mac, model, source_kind, source])
}

fn bytes(texts: &[&Option<std::sync::Arc<str>>]) -> usize {
    texts.iter().filter_map(|text| text.as_deref()).map(str::len).sum()
}

/// Bytes of the labels that every series of a VM has at the endpoint.
fn identity(vm: &Vm) -> usize {
    let place = match &vm.identity.place {
        Place::Host { .. } => uuid::fmt::Hyphenated::LENGTH + 2 * vm.identity.name.len(),
        Place::Launcher(launcher) => launcher.namespace.len() + launcher.name.len() + launcher.node.len(),
    };
    let labels = vm.vmi.iter().flat_map(|vmi| vmi.labels.iter());
    place + labels.map(|label| label.label.len() + 2 * label.value.len()).sum::<usize>()
}
