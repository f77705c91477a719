//! The daemons that are read, by mode.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::AgentError;
use super::idle_exit;
use super::launchers::{self, Launchers};
use crate::config::{self, Kubevirt, Sidecar, Vms};
use crate::heartbeat::{Heartbeats, Pulse};
use crate::libvirt::endpoint::{Address, Endpoint, EndpointCounters, Reader, Settings, room};
use crate::libvirt::limits;
use crate::model::{DaemonId, GuestOs, Launcher};
use crate::observe::{Feed, Owner, Roster, Who};
use crate::source::SourceEvent;
use crate::watch::{self, Reviewer, WatchCounters};

/// Events of one daemon that wait for `observe`: a host where one script starts or stops a few hundred VMs sends about
/// three for each, within one turn of the loop. More are dropped, and everything is read again.
const EVENTS: usize = 1_024;

/// Roster changes that wait for `observe`, which takes them within a turn of its loop.
const ROSTER: usize = 64;

/// Events of the watch that wait to be joined, which takes microseconds. When the channel is full, the watch waits.
const VMI_EVENTS: usize = 64;

/// The most VMIs per node that the design allows for: Kubernetes recommends 110 pods per node, and large machines run a
/// few hundred.
pub const LAUNCHERS: u64 = 1_000;

/// Files per launcher: a connection for events and one for calls.
const FILES_PER_LAUNCHER: u64 = 2;

/// Files for everything else: a reserve, scrapes, pushes, the API.
const FILES_BESIDES: u64 = 256;

/// Concurrent readings per core: the libvirt daemon and QEMU do the work of a reading, on the same cores, and more than
/// this only makes a burst of what should be spread.
const READS_PER_CORE: usize = 2;

/// The name of all launchers together in the agent's own metrics: a series for each would be one per VM, and add
/// nothing to the VM's own.
const LAUNCHERS_NAME: &str = "launchers";

/// A task that runs until its token is cancelled.
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Work that a source does for as long as the agent runs.
pub(super) struct Work {
    /// Its heartbeat, which has the stage's name.
    pub(super) pulse: Pulse,
    /// Makes the work from the token that ends it.
    pub(super) run: Box<dyn FnOnce(CancellationToken) -> Task + Send>,
}

impl Work {
    fn new<F>(pulse: Pulse, run: impl FnOnce(CancellationToken) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { pulse, run: Box::new(|stop| Box::pin(run(stop))) }
    }
}

/// Permits for concurrent readings over all daemons.
fn places() -> Arc<Semaphore> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Arc::new(Semaphore::new(cores.saturating_mul(READS_PER_CORE)))
}

/// How long closing the connections to all daemons may take. Each answers within a millisecond or two.
const FAREWELL: Duration = Duration::from_millis(100);

/// The closing of the daemons' connections: a daemon logs an error if its client just disconnects.
#[derive(Debug)]
pub struct Farewell(TaskTracker);

impl Farewell {
    /// Waits for it, within its time limit. Reading must have ended.
    pub async fn wait(self) {
        self.0.close();
        let _ = tokio::time::timeout(FAREWELL, self.0.wait()).await;
    }
}

/// What becomes of what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It is pushed, and may be shown too.
    Pushed,
    /// It is only shown.
    Shown,
    /// Somebody looks on, perhaps beside an agent that reads the same daemons.
    Watched,
}

impl Purpose {
    const fn reader(self) -> Reader {
        match self {
            Self::Pushed | Self::Shown => Reader::Agent,
            Self::Watched => Reader::BesideAnAgent,
        }
    }
}

/// The daemons to read, and changes to them.
pub struct Sources {
    feeds: Vec<Feed>,
    roster: Option<mpsc::Receiver<Roster>>,
    work: Vec<Work>,
    endpoints: Vec<(String, Arc<EndpointCounters>)>,
    watch: Option<Arc<WatchCounters>>,
    reviewer: Option<Reviewer>,
    /// The endpoints' tasks.
    tasks: TaskTracker,
}

