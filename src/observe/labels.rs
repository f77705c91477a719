//! Joins a VM's devices with their XML descriptions. Pure.

use std::sync::Arc;

use super::monotonic::Named;
use crate::model::{Description, Disk, Nic, Since, ambiguous};

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
    fn of_two_disks_with_one_target_the_first_stays() {
        let mut disks = vec![
            Disk { target: "vda".into(), errors: Some(1), ..Disk::default() },
            Disk { target: "vda".into(), ..Disk::default() },
        ];
        assert_eq!(drop_duplicates(&mut disks), 1);
        assert_eq!(disks[0].errors, Some(1));
    }
}
