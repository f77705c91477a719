//! The launchers of this node: an endpoint for each VMI that the watch names, and the word to `observe` of its coming and
//! going.
//!
//! Nothing here waits for libvirt, so that a launcher that hangs holds up neither the watch nor another launcher.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::join::{Change, Choice, Join, VmiName};
use crate::libvirt::endpoint::{
    self, Address, Endpoint, EndpointCounters, EndpointHandle, LauncherSocket, Settings, Turnstile,
};
use crate::model::{DaemonId, Launcher, Phase, Vmi};
use crate::observe::{Feed, Owner, Roster, Who};
use crate::watch::VmiEvent;

/// Events of one launcher that wait for `observe`: it has one VM, whose start is three of them.
const EVENTS: usize = 32;

/// How often the pods of a VMI that has several here are looked at, until one of them is left. A pod that has ended may
/// stay for minutes, and another start in its place meanwhile.
const CHOOSE_EVERY: Duration = Duration::from_secs(2);

/// Looks at pods that run at once: each is a packet to and fro, or a second of waiting.
const LOOKS: usize = 8;

/// Launchers that are connected to at a time. On a node at work it takes milliseconds, so that a thousand are through
/// within a second; more at once would be a thread each, and load that comes in one burst.
const CONNECTING: usize = 32;

/// What all launchers have in common.
pub(super) struct Launchers {
    pub(super) pods_dir: PathBuf,
    pub(super) node: Arc<str>,
    pub(super) deadline: Duration,
    pub(super) counters: Arc<EndpointCounters>,
}

impl Launchers {
    fn address(&self, vmi: &Vmi, pod: &Arc<str>) -> Address {
        Address::Launcher(LauncherSocket {
            pods_dir: self.pods_dir.clone(),
            pod_uid: Arc::clone(pod),
            runtime_user: vmi.runtime_user,
        })
    }

    fn owner(&self, vmi: Arc<Vmi>, pod: Arc<str>) -> Owner {
        let launcher = Launcher {
            namespace: Arc::clone(&vmi.namespace),
            name: Arc::clone(&vmi.name),
            uid: Some(Arc::clone(&vmi.uid)),
            node: Arc::clone(&self.node),
            pod_uid: pod,
            labels: vmi.labels.clone(),
            guest: vmi.guest.clone(),
        };
        Owner { who: Who::Known(Arc::new(launcher)), vmi: Some(vmi) }
    }
}

/// What the launcher in a pod is called, in logs and in the keys of its VM.
fn daemon_id(vmi: &VmiName, pod: &str) -> DaemonId {
    DaemonId(format!("{}/{} in pod {pod}", vmi.namespace, vmi.name).into())
}

/// See the module.
pub(super) struct Fleet {
    launchers: Launchers,
    join: Join,
    roster: mpsc::Sender<Roster>,
    /// The endpoints by their pods.
    endpoints: HashMap<Arc<str>, Running>,
    looks: JoinSet<Option<(VmiName, Arc<str>)>>,
    turnstile: Turnstile,
}

/// A launcher that is read.
struct Running {
    endpoint: Arc<EndpointHandle>,
    phase: Phase,
    runtime_user: Option<u32>,
}

/// Nobody reads the roster any more: the agent ends.
struct Over;

impl Fleet {
    pub(super) fn new(launchers: Launchers, roster: mpsc::Sender<Roster>) -> Self {
        let join = Join::new(Arc::clone(&launchers.node));
        Self {
            launchers,
            join,
            roster,
            endpoints: HashMap::new(),
            looks: JoinSet::new(),
            turnstile: Turnstile::new(CONNECTING),
        }
    }

    /// Follows the watch until told to stop.
    pub(super) async fn run(mut self, mut events: mpsc::Receiver<VmiEvent>, stop: CancellationToken) {
        let mut choose = tokio::time::interval_at(Instant::now() + CHOOSE_EVERY, CHOOSE_EVERY);
        choose.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let told = tokio::select! {
                () = stop.cancelled() => return,
                event = events.recv() => match event {
                    Some(event) => self.on_event(event).await,
                    None => Err(Over),
                },
                Some(look) = self.looks.join_next(), if !self.looks.is_empty() => match look {
                    Ok(Some((vmi, pod))) => {
                        let changes = self.join.choose(&vmi, &pod);
                        self.follow(changes).await
                    }
                    _ => Ok(()),
                },
                _ = choose.tick() => {
                    self.look();
                    Ok(())
                }
            };
            if told.is_err() {
                // Neither end goes before the agent does.
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
                if several && changes.iter().any(|change| matches!(change, Change::Start { .. })) {
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
                    self.tell(Roster::Remove(daemon_id(&vmi, &pod))).await?;
                }
            }
        }
        Ok(())
    }

    async fn start(&mut self, vmi: Arc<Vmi>, pod: Arc<str>) -> Result<(), Over> {
        let id = daemon_id(&VmiName::of(&vmi), &pod);
        let mut settings = Settings::new(id, self.launchers.address(&vmi, &pod));
        settings.deadline = self.launchers.deadline;
        settings.counters = Arc::clone(&self.launchers.counters);
        settings.turnstile = Some(self.turnstile.clone());
        let (sender, events) = mpsc::channel(EVENTS);
        let endpoint = Endpoint::start(&settings, sender);
        let running = Running { endpoint: Arc::clone(&endpoint), phase: vmi.phase, runtime_user: vmi.runtime_user };
        self.endpoints.insert(Arc::clone(&pod), running);
        let owner = Some(self.launchers.owner(vmi, pod));
        self.tell(Roster::Add(Feed { source: endpoint, events, owner })).await
    }

    async fn update(&mut self, vmi: Arc<Vmi>, pod: Arc<str>) -> Result<(), Over> {
        let id = daemon_id(&VmiName::of(&vmi), &pod);
        match self.endpoints.get_mut(&pod) {
            // Whose socket it must be has become known: the way there is another.
            Some(running) if running.runtime_user != vmi.runtime_user => {
                self.endpoints.remove(&pod);
                self.tell(Roster::Remove(id)).await?;
                return self.start(vmi, pod).await;
            }
            Some(running) => {
                let before = std::mem::replace(&mut running.phase, vmi.phase);
                if before != vmi.phase && vmi.phase == Phase::Running {
                    running.endpoint.hurry();
                }
            }
            None => {}
        }
        let owner = self.launchers.owner(vmi, pod);
        self.tell(Roster::Update(id, owner)).await
    }

    /// Looks which pod of those VMIs is alive that have several here.
    fn look(&mut self) {
        if !self.looks.is_empty() {
            return; // the last ones are not over
        }
        let room = Arc::new(Semaphore::new(LOOKS));
        for Choice { vmi, pods } in self.join.choices() {
            let room = Arc::clone(&room);
            let addresses: Vec<_> = pods.into_iter().map(|pod| (self.launchers.address(&vmi, &pod), pod)).collect();
            self.looks.spawn(async move {
                let _place = room.acquire_owned().await.ok()?;
                for (address, pod) in addresses {
                    if endpoint::answers(&address).await {
                        return Some((VmiName::of(&vmi), pod));
                    }
                }
                None
            });
        }
    }

    async fn tell(&self, change: Roster) -> Result<(), Over> {
        self.roster.send(change).await.map_err(|_| Over)
    }
}
