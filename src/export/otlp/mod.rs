//! Stub, to be replaced.
#![allow(missing_docs, clippy::missing_errors_doc)]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::catalog::Selection;
use crate::clock::Clock;
use crate::snapshot::{Snapshot, Snapshots};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    None,
    #[default]
    Gzip,
}
#[derive(Debug, Clone, Default)]
pub struct ResourceSettings {
    pub service_name: Option<String>,
    pub attributes: Vec<(String, String)>,
    pub host_name: Option<Arc<str>>,
}
#[derive(Debug, Clone)]
pub struct OtlpSettings {
    pub endpoint: String,
    pub insecure: bool,
    pub headers: Vec<(String, String)>,
    pub timeout: Duration,
    pub compression: Compression,
    pub ca_file: Option<PathBuf>,
    pub client_certificate_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
    pub interval: Duration,
    pub resource: ResourceSettings,
}
#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct OtlpError;
#[derive(Debug, Clone, Copy)]
pub enum DropReason {
    Refused,
}
impl DropReason {
    pub const ALL: [Self; 1] = [Self::Refused];
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        "refused"
    }
}
#[derive(Debug, Default)]
pub struct OtlpCounters {
    _stub: u8,
}
impl OtlpCounters {
    #[must_use]
    pub fn points_sent(&self) -> u64 {
        0
    }
    #[must_use]
    pub fn points_rejected(&self) -> u64 {
        0
    }
    #[must_use]
    pub fn points_retried(&self) -> u64 {
        0
    }
    #[must_use]
    pub fn points_dropped(&self, _: DropReason) -> u64 {
        0
    }
    #[must_use]
    pub fn requests(&self) -> u64 {
        0
    }
    #[must_use]
    pub fn failed_requests(&self) -> u64 {
        0
    }
    #[must_use]
    pub fn bytes(&self) -> u64 {
        0
    }
    #[must_use]
    pub fn queued(&self) -> u64 {
        0
    }
}
#[derive(Debug)]
pub struct Exporter;
impl Exporter {
    pub fn new(_: OtlpSettings, _: Selection, _: Arc<dyn Clock>, _: Arc<OtlpCounters>) -> Result<Self, OtlpError> {
        Ok(Self)
    }
    pub async fn run(self, _: Snapshots, shutdown: CancellationToken) {
        shutdown.cancelled().await;
    }
}
pub fn otlp_json(_: &Arc<Snapshot>, _: &Selection, _: &ResourceSettings) -> Result<String, serde_json::Error> {
    Ok("{}".into())
}
