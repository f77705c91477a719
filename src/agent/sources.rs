//! The daemons that are read, by mode.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::AgentError;
use super::fleet::{self, Fleet};
use super::vigil;
use crate::config::{self, Kubevirt, Sidecar, Vms};
use crate::heartbeat::{Heartbeats, Pulse};
use crate::libvirt::endpoint::{Address, Endpoint, EndpointCounters, Settings, room};
use crate::libvirt::limits;
use crate::model::{DaemonId, GuestOs, Launcher};
use crate::observe::{Feed, Owner, Roster, Who};
use crate::source::SourceEvent;
use crate::watch::{self, WatchCounters};

/// Events of one daemon that wait for `observe`: a host that starts or stops a few hundred VMs by one script sends
/// about three for each, within the time of one turn of the loop. More are dropped, and everything is read afresh.
const EVENTS: usize = 1_024;

/// Changes of who is to be read that wait for `observe`, which takes them within a turn of its loop.
const ROSTER: usize = 64;

/// Events of the watch that wait to be joined, which takes microseconds. While they do not fit, the watch waits.
const VMI_EVENTS: usize = 64;

/// How many VMIs a node has at most, by the design: Kubernetes itself recommends 110 pods a node, and large machines are
/// run with a few hundred.
const LAUNCHERS: u64 = 1_000;

/// Files that a launcher takes: a connection for events and one for calls.
const FILES_PER_LAUNCHER: u64 = 2;

/// Files for everything else: those that are kept back, scrapes, pushes, the API.
const FILES_BESIDES: u64 = 256;

/// Readings that run at once, per core of the machine: libvirt's daemon and QEMU do the work of a reading, on the same
/// cores, and more than this only makes a burst of what should be spread.
const READS_PER_CORE: usize = 2;

/// What all launchers are called together in the agent's own metrics: a series for each would be one a VM, for nothing
/// that the VM's own do not say.
const LAUNCHERS_NAME: &str = "launchers";

/// Something that runs until the token is cancelled that it was given.
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Work that a source does for as long as the agent runs.
pub(super) struct Work {
    /// Its heartbeat, which has the stage's name.
    pub(super) pulse: Pulse,
    /// The work, once it is told how it will be ended.
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

/// The places for readings that run at once over all daemons.
fn places() -> Arc<Semaphore> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Arc::new(Semaphore::new(cores.saturating_mul(READS_PER_CORE)))
}

/// How long it may take to take leave of the daemons, all together. Each answers within a millisecond or two.
const FAREWELL: Duration = Duration::from_millis(100);

/// That the daemons are taken leave of: one that is left without a word logs an error.
#[derive(Debug)]
pub struct Farewell(TaskTracker);

impl Farewell {
    /// Waits for it, for as long as that may take. Nobody may read any more.
    pub async fn wait(self) {
        self.0.close();
        let _ = tokio::time::timeout(FAREWELL, self.0.wait()).await;
    }
}

/// Where VMs are read, and who says so.
pub struct Sources {
    feeds: Vec<Feed>,
    roster: Option<mpsc::Receiver<Roster>>,
    work: Vec<Work>,
    endpoints: Vec<(String, Arc<EndpointCounters>)>,
    watch: Option<Arc<WatchCounters>>,
    /// Those of the endpoints.
    tasks: TaskTracker,
}

impl Sources {
    /// Begins to connect to every daemon that the configuration names. Must be called within the runtime. What turns
    /// shows so in `heartbeats`.
    ///
    /// # Errors
    ///
    /// When the credentials for the Kubernetes API cannot be used.
    pub async fn start(config: &config::Source, heartbeats: &Heartbeats) -> Result<Self, AgentError> {
        open_files();
        match &config.vms {
            Vms::Libvirt { daemons } => Ok(Self::hosts(config, daemons, heartbeats)),
            Vms::Kubevirt(kubevirt) => Self::node(config, kubevirt, heartbeats).await,
            Vms::Sidecar(sidecar) => Ok(Self::pod(config, sidecar, heartbeats)),
        }
    }

