//! The launchers of this node: keeps an endpoint for each VMI of the watch, and tells `observe` when one comes or goes.
//!
//! Nothing here waits for libvirt, so that a launcher that hangs holds up neither the watch nor another launcher.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::sidecars::Sidecars;
use crate::heartbeat::{Heartbeats, Pulse};
use crate::join::{Change, Choice, Join, VmiName};
use crate::libvirt::endpoint::{
    self, Address, Endpoint, EndpointCounters, EndpointHandle, LauncherSocket, Reader, Room, Settings,
};
use crate::model::{DaemonId, Launcher, Phase, Vmi};
use crate::observe::{Feed, Owner, Roster, Who};
use crate::watch::VmiEvent;

/// Events of one launcher that wait for `observe`: it has one VM, whose start sends three.
const EVENTS: usize = 32;

/// How often to check the pods of a VMI with several on this node, until one is left; and some of the pods for a sidecar
/// that has come. A pod that has ended may stay for minutes, and another may start in its place meanwhile.
const CHOOSE_EVERY: Duration = Duration::from_secs(2);

/// Concurrent checks of pods: each is a packet and its answer, or a second of waiting.
const LOOKS: usize = 8;

/// What all launchers have in common.
pub(super) struct LauncherSettings {
    pub(super) pods_dir: PathBuf,
    pub(super) node: Arc<str>,
    pub(super) deadline: Duration,
    /// Who reads them.
    pub(super) reader: Reader,
    pub(super) counters: Arc<EndpointCounters>,
    /// Permits for concurrent readings.
    pub(super) places: Arc<Semaphore>,
    /// The room for their long messages.
    pub(super) room: Arc<Room>,
    /// Where their endpoints report progress.
    pub(super) heartbeats: Heartbeats,
    /// Tracks their endpoints' tasks.
    pub(super) tasks: TaskTracker,
    /// Whether a VM that a sidecar pushes is left to it.
    pub(super) leave_to_sidecars: bool,
}

impl LauncherSettings {
    fn address(&self, vmi: &Vmi, pod: &Arc<str>) -> Address {
        Address::Launcher(LauncherSocket {
            pods_dir: self.pods_dir.clone(),
            pod_uid: Arc::clone(pod),
            runtime_user: vmi.runtime_user,
        })
    }

    fn owner(&self, vmi: Arc<Vmi>, pod: Arc<str>, has_sidecar: bool) -> Owner {
        let launcher = Launcher {
            namespace: Arc::clone(&vmi.namespace),
            name: Arc::clone(&vmi.name),
            uid: Some(Arc::clone(&vmi.uid)),
            node: Arc::clone(&self.node),
            pod_uid: pod,
            labels: vmi.labels.clone(),
            guest: vmi.guest.clone(),
        };
        Owner { who: Who::Known(Arc::new(launcher)), vmi: Some(vmi), has_sidecar }
    }
}

/// The name of a pod's launcher in logs and in the keys of its VM.
fn daemon_id(vmi: &VmiName, pod: &str) -> DaemonId {
    DaemonId(format!("{}/{} in pod {pod}", vmi.namespace, vmi.name).into())
}

/// See the module.
pub(super) struct Launchers {
    settings: LauncherSettings,
    join: Join,
    roster: mpsc::Sender<Roster>,
    /// The endpoints by pod.
    endpoints: HashMap<Arc<str>, Running>,
    sidecars: Sidecars,
    looks: JoinSet<Look>,
    /// The VMIs whose pods are being checked.
    looking: HashSet<VmiName>,
    /// Permits for checks.
    room: Arc<Semaphore>,
    pulse: Pulse,
}

/// The result of a check of a VMI's pods.
struct Look {
    vmi: VmiName,
    /// The pod to read; `None` to change nothing.
    pod: Option<Arc<str>>,
}

/// A launcher that is read.
struct Running {
    endpoint: Arc<EndpointHandle>,
    /// The VMI, as it was last reported.
    vmi: Arc<Vmi>,
}

/// The receiver of the roster is gone: the agent ends.
struct Over;

impl Launchers {
    pub(super) fn new(settings: LauncherSettings, roster: mpsc::Sender<Roster>, pulse: Pulse) -> Self {
        let join = Join::new(Arc::clone(&settings.node));
        let sidecars = Sidecars::new(settings.leave_to_sidecars.then(|| settings.pods_dir.clone()));
        Self {
            settings,
            join,
            roster,
            endpoints: HashMap::new(),
            sidecars,
            looks: JoinSet::new(),
            looking: HashSet::new(),
            room: Arc::new(Semaphore::new(LOOKS)),
            pulse,
        }
    }

