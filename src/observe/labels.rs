//! Joins a VM's devices with their XML descriptions. Pure.

use std::sync::Arc;

use super::starts::Named;
use crate::model::{Bytes, Description, Disk, Nic, Since, Version, ambiguous};

/// A device that the XML describes.
pub(super) trait Described: Named<Name = Arc<str>> {
    /// Sets its description from the XML.
    fn describe(&mut self, description: Option<&Description>);

    /// The alias that it goes by.
    fn alias(&self) -> Option<&str>;

    /// Makes it go by its target.
    fn forget_alias(&mut self);
}

impl Described for Disk {
    fn describe(&mut self, description: Option<&Description>) {
        self.description = description.and_then(|description| description.disk(&self.target)).cloned();
    }

    fn alias(&self) -> Option<&str> {
        self.description.as_ref()?.user_alias.as_deref()
    }

    fn forget_alias(&mut self) {
        if let Some(description) = &mut self.description {
            Arc::make_mut(description).user_alias = None;
        }
    }
}

impl Described for Nic {
    fn describe(&mut self, description: Option<&Description>) {
        self.description = description.and_then(|description| description.nic(&self.target)).cloned();
    }

    fn alias(&self) -> Option<&str> {
        self.description.as_ref()?.user_alias.as_deref()
    }

    fn forget_alias(&mut self) {
        if let Some(description) = &mut self.description {
            Arc::make_mut(description).user_alias = None;
        }
    }
}

/// Keeps only the first of devices with the same target; returns how many were dropped.
pub(super) fn drop_duplicates<T: Named<Name = Arc<str>>>(devices: &mut Vec<T>) -> u64 {
    let before = devices.len();
    let mut targets = std::collections::HashSet::with_capacity(before);
    devices.retain(|device| targets.insert(Arc::clone(device.name())));
    u64::try_from(before - devices.len()).unwrap_or(u64::MAX)
}

/// From this version on `block.<n>.allocation` of a raw file is always 0.
const NO_ALLOCATION_OF_RAW_FILES: Version = Version(11_000_000);

/// Drops an allocation of 0 that the version says of every raw file. The XML tells which disks are such; until it is
/// known, any may be one.
pub(super) fn drop_meaningless(disks: &mut [Since<Disk>], libvirt: Option<Version>) {
    if libvirt.is_none_or(|version| version.0 < NO_ALLOCATION_OF_RAW_FILES.0) {
        return;
    }
    for disk in disks.iter_mut().map(|disk| &mut disk.value).filter(|disk| disk.allocation == Some(Bytes(0))) {
        let is = |value: &Option<Arc<str>>, expected| value.as_deref() == Some(expected);
        let may_be_raw_file =
            disk.description.as_ref().is_none_or(|disk| is(&disk.format, "raw") && is(&disk.source_kind, "file"));
        if may_be_raw_file {
            disk.allocation = None;
        }
    }
}

/// Gives every device its description. An alias that is the target of a device that the XML does not have yet gives way
/// (see [`ambiguous`]); those within the XML are distinct.
pub(super) fn join<T: Described>(devices: &mut [Since<T>], description: Option<&Description>) {
    for device in devices.iter_mut() {
        device.value.describe(description);
    }
    if devices.iter().all(|device| device.value.alias().is_none()) {
        return; // as on most VMs
    }
    let names: Vec<_> = devices.iter().map(|Since { value, .. }| (Some(&**value.name()), value.alias())).collect();
    let ambiguous = ambiguous(&names);
    for (device, _) in devices.iter_mut().zip(ambiguous).filter(|(_, ambiguous)| *ambiguous) {
        device.value.forget_alias();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DiskDescription, Timestamp};

    #[test]
    fn an_alias_that_is_the_target_of_a_disk_that_the_xml_lacks_gives_way() {
        let vda =
            DiskDescription { target: "vda".into(), user_alias: Some("vdb".into()), ..DiskDescription::default() };
        let description = Description { disks: vec![Arc::new(vda)], ..Description::default() };
        let disk = |target: &str| Since {
            start: Timestamp::default(),
            value: Disk { target: target.into(), ..Disk::default() },
        };
        let mut alone = [disk("vda")];
        join(&mut alone, Some(&description));
        assert_eq!(alone[0].value.drive(), "vdb");
        let mut both = [disk("vda"), disk("vdb")];
        join(&mut both, Some(&description));
        assert_eq!([both[0].value.drive(), both[1].value.drive()], ["vda", "vdb"]);
        assert!(both[1].value.description.is_none());
    }

    #[test]
    fn an_allocation_of_nothing_is_dropped_where_the_version_says_it_of_every_raw_file() {
        let described = |format: &str| {
            let (format, source_kind) = (Some(format.into()), Some("file".into()));
            Some(Arc::new(DiskDescription { format, source_kind, ..DiskDescription::default() }))
        };
        let shown = |description, allocation, libvirt: u64| {
            let value = Disk { description, allocation: Some(Bytes(allocation)), ..Disk::default() };
            let mut disks = [Since { start: Timestamp::default(), value }];
            drop_meaningless(&mut disks, Some(Version(libvirt)));
            disks[0].value.allocation
        };
        assert_eq!(shown(described("raw"), 0, 11_003_000), None);
        assert_eq!(shown(None, 0, 12_008_000), None, "it may be one");
        assert_eq!(shown(described("raw"), 0, 9_000_000), Some(Bytes(0)), "nothing was written to it yet");
        assert_eq!(shown(described("qcow2"), 0, 11_003_000), Some(Bytes(0)));
        assert_eq!(shown(described("raw"), 4_096, 11_003_000), Some(Bytes(4_096)));
    }

    #[test]
    fn of_two_disks_with_one_target_the_first_stays() {
        let mut disks = vec![
            Disk { target: "vda".into(), errors: Some(1), ..Disk::default() },
            Disk { target: "vda".into(), ..Disk::default() },
        ];
        assert_eq!(drop_duplicates(&mut disks), 1);
        assert_eq!(disks[0].errors, Some(1));
    }
}
