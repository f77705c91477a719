//! `/domain/devices`: disks, interfaces and the balloon.

use std::sync::Arc;
use std::time::Duration;

use quick_xml::events::BytesStart;

use crate::libvirt::decode::MAX_DEVICES;
use crate::model::{BalloonDescription, Description, DiskDescription, NicDescription};

use super::error::XmlError;
use super::throttle::{self, ThrottleGroups};
use super::tokens::{Tokens, value};

/// The prefix of user-chosen aliases in libvirt.
const USER_ALIAS: &str = "ua-";

/// Reads `/domain/devices` to its end. `throttles` are the domain's throttle groups.
pub(super) fn read(
    tokens: &mut Tokens<'_>,
    description: &mut Description,
    throttles: &ThrottleGroups,
) -> Result<(), XmlError> {
    while let Some(element) = tokens.child()? {
        match element.name().as_ref() {
            "disk" if description.disks.len() < MAX_DEVICES => {
                let disk = disk(tokens, &element, throttles)?;
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
            "memballoon" => description.balloon = balloon(tokens, &element)?,
            _ => tokens.skip()?,
        }
    }
    Ok(())
}

fn disk(
    tokens: &mut Tokens<'_>,
    element: &BytesStart<'_>,
    throttles: &ThrottleGroups,
) -> Result<DiskDescription, XmlError> {
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
                disk.limits = throttle::limits(tokens)?.1;
                continue;
            }
            "throttlefilters" => {
                disk.limits.tighten(&throttles.filtered(tokens)?);
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
            "target" => nic.target = tokens.attribute(&child, "dev")?,
            "mac" => nic.mac = tokens.attribute(&child, "address")?,
            "model" => nic.model = tokens.attribute(&child, "type")?,
            "alias" => nic.user_alias = user_alias(tokens, &child)?,
            "source" => {
                if let Some(name) = source_attribute {
                    nic.source = tokens.attribute(&child, name)?;
                }
            }
            "mtu" => {
                let size = tokens.attribute(&child, "size")?;
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

/// The balloon device; `None` for the model `none`, by which libvirt says that there is none.
fn balloon(tokens: &mut Tokens<'_>, element: &BytesStart<'_>) -> Result<Option<BalloonDescription>, XmlError> {
    let model = tokens.attribute(element, "model")?;
    let mut balloon = BalloonDescription::default();
    while let Some(child) = tokens.child()? {
        if child.name().as_ref() == "stats" {
            let seconds = tokens.attribute(&child, "period")?.and_then(|period| period.parse().ok());
            balloon.period = seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs);
        }
        tokens.skip()?;
    }
    Ok(model.is_some_and(|model| &*model != "none").then_some(balloon))
}

/// The alias without its prefix, if a user chose it.
fn user_alias(tokens: &Tokens<'_>, element: &BytesStart<'_>) -> Result<Option<Arc<str>>, XmlError> {
    let alias = tokens.attribute(element, "name")?;
    Ok(alias.and_then(|alias| value(alias.strip_prefix(USER_ALIAS)?)))
}
