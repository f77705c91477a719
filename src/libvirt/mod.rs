//! The libvirt edge: one daemon behind the port [`Source`](crate::source::Source).
//!
//! ```text
//!  endpoint    one daemon: connect, call under a deadline, quarantine, events
//!  ffi         the C library, as owned plain data; the only unsafe code
//!  event       libvirt's event numbers into words
//!  decode      typed parameters into readings
//!  domain_xml  a domain's XML into its description
//!  limits      how many files the process may have open
//! ```

pub mod decode;
pub mod domain_xml;
pub mod endpoint;
mod event;
mod ffi;
pub mod limits;
mod raw;

pub(crate) use ffi::{give_back_large_buffers, leave};