    /// Follows the watch until told to stop.
    pub(super) async fn run(mut self, mut events: mpsc::Receiver<VmiEvent>, stop: CancellationToken) {
        let mut choose = tokio::time::interval_at(Instant::now() + CHOOSE_EVERY, CHOOSE_EVERY);
        choose.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.pulse.promise(Instant::now() + CHOOSE_EVERY);
            let told = tokio::select! {
                () = stop.cancelled() => return,
                event = events.recv() => match event {
                    Some(event) => self.on_event(event).await,
                    None => Err(Over),
                },
                Some(look) = self.looks.join_next(), if !self.looks.is_empty() => match look {
                    Ok(Look { vmi, pod }) => {
                        self.looking.remove(&vmi);
                        let changes = pod.map(|pod| self.join.choose(&vmi, &pod)).unwrap_or_default();
                        self.follow(changes).await
                    }
                    // The next tick repeats a check that panicked.
                    Err(_) => {
                        self.looking.clear();
                        Ok(())
                    }
                },
                _ = choose.tick() => {
                    self.look();
                    self.look_for_sidecars().await
                }
            };
            if told.is_err() {
                // Neither channel closes before the agent ends.
                return stop.cancelled().await;
            }
        }
    }

    async fn on_event(&mut self, event: VmiEvent) -> Result<(), Over> {
        let changes = match event {
            VmiEvent::Restarted => {
                self.join.restarted();
                Vec::new()
            }
            VmiEvent::Applied(vmi) => {
                let several = vmi.pods.len() > 1;
                let changes = self.join.apply(vmi);
                if several && self.join.choices().any(|choice| !choice.is_read) {
                    self.look();
                }
                changes
            }
            VmiEvent::Deleted { namespace, name, uid } => self.join.delete(&VmiName { namespace, name }, &uid),
            VmiEvent::Synced => {
                let changes = self.join.synced();
                self.follow(changes).await?;
                return self.tell(Roster::Complete).await;
            }
        };
        self.follow(changes).await
    }

    async fn follow(&mut self, changes: Vec<Change>) -> Result<(), Over> {
        for change in changes {
            match change {
                Change::Start { vmi, pod } => self.start(vmi, pod).await?,
                Change::Update { vmi, pod } => self.update(vmi, pod).await?,
                Change::Stop { vmi, pod } => {
                    self.endpoints.remove(&pod);
                    self.sidecars.forget(&pod);
                    self.tell(Roster::Remove(daemon_id(&vmi, &pod))).await?;
                }
            }
        }
        Ok(())
    }

    async fn start(&mut self, vmi: Arc<Vmi>, pod: Arc<str>) -> Result<(), Over> {
        let id = daemon_id(&VmiName::of(&vmi), &pod);
        let mut settings = Settings::new(id, self.settings.address(&vmi, &pod));
        settings.deadline = self.settings.deadline;
        settings.reader = self.settings.reader;
        settings.counters = Arc::clone(&self.settings.counters);
        settings.places = Some(Arc::clone(&self.settings.places));
        settings.tasks = self.settings.tasks.clone();
        settings.room = Some(Arc::clone(&self.settings.room));
        settings.heartbeats = self.settings.heartbeats.clone();
        let (sender, events) = mpsc::channel(EVENTS);
        let endpoint = Endpoint::start(&settings, sender);
        let running = Running { endpoint: Arc::clone(&endpoint), vmi: Arc::clone(&vmi) };
        self.endpoints.insert(Arc::clone(&pod), running);
        let owner = Some(self.owner(vmi, pod));
        self.tell(Roster::Add(Feed { source: endpoint, events, owner })).await
    }

    async fn update(&mut self, vmi: Arc<Vmi>, pod: Arc<str>) -> Result<(), Over> {
        let id = daemon_id(&VmiName::of(&vmi), &pod);
        let hurry = match self.endpoints.get_mut(&pod) {
            // The runtime user has become known, and with it another path to the socket.
            Some(running) if running.vmi.runtime_user != vmi.runtime_user => {
                self.endpoints.remove(&pod);
                self.tell(Roster::Remove(id)).await?;
                return self.start(vmi, pod).await;
            }
            Some(running) => {
                let before = std::mem::replace(&mut running.vmi, Arc::clone(&vmi));
                let begins = before.phase != vmi.phase && vmi.phase == Phase::Running;
                begins.then(|| Arc::clone(&running.endpoint))
            }
            None => None,
        };
        let owner = self.owner(vmi, pod);
        self.tell(Roster::Update(id, owner)).await?;
        // After the update, so that `observe` knows that the VMI runs when the attempt ends.
        if let Some(endpoint) = hurry {
            endpoint.hurry();
        }
        Ok(())
    }

    /// Looks at some of the pods that had no sidecar.
    async fn look_for_sidecars(&mut self) -> Result<(), Over> {
        for pod in self.sidecars.come() {
            let Some(vmi) = self.endpoints.get(&pod).map(|running| Arc::clone(&running.vmi)) else { continue };
            let id = daemon_id(&VmiName::of(&vmi), &pod);
            let owner = self.owner(vmi, pod);
            self.tell(Roster::Update(id, owner)).await?;
        }
        Ok(())
    }

    fn owner(&mut self, vmi: Arc<Vmi>, pod: Arc<str>) -> Owner {
        let has_sidecar = self.sidecars.is_in(&pod, &vmi);
        self.settings.owner(vmi, pod, has_sidecar)
    }

    /// Finds the live pod of each VMI with several on this node. If none is alive and none is read, the first is
    /// chosen: its VM is then shown without a reachable libvirt.
    fn look(&mut self) {
        for Choice { vmi, pods, is_read } in self.join.choices() {
            let name = VmiName::of(&vmi);
            if !self.looking.insert(name.clone()) {
                continue; // the last look is not over
            }
            let addresses: Vec<_> = pods.into_iter().map(|pod| (self.settings.address(&vmi, &pod), pod)).collect();
            let room = Arc::clone(&self.room);
            self.looks.spawn(async move {
                let _place = room.acquire_owned().await;
                for (address, pod) in &addresses {
                    if endpoint::answers(address).await {
                        return Look { vmi: name, pod: Some(Arc::clone(pod)) };
                    }
                }
                let first = addresses.into_iter().next().filter(|_| !is_read);
                Look { vmi: name, pod: first.map(|(_, pod)| pod) }
            });
        }
    }

    async fn tell(&self, change: Roster) -> Result<(), Over> {
        self.pulse.turn();
        self.roster.send(change).await.map_err(|_| Over)
    }
}

#[cfg(test)]
mod tests;
