//! Stub, to be replaced.
#![allow(missing_docs)]
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::model::{Daemon, Group, Groups};
use crate::snapshot::Snapshot;
use crate::source::{Source, SourceEvent};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals([Duration; Group::ALL.len()]);
impl Intervals {
    #[must_use]
    pub fn uniform(interval: Duration) -> Self {
        Self([interval; Group::ALL.len()])
    }
    #[must_use]
    pub fn with(mut self, group: Group, interval: Duration) -> Self {
        self.0[group as usize] = interval;
        self
    }
}
#[derive(Debug, Clone)]
pub struct Settings {
    pub intervals: Intervals,
    pub groups: Groups,
    pub parallel_reads: usize,
}
impl Default for Settings {
    fn default() -> Self {
        Self { intervals: Intervals::uniform(Duration::from_secs(15)), groups: Groups::all(), parallel_reads: 4 }
    }
}
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);
impl Counter {
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
#[derive(Debug, Default)]
pub struct Durations {
    pub count: Counter,
}
impl Durations {
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::ZERO
    }
}
#[derive(Debug, Default)]
pub struct Health {
    pub turns: Counter,
    pub readings: Counter,
    pub reading_failures: Counter,
    pub unknown_parameters: Counter,
    pub describe_queries: Counter,
    pub describe_failures: Counter,
    pub snapshots: Counter,
    pub stuck: Counter,
    pub busy: Counter,
    groups: [Durations; Group::ALL.len()],
}
impl Health {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    #[must_use]
    pub const fn durations(&self, group: Group) -> &Durations {
        &self.groups[group as usize]
    }
    #[must_use]
    pub fn since_turn(&self) -> Duration {
        Duration::ZERO
    }
}
pub type Feed = (Arc<dyn Source>, mpsc::Receiver<SourceEvent>);
pub async fn run(
    _settings: Settings,
    sources: Vec<Feed>,
    clock: Arc<dyn Clock>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    _health: Arc<Health>,
    shutdown: CancellationToken,
) {
    let daemons = sources
        .iter()
        .map(|(source, _)| Arc::new(Daemon { id: source.id().clone(), up: false, facts: None, domains: None }))
        .collect();
    let snapshot = Snapshot { published: clock.now(), sequence: 1, complete: true, daemons, ..Snapshot::default() };
    let _ = snapshots.send(Arc::new(snapshot));
    shutdown.cancelled().await;
}
