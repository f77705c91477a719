//! The composition root: builds the stages, connects them by channels, and ends them in order.
//!
//! ```text
//!  config ─► settings ─► sources ─events─► observe ─watch─┬─► export::otlp ─► Collector
//!                                                         └─► content ─► admin ─► GET /metrics
//!            counters of all ─► own ──────► telemetry ─► both
//! ```
//!
//! This is the only place that knows every stage; they do not know each other.

mod content;
mod error;
mod idle_exit;
mod launchers;
mod own;
mod service_manager;
mod settings;
mod shutdown;
mod sidecars;
mod signals;
mod sources;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

pub use error::AgentError;
pub use own::instruments;
pub use settings::{identity, logs, resource};
pub use sources::{Farewell, Purpose, Sources};

use crate::admin::{self, Paths, ScrapeCounters};
use crate::clock::{Clock, SystemClock};
use crate::collector::Collector;
use crate::config;
use crate::export::otlp::{Exporter, OtlpCounters};
use crate::export::prometheus::Renderer;
use crate::heartbeat::Heartbeats;
use crate::observe::{self, ObserveCounters};
use crate::snapshot;
use crate::telemetry::{self, Logs};
use content::Shown;
use own::{Counted, Published};
use shutdown::{ShutdownPhase, Stages};
use signals::Signals;

/// Threads that run tasks. No task blocks for longer than rendering the page of a few hundred VMs takes, and libvirt
/// does the work of a reading: one is enough. With two the agent used as much CPU time, and 2 MiB more memory.
const WORKERS: usize = 1;

/// Threads for what blocks or takes long: resolving names, files, large documents, pages of many VMs. Daemons' names
/// and certificates never use more than half of them (`libvirt_remote::limits::BLOCKING_MAX`), even if a name server is
/// silent.
const BLOCKING: usize = 8;

/// How long such a thread stays idle before it ends.
const THREAD_REST: Duration = Duration::from_secs(1);

/// How `run` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Stopped in order, after one signal.
    InOrder,
    /// Stopped at once, after a second signal. Its number.
    AtOnce(u8),
}

/// The runtime for an agent.
///
/// # Errors
///
/// When the system cannot start threads.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING)
        .thread_keep_alive(THREAD_REST)
        .enable_all()
        .build()
}

/// Reads and publishes until told to stop by SIGTERM or SIGINT.
///
/// A missing daemon or Collector is no reason to end: the agent waits for both.
///
/// # Errors
///
/// When it cannot begin, or a stage ended unexpectedly. See [`AgentError`].
pub async fn run(config: &config::Run) -> Result<Ended, AgentError> {
    let mut signals = Signals::new().map_err(AgentError::Signals)?;
    // What can fail comes before what is visible from outside.
    let listeners = Listeners::bind(config).await?;
    let address = listeners.admin.first().and_then(|listener| listener.local_addr().ok());
    let port = address.map_or(config.listen.port, |address| address.port());
    let identity = identity(&config.source, &config.identity, port);
    let log = Logs::start(&logs(&config.logs, config.otlp_logs.as_ref()), &identity)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        vms = %config.source.vms,
        collector = config.otlp_metrics.as_ref().map(Collector::name),
        listen = address.map(|address| address.to_string()),
        health_listen = listeners.health_address(),
        "virt-otel starts"
    );
    let (mut stages, farewell) = start(config, listeners, &identity).await?;
    let outcome = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal = signal.name(), "told to stop");
            Ok(())
        }
        stage = stages.any_ended() => if stage == idle_exit::STAGE {
            // This stage ends when there is nothing left to do.
            Ok(())
        } else {
            tracing::error!(stage, "a stage ended that should not; please report this with the log before it");
            Err(AgentError::StageEnded { stage })
        }
    };
    let in_order = async {
        stages.end().await;
        farewell.wait().await;
        log.finish().await;
    };
    tokio::select! {
        () = in_order => outcome.map(|()| Ended::InOrder),
        signal = signals.next() => outcome.map(|()| Ended::AtOnce(signal.number())),
    }
}

/// The bound listeners.
struct Listeners {
    admin: Vec<TcpListener>,
    /// For the probes alone, if they have an address of their own.
    health: Option<Vec<TcpListener>>,
}

impl Listeners {
    async fn bind(config: &config::Run) -> Result<Self, AgentError> {
        let admin = admin::bind("--listen", &config.listen.host, config.listen.port).await?;
        let health = match &config.health_listen {
            Some(listen) => Some(admin::bind("--health-listen", &listen.host, listen.port).await?),
            None => None,
        };
        Ok(Self { admin, health })
    }

