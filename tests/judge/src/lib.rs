//! libvirt's own library as the reference: it makes the same calls as `libvirt-remote`, and returns the answers as
//! plain data that can be compared.
//!
//! This crate is not shipped; its tests call both and compare.

mod events;
mod library;
mod plain;

pub use events::{Heard, Listener};
pub use library::Library;
pub use plain::{Fault, Machine, Parameter, Record, Value};
