//! What `observe` is told of sidecars. The launchers have no libvirt: only the kubelet's folders are there.

use std::fs;

use tempfile::TempDir;
use tokio_util::sync::DropGuard;

use super::*;
use crate::libvirt::endpoint::room;
use crate::model::LauncherPod;
use crate::testing::logged::Logged;

const POD: &str = "0b5c2f6e-8a3d-4b1c-9e7f-1d2c3b4a5968";
const LEFT: &str = "a sidecar in its pod pushes this VM";

/// The launchers of a node whose agent pushes.
struct Node {
    pods: TempDir,
    events: mpsc::Sender<VmiEvent>,
    roster: mpsc::Receiver<Roster>,
    _stop: DropGuard,
}

impl Node {
    fn start(leave_to_sidecars: bool) -> Self {
        let pods = tempfile::tempdir().unwrap();
        let settings = LauncherSettings {
            pods_dir: pods.path().to_owned(),
            node: "here".into(),
            deadline: Settings::DEADLINE,
            reader: Reader::Agent,
            counters: Arc::default(),
            places: Arc::new(Semaphore::new(1)),
            room: room(),
            heartbeats: Heartbeats::new(),
            tasks: TaskTracker::new(),
            leave_to_sidecars,
        };
        let (events, heard) = mpsc::channel(8);
        let (told, roster) = mpsc::channel(8);
        let stop = CancellationToken::new();
        tokio::spawn(Launchers::new(settings, told, Pulse::default()).run(heard, stop.clone()));
        Self { pods, events, roster, _stop: stop.drop_guard() }
    }

    /// As the kubelet does when it starts the sidecar.
    fn start_sidecar(&self) {
        fs::create_dir_all(self.pods.path().join(POD).join("containers/virt-otel")).unwrap();
    }

    async fn hears_of(&self, phase: Phase) {
        self.hears(phase, None).await;
    }

    async fn hears(&self, phase: Phase, runtime_user: Option<u32>) {
        let pods = vec![LauncherPod { uid: POD.into(), node: "here".into() }];
        let vmi = Vmi {
            namespace: "shop".into(),
            name: "web".into(),
            uid: "u-1".into(),
            node: Some("here".into()),
            phase,
            pods,
            runtime_user,
            ..Vmi::default()
        };
        self.events.send(VmiEvent::Applied(Arc::new(vmi))).await.unwrap();
    }

    /// Whether the next thing said of the VMI is that it has a sidecar; `None` if it is taken back, or nothing is said
    /// for a while.
    async fn says(&mut self) -> Option<bool> {
        let said = tokio::time::timeout(10 * CHOOSE_EVERY, self.roster.recv()).await.ok()??;
        match said {
            Roster::Add(feed) => feed.owner.map(|owner| owner.has_sidecar),
            Roster::Update(_, owner) => Some(owner.has_sidecar),
            Roster::Remove(_) => None,
            Roster::Complete => panic!("no list was made"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_vmi_whose_sidecar_is_there_first_is_left_to_it_from_the_beginning() {
    let (logged, _guard) = Logged::here();
    let mut node = Node::start(true);
    node.start_sidecar();
    node.hears_of(Phase::Scheduled).await;
    assert_eq!(node.says().await, Some(true));
    node.hears_of(Phase::Running).await;
    assert_eq!(node.says().await, Some(true));
    assert_eq!(node.says().await, None);
    let lines = logged.with(LEFT);
    assert!(lines.len() == 1 && lines[0].contains("INFO"), "{lines:#?}");
    for said in ["vmi=shop/web", POD, "--push-beside-sidecar"] {
        assert!(lines[0].contains(said), "no {said} in {}", lines[0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_that_comes_later_is_noticed_with_the_next_look_and_told_once() {
    let (logged, _guard) = Logged::here();
    let mut node = Node::start(true);
    node.hears_of(Phase::Running).await;
    assert_eq!(node.says().await, Some(false));
    assert_eq!(node.says().await, None, "there is none yet");
    node.start_sidecar();
    let began = Instant::now();
    assert_eq!(node.says().await, Some(true));
    assert!(began.elapsed() <= CHOOSE_EVERY, "{:?}", began.elapsed());
    assert_eq!(node.says().await, None);
    assert_eq!(logged.with(LEFT).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_vmi_that_begins_to_run_is_looked_at_again_first() {
    let mut node = Node::start(true);
    node.hears_of(Phase::Scheduled).await;
    assert_eq!(node.says().await, Some(false));
    node.start_sidecar();
    node.hears_of(Phase::Running).await;
    assert_eq!(node.says().await, Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_is_told_once_though_its_launcher_is_begun_anew() {
    let (logged, _guard) = Logged::here();
    let mut node = Node::start(true);
    node.start_sidecar();
    node.hears(Phase::Scheduled, None).await;
    assert_eq!(node.says().await, Some(true));
    node.hears(Phase::Running, Some(107)).await;
    assert_eq!((node.says().await, node.says().await), (None, Some(true)));
    assert_eq!(logged.with(LEFT).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn sidecars_are_not_looked_for_where_both_push_or_nothing_is_pushed() {
    let (logged, _guard) = Logged::here();
    let mut node = Node::start(false);
    node.start_sidecar();
    node.hears_of(Phase::Running).await;
    assert_eq!(node.says().await, Some(false));
    assert_eq!(node.says().await, None);
    assert_eq!(logged.with(LEFT).len(), 0);
}