    fn health_address(&self) -> Option<String> {
        Some(self.health.as_ref()?.first()?.local_addr().ok()?.to_string())
    }
}

/// Builds the stages and starts them.
async fn start(
    config: &config::Run,
    listeners: Listeners,
    identity: &telemetry::Identity,
) -> Result<(Stages, Farewell), AgentError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (publish, snapshots) = snapshot::channel();
    let heartbeats = Heartbeats::new();
    let reading = heartbeats.part("observe");
    let reads = Arc::new(ObserveCounters::of(reading.clone()));
    let otlp_counters = config.otlp_metrics.is_some().then(|| Arc::new(OtlpCounters::default()));
    let scrapes = Arc::new(ScrapeCounters::default());

    // Everything that may fail is built before any stage is spawned.
    let exporter = match (&config.otlp_metrics, &otlp_counters) {
        (Some(collector), Some(counters)) => {
            let settings = settings::otlp(config, collector);
            let exporter = Exporter::new(settings, config.pushed.clone(), Arc::clone(&clock), Arc::clone(counters))?;
            let pulse = heartbeats.part("export::otlp");
            Some((pulse.clone(), exporter.with_pulse(pulse)))
        }
        _ => None,
    };
    let purpose = if config.otlp_metrics.is_some() { Purpose::Pushed } else { Purpose::Shown };
    let mut sources = Sources::start(&config.source, purpose, &heartbeats).await?;
    let counted = Counted {
        published: Arc::new(Published { snapshots: snapshots.clone(), clock: Arc::clone(&clock) }),
        reads: Arc::clone(&reads),
        daemons: Arc::new(sources.endpoints()),
        watch: sources.watch(),
        otlp: otlp_counters,
        scrapes: config.prometheus.then(|| Arc::clone(&scrapes)),
    };
    let (own_page, own_push) = match config.own {
        config::Own::Off => (None, None),
        config::Own::On => {
            let rows = counted.observables();
            let page = config.prometheus.then(|| telemetry::Page::new(identity, &rows)).transpose()?;
            let push = |collector| telemetry::Push::new(identity, &rows, collector, config.export_interval);
            (page, config.otlp_metrics.as_ref().map(push).transpose()?)
        }
    };
    let shown = Arc::new(Shown {
        watch: sources.watch(),
        renderer: config.prometheus.then(|| Renderer::new(&config.served)),
        own: own_page,
        snapshots: snapshots.clone(),
        heartbeats: heartbeats.clone(),
        clock: Arc::clone(&clock),
    });

    let mut stages = Stages::new();
    for work in sources.take_work() {
        stages.spawn(&work.pulse, ShutdownPhase::Read, work.run);
    }
    let farewell = sources.farewell();
    let (feeds, roster) = sources.into_feeds();
    stages.spawn(&reading, ShutdownPhase::Read, |stop| {
        observe::run(settings::observe(config), feeds, roster, clock, publish, reads, stop)
    });
    if let Some((pulse, exporter)) = exporter {
        stages.spawn(&pulse, ShutdownPhase::Push, |stop| exporter.run(snapshots, stop));
    }
    if let Some(push) = own_push {
        let pulse = heartbeats.part("telemetry");
        stages.spawn(&pulse.clone(), ShutdownPhase::Push, |stop| push.run(pulse, stop));
    }
    if let Some(manager) = config.service_manager.clone() {
        let (pulse, told) = (heartbeats.part("agent::service_manager"), heartbeats.clone());
        // It hears of the end first.
        stages.spawn(&pulse.clone(), ShutdownPhase::Read, |stop| {
            service_manager::run(manager, shown.snapshots.clone(), told, pulse, stop)
        });
    }
    let paths = if listeners.health.is_some() { Paths::Metrics } else { Paths::All };
    let servers =
        [Some(("admin", paths, listeners.admin)), listeners.health.map(|own| ("admin::health", Paths::Probes, own))];
    for (name, paths, listeners) in servers.into_iter().flatten() {
        let (pulse, shown, scrapes) = (heartbeats.part(name), Arc::clone(&shown), Arc::clone(&scrapes));
        stages.spawn(&pulse.clone(), ShutdownPhase::Serve, |stop| {
            admin::serve(listeners, paths, shown, scrapes, pulse, stop)
        });
    }
    Ok((stages, farewell))
}
