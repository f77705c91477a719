//! `/domain/devices`: disks and interfaces.

use std::sync::Arc;
use std::time::Duration;

use quick_xml::events::BytesStart;

use crate::libvirt::decode::MAX_DEVICES;
use crate::model::{Bytes, Description, DiskDescription, IoLimits, NicDescription};

use super::error::XmlError;
use super::tokens::{Tokens, value};

/// The prefix of user-chosen aliases in libvirt.
const USER_ALIAS: &str = "ua-";

/// The largest accepted limit: the maximum of a signed 64-bit integer, OTLP's only integer type.
const LARGEST_LIMIT: u64 = i64::MAX.cast_unsigned();

/// Reads `/domain/devices` to its end.
pub(super) fn read(tokens: &mut Tokens<'_>, description: &mut Description) -> Result<(), XmlError> {
    while let Some(element) = tokens.child()? {
        match element.name().as_ref() {
            "disk" if description.disks.len() < MAX_DEVICES => {
                let disk = disk(tokens, &element)?;
                if !disk.target.is_empty() && description.disk(&disk.target).is_none() {
                    description.disks.push(Arc::new(disk));
                }
            }
            "interface" if description.nics.len() < MAX_DEVICES => {
                description.nics.push(Arc::new(interface(tokens, &element)?));
            }
            "disk" | "interface" => {
                description.left_out = description.left_out.saturating_add(1);
                tokens.skip()?;
            }
            _ => tokens.skip()?,
        }
    }
    Ok(())
}

fn disk(tokens: &mut Tokens<'_>, element: &BytesStart<'_>) -> Result<DiskDescription, XmlError> {
    let mut disk = DiskDescription::default();
    tokens.attributes(element, |name, text| match name {
        "type" => disk.source_kind = value(text),
        "device" => disk.device = value(text),
        _ => {}
    })?;
    let source_attribute = disk_source_attribute(disk.source_kind.as_deref());
    while let Some(child) = tokens.child()? {
        match child.name().as_ref() {
            "target" => tokens.attributes(&child, |name, text| match name {
                "dev" => disk.target = value(text).unwrap_or_default(),
                "bus" => disk.bus = value(text),
                _ => {}
            })?,
            "source" => tokens.attributes(&child, |name, text| match name {
                "protocol" => disk.protocol = value(text),
                _ if Some(name) == source_attribute => disk.source = value(text),
                _ => {}
            })?,
            "driver" => tokens.attributes(&child, |name, text| match name {
                "type" => disk.format = value(text),
                "cache" => disk.cache = value(text),
                _ => {}
            })?,
            "alias" => disk.user_alias = user_alias(tokens, &child)?,
            "serial" => {
                disk.serial = tokens.text()?;
                continue;
            }
            "iotune" => {
                disk.limits = limits(tokens)?;
                continue;
            }
            _ => {}
        }
        tokens.skip()?;
    }
    Ok(disk)
}

/// The attribute of `source` that names the storage of a disk of this type. An NVMe disk has none: a separate element
/// holds its PCI address.
fn disk_source_attribute(kind: Option<&str>) -> Option<&'static str> {
    match kind? {
        "file" => Some("file"),
        "block" | "vhostvdpa" => Some("dev"),
        "dir" => Some("dir"),
        "network" => Some("name"),
        "volume" => Some("volume"),
        "vhostuser" => Some("path"),
        _ => None,
    }
}

fn interface(tokens: &mut Tokens<'_>, element: &BytesStart<'_>) -> Result<NicDescription, XmlError> {
    let mut nic = NicDescription::default();
    tokens.attributes(element, |name, text| {
        if name == "type" {
            nic.source_kind = value(text);
        }
    })?;
    let source_attribute = nic_source_attribute(nic.source_kind.as_deref());
    while let Some(child) = tokens.child()? {
        match child.name().as_ref() {
            "target" => nic.target = attribute(tokens, &child, "dev")?,
            "mac" => nic.mac = attribute(tokens, &child, "address")?,
            "model" => nic.model = attribute(tokens, &child, "type")?,
            "alias" => nic.user_alias = user_alias(tokens, &child)?,
            "source" => {
                if let Some(name) = source_attribute {
                    nic.source = attribute(tokens, &child, name)?;
                }
            }
            "mtu" => {
                let size = attribute(tokens, &child, "size")?;
                nic.mtu = size.and_then(|size| size.parse().ok()).filter(|size| *size > 0);
            }
            _ => {}
        }
        tokens.skip()?;
    }
    Ok(nic)
}

/// The attribute of `source` that says what an interface of this type is connected to.
fn nic_source_attribute(kind: Option<&str>) -> Option<&'static str> {
    match kind? {
        "bridge" => Some("bridge"),
        "network" => Some("network"),
        "direct" | "vdpa" => Some("dev"),
        "vhostuser" => Some("path"),
        _ => None,
    }
}

/// `iotune`: 0 means no limit.
fn limits(tokens: &mut Tokens<'_>) -> Result<IoLimits, XmlError> {
    let mut limits = IoLimits::default();
    while let Some(child) = tokens.child()? {
        let name = child.name();
        let text = tokens.text()?;
        let number = text.and_then(|text| text.parse().ok()).filter(|number| (1..=LARGEST_LIMIT).contains(number));
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
            _ => {}
        }
    }
    Ok(limits)
}

/// One attribute of an element.
fn attribute(tokens: &Tokens<'_>, element: &BytesStart<'_>, wanted: &str) -> Result<Option<Arc<str>>, XmlError> {
    let mut found = None;
    tokens.attributes(element, |name, text| {
        if name == wanted {
            found = value(text);
        }
    })?;
    Ok(found)
}

/// The alias without its prefix, if a user chose it.
fn user_alias(tokens: &Tokens<'_>, element: &BytesStart<'_>) -> Result<Option<Arc<str>>, XmlError> {
    let alias = attribute(tokens, element, "name")?;
    Ok(alias.and_then(|alias| value(alias.strip_prefix(USER_ALIAS)?)))
}
