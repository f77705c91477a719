//! Limits how much of the metrics page and of a push one VM takes. Pure.
//!
//! A Resource is never split between requests, so one VM must fit into one. A daemon may report anything, and what it
//! invents must neither flood a backend nor delay the others' statistics. What does not fit is cut off from the ends of
//! the lists: first of the vCPUs, then of the I/O threads, the interfaces and the disks.
//!
//! The size of a series is estimated, not measured: `tests/bounds.rs` compares these figures with what is encoded.
//!
//! What one of many VMs may have (`share.rs`) is passed in as `page`.

use std::sync::Arc;

use crate::model::{Description, DiskDescription, Identity, Metadata, MetadataLabels, NicDescription, Place, Vm};

/// Most series of one VM's vCPUs and devices. 512 vCPUs with 64 disks and 64 interfaces take 6,720.
pub const SERIES_MAX: usize = 12_288;

/// Bytes that these may take of a request: with the VM's other series and end markers, less than the 3.5 MiB that one
/// may have.
pub const PUSH_MAX: usize = 2 * 1_024 * 1_024;

/// Bytes that these and their description may take at the endpoint, where each series has the labels of its VM: eight
/// times those of a VM with 512 vCPUs.
pub const PAGE_MAX: usize = 16 * 1_024 * 1_024;

/// Bytes of label values that the description of a VM's devices may have: enough for 64 disks with every value at its
/// greatest length.
pub const DESCRIPTION_MAX: usize = 512 * 1_024;

/// Most series of one vCPU.
pub const VCPU_SERIES: usize = 8;

/// Most series of one disk.
pub const DISK_SERIES: usize = 32;

/// Most series of one interface.
pub const NIC_SERIES: usize = 9;

/// Most series of one I/O thread.
pub const IO_THREAD_SERIES: usize = 3;

/// Bytes of one series in a request, without the values of device labels.
pub const POINT_BYTES: usize = 128;

/// Bytes of one series at the endpoint, without these and without the VM's labels.
pub const LINE_BYTES: usize = 192;

/// Bytes of the label names of a described device, and of a short description in memory.
const DESCRIBED_BYTES: usize = 512;

/// Most series that a VM's metadata make.
pub const METADATA_SERIES: usize = 7;

/// Bytes of a label besides its name and its value: a comma, an equals sign and quotation marks.
const PAIR_BYTES: usize = 4;

/// Most series of a VM apart from its vCPUs, its devices and its metadata, each with its name.
pub const BARE_SERIES: usize = 80;

/// What is left.
struct Room {
    series: usize,
    push: usize,
    page: usize,
    /// Bytes of the VM's own labels, on each series at the endpoint.
    identity: usize,
}

impl Room {
    fn of(vm: &Vm, page: usize) -> Self {
        Self { series: SERIES_MAX, push: PUSH_MAX, page, identity: identity(vm) }
    }

    /// Takes the room of `series` series with this label value. `false` if they do not fit.
    fn takes(&mut self, series: usize, label: &str) -> bool {
        let left = |left: usize, each: usize| left.checked_sub(series * each);
        let room = (|| {
            Some(Self {
                series: left(self.series, 1)?,
                push: left(self.push, POINT_BYTES + label.len())?,
                page: left(self.page, LINE_BYTES + self.identity + escaped(label))?,
                identity: self.identity,
            })
        })();
        let fits = room.is_some();
        if let Some(room) = room {
            *self = room;
        }
        fits
    }

    /// Cuts a list to what fits; returns how many went.
    fn cut<T>(&mut self, list: &mut Vec<T>, series: usize, label: fn(&T) -> &str) -> usize {
        let fits = list.iter().take_while(|thing| self.takes(series, label(thing))).count();
        let cut = list.len() - fits;
        if cut > 0 {
            list.truncate(fits);
            list.shrink_to_fit();
        }
        cut
    }
}

/// How many of each kind were cut.
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

/// Cuts a VM's vCPUs and devices to its limits and to `page` bytes of the metrics page. Returns what was cut, and what
/// the rest takes.
pub fn fit(vm: &mut Vm, page: usize) -> (Cut, usize) {
    let page = page.min(PAGE_MAX);
    let described = vm.description.as_deref().map_or(0, |description| described(description, identity(vm)));
    let mut room = Room::of(vm, page.saturating_sub(described));
    let before = room.page;
    let disks = vm.disks.as_mut().map_or(0, |disks| room.cut(&mut disks.value, DISK_SERIES, |disk| disk.value.drive()));
    let nics = vm.nics.as_mut().map_or(0, |nics| room.cut(&mut nics.value, NIC_SERIES, |nic| nic.value.interface()));
    let io_threads = vm.io_threads.as_mut().map_or(0, |threads| room.cut(&mut threads.value, IO_THREAD_SERIES, |_| ""));
    let vcpus = vm.vcpus.as_mut().map_or(0, |vcpus| room.cut(&mut vcpus.value.each, VCPU_SERIES, |_| ""));
    (Cut { disks, nics, io_threads, vcpus }, described + before - room.page)
}

