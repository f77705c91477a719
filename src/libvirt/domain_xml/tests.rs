//! Parses real XML (`fixtures/`, from libvirt 9.0) and invented XML.

mod hostile;
mod metadata;
mod places;
mod properties;
mod real;

use super::*;
use crate::model::{DiskDescription, NicDescription};

/// A domain with these devices.
fn domain(devices: &str) -> String {
    format!("<domain type='kvm'><devices>{devices}</devices></domain>")
}

/// The only disk of a domain with these devices.
fn disk(devices: &str) -> DiskDescription {
    let description = parse(&domain(devices)).unwrap();
    assert_eq!(description.disks.len(), 1, "{devices}");
    (*description.disks[0]).clone()
}

/// The only interface of a domain with these devices.
fn nic(devices: &str) -> NicDescription {
    let description = parse(&domain(devices)).unwrap();
    assert_eq!(description.nics.len(), 1, "{devices}");
    (*description.nics[0]).clone()
}
