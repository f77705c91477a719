//! Timestamps, starts, what is dropped and what is kept.

use std::sync::Arc;
use std::time::Duration;

use super::fake::{Xml, disk, full, nic, partial, xml};
use super::{Bench, INTERVAL, MOMENT, SECOND};
use crate::model::{Bytes, Description, DiskDescription, Group, Vcpu, Vm};
use crate::observe::room;
use crate::source::{DomainEvent, Monitor, SourceEvent, Stats, VcpuStats};
use crate::testing::logged::Logged;
use uuid::Uuid;

const ONE: Uuid = Uuid::from_u128(1);

async fn one_vm() -> Bench {
    Bench::with(|fake| {
        fake.runs(1);
    })
    .await
}

/// Reads it now, with these statistics.
async fn read(bench: &Bench, stats: Stats) -> Arc<Vm> {
    bench.fake().edit(ONE, |domain| domain.stats = stats);
    bench.pass(SECOND).await;
    bench.fake().happens(ONE, DomainEvent::Rebooted);
    bench.pass(4 * MOMENT).await;
    bench.vm(ONE)
}

#[tokio::test(start_paused = true)]
async fn a_counter_that_goes_back_moves_its_own_start_only() {
    let bench = one_vm().await;
    let before = bench.vm(ONE);
    let mut stats = full(2_000);
    stats.disks = Some(vec![disk("vda", 1)]);
    let vm = read(&bench, stats).await;
    let disks = vm.disks.as_ref().unwrap();
    assert_eq!(disks.value[0].start, disks.at);
    assert_eq!(vm.cpu.as_ref().unwrap().start, before.cpu.as_ref().unwrap().start);
    assert_eq!(vm.nics.as_ref().unwrap().value[0].start, before.nics.as_ref().unwrap().value[0].start);
}

