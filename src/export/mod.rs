//! Snapshots on their way out.

pub mod naming;
pub mod prometheus;
