//! Snapshots as OTLP and as Prometheus text.
pub mod otlp;
pub mod prometheus;