    fn hosts(config: &config::Source, daemons: &[config::Daemon], heartbeats: &Heartbeats) -> Self {
        let mut sources = Self {
            feeds: Vec::new(),
            roster: None,
            work: Vec::new(),
            endpoints: Vec::new(),
            watch: None,
            tasks: TaskTracker::new(),
        };
        let (places, room) = (places(), room());
        for daemon in daemons {
            let id = DaemonId(daemon.uri.as_str().into());
            let address = match &daemon.way {
                config::Way::Protocol(address) => Address::Uri(address.clone()),
                #[cfg(feature = "virt")]
                config::Way::Library => Address::Library(daemon.uri.as_str().into()),
            };
            let mut settings = Settings::new(id, address);
            settings.deadline = config.deadline;
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

    async fn node(config: &config::Source, kubevirt: &Kubevirt, heartbeats: &Heartbeats) -> Result<Self, AgentError> {
        let settings = watch::Settings {
            node: kubevirt.node.clone(),
            kubeconfig: kubevirt.kubeconfig.clone(),
            vmi_labels: kubevirt.vmi_labels.clone(),
            streaming_lists: kubevirt.streaming_lists,
        };
        let server = watch::connect(&settings).await?;
        check_files_for(LAUNCHERS);
        let (vmi_sender, vmi_events) = mpsc::channel(VMI_EVENTS);
        let (roster, changes) = mpsc::channel(ROSTER);
        let counters = Arc::new(WatchCounters::default());
        let shared = Arc::new(EndpointCounters::default());
        let tasks = TaskTracker::new();
        let launchers = fleet::Launchers {
            pods_dir: kubevirt.pods_dir.clone(),
            node: kubevirt.node.as_str().into(),
            deadline: config.deadline,
            counters: Arc::clone(&shared),
            places: places(),
            room: room(),
            heartbeats: heartbeats.clone(),
            tasks: tasks.clone(),
        };
        let [watching, following] = ["watch", "agent::fleet"].map(|name| heartbeats.part(name));
        let fleet = Fleet::new(launchers, roster, following.clone());
        let pulse = watching.clone();
        let watched = Arc::clone(&counters);
        Ok(Self {
            feeds: Vec::new(),
            roster: Some(changes),
            work: vec![
                Work::new(watching, |stop| watch::run(server, settings, vmi_sender, watched, pulse, stop)),
                Work::new(following, |stop| fleet.run(vmi_events, stop)),
            ],
            endpoints: vec![(LAUNCHERS_NAME.to_owned(), shared)],
            watch: Some(counters),
            tasks,
        })
    }

    fn pod(config: &config::Source, sidecar: &Sidecar, heartbeats: &Heartbeats) -> Self {
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
        settings.room = Some(room());
        settings.heartbeats = heartbeats.clone();
        let (sender, heard) = mpsc::channel(EVENTS);
        let (told, events) = mpsc::channel(EVENTS);
        let endpoint = Endpoint::start(&settings, sender);
        let pulse = heartbeats.part(vigil::STAGE);
        Self {
            endpoints: vec![(name, Arc::clone(endpoint.counters()))],
            feeds: vec![Feed { source: endpoint, events, owner: Some(Owner { who, vmi: None }) }],
            roster: None,
            work: vec![Work::new(pulse.clone(), |stop| vigil::keep(heard, told, pulse, stop))],
            watch: None,
            tasks: settings.tasks,
        }
    }

    /// What is to be waited for at the end.
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

    /// What the sources have to do meanwhile.
    pub(super) fn take_work(&mut self) -> Vec<Work> {
        std::mem::take(&mut self.work)
    }

    /// Does that until the token is cancelled, in tasks of their own. For whoever has no stages.
    pub fn work(&mut self, stop: &CancellationToken) {
        for work in self.take_work() {
            drop(tokio::spawn((work.run)(stop.clone())));
        }
    }

    /// What `observe` is given.
    #[must_use]
    pub fn into_feeds(self) -> (Vec<Feed>, Option<mpsc::Receiver<Roster>>) {
        (self.feeds, self.roster)
    }
}

/// Lets the process have as many files open as it may. A system that does not give so many is no reason to end: those VMs
/// are read that fit, and of the others it is said why they are not.
fn open_files() {
    if let Err(error) = limits::raise_open_files() {
        tracing::warn!(%error, "the limit of open files (RLIMIT_NOFILE) could not be raised");
    }
}

/// Says so when a full node would not fit.
fn check_files_for(launchers: u64) {
    let (limit, wanted) = (limits::open_files(), launchers.saturating_mul(FILES_PER_LAUNCHER) + FILES_BESIDES);
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
