//! Reads for somebody who looks on, beside an agent that may read the same daemons.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::error::AgentError;
use super::signals::Signals;
use super::sources::{Farewell, Purpose, Sources};
use crate::clock::SystemClock;
use crate::config;
use crate::heartbeat::Heartbeats;
use crate::observe::{self, Intervals, ObserveCounters};
use crate::snapshot::{self, Snapshot, Snapshots};
use crate::watch::WatchCounters;

/// How long `observe` may take to abandon running calls.
const OBSERVE_END: Duration = Duration::from_secs(1);

/// Everything that is read, with few calls, until it is ended.
pub struct Live {
    pub(super) snapshots: Snapshots,
    pub(super) watch: Option<Arc<WatchCounters>>,
    /// None: whoever waits is ended by a signal, as any program.
    signals: Option<Signals>,
    observing: JoinHandle<()>,
    farewell: Farewell,
    stop: CancellationToken,
}

impl Live {
    /// Begins to read every VM, no more often than `reading` says, until a signal says to stop. Must be called within the
    /// runtime.
    ///
    /// # Errors
    ///
    /// When the credentials for the Kubernetes API cannot be used.
    pub async fn start(source: &config::Source, reading: &config::ReadSettings) -> Result<Self, AgentError> {
        let settings = observe::Settings { intervals: super::settings::intervals(reading), ..of(source) };
        let signals = Signals::new().map_err(AgentError::Signals)?;
        Self::with(source, settings, Some(signals)).await
    }

    /// The same to read once: first readings are spread over the interval, and a person waits.
    pub(super) async fn once(source: &config::Source, interval: Duration) -> Result<Self, AgentError> {
        let settings = observe::Settings {
            intervals: Intervals::uniform(interval),
            // What is not there now is missing from what is shown.
            not_yet: Duration::ZERO,
            ..of(source)
        };
        Self::with(source, settings, None).await
    }

    async fn with(
        source: &config::Source,
        settings: observe::Settings,
        signals: Option<Signals>,
    ) -> Result<Self, AgentError> {
        let (publish, snapshots) = snapshot::channel();
        let stop = CancellationToken::new();
        let mut sources = Sources::start(source, Purpose::Watched, &Heartbeats::new()).await?;
        let watch = sources.watch();
        sources.work(&stop);
        let farewell = sources.farewell();
        let (feeds, roster) = sources.into_feeds();
        let (clock, counters) = (Arc::new(SystemClock::new()), Arc::new(ObserveCounters::new()));
        let observing = observe::run(settings, feeds, roster, clock, publish, counters, stop.clone());
        Ok(Self { snapshots, watch, signals, observing: tokio::spawn(observing), farewell, stop })
    }

    /// The next snapshot; `None` when a signal says to stop.
    ///
    /// If it is dropped before, nothing is missed.
    pub async fn next(&mut self) -> Option<Arc<Snapshot>> {
        let signals = &mut self.signals;
        let told_to_stop = async {
            match signals {
                Some(signals) => drop(signals.next().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = told_to_stop => None,
            changed = self.snapshots.changed() => changed.ok().map(|()| Arc::clone(&self.snapshots.borrow_and_update())),
        }
    }

    /// Whether the Kubernetes API has listed the VMs; `None` where it is not used.
    #[must_use]
    pub fn api_said(&self) -> Option<bool> {
        self.watch.as_ref().map(|watch| watch.synced())
    }

    /// Ends in order, within seconds.
    pub async fn end(self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(OBSERVE_END, self.observing).await;
        self.farewell.wait().await;
    }
}

/// What to read of these VMs.
fn of(source: &config::Source) -> observe::Settings {
    observe::Settings {
        choice: source.choice.clone(),
        metadata_labels: Arc::clone(&source.metadata_labels),
        ..observe::Settings::default()
    }
}
