//! What a running domain's XML says: read once per detection.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{Bytes, HypervisorType, Metadata};

/// What a domain's XML says (`virDomainGetXMLDesc`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// The root's `type` attribute, verbatim (bounded in length).
    pub domain_type: Arc<str>,
    /// `/domain/uuid`
    pub uuid: Option<Uuid>,
    /// `/domain/os/type`'s text (`hvm`).
    pub os_type: Option<Arc<str>>,
    /// `/domain/os/type/@arch`
    pub arch: Option<Arc<str>>,
    /// `/domain/os/type/@machine`
    pub machine: Option<Arc<str>>,
    /// `/domain/title` and `/domain/metadata`; `None` if they say nothing that is known here.
    pub metadata: Option<Arc<Metadata>>,
    /// `/domain/devices/disk`, by target name.
    pub disks: Vec<Arc<DiskDescription>>,
    /// `/domain/devices/interface`, by target name.
    pub nics: Vec<Arc<NicDescription>>,
    /// `/domain/devices/memballoon`; `None` for a domain without a balloon device.
    pub balloon: Option<BalloonDescription>,
    /// Disks and interfaces that a limit left out.
    pub left_out: u32,
}

/// `/domain/devices/memballoon` of another model than `none`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BalloonDescription {
    /// `stats/@period`: how often the guest is asked for its own figures; `None` if it is not asked.
    pub period: Option<Duration>,
}

impl Description {
    /// What really runs the domain.
    #[must_use]
    pub fn hypervisor(&self) -> HypervisorType {
        HypervisorType::from_domain_type(&self.domain_type)
    }

    /// Removes each alias that another device has as alias or target, so that a name stands for one device of a kind.
    #[must_use]
    pub fn with_distinct_names(mut self) -> Self {
        let disks: Vec<_> = self.disks.iter().map(|disk| (Some(&*disk.target), disk.user_alias.as_deref())).collect();
        let nics: Vec<_> = self.nics.iter().map(|nic| (nic.target.as_deref(), nic.user_alias.as_deref())).collect();
        let (disks, nics) = (ambiguous(&disks), ambiguous(&nics));
        for (disk, _) in self.disks.iter_mut().zip(disks).filter(|(_, ambiguous)| *ambiguous) {
            Arc::make_mut(disk).user_alias = None;
        }
        for (nic, _) in self.nics.iter_mut().zip(nics).filter(|(_, ambiguous)| *ambiguous) {
            Arc::make_mut(nic).user_alias = None;
        }
        self
    }

    /// The disk with this target name.
    #[must_use]
    pub fn disk(&self, target: &str) -> Option<&Arc<DiskDescription>> {
        self.disks.iter().find(|disk| &*disk.target == target)
    }

    /// The network interface with this target name.
    #[must_use]
    pub fn nic(&self, target: &str) -> Option<&Arc<NicDescription>> {
        self.nics.iter().find(|nic| nic.target.as_deref() == Some(target))
    }
}

/// For each device of a kind, given by target and alias, whether another one has its alias as an alias or a target.
///
/// libvirt keeps aliases unique and targets unique, but lets one disk have the alias `vdb` and another the target
/// `vdb`. A device with an ambiguous alias goes by its target: two devices in one series cost more than both, since
/// Prometheus then rejects the whole page or push.
#[must_use]
pub fn ambiguous(devices: &[(Option<&str>, Option<&str>)]) -> Vec<bool> {
    let mut bearers: HashMap<&str, usize> = HashMap::with_capacity(2 * devices.len());
    for (target, alias) in devices {
        for name in target.iter().chain(alias.iter().filter(|alias| Some(**alias) != *target)) {
            *bearers.entry(name).or_default() += 1;
        }
    }
    devices
        .iter()
        .map(|(_, alias)| alias.is_some_and(|alias| bearers.get(alias).is_some_and(|many| *many > 1)))
        .collect()
}

