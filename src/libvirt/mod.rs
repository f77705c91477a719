//! The libvirt edge: what one daemon says, turned into the model.

pub mod decode;
pub mod domain_xml;
