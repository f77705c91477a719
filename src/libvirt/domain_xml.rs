//! Parses a domain's XML.
//!
//! Once per detection, a pull parser walks the few paths that are needed, skips everything else and stops at
//! `</devices>`: what libvirt writes after it (security labels, QEMU's command line) is not needed. Elements only count
//! in their proper place: a `<disk>` in `<metadata>`, a `<source>` in a `<backingStore>` or `<mirror>` and an
//! `<interface>` in a `<hostdev>` are ignored. Names are compared with their prefix, so an application's
//! `<app:devices>` is ignored, too. Of `<metadata>`, two applications' elements are read, told by their namespaces.
//!
//! Anyone who can answer on the daemon's socket may send the XML. So its length, depth, elements, attributes and values
//! are bounded, custom entities are not expanded, a DOCTYPE or a duplicate attribute (of an element that is read)
//! rejects the whole, and `<auth>` and other secrets are not read.

mod devices;
mod error;
mod limits;
mod metadata;
mod throttle;
mod tokens;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use uuid::Uuid;

use crate::model::{Description, Metadata, MetadataKey};

pub use error::XmlError;

use throttle::ThrottleGroups;
use tokens::{Tokens, value};

/// Reads a domain's XML.
///
/// A value that is missing, too long or invalid is `None`. Disks without a target, and devices beyond
/// [`MAX_DEVICES`](super::decode::MAX_DEVICES), are dropped; so is an alias that another device has as alias or target.
///
/// # Errors
///
/// If it is not a `<domain>` with a type, not XML up to the end of its devices, or exceeds a bound.
pub fn parse(xml: &str) -> Result<Description, XmlError> {
    let mut tokens = Tokens::new(xml)?;
    let root = tokens.root("domain")?;
    let mut description = Description::default();
    let mut domain_type = None;
    tokens.attributes(&root, |name, text| {
        if name == "type" {
            domain_type = value(text);
        }
    })?;
    description.domain_type = domain_type.ok_or(XmlError::NoType)?;

    let mut metadata = Metadata::default();
    let mut throttles = ThrottleGroups::default();
    while let Some(element) = tokens.child()? {
        match element.name().as_ref() {
            "uuid" => description.uuid = tokens.text()?.and_then(|text| Uuid::parse_str(&text).ok()),
            "title" => metadata.set(MetadataKey::Title, tokens.text()?),
            "metadata" => metadata::read(&mut tokens, &mut metadata)?,
            "os" => os(&mut tokens, &mut description)?,
            "throttlegroups" => throttles = ThrottleGroups::read(&mut tokens)?,
            "devices" => {
                devices::read(&mut tokens, &mut description, &throttles)?;
                break;
            }
            _ => tokens.skip()?,
        }
    }
    if metadata != Metadata::default() {
        description.metadata = Some(Arc::new(metadata));
    }
    Ok(description.with_distinct_names())
}

/// `/domain/os`
fn os(tokens: &mut Tokens<'_>, description: &mut Description) -> Result<(), XmlError> {
    while let Some(element) = tokens.child()? {
        if element.name().as_ref() == "type" {
            tokens.attributes(&element, |name, text| match name {
                "arch" => description.arch = value(text),
                "machine" => description.machine = value(text),
                _ => {}
            })?;
            description.os_type = tokens.text()?;
        } else {
            tokens.skip()?;
        }
    }
    Ok(())
}