impl Sources {
    /// Begins to connect to every configured daemon, for this purpose. Must be called within the runtime. The parts
    /// report to `heartbeats`.
    ///
    /// # Errors
    ///
    /// When the credentials for the Kubernetes API cannot be used.
    pub async fn start(config: &config::Source, purpose: Purpose, heartbeats: &Heartbeats) -> Result<Self, AgentError> {
        open_files();
        match &config.vms {
            Vms::Libvirt { daemons } => Ok(Self::hosts(config, daemons, purpose, heartbeats)),
            Vms::Kubevirt(kubevirt) => Self::node(config, kubevirt, purpose, heartbeats).await,
            Vms::Sidecar(sidecar) => Ok(Self::pod(config, sidecar, purpose, heartbeats)),
        }
    }

    fn hosts(config: &config::Source, daemons: &[config::Daemon], purpose: Purpose, heartbeats: &Heartbeats) -> Self {
        let mut sources = Self {
            feeds: Vec::new(),
            roster: None,
            work: Vec::new(),
            endpoints: Vec::new(),
            watch: None,
            reviewer: None,
            tasks: TaskTracker::new(),
        };
        let (places, room) = (places(), room());
        for daemon in daemons {
            let id = DaemonId(daemon.uri.as_str().into());
            let mut settings = Settings::new(id, address_of(daemon));
            settings.deadline = config.deadline;
            settings.reader = purpose.reader();
            settings.places = Some(Arc::clone(&places));
            settings.room = Some(Arc::clone(&room));
            settings.heartbeats = heartbeats.clone();
            settings.tasks = sources.tasks.clone();
            let (sender, events) = mpsc::channel::<SourceEvent>(EVENTS);
            let endpoint = Endpoint::start(&settings, sender);
            sources.endpoints.push((daemon.uri.clone(), Arc::clone(endpoint.counters())));
            sources.feeds.push(Feed::host(endpoint, events));
        }
        sources
    }

    async fn node(
        config: &config::Source,
        kubevirt: &Kubevirt,
        purpose: Purpose,
        heartbeats: &Heartbeats,
    ) -> Result<Self, AgentError> {
        let settings = watch_settings(config, kubevirt);
        let server = watch::connect(&settings).await?;
        let reviewer = Reviewer::new(&server);
        check_files_for(LAUNCHERS);
        let (vmi_sender, vmi_events) = mpsc::channel(VMI_EVENTS);
        let (roster, changes) = mpsc::channel(ROSTER);
        let counters = Arc::new(WatchCounters::default());
        let shared = Arc::new(EndpointCounters::default());
        let tasks = TaskTracker::new();
        let of_launchers = launchers::LauncherSettings {
            pods_dir: kubevirt.pods_dir.clone(),
            node: kubevirt.node.as_str().into(),
            deadline: config.deadline,
            reader: purpose.reader(),
            counters: Arc::clone(&shared),
            places: places(),
            room: room(),
            heartbeats: heartbeats.clone(),
            tasks: tasks.clone(),
            leave_to_sidecars: purpose == Purpose::Pushed && !kubevirt.push_beside_sidecar,
        };
        let [watching, following] = ["watch", "agent::launchers"].map(|name| heartbeats.part(name));
        let launchers = Launchers::new(of_launchers, roster, following.clone());
        let pulse = watching.clone();
        let watched = Arc::clone(&counters);
        Ok(Self {
            feeds: Vec::new(),
            roster: Some(changes),
            work: vec![
                Work::new(watching, |stop| watch::run(server, settings, vmi_sender, watched, pulse, stop)),
                Work::new(following, |stop| launchers.run(vmi_events, stop)),
            ],
            endpoints: vec![(LAUNCHERS_NAME.to_owned(), shared)],
            watch: Some(counters),
            reviewer: Some(reviewer),
            tasks,
        })
    }

