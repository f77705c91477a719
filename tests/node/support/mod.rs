//! What the tests on real nodes share.

pub mod cluster;
pub mod collector;
pub mod pod;
pub mod release;
pub mod secret;
pub mod vm;
mod watch;

pub use cluster::{Cluster, NODE1, NODE2, soon};
pub use collector::{CPU, Collector, TYPE};
pub use pod::Pod;
pub use release::Release;
pub use vm::{Guest, VMS, Vm};
pub use watch::types_meanwhile;
