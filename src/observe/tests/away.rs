//! Losing the daemon, its events or its list, and recovering.

use uuid::Uuid;

use super::fake::{Xml, booted, full, partial, running};
use super::{Bench, INTERVAL, MOMENT, SECOND, start_of};
use crate::model::{Description, HypervisorType};
use crate::source::{Ask, DomainEvent, Monitor, SourceEvent};

#[tokio::test(start_paused = true)]
async fn an_answer_over_an_earlier_connection_is_not_used() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    bench.fake().edit(uuid, |domain| domain.read_takes = 2 * SECOND);
    bench.fake().happens(uuid, DomainEvent::Rebooted);
    bench.pass(SECOND).await;
    let before = bench.vm(uuid).cpu.clone();
    bench.fake().disconnect();
    bench.fake().connect();
    bench.pass(SECOND + MOMENT).await;
    assert_eq!(bench.vm(uuid).cpu, before);
    bench.pass(2 * SECOND).await;
    assert!(bench.vm(uuid).cpu != before, "it was asked again over the new one");
    assert_eq!(bench.fake().most_in_flight().1, 1);
}

#[tokio::test(start_paused = true)]
async fn while_the_daemon_is_away_figures_stay_until_they_are_too_old_and_the_type_is_unknown() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
        fake.shut_off(2);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    bench.fake().disconnect();
    bench.pass(MOMENT).await;
    let snapshot = bench.snapshot();
    assert!(!snapshot.daemons[0].up);
    assert_eq!(snapshot.daemons[0].domains, None);
    assert_eq!(snapshot.vms.len(), 1, "of a domain that does not run nothing is known any more");
    let vm = bench.vm(uuid);
    assert_eq!(vm.hypervisor, Some(HypervisorType::Unknown));
    assert_eq!(vm.status, None);
    assert_eq!(vm.collection.complete, Some(false));
    assert!(vm.cpu.is_some());
    bench.fake().forget_calls();
    bench.pass(3 * INTERVAL - 2 * SECOND).await;
    assert!(bench.vm(uuid).cpu.is_some());
    bench.pass(4 * SECOND).await;
    assert!(bench.try_vm(uuid).is_none(), "with its last figures it goes");
    assert!(bench.fake().calls().is_empty(), "a daemon that is away is not asked");
}

#[tokio::test(start_paused = true)]
async fn after_a_reconnect_everything_is_detected_afresh_and_goes_on() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    let start = start_of(&bench, uuid);
    let identity = bench.vm(uuid).identity.clone();
    bench.fake().disconnect();
    bench.pass(5 * SECOND).await;
    bench.fake().edit(uuid, |domain| domain.stats = full(2_000));
    bench.fake().forget_calls();
    bench.fake().connect();
    bench.pass(4 * MOMENT).await;
    let vm = bench.vm(uuid);
    assert_eq!(vm.hypervisor, Some(HypervisorType::Kvm));
    assert_eq!(vm.status, Some(booted()));
    assert_eq!(bench.fake().descriptions_of(uuid), 1);
    assert_eq!(start_of(&bench, uuid), start, "the incarnation goes on");
    assert!(std::sync::Arc::ptr_eq(&vm.identity, &identity));
    assert!(bench.snapshot().daemons[0].up);
}

#[tokio::test(start_paused = true)]
async fn after_a_reconnect_a_counter_that_went_back_is_another_incarnation() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    bench.fake().disconnect();
    bench.pass(5 * SECOND).await;
    // libvirtd restarted, and its ids with it. Only the interface's counter tells: the disk's has passed the old one.
    let mut stats = full(5_000);
    stats.nics = full(10).nics;
    bench.fake().edit(uuid, |domain| domain.stats = stats);
    bench.fake().forget_calls();
    bench.fake().connect();
    bench.pass(4 * MOMENT).await;
    let vm = bench.vm(uuid);
    let cpu = vm.cpu.as_ref().unwrap();
    assert_eq!(cpu.start, cpu.at, "every series begins with this reading");
    assert_eq!(vm.disks.as_ref().unwrap().value[0].start, cpu.at);
    assert_eq!(vm.hypervisor, Some(HypervisorType::Kvm));
    assert_eq!(bench.fake().descriptions_of(uuid), 1);
}

