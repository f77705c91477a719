//! `/domain/metadata`: OpenStack's and libosinfo's elements, told by their namespaces.
//!
//! Anything may stand in metadata, and it says nothing of the machine. So what is odd in an element, such as an attribute
//! that is there twice, costs that element alone.

use std::sync::Arc;

use quick_xml::events::BytesStart;

use super::error::XmlError;
use super::tokens::Tokens;
use crate::model::{Bytes, Flavor, Metadata, MetadataKey};

/// The namespaces of Nova, which differ in what is not read here.
const NOVA: [&str; 2] = ["http://openstack.org/xmlns/libvirt/nova/1.0", "http://openstack.org/xmlns/libvirt/nova/1.1"];

/// The namespace of libosinfo, in which virt-manager and others name the guest's operating system.
const LIBOSINFO: [&str; 1] = ["http://libosinfo.org/xmlns/libvirt/domain/1.0"];

/// Reads `/domain/metadata` to its end.
pub(super) fn read(tokens: &mut Tokens<'_>, metadata: &mut Metadata) -> Result<(), XmlError> {
    while let Some(element) = tokens.child()? {
        if let Some(prefix) = is(tokens, &element, "instance", &NOVA) {
            instance(tokens, prefix, metadata)?;
        } else if let Some(prefix) = is(tokens, &element, "libosinfo", &LIBOSINFO) {
            operating_system(tokens, prefix, metadata)?;
        } else {
            tokens.skip()?;
        }
    }
    Ok(())
}

/// The prefix of an element that has this name in one of these namespaces. libvirt keeps the declaration of a namespace
/// on the element that begins it.
fn is<'e>(tokens: &Tokens<'_>, element: &'e BytesStart<'_>, name: &str, namespaces: &[&str]) -> Option<&'e str> {
    let (prefix, local) = split(element);
    if local != name {
        return None;
    }
    let declaration = if prefix.is_empty() { "xmlns".to_owned() } else { format!("xmlns:{prefix}") };
    let namespace = attribute(tokens, element, &declaration)?;
    namespaces.contains(&&*namespace).then_some(prefix)
}

/// The prefix of an element, empty without one, and its name without it.
fn split<'e>(element: &'e BytesStart<'_>) -> (&'e str, &'e str) {
    let name: &'e str = element.name().into_inner();
    name.split_once(':').unwrap_or(("", name))
}

/// The name of an element, if it has this prefix.
fn local<'e>(element: &'e BytesStart<'_>, prefix: &str) -> &'e str {
    let (own, local) = split(element);
    if own == prefix { local } else { "" }
}

/// An attribute; `None` as well if the attributes break a rule.
fn attribute(tokens: &Tokens<'_>, element: &BytesStart<'_>, name: &str) -> Option<Arc<str>> {
    tokens.attribute(element, name).ok().flatten()
}

/// `nova:instance`
fn instance(tokens: &mut Tokens<'_>, prefix: &str, metadata: &mut Metadata) -> Result<(), XmlError> {
    while let Some(element) = tokens.child()? {
        match local(&element, prefix) {
            "name" => metadata.set(MetadataKey::InstanceName, tokens.text()?),
            "flavor" => {
                metadata.set(MetadataKey::Flavor, attribute(tokens, &element, "name"));
                metadata.flavor = flavor(tokens, prefix)?;
            }
            "owner" => owner(tokens, prefix, metadata)?,
            "root" => {
                if attribute(tokens, &element, "type").as_deref() == Some("image") {
                    metadata.set(MetadataKey::Image, attribute(tokens, &element, "uuid"));
                }
                tokens.skip()?;
            }
            "image" => {
                metadata.set(MetadataKey::Image, attribute(tokens, &element, "uuid"));
                tokens.skip()?;
            }
            _ => tokens.skip()?,
        }
    }
    Ok(())
}

/// `nova:flavor`
fn flavor(tokens: &mut Tokens<'_>, prefix: &str) -> Result<Flavor, XmlError> {
    let mut flavor = Flavor::default();
    while let Some(element) = tokens.child()? {
        match local(&element, prefix) {
            "vcpus" => flavor.vcpus = number(tokens)?,
            "memory" => flavor.memory = number(tokens)?.map(Bytes::from_mib),
            "disk" => flavor.disk = number(tokens)?.map(Bytes::from_gib),
            "ephemeral" => flavor.ephemeral = number(tokens)?.map(Bytes::from_gib),
            "swap" => flavor.swap = number(tokens)?.map(Bytes::from_mib),
            _ => tokens.skip()?,
        }
    }
    Ok(flavor)
}

/// The number that is the text of the current element. One that is greater than any size is none.
fn number(tokens: &mut Tokens<'_>) -> Result<Option<u64>, XmlError> {
    let number = tokens.text()?.and_then(|text| text.parse().ok());
    Ok(number.filter(|number| *number <= u64::from(u32::MAX)))
}

/// `nova:owner`
fn owner(tokens: &mut Tokens<'_>, prefix: &str, metadata: &mut Metadata) -> Result<(), XmlError> {
    while let Some(element) = tokens.child()? {
        let (id, name) = match local(&element, prefix) {
            "project" => (MetadataKey::ProjectId, MetadataKey::ProjectName),
            "user" => (MetadataKey::UserId, MetadataKey::UserName),
            _ => {
                tokens.skip()?;
                continue;
            }
        };
        metadata.set(id, attribute(tokens, &element, "uuid"));
        metadata.set(name, tokens.text()?);
    }
    Ok(())
}

/// `libosinfo:libosinfo`
fn operating_system(tokens: &mut Tokens<'_>, prefix: &str, metadata: &mut Metadata) -> Result<(), XmlError> {
    while let Some(element) = tokens.child()? {
        if local(&element, prefix) == "os" {
            metadata.set(MetadataKey::Os, attribute(tokens, &element, "id"));
        }
        tokens.skip()?;
    }
    Ok(())
}