/// `/domain/devices/disk`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskDescription {
    /// `target/@dev`
    pub target: Arc<str>,
    /// `alias/@name` without `ua-`, if it begins with that: an alias that the user chose.
    pub user_alias: Option<Arc<str>>,
    /// `@type`: `file`, `block`, `network` …
    pub source_kind: Option<Arc<str>>,
    /// `source`'s `file`, `dev`, `name`, `volume`, `dir` or `path` attribute.
    pub source: Option<Arc<str>>,
    /// `source/@protocol` of a network disk.
    pub protocol: Option<Arc<str>>,
    /// `target/@bus`
    pub bus: Option<Arc<str>>,
    /// `@device`: `disk`, `cdrom`, `lun`, `floppy`.
    pub device: Option<Arc<str>>,
    /// `driver/@type`: `raw`, `qcow2` …
    pub format: Option<Arc<str>>,
    /// `driver/@cache`
    pub cache: Option<Arc<str>>,
    /// `serial`
    pub serial: Option<Arc<str>>,
    /// `iotune`
    pub limits: IoLimits,
}

/// `/domain/devices/disk/iotune`, or the throttle groups that the disk's requests pass: what a disk may do per second.
/// 0 in libvirt means no limit and is `None` here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IoLimits {
    /// `total_bytes_sec`
    pub total_bytes: Option<Bytes>,
    /// `read_bytes_sec`
    pub read_bytes: Option<Bytes>,
    /// `write_bytes_sec`
    pub write_bytes: Option<Bytes>,
    /// `total_iops_sec`
    pub total_requests: Option<u64>,
    /// `read_iops_sec`
    pub read_requests: Option<u64>,
    /// `write_iops_sec`
    pub write_requests: Option<u64>,
    /// `total_bytes_sec_max`
    pub total_bytes_burst: Option<Bytes>,
    /// `read_bytes_sec_max`
    pub read_bytes_burst: Option<Bytes>,
    /// `write_bytes_sec_max`
    pub write_bytes_burst: Option<Bytes>,
    /// `total_iops_sec_max`
    pub total_requests_burst: Option<u64>,
    /// `read_iops_sec_max`
    pub read_requests_burst: Option<u64>,
    /// `write_iops_sec_max`
    pub write_requests_burst: Option<u64>,
    /// `total_bytes_sec_max_length`
    pub total_bytes_burst_length: Option<Duration>,
    /// `read_bytes_sec_max_length`
    pub read_bytes_burst_length: Option<Duration>,
    /// `write_bytes_sec_max_length`
    pub write_bytes_burst_length: Option<Duration>,
    /// `total_iops_sec_max_length`
    pub total_requests_burst_length: Option<Duration>,
    /// `read_iops_sec_max_length`
    pub read_requests_burst_length: Option<Duration>,
    /// `write_iops_sec_max_length`
    pub write_requests_burst_length: Option<Duration>,
    /// `size_iops_sec`: requests larger than this count as several.
    pub request_size: Option<Bytes>,
}

impl IoLimits {
    /// Adds limits that hold too: of each kind, the lower one remains. The length of a burst belongs to its limit.
    pub fn tighten(&mut self, other: &Self) {
        lower(&mut self.total_bytes, other.total_bytes);
        lower(&mut self.read_bytes, other.read_bytes);
        lower(&mut self.write_bytes, other.write_bytes);
        lower(&mut self.total_requests, other.total_requests);
        lower(&mut self.read_requests, other.read_requests);
        lower(&mut self.write_requests, other.write_requests);
        lower(&mut self.request_size, other.request_size);
        let own = (&mut self.total_bytes_burst, &mut self.total_bytes_burst_length);
        lower_burst(own, (other.total_bytes_burst, other.total_bytes_burst_length));
        let own = (&mut self.read_bytes_burst, &mut self.read_bytes_burst_length);
        lower_burst(own, (other.read_bytes_burst, other.read_bytes_burst_length));
        let own = (&mut self.write_bytes_burst, &mut self.write_bytes_burst_length);
        lower_burst(own, (other.write_bytes_burst, other.write_bytes_burst_length));
        let own = (&mut self.total_requests_burst, &mut self.total_requests_burst_length);
        lower_burst(own, (other.total_requests_burst, other.total_requests_burst_length));
        let own = (&mut self.read_requests_burst, &mut self.read_requests_burst_length);
        lower_burst(own, (other.read_requests_burst, other.read_requests_burst_length));
        let own = (&mut self.write_requests_burst, &mut self.write_requests_burst_length);
        lower_burst(own, (other.write_requests_burst, other.write_requests_burst_length));
    }
}

