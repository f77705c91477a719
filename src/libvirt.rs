//! The libvirt adapter: one daemon behind the port [`Source`](crate::source::Source).
//!
//! ```text
//!  endpoint    one daemon: connections, calls with deadlines, call limits, events
//!  event       converts libvirt's events
//!  groups      maps statistics groups to libvirt's flags
//!  decode      converts typed parameters to readings
//!  domain_xml  parses a domain's XML
//!  limits      the limit on open files
//!  library     libvirt's own library, for drivers without a daemon (with the Cargo feature `virt`)
//! ```
//!
//! The crate `libvirt-remote` implements the protocol itself.

pub mod decode;
pub mod domain_xml;
pub mod endpoint;
mod event;
mod groups;
#[cfg(feature = "virt")]
mod library;
pub mod limits;