#[tokio::test(start_paused = true)]
async fn a_counter_that_was_absent_for_a_while_and_comes_back_lower_has_gone_back() {
    let bench = one_vm().await;
    let mut gap = full(1_100);
    gap.cpu.as_mut().unwrap().user = None;
    let before = read(&bench, gap).await;
    let mut stats = full(1_200);
    stats.cpu.as_mut().unwrap().user = Some(Duration::from_millis(3));
    let vm = read(&bench, stats).await;
    let cpu = vm.cpu.as_ref().unwrap();
    assert!(before.cpu.as_ref().unwrap().start < cpu.start);
    assert_eq!(cpu.start, cpu.at);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_plugged_in_starts_with_its_first_reading_and_again_when_replugged() {
    let bench = one_vm().await;
    let start = bench.vm(ONE).disks.as_ref().unwrap().value[0].start;
    bench.fake().edit(ONE, |domain| domain.xml = Xml::Says(xml(&["vda", "vdb"], &["vnet0"])));
    let mut two = full(1_100);
    two.disks = Some(vec![disk("vda", 1_100), disk("vdb", 900)]);
    let plugged = read(&bench, two.clone()).await.disks.clone().unwrap();
    assert_eq!(plugged.value[0].start, start);
    assert_eq!(plugged.value[1].start, plugged.at);

    // vda goes, and vdb moves to its place: the name counts, not the index.
    let mut one = full(1_200);
    one.disks = Some(vec![disk("vdb", 950)]);
    let shifted = read(&bench, one).await.disks.clone().unwrap();
    assert_eq!(shifted.value[0].start, plugged.value[1].start);

    // It comes back with higher counters: only its absence tells.
    let mut again = full(1_300);
    again.disks = Some(vec![disk("vda", 5_000), disk("vdb", 960)]);
    let back = read(&bench, again).await.disks.clone().unwrap();
    assert_eq!(back.value[0].start, back.at);
    assert_eq!(back.value[1].start, plugged.value[1].start);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_the_xml_did_not_have_makes_it_be_read_once_a_minute_at_most() {
    let bench = one_vm().await;
    bench.fake().forget_calls();
    let mut stats = full(1_100);
    stats.nics = Some(vec![nic("vnet0", 1), nic("vnet9", 1)]);
    for _ in 0..20 {
        read(&bench, stats.clone()).await;
    }
    assert_eq!(bench.fake().descriptions_of(ONE), 1);
    bench.pass(60 * SECOND).await;
    assert_eq!(bench.fake().descriptions_of(ONE), 2);
}

#[tokio::test(start_paused = true)]
async fn changed_devices_are_described_again_once_a_second_at_most() {
    let bench = one_vm().await;
    bench.fake().forget_calls();
    for _ in 0..40 {
        bench.fake().happens(ONE, DomainEvent::DevicesChanged);
        bench.pass(Duration::from_millis(50)).await;
    }
    bench.pass(2 * SECOND).await;
    let described = bench.fake().descriptions_of(ONE);
    assert!((2..=4).contains(&described), "{described} in four seconds");
}

#[tokio::test(start_paused = true)]
async fn two_devices_of_one_target_are_one_and_the_other_is_counted() {
    let bench = one_vm().await;
    let mut stats = full(1_100);
    stats.disks = Some(vec![disk("vda", 1_100), disk("vda", 7)]);
    let vm = read(&bench, stats).await;
    assert_eq!(vm.disks.as_ref().unwrap().value.len(), 1);
    assert_eq!(vm.disks.as_ref().unwrap().value[0].value.read_requests, Some(1_100));
    assert!(bench.counters.left_out.get() >= 1);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_left_out_counted_and_no_success_and_is_logged_once() {
    let (logged, _guard) = Logged::here();
    let bench = one_vm().await;
    assert_eq!(bench.vm(ONE).collection.complete, Some(true));
    let vcpus = |count: u32| VcpuStats {
        each: (0..count).map(|number| Vcpu { number, ..Vcpu::default() }).collect(),
        ..VcpuStats::default()
    };
    let most = u32::try_from(room::SERIES_MAX / room::VCPU_SERIES).unwrap();
    let stats = Stats { vcpus: Some(vcpus(4_096)), ..full(1_100) };
    let vm = read(&bench, stats.clone()).await;
    let shown = vm.vcpus.as_ref().unwrap().value.each.len();
    assert!(shown < 4_096 && shown > most as usize / 2, "{shown}");
    assert_eq!(vm.disks.as_ref().unwrap().value.len(), 1, "the last of them are left out");
    assert_eq!(vm.collection.complete, Some(false));
    assert!(bench.counters.left_out.get() >= 4_096 - u64::from(most));

    // A reading without them changes nothing.
    let vm = read(&bench, Stats { vcpus: None, ..full(1_200) }).await;
    assert_eq!((vm.vcpus.as_ref().unwrap().value.each.len(), vm.collection.complete), (shown, Some(false)));
    for number in 0..20 {
        read(&bench, Stats { cpu: full(1_300 + number).cpu, ..stats.clone() }).await;
    }
    assert_eq!(logged.with("more vCPUs or devices than one may show").len(), 1);

    let vm = read(&bench, Stats { vcpus: Some(vcpus(2)), ..full(1_400) }).await;
    assert_eq!((vm.vcpus.as_ref().unwrap().value.each.len(), vm.collection.complete), (2, Some(true)));
    let counted = bench.counters.left_out.get();
    read(&bench, Stats { left_out: 5, ..full(1_500) }).await;
    assert_eq!(bench.counters.left_out.get(), counted + 5, "what was not even taken counts, too");
    assert_eq!(bench.vm(ONE).collection.complete, Some(false));
}

#[tokio::test(start_paused = true)]
async fn a_description_that_does_not_fit_is_no_success_and_not_asked_for_again() {
    let bench = one_vm().await;
    let long = |number: u32| {
        let source = Some("s".repeat(room::DESCRIPTION_MAX / 2).into());
        Arc::new(DiskDescription { target: format!("vd{number}").into(), source, ..DiskDescription::default() })
    };
    let description = Description { disks: (0..4).map(long).collect(), ..xml(&[], &["vnet0"]) };
    bench.fake().edit(ONE, |domain| domain.xml = Xml::Says(description));
    bench.fake().happens(ONE, DomainEvent::DevicesChanged);
    let stats = Stats { disks: Some((0..4).map(|number| disk(&format!("vd{number}"), 1)).collect()), ..full(1_100) };
    read(&bench, stats).await;
    bench.pass(2 * SECOND).await;
    let vm = bench.vm(ONE);
    assert_eq!(vm.disks.as_ref().unwrap().value.len(), 4);
    assert_eq!(vm.description.as_ref().unwrap().disks.len(), 1);
    assert_eq!(vm.collection.complete, Some(false));
    bench.fake().forget_calls();
    bench.pass(300 * SECOND).await;
    assert_eq!(bench.fake().descriptions_of(ONE), 0);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_not_answered_any_more_is_dropped_after_three_intervals_and_its_age_goes_on() {
    let bench = one_vm().await;
    let mut stats = full(1_100);
    stats.disks = None;
    bench.fake().edit(ONE, |domain| domain.stats = stats);
    bench.pass(3 * INTERVAL - 2 * SECOND).await;
    assert!(bench.vm(ONE).disks.is_some(), "a group missing in a reading means nothing");
    bench.pass(4 * SECOND).await;
    let vm = bench.vm(ONE);
    assert!(vm.disks.is_none());
    assert!(vm.cpu.is_some());
    let age = |group: Group| vm.collection.ages.iter().find(|age| age.group == group).unwrap().age;
    assert!(age(Group::Block) > 3 * INTERVAL);
    assert!(age(Group::Cpu) <= INTERVAL);
    bench.pass(2 * SECOND).await;
    let later = bench.vm(ONE);
    let age = later.collection.ages.iter().find(|age| age.group == Group::Block).unwrap().age;
    assert!(age >= 3 * INTERVAL + 3 * SECOND, "ages go on though nothing is read: {age:?}");
}

#[tokio::test(start_paused = true)]
async fn a_busy_vms_balloon_never_takes_the_place_of_a_whole_reading() {
    let bench = one_vm().await;
    let whole = bench.vm(ONE).memory.clone().unwrap();
    let vm = read(&bench, partial(1_100, Monitor::Busy)).await;
    assert_eq!(vm.memory.as_ref(), Some(&whole), "neither its value nor its stamp");
    assert_eq!(vm.collection.complete, Some(false));
    assert!(!vm.collection.stuck, "busy is not stuck");
    assert!(vm.cpu.as_ref().unwrap().at > whole.at, "what needs no QEMU is news");
    bench.pass(4 * INTERVAL).await;
    let memory = bench.vm(ONE).memory.clone().unwrap();
    assert_eq!(memory.value.major_faults, None, "what was not said is absent");
    assert_eq!(memory.value.current, Some(Bytes(1 << 30)));
    assert!(memory.at > whole.at);

    let vm = read(&bench, full(9_000)).await;
    let memory = vm.memory.clone().unwrap();
    assert_eq!(memory.value.major_faults, Some(9_000));
    assert!(memory.start <= memory.at);
}

#[tokio::test(start_paused = true)]
async fn a_counter_that_appears_later_does_not_share_a_start_that_was_a_first_reading() {
    let bench = Bench::with(|fake| {
        let uuid = fake.runs(1);
        fake.edit(uuid, |domain| domain.stats = partial(1_000, Monitor::Busy));
    })
    .await;
    let partial = bench.vm(ONE).memory.clone().unwrap();
    assert_eq!(partial.value.major_faults, None);
    let memory = read(&bench, full(1_000_000)).await.memory.clone().unwrap();
    assert_eq!(memory.start, memory.at, "a million faults before we looked did not happen since");
    assert!(memory.start > partial.start);
}

#[tokio::test(start_paused = true)]
async fn stamps_go_on_when_the_clock_is_set_back() {
    let bench = one_vm().await;
    let before = bench.vm(ONE);
    bench.clock.step(-3_600);
    let vm = read(&bench, full(2_000)).await;
    let (old, new) = (before.cpu.as_ref().unwrap(), vm.cpu.as_ref().unwrap());
    assert!(new.at.since(old.at) >= Duration::from_millis(1));
    assert!(bench.snapshot().published >= new.at);
    assert!(vm.collection.ages.iter().all(|age| age.age < INTERVAL));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_dropped_when_the_clock_is_set_forward() {
    let bench = one_vm().await;
    bench.clock.step(3_600);
    bench.pass(2 * SECOND).await;
    let vm = bench.vm(ONE);
    assert!(vm.cpu.is_some() && vm.disks.is_some());
    assert!(vm.collection.ages.iter().all(|age| age.age < INTERVAL));
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_of_another_incarnation_is_not_used() {
    let bench = one_vm().await;
    bench.fake().edit(ONE, |domain| domain.hangs = true);
    bench.fake().happens(ONE, DomainEvent::Rebooted);
    bench.pass(4 * SECOND).await;
    assert!(bench.vm(ONE).collection.stuck);
    let before = bench.vm(ONE).disks.clone();
    let mut stats = full(77);
    stats.id = Some(999);
    bench.fake().send(SourceEvent::Late { uuid: ONE, stats: Some(Box::new(stats)) });
    bench.pass(MOMENT).await;
    let vm = bench.vm(ONE);
    assert_eq!(vm.disks, before);
    assert!(!vm.collection.stuck, "yet the call has come back");
}

#[tokio::test(start_paused = true)]
async fn of_a_late_answer_only_what_was_gathered_after_the_wait_is_used() {
    let bench = one_vm().await;
    bench.fake().edit(ONE, |domain| domain.hangs = true);
    bench.fake().happens(ONE, DomainEvent::Rebooted);
    bench.pass(4 * SECOND).await;
    // Meanwhile it is read without its QEMU.
    bench.fake().edit(ONE, |domain| {
        domain.hangs = false;
        domain.stats = partial(2_000, Monitor::Stuck);
    });
    bench.pass(INTERVAL).await;
    let between = bench.vm(ONE);
    assert!(between.collection.stuck);
    // The late answer's processor time and interface are as old as the call; its disks are not.
    bench.fake().edit(ONE, |domain| domain.fails = true);
    let mut stats = full(1_500);
    stats.id = Some(1);
    bench.fake().send(SourceEvent::Late { uuid: ONE, stats: Some(Box::new(stats)) });
    bench.pass(4 * MOMENT).await;
    let vm = bench.vm(ONE);
    assert_eq!(vm.cpu, between.cpu);
    assert_eq!(vm.nics, between.nics);
    assert_eq!(vm.disks.as_ref().unwrap().value[0].value.read_requests, Some(1_500));
    assert!(!vm.collection.stuck);
}
