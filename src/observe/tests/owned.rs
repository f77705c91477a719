//! What is shown of a VMI's launcher throughout its life.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::fake::{FakeClock, FakeDomain, FakeSource, destroyed, migrating, paused, running};
use super::{INTERVAL, MOMENT, SECOND};
use crate::model::{HypervisorType, Launcher, Migration, Phase, Place, Vm, Vmi};
use crate::observe::settings::{LIST_PACE, STRANGERS_OF_A_LAUNCHER};
use crate::observe::{Feed, ObserveCounters, Owner, Roster, Settings, Who};
use crate::snapshot::{Snapshots, channel};
use crate::source::{Ask, DomainEvent, Source};

pub(super) const ONE: Uuid = Uuid::from_u128(1);

/// `observe` with launchers that come and go.
pub(super) struct Node {
    roster: mpsc::Sender<Roster>,
    snapshots: Snapshots,
    _stop: tokio_util::sync::DropGuard,
}

impl Node {
    pub(super) fn start() -> Self {
        Self::with(Settings::default())
    }

    pub(super) fn with(settings: Settings) -> Self {
        let (roster, changes) = mpsc::channel(16);
        let (sender, snapshots) = channel();
        let stop = CancellationToken::new();
        tokio::spawn(crate::observe::run(
            settings,
            Vec::new(),
            Some(changes),
            FakeClock::new(),
            sender,
            Arc::new(ObserveCounters::new()),
            stop.clone(),
        ));
        Self { roster, snapshots, _stop: stop.drop_guard() }
    }

    pub(super) async fn tell(&self, change: Roster) {
        self.roster.send(change).await.unwrap_or_else(|_| panic!("observe has ended"));
        tokio::time::sleep(MOMENT).await;
    }

    /// A launcher of `shop/web`, not connected yet.
    pub(super) async fn launcher(&self, pod: &str, owner: Owner) -> Arc<FakeSource> {
        let (fake, events) = FakeSource::new(pod);
        let source = Arc::clone(&fake) as Arc<dyn Source>;
        self.tell(Roster::Add(Feed { source, events, owner: Some(owner) })).await;
        fake
    }

    /// The same, with its domain running and connected.
    pub(super) async fn running(&self, pod: &str) -> Arc<FakeSource> {
        let fake = self.launcher(pod, owner(pod, vmi(Phase::Running))).await;
        runs(&fake);
        fake.connect();
        tokio::time::sleep(MOMENT * 4).await;
        fake
    }

    fn vms(&self) -> Vec<Arc<Vm>> {
        self.snapshots.borrow().vms.iter().cloned().collect()
    }

    /// The one VM there is.
    fn vm(&self) -> Arc<Vm> {
        let mut vms = self.vms();
        assert_eq!(vms.len(), 1, "never two of one VMI");
        vms.remove(0)
    }
}

pub(super) fn vmi(phase: Phase) -> Vmi {
    Vmi { namespace: "shop".into(), name: "web".into(), uid: "u-1".into(), phase, ..Vmi::default() }
}

pub(super) fn owner(pod: &str, vmi: Vmi) -> Owner {
    let launcher = Launcher {
        namespace: Arc::clone(&vmi.namespace),
        name: Arc::clone(&vmi.name),
        uid: Some(Arc::clone(&vmi.uid)),
        node: "here".into(),
        pod_uid: pod.into(),
        labels: Vec::new(),
        guest: vmi.guest.clone(),
    };
    Owner { who: Who::Known(Arc::new(launcher)), vmi: Some(Arc::new(vmi)), has_sidecar: false }
}

/// The domain of `shop/web`.
pub(super) fn runs(fake: &FakeSource) {
    fake.put(ONE, FakeDomain { name: "shop_web".into(), ..running(1) });
}

pub(super) fn leaving() -> Vmi {
    let migration = Migration {
        start: Some(crate::model::Timestamp::from_unix_nanos(1)),
        source_node: Some("here".into()),
        target_node: Some("there".into()),
        ..Migration::default()
    };
    Vmi { migration: Some(migration), ..vmi(Phase::Running) }
}

