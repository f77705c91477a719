//! libvirt's own library as a judge: it answers the questions that `libvirt-remote` asks, and its answers come as plain
//! data that can be compared.
//!
//! The tests of this crate ask both and compare. Nothing of it is shipped.

mod events;
mod library;
mod plain;

pub use events::{Heard, Listener};
pub use library::Library;
pub use plain::{Fault, Machine, Parameter, Record, Value};