/// A VM that ran under KVM, and whose XML hangs after its daemon was restarted, as from libvirt 11 on with a frozen QEMU.
async fn restarted(id: u128, counters: u64) -> Bench {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let mut domain = running(id);
    domain.stats = partial(counters, Monitor::Busy);
    domain.xml = Xml::Hangs;
    bench.fake().disconnect();
    bench.pass(MOMENT).await;
    assert_eq!(bench.vm(Uuid::from_u128(1)).hypervisor, Some(HypervisorType::Unknown));
    bench.fake().put(Uuid::from_u128(1), domain);
    bench.fake().forget_calls();
    bench.fake().connect();
    bench.pass(4 * MOMENT).await;
    bench
}

#[tokio::test(start_paused = true)]
async fn after_a_reconnect_the_type_holds_with_the_first_answer_that_shows_the_same_run() {
    let bench = restarted(1, 2_000).await;
    let uuid = Uuid::from_u128(1);
    assert_eq!(bench.vm(uuid).hypervisor, Some(HypervisorType::Kvm));
    assert_eq!(bench.fake().descriptions_of(uuid), 1, "the XML is asked all the same");
    bench.pass(20 * SECOND).await;
    assert_eq!(bench.vm(uuid).hypervisor, Some(HypervisorType::Kvm), "an XML that is late says nothing new");
    let emulated = Description { domain_type: "qemu".into(), ..Description::default() };
    bench.fake().send(SourceEvent::LateDescription { uuid, description: Box::new(emulated) });
    bench.pass(MOMENT).await;
    assert_eq!(bench.vm(uuid).hypervisor, Some(HypervisorType::QemuTcg), "and wins when it comes");
}

#[tokio::test(start_paused = true)]
async fn after_a_reconnect_a_vm_whose_figures_are_too_old_has_its_type_all_the_same() {
    let uuid = Uuid::from_u128(1);
    // It had just hung when the daemon went: its last call was out for as long as figures are shown.
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    bench.fake().edit(uuid, |domain| domain.hangs = true);
    bench.pass(5 * INTERVAL).await;
    assert!(bench.vm(uuid).cpu.is_none());
    bench.fake().disconnect();
    bench.pass(4 * SECOND).await;
    assert!(bench.try_vm(uuid).is_none(), "there is nothing to show of it");
    bench.fake().edit(uuid, |domain| {
        domain.hangs = false;
        domain.stats = partial(2_000, Monitor::Busy);
        domain.xml = Xml::Hangs;
    });
    bench.fake().connect();
    bench.pass(4 * MOMENT).await;
    assert_eq!(bench.vm(uuid).hypervisor, Some(HypervisorType::Kvm));

    // The daemon is away for longer than that.
    bench.fake().disconnect();
    bench.pass(20 * INTERVAL).await;
    assert!(bench.try_vm(uuid).is_none());
    bench.fake().connect();
    bench.fake().disconnect();
    bench.pass(MOMENT).await;
    bench.fake().connect();
    bench.pass(4 * MOMENT).await;
    assert_eq!(bench.vm(uuid).hypervisor, Some(HypervisorType::Kvm));

    // It was shut off meanwhile.
    bench.fake().disconnect();
    bench.pass(20 * INTERVAL).await;
    bench.fake().shut_off(1);
    bench.fake().connect();
    bench.pass(4 * MOMENT).await;
    assert_eq!(bench.vm(uuid).hypervisor, None);
}