/// Takes the other limit if it is lower. Returns whether it is.
fn lower<T: Ord + Copy>(limit: &mut Option<T>, other: Option<T>) -> bool {
    let lower = other.is_some_and(|other| limit.is_none_or(|limit| other < limit));
    if lower {
        *limit = other;
    }
    lower
}

/// The same for a burst, whose length is its limit's.
fn lower_burst<T: Ord + Copy>(
    (burst, length): (&mut Option<T>, &mut Option<Duration>),
    (other, other_length): (Option<T>, Option<Duration>),
) {
    if lower(burst, other) {
        *length = other_length;
    }
}

/// `/domain/devices/interface`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NicDescription {
    /// `target/@dev`: the device on the host.
    pub target: Option<Arc<str>>,
    /// `alias/@name` without `ua-`, if it begins with that: an alias that the user chose.
    pub user_alias: Option<Arc<str>>,
    /// `mac/@address`
    pub mac: Option<Arc<str>>,
    /// `model/@type`
    pub model: Option<Arc<str>>,
    /// `@type`: `bridge`, `network`, `ethernet` …
    pub source_kind: Option<Arc<str>>,
    /// `source`'s `bridge`, `network`, `dev` or `path` attribute.
    pub source: Option<Arc<str>>,
    /// `mtu/@size`, in bytes.
    pub mtu: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(devices: &[(&str, Option<&str>)]) -> Vec<String> {
        let disk = |(target, alias): &(&str, Option<&str>)| {
            let user_alias = alias.map(Into::into);
            Arc::new(DiskDescription { target: (*target).into(), user_alias, ..DiskDescription::default() })
        };
        let disks = devices.iter().map(disk).collect();
        let description = Description { disks, ..Description::default() }.with_distinct_names();
        description.disks.iter().map(|disk| disk.user_alias.as_ref().unwrap_or(&disk.target).to_string()).collect()
    }

    #[test]
    fn a_disk_goes_by_the_alias_that_the_user_chose() {
        assert_eq!(names(&[("vda", Some("root")), ("vdb", None), ("vdc", Some("vdc"))]), ["root", "vdb", "vdc"]);
    }

    #[test]
    fn an_alias_that_another_disk_has_as_alias_or_target_gives_way() {
        assert_eq!(names(&[("vda", Some("vdb")), ("vdb", None)]), ["vda", "vdb"]);
        assert_eq!(names(&[("vda", Some("x")), ("vdb", Some("x")), ("vdc", Some("y"))]), ["vda", "vdb", "y"]);
        assert_eq!(names(&[("vda", Some("vdb")), ("vdb", Some("vda"))]), ["vda", "vdb"]);
        assert_eq!(names(&[("vda", Some("x")), ("vdb", Some("x")), ("vdc", Some("vda"))]), ["vda", "vdb", "vdc"]);
    }

    #[test]
    fn interfaces_without_a_target_go_by_their_alias_alone() {
        let nic = |alias: &str| NicDescription { user_alias: Some(alias.into()), ..NicDescription::default() };
        let nics = [nic("a"), nic("b"), nic("b")].map(Arc::new).to_vec();
        let description = Description { nics, ..Description::default() }.with_distinct_names();
        let aliases: Vec<_> = description.nics.iter().map(|nic| nic.user_alias.as_deref()).collect();
        assert_eq!(aliases, [Some("a"), None, None]);
    }
}
