//! Hung, busy and failing VMs; XML that cannot be read.

use std::time::Duration;

use tokio::time::Instant;

use super::fake::{Xml, full, partial, xml};
use super::{Bench, INTERVAL, SECOND, Settings};
use crate::model::{Description, HypervisorType, Job, JobKind, JobOperation};
use crate::observe::Intervals;
use crate::source::{DomainEvent, Monitor, SourceEvent};
use uuid::Uuid;

const ONE: Uuid = Uuid::from_u128(1);

/// The longest time between two readings of a VM that the fake received.
fn longest_gap(bench: &Bench, uuid: Uuid, until: Instant) -> Duration {
    let mut reads = bench.fake().reads_of(uuid);
    reads.push(until);
    reads.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn one_of_twenty_hangs_and_the_nineteen_are_never_late() {
    let bench = Bench::with(|fake| {
        for number in 1..=20 {
            fake.runs(number);
        }
    })
    .await;
    bench.fake().edit(ONE, |domain| domain.hangs = true);
    bench.pass(6 * INTERVAL).await;
    let until = Instant::now();
    // Each may be read a bit early, with others.
    let early = Intervals::default().clump_span();
    for number in 2..=20 {
        let uuid = Uuid::from_u128(number);
        let gap = longest_gap(&bench, uuid, until);
        assert!(gap <= INTERVAL + early + SECOND, "VM {number} waited {gap:?}");
        assert!(!bench.vm(uuid).collection.stuck);
        assert_eq!(bench.vm(uuid).collection.complete, Some(true));
    }
    let hung = bench.vm(ONE);
    assert!(hung.collection.stuck);
    assert!(hung.cpu.is_none(), "its figures are too old by now");
    assert_eq!(hung.hypervisor, Some(HypervisorType::Kvm), "but what runs it is known");
    assert_eq!(bench.counters.stuck.get(), 1);
    let (all, one) = bench.fake().most_in_flight();
    assert!(all <= 20 && one == 1, "{all} reads at once, {one} of one VM");

    // It thaws.
    bench.fake().edit(ONE, |domain| domain.hangs = false);
    bench.fake().send(SourceEvent::Late { uuid: ONE, stats: None });
    // The fake may have a second hanging call, which the real source would have refused.
    bench.pass(4 * SECOND).await;
    let healed = bench.vm(ONE);
    assert!(!healed.collection.stuck && healed.cpu.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_daemon_whose_vms_all_hang_does_not_delay_another_daemon() {
    let bench = Bench::of(Settings::default(), &["fake:///hung", "fake:///well"], |fakes| {
        for number in 1..=20 {
            let uuid = fakes[0].runs(number);
            fakes[0].edit(uuid, |domain| domain.hangs = true);
            fakes[1].runs(100 + number);
        }
        fakes[0].connect();
        fakes[1].connect();
    })
    .await;
    bench.pass(4 * INTERVAL).await;
    let until = Instant::now();
    for number in 101..=120 {
        let mut reads = bench.fakes[1].reads_of(Uuid::from_u128(number));
        reads.push(until);
        let gap = reads.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(gap <= 2 * INTERVAL, "VM {number} waited {gap:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stuck_vm_is_read_as_far_as_it_can_be() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    bench.fake().edit(ONE, |domain| domain.stats = partial(2_000, Monitor::Stuck));
    bench.pass(INTERVAL).await;
    let vm = bench.vm(ONE);
    assert!(vm.collection.stuck);
    assert_eq!(vm.cpu.as_ref().unwrap().value.time, Some(Duration::from_secs(2)));
    bench.fake().edit(ONE, |domain| domain.stats = full(3_000));
    bench.pass(INTERVAL).await;
    assert!(!bench.vm(ONE).collection.stuck, "a whole answer heals it");
}

#[tokio::test(start_paused = true)]
async fn busy_is_stuck_after_three_intervals_unless_a_job_explains_it() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
        fake.runs(2);
    })
    .await;
    let two = Uuid::from_u128(2);
    bench.fake().edit(ONE, |domain| domain.stats = partial(2_000, Monitor::Busy));
    bench.fake().edit(two, |domain| {
        domain.stats = partial(2_000, Monitor::Busy);
        domain.stats.job = Some(Some(Job::new(JobKind::Unbounded, JobOperation::Backup)));
    });
    bench.pass(2 * INTERVAL).await;
    assert!(!bench.vm(ONE).collection.stuck);
    assert_eq!(bench.counters.busy.get(), 2);
    bench.pass(3 * INTERVAL).await;
    assert!(bench.vm(ONE).collection.stuck);
    assert!(!bench.vm(two).collection.stuck);
    assert!(bench.vm(two).job.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_fails_is_counted_and_the_next_one_comes_in_time() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    bench.fake().edit(ONE, |domain| domain.fails = true);
    bench.pass(INTERVAL).await;
    let vm = bench.vm(ONE);
    assert_eq!(vm.collection.complete, Some(false));
    assert!(!vm.collection.stuck, "failing is not hanging");
    assert_eq!(bench.counters.reading_failures.get(), 1);
    bench.fake().edit(ONE, |domain| domain.fails = false);
    bench.pass(INTERVAL).await;
    assert_eq!(bench.vm(ONE).collection.complete, Some(true));
}

#[tokio::test(start_paused = true)]
async fn xml_that_cannot_be_read_makes_the_type_unknown_and_is_tried_again_ever_more_rarely() {
    let bench = Bench::with(|fake| {
        let uuid = fake.runs(1);
        fake.edit(uuid, |domain| domain.xml = Xml::Broken);
    })
    .await;
    let vm = bench.vm(ONE);
    assert_eq!(vm.hypervisor, Some(HypervisorType::Unknown));
    assert_eq!(vm.description, None);
    assert!(vm.cpu.is_some(), "its figures are not held up");
    bench.pass(10 * 60 * SECOND).await;
    let tried = bench.fake().descriptions_of(ONE);
    assert!((10..=20).contains(&tried), "{tried} queries in ten minutes");
    bench.fake().edit(ONE, |domain| domain.xml = Xml::Says(xml(&["vda"], &["vnet0"])));
    bench.pass(61 * SECOND).await;
    assert_eq!(bench.vm(ONE).hypervisor, Some(HypervisorType::Kvm));
    assert_eq!(bench.vm(ONE).identity.domain_type, None, "what was not known at first stays absent from the identity");
    assert!(bench.vm(ONE).disks.as_ref().unwrap().value[0].value.description.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_xml_query_that_is_merely_late_keeps_the_type_that_is_known() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    for (xml, expected) in [(Xml::Hangs, HypervisorType::Kvm), (Xml::Fails, HypervisorType::Unknown)] {
        bench.fake().edit(ONE, |domain| domain.xml = xml);
        bench.pass(2 * SECOND).await;
        bench.fake().happens(ONE, DomainEvent::DevicesChanged);
        bench.pass(4 * SECOND).await;
        assert_eq!(bench.vm(ONE).hypervisor, Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_vm_whose_xml_hangs_is_shown_once_that_is_clear() {
    let bench = Bench::with(|fake| {
        let uuid = fake.runs(1);
        fake.edit(uuid, |domain| domain.xml = Xml::Hangs);
    })
    .await;
    bench.pass(2 * SECOND).await;
    assert!(bench.try_vm(ONE).is_none(), "its identity is not known yet");
    assert!(!bench.snapshot().complete);
    bench.pass(2 * SECOND).await;
    assert_eq!(bench.vm(ONE).hypervisor, Some(HypervisorType::Unknown));
    assert!(bench.vm(ONE).cpu.is_some());
    assert!(bench.snapshot().complete);
}

#[tokio::test(start_paused = true)]
async fn a_type_that_nobody_knows_is_unknown_and_not_asked_for_again() {
    let bench = Bench::with(|fake| {
        let uuid = fake.runs(1);
        fake.edit(uuid, |domain| {
            domain.xml = Xml::Says(Description { domain_type: "test".into(), ..xml(&["vda"], &["vnet0"]) });
        });
    })
    .await;
    bench.pass(10 * 60 * SECOND).await;
    assert_eq!(bench.vm(ONE).hypervisor, Some(HypervisorType::Unknown));
    assert_eq!(bench.vm(ONE).identity.domain_type.as_deref(), Some("test"));
    assert_eq!(bench.fake().descriptions_of(ONE), 1);
}

#[tokio::test(start_paused = true)]
async fn a_counter_that_went_back_in_an_answer_without_the_qemu_is_not_shown() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let before = bench.vm(ONE);
    // Its QEMU has been killed; libvirt does not know yet, and has nothing of the process.
    let mut stats = partial(2_000, Monitor::Busy);
    if let Some(vcpus) = &mut stats.vcpus {
        vcpus.each[0].wait = Some(Duration::ZERO);
    }
    bench.fake().edit(ONE, |domain| domain.stats = stats);
    bench.pass(INTERVAL + SECOND).await;
    let after = bench.vm(ONE);
    assert_eq!((&after.vcpus, &after.cpu, &after.nics), (&before.vcpus, &before.cpu, &before.nics));
    assert_eq!(after.hypervisor, before.hypervisor, "it is the same run");
    bench.fake().edit(ONE, |domain| domain.stats = partial(3_000, Monitor::Busy));
    bench.pass(INTERVAL + SECOND).await;
    assert!(bench.vm(ONE).cpu != before.cpu);
}
