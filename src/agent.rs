//! The composition root: builds the stages, connects them by channels, and ends them in order.
//!
//! ```text
//!  config ─► settings ─► sources ─events─► observe ─watch─┬─► export::otlp ─► Collector
//!                                                         └─► content ─► admin ─► GET /metrics
//!            counters of all ─► own ──────► telemetry ─► both
//!            web, watch's reviews ─► guard ─► admin
//! ```
//!
//! This is the only place that knows every stage; they do not know each other.

mod collectors;
mod content;
mod error;
mod guard;
mod idle_exit;
mod launchers;
mod live;
mod once;
mod own;
mod service_manager;
mod settings;
mod shutdown;
mod sidecars;
mod signals;
mod sources;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;

pub use error::AgentError;
pub use live::Live;
pub use once::{Once, answered, named, patience, read_once, runs};
pub use own::instruments;
pub use settings::{identity, logs, resource};
pub use sources::{Farewell, LAUNCHERS, Purpose, Sources, address_of, files_for, watch_settings};

use crate::admin::{self, Paths, ScrapeCounters, Site};
use crate::clock::{Clock, SystemClock};
use crate::collector::{Collector, Credentials};
use crate::config;
use crate::export::otlp::{Exporter, OtlpCounters, Spread};
use crate::export::prometheus::Renderer;
use crate::heartbeat::Heartbeats;
use crate::observe::{self, ObserveCounters};
use crate::snapshot;
use crate::telemetry::{self, Logs};
use collectors::Collectors;
use content::{About, Shown};
use guard::Guarded;
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
    let collectors = Collectors::open(config)?;
    let log = Logs::start(&logs(&config.logs, collectors.logs.clone()), &identity)?;
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
    let (mut stages, farewell) = start(config, listeners, collectors, &identity).await?;
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
    collectors: Collectors,
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
    let spread = Spread::at_random(config.export_interval);
    let exporter = match (&collectors.metrics, &otlp_counters) {
        (Some((collector, credentials)), Some(counters)) => {
            let (settings, credentials) = (settings::otlp(config, collector), credentials.clone());
            let (clock, counters) = (Arc::clone(&clock), Arc::clone(counters));
            let exporter = Exporter::new(settings, credentials, config.pushed.clone(), clock, counters);
            let pulse = heartbeats.part("export::otlp");
            Some((pulse.clone(), exporter.with_spread(spread).with_pulse(pulse)))
        }
        _ => None,
    };
    let purpose = if config.otlp_metrics.is_some() { Purpose::Pushed } else { Purpose::Shown };
    let mut sources = Sources::start(&config.source, purpose, &heartbeats).await?;
    let guarded = config.web.as_ref().map(|web| Guarded::new(web, sources.reviewer())).transpose()?;
    let pushes = collectors.metrics.as_ref().zip(otlp_counters.clone());
    let pushes = pushes.map(|((collector, _), counters)| (collector.name(), counters));
    let counted = Counted {
        published: Arc::new(Published { snapshots: snapshots.clone(), clock: Arc::clone(&clock) }),
        reads: Arc::clone(&reads),
        daemons: Arc::new(sources.endpoints()),
        watch: sources.watch(),
        otlp: otlp_counters,
        credentials: collectors.counters,
        scrapes: config.prometheus.then(|| Arc::clone(&scrapes)),
        web: guarded.as_ref().map(|guarded| Arc::clone(&guarded.counters)),
    };
    let (own_page, own_push) = match config.own {
        config::Own::Off => (None, None),
        config::Own::On => {
            let rows = counted.observables();
            let page = config.prometheus.then(|| telemetry::Page::new(identity, &rows)).transpose()?;
            let push = |(collector, credentials): &(Collector, Credentials)| {
                telemetry::Push::new(identity, &rows, collector, credentials, config.export_interval)
            };
            (page, collectors.metrics.as_ref().map(push).transpose()?)
        }
    };
    let shown = Arc::new(Shown {
        watch: sources.watch(),
        renderer: config.prometheus.then(|| Renderer::new(&config.served)),
        own: own_page,
        snapshots: snapshots.clone(),
        heartbeats: heartbeats.clone(),
        clock: Arc::clone(&clock),
        about: About {
            reads: config.source.vms.to_string(),
            interval: config.reading.interval,
            began: tokio::time::Instant::now(),
        },
        pushes,
        looked: Mutex::default(),
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
        stages.spawn(&pulse.clone(), ShutdownPhase::Push, |stop| push.run(spread.each, pulse, stop));
    }
    for rotation in collectors.rotations {
        let pulse = heartbeats.part_of("collector", rotation.name().into());
        stages.spawn(&pulse.clone(), ShutdownPhase::Read, |stop| rotation.run(pulse, stop));
    }
    if let Some(manager) = config.service_manager.clone() {
        let (pulse, told) = (heartbeats.part("agent::service_manager"), heartbeats.clone());
        // It hears of the end first.
        stages.spawn(&pulse.clone(), ShutdownPhase::Read, |stop| {
            service_manager::run(manager, shown.snapshots.clone(), told, pulse, stop)
        });
    }
    let guard = guarded.map(|Guarded { guard, follower, .. }| {
        let pulse = heartbeats.part("web");
        stages.spawn(&pulse.clone(), ShutdownPhase::Serve, |stop| follower.run(pulse, stop));
        guard
    });
    let paths = if listeners.health.is_some() { Paths::Metrics } else { Paths::All };
    let site = Site { paths, content: shown, counters: scrapes, guard };
    // Whoever probes has no secret.
    let probes = Site { paths: Paths::Probes, guard: None, ..site.clone() };
    let servers = [Some(("admin", site, listeners.admin)), listeners.health.map(|own| ("admin::health", probes, own))];
    for (name, site, listeners) in servers.into_iter().flatten() {
        let pulse = heartbeats.part(name);
        stages.spawn(&pulse.clone(), ShutdownPhase::Serve, |stop| admin::serve(listeners, site, pulse, stop));
    }
    Ok((stages, farewell))
}
