//! Joins a VM's devices with their XML descriptions, and keeps their names distinct. Pure.
//!
//! A device's series carry the alias that the user chose, else the target's name. A user may give one disk an alias
//! that is another's target: the two would be one series. Both then use their targets.

use std::sync::Arc;

use super::counters::Named;
use crate::model::{Description, Disk, Nic, Since};

/// A device that the XML describes.
pub(super) trait Described: Named<Name = Arc<str>> {
    /// Sets its description from the XML.
    fn describe(&mut self, description: Option<&Description>);

    /// The name on its series.
    fn label(&self) -> &str;

    /// Makes it use its target; `false` if it does already.
    fn forget_alias(&mut self) -> bool;
}

impl Described for Disk {
    fn describe(&mut self, description: Option<&Description>) {
        self.description = description.and_then(|description| description.disk(&self.target)).cloned();
    }

    fn label(&self) -> &str {
        self.drive()
    }

    fn forget_alias(&mut self) -> bool {
        let Some(description) = self.description.as_mut().filter(|disk| disk.user_alias.is_some()) else {
            return false;
        };
        Arc::make_mut(description).user_alias = None;
        true
    }
}

impl Described for Nic {
    fn describe(&mut self, description: Option<&Description>) {
        self.description = description.and_then(|description| description.nic(&self.target)).cloned();
    }

    fn label(&self) -> &str {
        self.interface()
    }

    fn forget_alias(&mut self) -> bool {
        let Some(description) = self.description.as_mut().filter(|nic| nic.user_alias.is_some()) else { return false };
        Arc::make_mut(description).user_alias = None;
        true
    }
}

/// Keeps only the first of devices with the same target; returns how many were dropped.
pub(super) fn drop_duplicates<T: Named<Name = Arc<str>>>(devices: &mut Vec<T>) -> u64 {
    let before = devices.len();
    let mut targets = std::collections::HashSet::with_capacity(before);
    devices.retain(|device| targets.insert(Arc::clone(device.name())));
    u64::try_from(before - devices.len()).unwrap_or(u64::MAX)
}

/// Gives every device its description, and its target as its name where aliases collide. Targets must differ.
pub(super) fn join<T: Described>(devices: &mut [Since<T>], description: Option<&Description>) {
    for device in devices.iter_mut() {
        device.value.describe(description);
    }
    // Falling back to a target can collide with yet another alias. Each pass removes an alias, so the loop ends.
    while let Some(colliding) = collisions(devices) {
        let mut changed = false;
        for place in colliding {
            changed |= devices[place].value.forget_alias();
        }
        if !changed {
            return;
        }
    }
}

/// The indexes of devices that share their label with another; `None` if there are none.
fn collisions<T: Described>(devices: &[Since<T>]) -> Option<Vec<usize>> {
    if devices.iter().all(|device| device.value.label() == &**device.value.name()) {
        return None; // no aliases, as on most VMs
    }
    let mut places: Vec<usize> = (0..devices.len()).collect();
    places.sort_by_key(|place| devices[*place].value.label());
    let same = |a: usize, b: usize| devices[a].value.label() == devices[b].value.label();
    let mut colliding: Vec<usize> =
        places.windows(2).filter(|pair| same(pair[0], pair[1])).flatten().copied().collect();
    colliding.dedup();
    (!colliding.is_empty()).then_some(colliding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DiskDescription, Timestamp};

    fn disks(named: &[(&str, Option<&str>)]) -> Vec<String> {
        let description = Description {
            disks: named
                .iter()
                .map(|(target, alias)| {
                    Arc::new(DiskDescription {
                        target: (*target).into(),
                        user_alias: alias.map(Into::into),
                        ..DiskDescription::default()
                    })
                })
                .collect(),
            ..Description::default()
        };
        let mut disks: Vec<Since<Disk>> = named
            .iter()
            .map(|(target, _)| Since {
                start: Timestamp::default(),
                value: Disk { target: (*target).into(), ..Disk::default() },
            })
            .collect();
        join(&mut disks, Some(&description));
        assert!(disks.iter().all(|disk| disk.value.description.is_some()));
        disks.iter().map(|disk| disk.value.drive().to_owned()).collect()
    }

    #[test]
    fn a_disk_goes_by_the_alias_that_the_user_chose() {
        assert_eq!(disks(&[("vda", Some("root")), ("vdb", None)]), ["root", "vdb"]);
    }

    #[test]
    fn an_alias_that_is_another_disks_target_gives_way() {
        assert_eq!(disks(&[("vda", Some("vdb")), ("vdb", None)]), ["vda", "vdb"]);
        assert_eq!(disks(&[("vda", Some("x")), ("vdb", Some("x")), ("vdc", Some("y"))]), ["vda", "vdb", "y"]);
    }

    #[test]
    fn two_disks_may_have_swapped_names() {
        assert_eq!(disks(&[("vda", Some("vdb")), ("vdb", Some("vda"))]), ["vdb", "vda"]);
    }

    #[test]
    fn falling_back_to_a_target_gives_way_in_turn() {
        let names = disks(&[("vda", Some("x")), ("vdb", Some("x")), ("vdc", Some("vda"))]);
        assert_eq!(names, ["vda", "vdb", "vdc"]);
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