    fn pod(config: &config::Source, sidecar: &Sidecar, purpose: Purpose, heartbeats: &Heartbeats) -> Self {
        let launcher = Arc::new(Launcher {
            namespace: sidecar.namespace.as_str().into(),
            name: sidecar.vmi_name.as_deref().unwrap_or_default().into(),
            uid: None,
            node: sidecar.node.as_str().into(),
            pod_uid: sidecar.pod_uid.as_str().into(),
            labels: Vec::new(),
            guest: GuestOs::default(),
        });
        let who = if sidecar.vmi_name.is_some() { Who::Known(launcher) } else { Who::NamedByDomain(launcher) };
        let name = sidecar.socket.display().to_string();
        let mut settings = Settings::new(DaemonId(name.as_str().into()), Address::Socket(sidecar.socket.clone()));
        settings.deadline = config.deadline;
        settings.reader = purpose.reader();
        settings.room = Some(room());
        settings.heartbeats = heartbeats.clone();
        let (sender, heard) = mpsc::channel(EVENTS);
        let (told, events) = mpsc::channel(EVENTS);
        let endpoint = Endpoint::start(&settings, sender);
        let pulse = heartbeats.part(idle_exit::STAGE);
        Self {
            endpoints: vec![(name, Arc::clone(endpoint.counters()))],
            feeds: vec![Feed { source: endpoint, events, owner: Some(Owner { who, vmi: None, has_sidecar: false }) }],
            roster: None,
            work: vec![Work::new(pulse.clone(), |stop| idle_exit::keep(heard, told, pulse, stop))],
            watch: None,
            reviewer: None,
            tasks: settings.tasks,
        }
    }

    /// What to wait for at the end.
    #[must_use]
    pub fn farewell(&self) -> Farewell {
        Farewell(self.tasks.clone())
    }

    /// The counters of each daemon, by URI; those of all launchers together.
    #[must_use]
    pub fn endpoints(&self) -> Vec<(String, Arc<EndpointCounters>)> {
        self.endpoints.clone()
    }

    /// The counters of the watch, if there is one.
    #[must_use]
    pub fn watch(&self) -> Option<Arc<WatchCounters>> {
        self.watch.clone()
    }

    /// Who reviews bearer tokens, where there is a Kubernetes API.
    pub(super) fn reviewer(&self) -> Option<Reviewer> {
        self.reviewer.clone()
    }

    /// The sources' background work.
    pub(super) fn take_work(&mut self) -> Vec<Work> {
        std::mem::take(&mut self.work)
    }

    /// Spawns that work, until the token is cancelled. For callers without stages.
    pub fn work(&mut self, stop: &CancellationToken) {
        for work in self.take_work() {
            drop(tokio::spawn((work.run)(stop.clone())));
        }
    }

    /// The input of `observe`.
    #[must_use]
    pub fn into_feeds(self) -> (Vec<Feed>, Option<mpsc::Receiver<Roster>>) {
        (self.feeds, self.roster)
    }
}

/// Where a configured daemon is.
#[must_use]
pub fn address_of(daemon: &config::Daemon) -> Address {
    match &daemon.way {
        config::Way::Protocol(address) => Address::Uri(address.clone()),
        #[cfg(feature = "virt")]
        config::Way::Library => Address::Library(daemon.uri.as_str().into()),
    }
}

/// What is watched in mode kubevirt.
#[must_use]
pub fn watch_settings(config: &config::Source, kubevirt: &Kubevirt) -> watch::Settings {
    watch::Settings {
        node: kubevirt.node.clone(),
        kubeconfig: kubevirt.kubeconfig.clone(),
        vmi_labels: kubevirt.vmi_labels.clone(),
        selector: kubevirt.vmi_selector.clone(),
        choice: config.choice.clone(),
        streaming_lists: kubevirt.streaming_lists,
    }
}

/// Files that an agent with this many launchers opens.
#[must_use]
pub fn files_for(launchers: u64) -> u64 {
    launchers.saturating_mul(FILES_PER_LAUNCHER).saturating_add(FILES_BESIDES)
}

/// Raises the limit of open files as far as possible. A failure is no reason to end: the agent reads the VMs that fit,
/// and says why it does not read the others.
fn open_files() {
    if let Err(error) = limits::raise_open_files() {
        tracing::warn!(%error, "the limit of open files (RLIMIT_NOFILE) could not be raised");
    }
}

/// Warns if a full node would not fit.
fn check_files_for(launchers: u64) {
    let (limit, wanted) = (limits::open_files(), files_for(launchers));
    if limit < wanted {
        tracing::warn!(
            limit,
            wanted,
            vms = limit.saturating_sub(FILES_BESIDES) / FILES_PER_LAUNCHER,
            "the limit of open files (RLIMIT_NOFILE) is low: no more VMs than that can be read on this node; raise it in \
             the container runtime"
        );
    }
}
