//! What a domain's XML says.
//!
//! A domain's XML is read once per detection, by a pull parser that walks down the few paths that are needed, skips
//! everything else and stops at `</devices>`: libvirt writes what comes after it (security labels, QEMU's command
//! line) for others. Only elements at their own place count: a `<disk>` in `<metadata>`, a `<source>` in a
//! `<backingStore>` or `<mirror>` and an `<interface>` in a `<hostdev>` are none. Names are compared with their
//! prefix, so an application's `<app:devices>` is none either.
//!
//! The XML may come from anybody who can answer on the daemon's socket. So its length, depth, elements, attributes
//! and values are bounded, entities are not expanded, a DOCTYPE or an attribute that is there twice refuses the whole,
//! and `<auth>` and other secrets are not looked at.

mod devices;
mod error;
mod tokens;

#[cfg(test)]
mod tests;

use uuid::Uuid;

use crate::model::Description;

pub use error::XmlError;

use tokens::{Tokens, value};

/// Reads a domain's XML.
///
/// A value that is missing, too long or not understood is `None`. Of disks without a target and of what exceeds
/// [`MAX_DEVICES`](super::decode::MAX_DEVICES) nothing is kept.
///
/// # Errors
///
/// If it is no `<domain>` with a type, or not XML up to the end of its devices, or exceeds a bound.
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

    while let Some(element) = tokens.child()? {
        match element.name().as_ref() {
            "uuid" => description.uuid = tokens.text()?.and_then(|text| Uuid::parse_str(&text).ok()),
            "os" => os(&mut tokens, &mut description)?,
            "devices" => {
                devices::read(&mut tokens, &mut description)?;
                break;
            }
            _ => tokens.skip()?,
        }
    }
    Ok(description)
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