#[tokio::test(start_paused = true)]
async fn after_a_reconnect_the_type_of_another_run_is_unknown_until_libvirt_says_it() {
    for (id, counters, what) in [(1, 10, "a counter went back"), (7, 2_000, "another id")] {
        let bench = restarted(id, counters).await;
        bench.pass(10 * SECOND).await;
        let uuid = Uuid::from_u128(1);
        assert_eq!(bench.vm(uuid).hypervisor, Some(HypervisorType::Unknown), "{what}");
        let description = Description { domain_type: "kvm".into(), ..Description::default() };
        bench.fake().send(SourceEvent::LateDescription { uuid, description: Box::new(description) });
        bench.pass(MOMENT).await;
        assert_eq!(bench.vm(uuid).hypervisor, Some(HypervisorType::Kvm), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_reconnect_an_answer_without_counters_shows_nothing() {
    let bench = restarted(1, 2_000).await;
    let uuid = Uuid::from_u128(1);
    bench.fake().disconnect();
    bench.pass(MOMENT).await;
    bench.fake().edit(uuid, |domain| domain.stats.cpu = None);
    bench.fake().connect();
    bench.pass(4 * MOMENT).await;
    assert_eq!(bench.vm(uuid).hypervisor, Some(HypervisorType::Unknown));
    bench.fake().edit(uuid, |domain| domain.stats = partial(3_000, Monitor::Busy));
    bench.pass(INTERVAL + SECOND).await;
    assert_eq!(bench.vm(uuid).hypervisor, Some(HypervisorType::Kvm), "the type of before the first loss");
}

#[tokio::test(start_paused = true)]
async fn after_a_reconnect_another_id_is_another_incarnation() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    bench.fake().disconnect();
    bench.pass(5 * SECOND).await;
    let mut domain = running(7);
    domain.stats = full(5_000);
    bench.fake().put(uuid, domain);
    bench.fake().forget_calls();
    bench.fake().connect();
    bench.pass(4 * MOMENT).await;
    let vm = bench.vm(uuid);
    let cpu = vm.cpu.as_ref().unwrap();
    assert_eq!(cpu.start, cpu.at);
    assert_eq!(&*vm.identity.name, "vm-7");
    assert_eq!(bench.fake().descriptions_of(uuid), 1);
}

#[tokio::test(start_paused = true)]
async fn a_restart_whose_events_were_lost_is_noticed_by_the_id() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    let mut domain = running(7);
    domain.stats = full(5_000);
    bench.fake().put(uuid, domain);
    let old = bench.vm(uuid).cpu.clone().unwrap();
    bench.fake().send(SourceEvent::EventsLost);
    bench.pass(4 * MOMENT).await;
    let cpu = bench.vm(uuid).cpu.clone().unwrap();
    assert!(cpu.start > old.at, "its counters are above the old ones, and begin anew all the same");
    assert_eq!(bench.fake().descriptions_of(uuid), 2);
}

#[tokio::test(start_paused = true)]
async fn what_no_event_told_a_list_finds() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
        fake.shut_off(2);
    })
    .await;
    let (gone, new) = (Uuid::from_u128(2), bench.fake().runs(3));
    bench.fake().vanish(gone);
    bench.pass(6 * 60 * SECOND).await;
    assert!(bench.try_vm(gone).is_none());
    assert!(bench.vm(new).cpu.is_some());
    assert_eq!(bench.fake().count(|asked| *asked == Ask::List), 2);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_cannot_be_reached_at_first_completes_the_round_as_down() {
    let bench = Bench::of(super::Settings::default(), &["fake:///one"], |_| {}).await;
    assert!(!bench.snapshot().complete, "nothing is known yet");
    bench.fake().send(SourceEvent::Disconnected { reason: "no such socket".to_owned(), absent: true });
    bench.pass(SECOND).await;
    let snapshot = bench.snapshot();
    assert!(snapshot.complete && !snapshot.daemons[0].up && snapshot.vms.is_empty());
    bench.fake().runs(1);
    bench.fake().connect();
    bench.pass(SECOND).await;
    assert_eq!(bench.snapshot().vms.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_is_asked_for_again() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
        fake.list_fails(true);
    })
    .await;
    assert!(bench.snapshot().vms.is_empty() && bench.snapshot().complete);
    bench.fake().list_fails(false);
    bench.pass(2 * SECOND).await;
    assert_eq!(bench.snapshot().vms.len(), 1);
}
