//! Snapshots on their way out: as OTLP and as Prometheus text.

pub mod naming;
pub mod otlp;
pub mod prometheus;
