//! What a disk may do per second: `iotune` and, from libvirt 11.2 on, the throttle groups that a disk's requests pass.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::libvirt::decode::MAX_DEVICES;
use crate::model::{Bytes, IoLimits};

use super::error::XmlError;
use super::tokens::Tokens;

/// The largest accepted limit: the maximum of a signed 64-bit integer, OTLP's only integer type.
const LARGEST_LIMIT: u64 = i64::MAX.cast_unsigned();

/// How many throttle groups are read: as many as disks.
const MAX_GROUPS: usize = MAX_DEVICES;

/// `/domain/throttlegroups`, by name. libvirt writes it before the devices.
#[derive(Debug, Default)]
pub(super) struct ThrottleGroups(BTreeMap<Arc<str>, IoLimits>);

impl ThrottleGroups {
    /// Reads `/domain/throttlegroups` to its end.
    pub(super) fn read(tokens: &mut Tokens<'_>) -> Result<Self, XmlError> {
        let mut groups = BTreeMap::new();
        while let Some(element) = tokens.child()? {
            if element.name().as_ref() != "throttlegroup" {
                tokens.skip()?;
                continue;
            }
            if let (Some(name), limits) = limits(tokens)?
                && groups.len() < MAX_GROUPS
            {
                groups.entry(name).or_insert(limits);
            }
        }
        Ok(Self(groups))
    }

    /// Reads a disk's `throttlefilters` to its end. A request passes all of them, so that the lowest limit of each kind
    /// holds.
    pub(super) fn filtered(&self, tokens: &mut Tokens<'_>) -> Result<IoLimits, XmlError> {
        let mut limits = IoLimits::default();
        while let Some(element) = tokens.child()? {
            if element.name().as_ref() == "throttlefilter"
                && let Some(group) = tokens.attribute(&element, "group")?.and_then(|name| self.0.get(&name))
            {
                limits.tighten(group);
            }
            tokens.skip()?;
        }
        Ok(limits)
    }
}

/// `iotune`, or a `throttlegroup` with its name: 0 means no limit.
pub(super) fn limits(tokens: &mut Tokens<'_>) -> Result<(Option<Arc<str>>, IoLimits), XmlError> {
    let (mut group, mut limits) = (None, IoLimits::default());
    while let Some(child) = tokens.child()? {
        let name = child.name();
        let text = tokens.text()?;
        let number =
            text.as_ref().and_then(|text| text.parse().ok()).filter(|number| (1..=LARGEST_LIMIT).contains(number));
        let (bytes, length) = (number.map(Bytes), number.map(Duration::from_secs));
        match name.as_ref() {
            "total_bytes_sec" => limits.total_bytes = bytes,
            "read_bytes_sec" => limits.read_bytes = bytes,
            "write_bytes_sec" => limits.write_bytes = bytes,
            "total_iops_sec" => limits.total_requests = number,
            "read_iops_sec" => limits.read_requests = number,
            "write_iops_sec" => limits.write_requests = number,
            "total_bytes_sec_max" => limits.total_bytes_burst = bytes,
            "read_bytes_sec_max" => limits.read_bytes_burst = bytes,
            "write_bytes_sec_max" => limits.write_bytes_burst = bytes,
            "total_iops_sec_max" => limits.total_requests_burst = number,
            "read_iops_sec_max" => limits.read_requests_burst = number,
            "write_iops_sec_max" => limits.write_requests_burst = number,
            "total_bytes_sec_max_length" => limits.total_bytes_burst_length = length,
            "read_bytes_sec_max_length" => limits.read_bytes_burst_length = length,
            "write_bytes_sec_max_length" => limits.write_bytes_burst_length = length,
            "total_iops_sec_max_length" => limits.total_requests_burst_length = length,
            "read_iops_sec_max_length" => limits.read_requests_burst_length = length,
            "write_iops_sec_max_length" => limits.write_requests_burst_length = length,
            "size_iops_sec" => limits.request_size = bytes,
            "group_name" => group = text,
            _ => {}
        }
    }
    Ok((group, limits))
}
