//! Stub, to be replaced.
#![allow(missing_docs, clippy::missing_errors_doc)]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use uuid::Uuid;

use crate::model::{DaemonId, Description, Groups, Status};
use crate::source::{Answer, Listed, ReadError, Source, SourceEvent, Stats};

#[derive(Debug, Clone)]
pub struct Settings {
    pub uri: DaemonId,
    pub deadline: Duration,
    pub calls_at_once: usize,
    pub runtime_dir: Option<PathBuf>,
}

impl Settings {
    pub const AT_ONCE: usize = 4;
    #[must_use]
    pub fn new(uri: DaemonId) -> Self {
        Self { uri, deadline: Duration::from_secs(3), calls_at_once: Self::AT_ONCE, runtime_dir: None }
    }
}

#[derive(Debug, Clone, Copy)]
pub enum CallKind {
    Open,
}

impl CallKind {
    pub const ALL: [Self; 1] = [Self::Open];
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        "open"
    }
}

#[derive(Debug, Default)]
pub struct CallCounters;

impl CallCounters {
    #[must_use]
    pub fn returned(&self) -> u64 {
        0
    }
    #[must_use]
    pub fn failed(&self) -> u64 {
        0
    }
    #[must_use]
    pub fn late(&self) -> u64 {
        0
    }
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::ZERO
    }
}

#[derive(Debug, Default)]
pub struct EndpointCounters(CallCounters);

impl EndpointCounters {
    #[must_use]
    pub fn calls(&self, _kind: CallKind) -> &CallCounters {
        &self.0
    }
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        0
    }
    #[must_use]
    pub fn abandoned(&self) -> u64 {
        0
    }
    #[must_use]
    pub fn connections(&self) -> u64 {
        0
    }
    #[must_use]
    pub fn connects(&self) -> u64 {
        0
    }
    #[must_use]
    pub fn disconnects(&self) -> u64 {
        0
    }
    #[must_use]
    pub fn unknown_parameters(&self) -> u64 {
        0
    }
    #[must_use]
    pub fn events_received(&self) -> u64 {
        0
    }
    #[must_use]
    pub fn events_dropped(&self) -> u64 {
        0
    }
    #[must_use]
    pub fn requests_refused(&self) -> u64 {
        0
    }
}

#[derive(Debug)]
pub struct Endpoint;

impl Endpoint {
    #[must_use]
    pub fn start(settings: &Settings, events: mpsc::Sender<SourceEvent>) -> Arc<EndpointHandle> {
        let _ = events.try_send(SourceEvent::Disconnected { reason: "stub".into() });
        Arc::new(EndpointHandle { id: settings.uri.clone(), counters: Arc::default(), _events: events })
    }
}

#[derive(Debug)]
pub struct EndpointHandle {
    id: DaemonId,
    counters: Arc<EndpointCounters>,
    _events: mpsc::Sender<SourceEvent>,
}

impl EndpointHandle {
    #[must_use]
    pub fn counters(&self) -> &Arc<EndpointCounters> {
        &self.counters
    }
    fn gone<T>(&self) -> Answer<'_, T> {
        Box::pin(async { Err(ReadError::Disconnected { daemon: self.id.clone() }) })
    }
}

impl Source for EndpointHandle {
    fn id(&self) -> &DaemonId {
        &self.id
    }
    fn list(&self) -> Answer<'_, Vec<Listed>> {
        self.gone()
    }
    fn status(&self, _: Uuid) -> Answer<'_, Option<Status>> {
        self.gone()
    }
    fn read(&self, _: Uuid, _: Groups) -> Answer<'_, Option<Stats>> {
        self.gone()
    }
    fn describe(&self, _: Uuid) -> Answer<'_, Option<Description>> {
        self.gone()
    }
}
