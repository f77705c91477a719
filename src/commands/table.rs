//! Stub, to be replaced.
#![allow(missing_docs)]
use crate::snapshot::Snapshot;
#[must_use]
pub fn table(snapshot: &Snapshot) -> String {
    format!("{} VMs\n", snapshot.vms.len())
}