/// Cuts the description of a VM's devices, and its metadata, to their limit and to `page` bytes of the metrics page. Adds
/// what was cut to `left_out`. `true` if anything was.
pub fn fit_description(vm: &mut Vm, page: usize) -> bool {
    let identity = identity(vm);
    let Some(shared) = &mut vm.description else { return false };
    let no_room = own_bytes(shared, identity) > page.min(PAGE_MAX);
    let without_metadata = no_room && shared.metadata.is_some();
    if without_metadata {
        let description = Arc::make_mut(shared);
        description.metadata = None;
        description.left_out = description.left_out.saturating_add(1);
    }
    // More of them are not shown anyway.
    let disks = shared.disks.iter().take(SERIES_MAX / DISK_SERIES);
    let nics = shared.nics.iter().take(SERIES_MAX / NIC_SERIES);
    let mut left = DESCRIPTION_MAX;
    let mut page_left = page.min(PAGE_MAX).saturating_sub(own_bytes(shared, identity));
    let mut fits = |text: Text| {
        let (rest, page_rest) = (left.checked_sub(text.bytes), page_left.checked_sub(text.line(identity)));
        rest.zip(page_rest).map(|rest| (left, page_left) = rest).is_some()
    };
    let disks = disks.take_while(|disk| fits(disk_text(disk))).count();
    let nics = nics.take_while(|nic| fits(nic_text(nic))).count();
    let cut = shared.disks.len() + shared.nics.len() - disks - nics;
    if cut > 0 {
        let description = Arc::make_mut(shared);
        description.disks.truncate(disks);
        description.nics.truncate(nics);
        description.disks.shrink_to_fit();
        description.nics.shrink_to_fit();
        description.left_out = description.left_out.saturating_add(u32::try_from(cut).unwrap_or(u32::MAX));
    }
    cut > 0 || without_metadata
}

/// Bytes of the page that a VM's name takes, on series that every VM has.
pub fn name_bytes(name: &str) -> usize {
    BARE_SERIES * escaped(name)
}

/// The same with the labels that are of its metadata.
pub fn identity_bytes(identity: &Identity) -> usize {
    let labels = match &identity.place {
        Place::Host { labels, .. } => labels_bytes(labels),
        Place::Launcher(_) => 0,
    };
    name_bytes(&identity.name) + BARE_SERIES * labels
}

/// Bytes of labels as written.
fn labels_bytes(labels: &MetadataLabels) -> usize {
    labels.iter().map(|(label, text)| PAIR_BYTES + label.len() + escaped(text)).sum()
}

/// The label values of a described device.
#[derive(Debug, Clone, Copy, Default)]
struct Text {
    bytes: usize,
    escaped: usize,
}

impl Text {
    fn of(texts: &[&Option<Arc<str>>]) -> Self {
        let add = |sum: Self, text: &str| Self { bytes: sum.bytes + text.len(), escaped: sum.escaped + escaped(text) };
        texts.iter().filter_map(|text| text.as_deref()).fold(Self::default(), add)
    }

    /// Bytes its series takes on the page.
    const fn line(self, identity: usize) -> usize {
        LINE_BYTES + DESCRIBED_BYTES + identity + self.escaped
    }
}

/// Bytes a description takes on the page.
fn described(description: &Description, identity: usize) -> usize {
    let disks = description.disks.iter().map(|disk| disk_text(disk).line(identity));
    let nics = description.nics.iter().map(|nic| nic_text(nic).line(identity));
    own_bytes(description, identity) + disks.chain(nics).sum::<usize>()
}

/// Bytes that a description's values for the machine take on the page, and its metadata.
fn own_bytes(description: &Description, identity: usize) -> usize {
    let Description { domain_type, os_type, arch, machine, metadata, .. } = description;
    let metadata = metadata.as_deref().map_or(0, |metadata| metadata_bytes(metadata, identity));
    escaped(domain_type) + Text::of(&[os_type, arch, machine]).escaped + metadata
}

fn metadata_bytes(metadata: &Metadata, identity: usize) -> usize {
    let texts = metadata.texts().map(|(_, text)| escaped(text)).sum::<usize>();
    METADATA_SERIES * (LINE_BYTES + identity) + DESCRIBED_BYTES + texts
}

fn disk_text(disk: &DiskDescription) -> Text {
    let DiskDescription {
        target, user_alias, source_kind, source, protocol, bus, device, format, cache, serial, ..
    } = disk;
    let Text { bytes, escaped: more } =
        Text::of(&[user_alias, source_kind, source, protocol, bus, device, format, cache, serial]);
    Text { bytes: target.len() + bytes, escaped: escaped(target) + more }
}

fn nic_text(nic: &NicDescription) -> Text {
    let NicDescription { target, user_alias, mac, model, source_kind, source, .. } = nic;
    Text::of(&[target, user_alias, mac, model, source_kind, source])
}

/// Bytes of a label value as written.
fn escaped(text: &str) -> usize {
    let more = |byte: u8| match byte {
        b'\\' | b'"' | b'\n' => 1,
        // A replacement character is written.
        0 => char::REPLACEMENT_CHARACTER.len_utf8() - 1,
        _ => 0,
    };
    text.len() + text.bytes().map(more).sum::<usize>()
}

/// Bytes of the labels that every series of a VM has at the endpoint.
fn identity(vm: &Vm) -> usize {
    let place = match &vm.identity.place {
        Place::Host { uri, labels, .. } => {
            uuid::fmt::Hyphenated::LENGTH + escaped(&vm.identity.name) + escaped(uri) + labels_bytes(labels)
        }
        Place::Launcher(launcher) => launcher.namespace.len() + launcher.name.len() + launcher.node.len(),
    };
    let labels = vm.vmi.iter().flat_map(|vmi| vmi.labels.iter());
    place + labels.map(|label| label.label.len() + escaped(&label.value)).sum::<usize>()
}
