//! The Collectors that are pushed to, with their credentials.

use std::sync::Arc;

use crate::collector::{Collector, CollectorError, CredentialCounters, Credentials, Rotation};
use crate::config;

/// Where metrics and logs go, and what keeps the credentials current.
#[derive(Debug)]
pub(super) struct Collectors {
    pub(super) metrics: Option<(Collector, Credentials)>,
    pub(super) logs: Option<(Collector, Credentials)>,
    /// Of files that are followed: one if both have the same files.
    pub(super) rotations: Vec<Rotation>,
    /// `None` if nothing is pushed.
    pub(super) counters: Option<Arc<CredentialCounters>>,
}

impl Collectors {
    /// Reads the files that the settings name, and so checks them.
    pub(super) fn open(config: &config::Run) -> Result<Self, CollectorError> {
        let counters = Arc::new(CredentialCounters::default());
        let mut rotations: Vec<Rotation> = Vec::new();
        let mut open = |collector: &Collector| -> Result<(Collector, Credentials), CollectorError> {
            for rotation in &mut rotations {
                if let Some(shared) = rotation.share(collector)? {
                    return Ok((collector.clone(), shared));
                }
            }
            let (credentials, rotation) = collector.open()?;
            rotations.push(rotation.with_counters(Arc::clone(&counters)));
            Ok((collector.clone(), credentials))
        };
        let metrics = config.otlp_metrics.as_ref().map(&mut open).transpose()?;
        let logs = config.otlp_logs.as_ref().map(&mut open).transpose()?;
        rotations.retain(Rotation::has_files);
        let counters = (metrics.is_some() || logs.is_some()).then_some(counters);
        Ok(Self { metrics, logs, rotations, counters })
    }
}