#[tokio::test(start_paused = true)]
async fn a_running_vmi_is_detected_by_one_query_and_is_one_vm() {
    let node = Node::start();
    let fake = node.running("pod-1").await;
    let vm = node.vm();
    assert_eq!(vm.hypervisor, Some(HypervisorType::Kvm));
    assert!(vm.cpu.is_some());
    assert_eq!(vm.vmi.as_ref().map(|vmi| vmi.phase), Some(Phase::Running));
    let Place::Launcher(launcher) = &vm.identity.place else { panic!("{:?}", vm.identity) };
    assert_eq!((&*launcher.name, &*launcher.pod_uid), ("web", "pod-1"));
    assert_eq!(fake.descriptions_of(ONE), 1);
    assert!(node.snapshots.borrow().daemons.is_empty(), "a launcher's daemon is a part of its VM");
}

#[tokio::test(start_paused = true)]
async fn before_it_runs_it_is_shown_by_what_the_api_says_and_not_read() {
    let node = Node::start();
    let fake = node.launcher("pod-1", owner("pod-1", vmi(Phase::Scheduled))).await;
    runs(&fake);
    fake.connect();
    fake.happens(ONE, DomainEvent::Started { incoming_migration: false });
    tokio::time::sleep(2 * INTERVAL).await;
    let vm = node.vm();
    assert_eq!((vm.hypervisor, vm.status, vm.newest()), (None, None, None));
    assert_eq!(vm.vmi.as_ref().map(|vmi| vmi.phase), Some(Phase::Scheduled));
    assert!(fake.calls().is_empty(), "{:?}", fake.calls());
    node.tell(Roster::Update(fake.id().clone(), owner("pod-1", vmi(Phase::Running)))).await;
    assert_eq!(node.vm().hypervisor, Some(HypervisorType::Kvm));
    assert_eq!(fake.descriptions_of(ONE), 1, "one detection, one query");
}

