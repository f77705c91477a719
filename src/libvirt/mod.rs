//! The libvirt edge: one daemon behind the port [`Source`](crate::source::Source).
//!
//! ```text
//!  endpoint    one daemon: connect, call under a deadline, budget, events
//!  event       libvirt's events into words
//!  groups      the groups of statistics as libvirt numbers them
//!  decode      typed parameters into readings
//!  domain_xml  a domain's XML into its description
//!  limits      how many files the process may have open
//!  library     libvirt's own library, for drivers that no daemon serves (with the Cargo feature `virt`)
//! ```
//!
//! The protocol itself is spoken by the crate `libvirt-remote`.

pub mod decode;
pub mod domain_xml;
pub mod endpoint;
mod event;
mod groups;
#[cfg(feature = "virt")]
mod library;
pub mod limits;