#[tokio::test(start_paused = true)]
async fn when_it_runs_no_more_nothing_of_it_is_left_that_libvirt_said() {
    let node = Node::start();
    let fake = node.running("pod-1").await;
    node.tell(Roster::Update(fake.id().clone(), owner("pod-1", vmi(Phase::Succeeded)))).await;
    let vm = node.vm();
    assert_eq!((vm.hypervisor, vm.status, vm.newest()), (None, None, None));
    fake.forget_calls();
    tokio::time::sleep(3 * INTERVAL).await;
    assert!(fake.calls().is_empty(), "it is not asked any more: {:?}", fake.calls());
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_launcher_is_unknown_and_is_detected_once_it_answers() {
    let node = Node::start();
    let fake = node.launcher("pod-1", owner("pod-1", vmi(Phase::Running))).await;
    assert_eq!(node.vm().hypervisor, None, "it is being tried");
    fake.disconnect();
    tokio::time::sleep(MOMENT).await;
    assert_eq!(node.vm().hypervisor, Some(HypervisorType::Unknown));
    runs(&fake);
    fake.connect();
    tokio::time::sleep(MOMENT).await;
    assert_eq!(node.vm().hypervisor, Some(HypervisorType::Kvm));
    assert_eq!(fake.descriptions_of(ONE), 1);
}

#[tokio::test(start_paused = true)]
async fn a_launcher_that_is_lost_stays_unknown_and_the_same_vm_after_its_last_figures() {
    let node = Node::start();
    let fake = node.running("pod-1").await;
    let before = node.vm();
    fake.disconnect();
    tokio::time::sleep(MOMENT).await;
    assert_eq!(node.vm().hypervisor, Some(HypervisorType::Unknown));
    assert!(node.vm().cpu.is_some());
    tokio::time::sleep(4 * INTERVAL).await;
    let vm = node.vm();
    assert_eq!((vm.hypervisor, vm.newest()), (Some(HypervisorType::Unknown), None));
    assert_eq!(vm.identity, before.identity);
    fake.connect();
    tokio::time::sleep(MOMENT).await;
    assert_eq!(node.vm().hypervisor, Some(HypervisorType::Kvm));
    assert_eq!(fake.descriptions_of(ONE), 2, "once before, once after");
}

#[tokio::test(start_paused = true)]
async fn a_resume_is_one_query_whatever_the_api_says_of_it() {
    let node = Node::start();
    let fake = node.running("pod-1").await;
    fake.edit(ONE, |domain| domain.status = paused());
    fake.happens(ONE, DomainEvent::Suspended);
    tokio::time::sleep(MOMENT).await;
    let mut with_condition = vmi(Phase::Running);
    with_condition.conditions = Box::new([crate::model::Condition {
        kind: crate::model::ConditionKind::from_api("Paused").expect("a known condition"),
        is_true: Some(true),
    }]);
    node.tell(Roster::Update(fake.id().clone(), owner("pod-1", with_condition))).await;
    assert_eq!(node.vm().hypervisor, Some(HypervisorType::Kvm));
    fake.edit(ONE, |domain| domain.status = running(1).status);
    fake.happens(ONE, DomainEvent::Resumed { migrated: false });
    tokio::time::sleep(MOMENT).await;
    node.tell(Roster::Update(fake.id().clone(), owner("pod-1", vmi(Phase::Running)))).await;
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(fake.descriptions_of(ONE), 2, "one at the beginning, one for the resume");
}

#[tokio::test(start_paused = true)]
async fn a_domain_that_is_not_found_has_no_type() {
    let node = Node::start();
    let fake = node.launcher("pod-1", owner("pod-1", vmi(Phase::Running))).await;
    fake.connect();
    tokio::time::sleep(MOMENT).await;
    assert_eq!(node.vm().hypervisor, None);
}

#[tokio::test(start_paused = true)]
async fn a_domain_that_has_ended_has_no_type_even_when_its_launcher_ends_after_it() {
    let node = Node::start();
    let fake = node.running("pod-1").await;
    fake.edit(ONE, |domain| (domain.id, domain.status) = (None, destroyed()));
    fake.happens(ONE, DomainEvent::Stopped);
    tokio::time::sleep(MOMENT).await;
    assert_eq!(node.vm().hypervisor, None);
    fake.disconnect();
    for _ in 0..60 {
        tokio::time::sleep(SECOND).await;
        assert_eq!(node.vm().hypervisor, None, "never unknown");
    }
}

#[tokio::test(start_paused = true)]
async fn a_vm_on_its_way_to_another_node_is_never_unknown() {
    let node = Node::start();
    let fake = node.running("pod-1").await;
    node.tell(Roster::Update(fake.id().clone(), owner("pod-1", leaving()))).await;
    assert_eq!(node.vm().hypervisor, Some(HypervisorType::Kvm));
    fake.edit(ONE, |domain| domain.status = migrating());
    fake.happens(ONE, DomainEvent::Suspended);
    tokio::time::sleep(MOMENT).await;
    assert_eq!(node.vm().hypervisor, Some(HypervisorType::Kvm), "it is still this node's");
    fake.disconnect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let vm = node.vm();
    assert_eq!((vm.hypervisor, vm.newest()), (None, None));
    node.tell(Roster::Remove(fake.id().clone())).await;
    assert!(node.vms().is_empty());
}

#[tokio::test(start_paused = true)]
async fn another_vms_domain_is_refused_and_the_vm_is_unknown() {
    let node = Node::start();
    let fake = node.launcher("pod-1", owner("pod-1", vmi(Phase::Running))).await;
    fake.put(ONE, FakeDomain { name: "shop_other".into(), ..running(1) });
    fake.connect();
    fake.happens(ONE, DomainEvent::Started { incoming_migration: false });
    tokio::time::sleep(2 * INTERVAL).await;
    let vm = node.vm();
    assert_eq!((vm.hypervisor, vm.newest()), (Some(HypervisorType::Unknown), None));
    assert_eq!(fake.count(|asked| *asked != Ask::List), 0, "nothing of it is read");
}

#[tokio::test(start_paused = true)]
async fn made_anew_it_is_another_vm_with_a_start_of_its_own() {
    let node = Node::start();
    let first = node.running("pod-1").await;
    let before = node.vm();
    node.tell(Roster::Remove(first.id().clone())).await;
    assert!(node.vms().is_empty());
    let _second = node.running("pod-2").await;
    let vm = node.vm();
    assert_ne!(vm.key, before.key);
    assert!(vm.cpu.as_ref().map(|reading| reading.start) > before.cpu.as_ref().map(|reading| reading.at));
}

#[tokio::test(start_paused = true)]
async fn what_a_launcher_says_after_it_was_given_up_is_not_heard() {
    let node = Node::start();
    let fake = node.running("pod-1").await;
    fake.edit(ONE, |domain| domain.read_takes = 2 * SECOND);
    fake.happens(ONE, DomainEvent::Rebooted);
    tokio::time::sleep(SECOND).await;
    node.tell(Roster::Remove(fake.id().clone())).await;
    tokio::time::sleep(3 * SECOND).await;
    assert!(node.vms().is_empty());
    let _next = node.running("pod-2").await;
    assert!(node.vm().cpu.is_some(), "the call that was given up holds no place");
}

#[tokio::test(start_paused = true)]
async fn the_first_round_is_done_when_every_launcher_was_named_and_read() {
    let node = Node::start();
    let _running = node.running("pod-1").await;
    let _scheduled = node.launcher("pod-2", owner("pod-2", vmi(Phase::Scheduled))).await;
    assert!(!node.snapshots.borrow().complete, "more may be named");
    node.tell(Roster::Complete).await;
    assert!(node.snapshots.borrow().complete, "one that does not run is not waited for");
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_learns_the_vms_name_from_its_domain() {
    let node = Node::start();
    let Who::Known(launcher) = owner("pod-1", vmi(Phase::Running)).who else { panic!("it is known") };
    let launcher = Launcher { name: "".into(), uid: None, ..Launcher::clone(&launcher) };
    let who = Who::NamedByDomain(Arc::new(launcher));
    let fake = node.launcher("pod-1", Owner { who, vmi: None, has_sidecar: false }).await;
    fake.disconnect();
    tokio::time::sleep(MOMENT).await;
    assert!(node.vms().is_empty(), "without a name there is nothing to show");
    runs(&fake);
    fake.connect();
    tokio::time::sleep(MOMENT).await;
    let vm = node.vm();
    let Place::Launcher(launcher) = &vm.identity.place else { panic!("{:?}", vm.identity) };
    assert_eq!((&*launcher.namespace, &*launcher.name), ("shop", "web"));
    assert_eq!(vm.hypervisor, Some(HypervisorType::Kvm));
}

#[tokio::test(start_paused = true)]
async fn looks_at_a_launcher_before_its_vmi_runs_say_nothing_of_it() {
    let node = Node::start();
    let fake = node.launcher("pod-1", owner("pod-1", vmi(Phase::Scheduled))).await;
    fake.disconnect();
    tokio::time::sleep(MOMENT).await;
    node.tell(Roster::Update(fake.id().clone(), owner("pod-1", vmi(Phase::Running)))).await;
    assert_eq!(node.vm().hypervisor, None, "it is being tried anew");
    runs(&fake);
    fake.connect();
    tokio::time::sleep(MOMENT).await;
    let vm = node.vm();
    assert_eq!(vm.hypervisor, Some(HypervisorType::Kvm));
    assert_eq!(vm.identity.domain_type.as_deref(), Some("kvm"), "its Resource is whole");
}

#[tokio::test(start_paused = true)]
async fn a_launcher_that_fails_once_its_vmi_runs_is_unknown() {
    for says_so in [true, false] {
        let node = Node::start();
        let fake = node.launcher("pod-1", owner("pod-1", vmi(Phase::Scheduled))).await;
        fake.disconnect();
        node.tell(Roster::Update(fake.id().clone(), owner("pod-1", vmi(Phase::Running)))).await;
        if says_so {
            fake.disconnect();
            tokio::time::sleep(MOMENT).await;
        } else {
            tokio::time::sleep(12 * SECOND).await;
        }
        assert_eq!(node.vm().hypervisor, Some(HypervisorType::Unknown), "said so: {says_so}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_does_not_say_what_it_runs_is_unknown() {
    let node = Node::start();
    let fake = node.launcher("pod-1", owner("pod-1", vmi(Phase::Running))).await;
    runs(&fake);
    fake.list_fails(true);
    fake.connect();
    tokio::time::sleep(MOMENT).await;
    assert_eq!(node.vm().hypervisor, Some(HypervisorType::Unknown));
    fake.list_fails(false);
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(node.vm().hypervisor, Some(HypervisorType::Kvm));
}

#[tokio::test(start_paused = true)]
async fn a_launcher_that_names_one_domain_after_the_other_is_not_followed() {
    let node = Node::start();
    let fake = node.running("pod-1").await;
    for number in 2..200 {
        let uuid = Uuid::from_u128(number);
        fake.put(uuid, FakeDomain { name: "shop_web".into(), ..running(number) });
        fake.happens(uuid, DomainEvent::Started { incoming_migration: false });
    }
    fake.forget_calls();
    tokio::time::sleep(3 * INTERVAL).await;
    let asked: std::collections::BTreeSet<Uuid> = fake
        .calls()
        .into_iter()
        .filter_map(|(_, asked)| match asked {
            Ask::Read(uuid, _) | Ask::Status(uuid) | Ask::Describe(uuid) => Some(uuid),
            Ask::List => None,
        })
        .collect();
    assert!(asked.len() <= 2, "{} of 199 domains are asked for", asked.len());
    assert_eq!(node.vm().hypervisor, Some(HypervisorType::Kvm));
}

/// The owner of a sidecar's launcher, whose VM is known by name or not.
pub(super) fn alone(pod: &str, named: bool) -> Owner {
    let Who::Known(launcher) = owner(pod, vmi(Phase::Running)).who else { panic!("it is known") };
    let launcher = Launcher { uid: None, ..Launcher::clone(&launcher) };
    let who = if named {
        Who::Known(Arc::new(launcher))
    } else {
        Who::NamedByDomain(Arc::new(Launcher { name: "".into(), ..launcher }))
    };
    Owner { who, vmi: None, has_sidecar: false }
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_waits_for_its_launcher_in_silence_and_misses_it_afterwards() {
    for named in [true, false] {
        let node = Node::start();
        let fake = node.launcher("pod-1", alone("pod-1", named)).await;
        fake.is_not_there();
        tokio::time::sleep(SECOND).await;
        assert!(node.vms().iter().all(|vm| vm.hypervisor.is_none()), "its launcher is yet to come, named: {named}");
        runs(&fake);
        fake.connect();
        tokio::time::sleep(MOMENT).await;
        assert_eq!(node.vm().hypervisor, Some(HypervisorType::Kvm), "named: {named}");
        fake.disconnect();
        tokio::time::sleep(4 * INTERVAL).await;
        assert_eq!(node.vm().hypervisor, Some(HypervisorType::Unknown), "named: {named}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_that_sees_its_vm_start_knows_all_of_its_resource() {
    let node = Node::start();
    let fake = node.launcher("pod-1", alone("pod-1", false)).await;
    let off = FakeDomain { name: "shop_web".into(), id: None, status: destroyed(), ..running(1) };
    fake.put(ONE, off);
    fake.connect();
    tokio::time::sleep(SECOND).await;
    runs(&fake);
    fake.edit(ONE, |domain| domain.xml_takes = 50 * MOMENT / 100);
    fake.happens(ONE, DomainEvent::Resumed { migrated: false });
    fake.happens(ONE, DomainEvent::Started { incoming_migration: false });
    tokio::time::sleep(SECOND).await;
    let vm = node.vm();
    assert_eq!(vm.hypervisor, Some(HypervisorType::Kvm));
    assert_eq!(vm.identity.domain_type.as_deref(), Some("kvm"));
}

#[tokio::test(start_paused = true)]
async fn frozen_vms_however_many_do_not_keep_the_others_waiting() {
    let node = Node::start();
    let mut frozen = Vec::new();
    for number in 0..100 {
        let fake = node.running(&format!("pod-{number}")).await;
        fake.edit(ONE, |domain| domain.hangs = true);
        frozen.push(fake);
    }
    let well = node.running("well").await;
    well.forget_calls();
    tokio::time::sleep(10 * INTERVAL).await;
    let reads = well.reads_of(ONE);
    let longest = reads.windows(2).map(|pair| pair[1] - pair[0]).max().expect("it is read");
    assert!(longest < 2 * INTERVAL, "it waited for {longest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_vm_whose_domain_has_ended_is_the_same_vm_after_a_restart_of_the_agent() {
    let node = Node::start();
    let fake = node.launcher("pod-1", owner("pod-1", vmi(Phase::Running))).await;
    runs(&fake);
    fake.edit(ONE, |domain| domain.status_takes = MOMENT);
    fake.connect();
    tokio::time::sleep(MOMENT * 4).await;
    let before = node.vm();
    fake.edit(ONE, |domain| (domain.id, domain.status) = (None, destroyed()));
    fake.happens(ONE, DomainEvent::Stopped);
    tokio::time::sleep(MOMENT * 2).await;
    assert_eq!(node.vm().identity, before.identity);
}

#[tokio::test(start_paused = true)]
async fn a_launcher_that_is_there_and_cannot_be_read_makes_a_sidecars_vm_unknown() {
    let node = Node::start();
    let fake = node.launcher("pod-1", alone("pod-1", true)).await;
    fake.disconnect();
    tokio::time::sleep(MOMENT).await;
    assert_eq!(node.vm().hypervisor, Some(HypervisorType::Unknown));
}

#[tokio::test(start_paused = true)]
async fn of_two_domains_a_sidecar_is_named_by_the_one_that_runs() {
    let node = Node::start();
    let fake = node.launcher("pod-1", alone("pod-1", false)).await;
    fake.put(ONE, FakeDomain { name: "shop_web".into(), id: None, status: destroyed(), ..running(1) });
    let two = Uuid::from_u128(2);
    fake.put(two, FakeDomain { name: "shop_db".into(), ..running(2) });
    fake.connect();
    tokio::time::sleep(SECOND).await;
    let vm = node.vm();
    let Place::Launcher(launcher) = &vm.identity.place else { panic!("{:?}", vm.identity) };
    assert_eq!((&*launcher.name, &*vm.identity.name, vm.hypervisor), ("db", "shop_db", Some(HypervisorType::Kvm)));
    fake.forget_calls();
    tokio::time::sleep(3 * INTERVAL).await;
    assert!(!fake.calls().iter().any(|(_, asked)| matches!(asked, Ask::Read(ONE, _) | Ask::Status(ONE))));
}

#[tokio::test(start_paused = true)]
async fn becoming_unknown_is_told_at_once() {
    let node = Node::start();
    let fake = node.launcher("pod-1", owner("pod-1", vmi(Phase::Running))).await;
    let before = node.snapshots.borrow().lifecycle;
    fake.disconnect();
    tokio::time::sleep(MOMENT).await;
    assert_eq!(node.vm().hypervisor, Some(HypervisorType::Unknown));
    assert!(node.snapshots.borrow().lifecycle > before);
}

#[tokio::test(start_paused = true)]
async fn a_launcher_that_makes_up_one_domain_after_the_other_is_asked_about_few_of_them() {
    let node = Node::start();
    let fake = node.running("pod-1").await;
    fake.forget_calls();
    for number in 2..3_002 {
        let uuid = Uuid::from_u128(number);
        let off = FakeDomain { name: "shop_web".into(), id: None, status: destroyed(), ..running(number) };
        fake.put(uuid, off);
        fake.happens(uuid, DomainEvent::Stopped);
        tokio::time::sleep(SECOND / 50).await;
        fake.vanish(uuid);
    }
    let asked = fake.count(|ask| matches!(ask, Ask::Status(uuid) if *uuid != ONE));
    let more = 60 / STRANGERS_OF_A_LAUNCHER.every.as_secs();
    // Each that it may name is queried again when a list lacks it.
    assert!(asked as u64 <= 3 * (u64::from(STRANGERS_OF_A_LAUNCHER.burst) + more), "{asked} of 3,000 domains");
    let lists = fake.count(|ask| *ask == Ask::List);
    assert!(lists as u64 <= u64::from(LIST_PACE.burst) + 60 / LIST_PACE.every.as_secs() + 1, "{lists} lists");
    assert_eq!(node.vm().hypervisor, Some(HypervisorType::Kvm), "its own domain is read on");
}

#[tokio::test(start_paused = true)]
async fn that_a_sidecar_pushes_it_is_shown_of_a_vm_with_and_without_a_domain() {
    let node = Node::start();
    let left = |phase| Owner { has_sidecar: true, ..owner("pod-1", vmi(phase)) };
    let fake = node.launcher("pod-1", owner("pod-1", vmi(Phase::Scheduled))).await;
    assert!(!node.vm().has_sidecar);
    node.tell(Roster::Update(fake.id().clone(), left(Phase::Scheduled))).await;
    assert!(node.vm().has_sidecar, "nothing else has changed");
    node.tell(Roster::Update(fake.id().clone(), left(Phase::Running))).await;
    runs(&fake);
    fake.connect();
    tokio::time::sleep(MOMENT * 4).await;
    let vm = node.vm();
    assert!(vm.has_sidecar && vm.cpu.is_some());
    node.tell(Roster::Update(fake.id().clone(), owner("pod-1", vmi(Phase::Running)))).await;
    assert!(!node.vm().has_sidecar, "a domain that is known follows");
}
