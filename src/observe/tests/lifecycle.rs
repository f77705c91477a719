//! Starting, pausing, stopping, renaming.

use std::time::Duration;

use super::fake::{FakeSource, READ_TAKES, Xml, booted, destroyed, full, paused, running, xml};
use super::{Bench, INTERVAL, MOMENT, SECOND, has_state_only, start_of};
use crate::model::{HypervisorType, State, Status};
use crate::source::{Ask, DomainEvent};
use uuid::Uuid;

const STARTED: DomainEvent = DomainEvent::Started { incoming_migration: false };
const RESUMED: DomainEvent = DomainEvent::Resumed { migrated: false };

/// The domain boots: libvirt sends RESUMED before STARTED.
fn boot(fake: &FakeSource, uuid: Uuid, number: u128, count: u64) {
    let mut domain = running(number);
    domain.stats = full(count);
    fake.put(uuid, domain);
    fake.happens(uuid, RESUMED);
    fake.happens(uuid, STARTED);
}

#[tokio::test(start_paused = true)]
async fn a_running_domain_is_asked_once_for_its_state_its_xml_and_its_figures() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    let asked: Vec<Ask> = bench.fake().calls().into_iter().map(|(_, asked)| asked).collect();
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert_eq!(asked[..2], [Ask::List, Ask::Status(uuid)]);

    let vm = bench.vm(uuid);
    assert_eq!(vm.hypervisor, Some(HypervisorType::Kvm));
    assert_eq!(vm.identity.domain_type.as_deref(), Some("kvm"));
    assert_eq!(vm.identity.arch.as_deref(), Some("x86_64"));
    assert_eq!(vm.status, Some(booted()));
    assert_eq!(vm.collection.complete, Some(true));
    let cpu = vm.cpu.as_ref().unwrap();
    assert_eq!(cpu.start, cpu.at, "the start was not seen: it is the stamp of the first reading exactly");
    assert_eq!(vm.disks.as_ref().unwrap().value[0].start, vm.disks.as_ref().unwrap().at);
    assert!(vm.disks.as_ref().unwrap().value[0].value.description.is_some());
    let snapshot = bench.snapshot();
    assert!(snapshot.complete && snapshot.daemons[0].up);
    assert_eq!(snapshot.daemons[0].domains.unwrap()[State::ALL.iter().position(|s| *s == State::Running).unwrap()], 1);
}

#[tokio::test(start_paused = true)]
async fn a_boot_is_one_detection_and_starts_when_it_was_seen() {
    let bench = Bench::with(|fake| {
        fake.shut_off(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    bench.pass(3 * SECOND).await;
    bench.fake().forget_calls();
    let before = bench.snapshot();
    boot(bench.fake(), uuid, 1, 40);
    bench.pass(MOMENT).await;
    let vm = bench.vm(uuid);
    assert_eq!(bench.fake().descriptions_of(uuid), 1);
    assert_eq!(vm.hypervisor, Some(HypervisorType::Kvm));
    let cpu = vm.cpu.as_ref().unwrap();
    assert!(cpu.start < cpu.at, "its start was seen, and is earlier than its first reading");
    assert!(cpu.start > before.published);
    assert_eq!(vm.disks.as_ref().unwrap().value[0].start, cpu.start, "the disk was there from the beginning");
    assert!(bench.snapshot().lifecycle > before.lifecycle);
}

#[tokio::test(start_paused = true)]
async fn a_domain_that_is_created_out_of_nothing_is_one_detection_too() {
    let bench = Bench::with(|_| {}).await;
    let uuid = Uuid::from_u128(5);
    let mut domain = running(5);
    domain.stats = full(3);
    bench.fake().put(uuid, domain);
    bench.fake().happens(uuid, RESUMED);
    // Its state and its XML are answered before STARTED comes, its statistics are not.
    bench.pass(Duration::from_millis(4)).await;
    assert_eq!(bench.fake().descriptions_of(uuid), 1);
    bench.fake().happens(uuid, STARTED);
    bench.pass(MOMENT).await;
    assert_eq!(bench.fake().descriptions_of(uuid), 1);
    let cpu = bench.vm(uuid).cpu.clone().unwrap();
    assert!(cpu.start < cpu.at, "its start was seen");
}

#[tokio::test(start_paused = true)]
async fn a_restore_sends_its_events_the_other_way_round_and_is_one_detection_as_well() {
    let bench = Bench::with(|fake| {
        fake.shut_off(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    bench.fake().put(uuid, running(1));
    bench.fake().happens(uuid, STARTED);
    bench.pass(MOMENT).await;
    bench.fake().happens(uuid, RESUMED);
    bench.pass(MOMENT).await;
    assert_eq!(bench.fake().descriptions_of(uuid), 1);
}

#[tokio::test(start_paused = true)]
async fn a_resume_is_no_proof_of_a_start() {
    // A domain first seen by its RESUMED may have run for years.
    let bench = Bench::with(|_| {}).await;
    let uuid = Uuid::from_u128(5);
    bench.fake().put(uuid, running(5));
    bench.fake().happens(uuid, RESUMED);
    bench.pass(MOMENT).await;
    let cpu = bench.vm(uuid).cpu.clone().unwrap();
    assert_eq!(cpu.start, cpu.at);
}

#[tokio::test(start_paused = true)]
async fn pause_and_resume_are_seen_at_once_and_a_resume_is_detected_afresh() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    let start = start_of(&bench, uuid);
    bench.pass(2 * SECOND).await;
    let before = bench.snapshot().lifecycle;
    bench.fake().edit(uuid, |domain| {
        domain.status = paused();
        domain.read_takes = SECOND;
    });
    bench.fake().happens(uuid, DomainEvent::Suspended);
    bench.pass(Duration::from_millis(3)).await;
    assert_eq!(bench.vm(uuid).status, Some(paused()), "the state is shown before the reading is there");
    assert!(bench.snapshot().lifecycle > before);
    assert_eq!(bench.fake().descriptions_of(uuid), 1, "a pause is no detection");

    bench.pass(5 * SECOND).await;
    bench.fake().edit(uuid, |domain| {
        domain.status = booted();
        domain.xml = Xml::Says(crate::model::Description { domain_type: "qemu".into(), ..xml(&["vda"], &["vnet0"]) });
    });
    bench.fake().happens(uuid, RESUMED);
    bench.pass(2 * SECOND).await;
    assert_eq!(bench.fake().descriptions_of(uuid), 2, "exactly one XML query for the resume");
    let vm = bench.vm(uuid);
    assert_eq!(vm.hypervisor, Some(HypervisorType::QemuTcg));
    assert_eq!(vm.identity.domain_type.as_deref(), Some("kvm"), "the identity does not change within an incarnation");
    assert_eq!(start_of(&bench, uuid), start, "a resume is no new incarnation");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reading_does_not_bring_back_the_state_from_before_a_pause() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    bench.fake().edit(uuid, |domain| domain.read_takes = 2 * SECOND);
    bench.fake().happens(uuid, DomainEvent::Rebooted);
    bench.pass(SECOND).await;
    bench.fake().edit(uuid, |domain| domain.status = paused());
    bench.fake().happens(uuid, DomainEvent::Suspended);
    for _ in 0..40 {
        bench.pass(Duration::from_millis(100)).await;
        assert_eq!(bench.vm(uuid).status, Some(paused()));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_a_domain_that_is_gone_already_changes_nothing() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    bench.fake().vanish(uuid);
    bench.fake().happens(uuid, DomainEvent::Stopped);
    bench.pass(MOMENT).await;
    let before = bench.snapshot().lifecycle;
    bench.fake().forget_calls();
    bench.fake().happens(uuid, DomainEvent::JobChanged);
    bench.pass(INTERVAL).await;
    assert!(bench.fake().calls().is_empty());
    bench.fake().happens(uuid, DomainEvent::Undefined);
    bench.pass(INTERVAL).await;
    assert_eq!(bench.snapshot().lifecycle, before);
    assert!(bench.snapshot().vms.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_stops_has_no_figures_at_once_and_its_state_as_soon_as_it_is_said() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    bench.fake().edit(uuid, |domain| {
        domain.id = None;
        domain.status = destroyed();
        domain.status_takes = SECOND;
    });
    bench.fake().happens(uuid, DomainEvent::StateChanged);
    bench.fake().happens(uuid, DomainEvent::Stopped);
    bench.pass(Duration::from_millis(8)).await;
    let vm = bench.vm(uuid);
    assert!(has_state_only(&vm), "{vm:?}");
    assert_eq!(vm.status, None, "what its state is now, nobody has said yet");
    bench.pass(3 * SECOND).await;
    let vm = bench.vm(uuid);
    assert!(has_state_only(&vm), "{vm:?}");
    assert_eq!(vm.status, Some(destroyed()));
}

#[tokio::test(start_paused = true)]
async fn a_transient_domain_is_gone_when_it_stops() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
        fake.runs(2);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    bench.fake().vanish(uuid);
    bench.fake().happens(uuid, DomainEvent::Stopped);
    bench.pass(MOMENT).await;
    assert!(bench.try_vm(uuid).is_none());
    assert_eq!(bench.snapshot().vms.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn started_again_it_starts_again() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    let first = bench.vm(uuid).cpu.clone().unwrap();
    bench.fake().happens(uuid, DomainEvent::Stopped);
    // Its counters are above the old ones already: only the events tell.
    boot(bench.fake(), uuid, 9, 5_000);
    bench.pass(MOMENT).await;
    let second = bench.vm(uuid).cpu.clone().unwrap();
    assert!(second.start > first.at && second.start < second.at);
    assert_eq!(bench.fake().descriptions_of(uuid), 2, "one for each incarnation");
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_the_incarnation_before_is_not_used() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    bench.fake().edit(uuid, |domain| domain.read_takes = 2 * SECOND);
    bench.fake().happens(uuid, DomainEvent::Rebooted);
    bench.pass(SECOND).await;
    // A reading runs. The domain ends and starts meanwhile; unknown to the agent, the answer is of the new one.
    bench.fake().happens(uuid, DomainEvent::Stopped);
    boot(bench.fake(), uuid, 9, 7);
    bench.pass(SECOND + MOMENT).await;
    let cpu = bench.vm(uuid).cpu.clone().unwrap();
    assert!(cpu.start < cpu.at, "it was read once more");
    assert_eq!(bench.fake().most_in_flight().1, 1, "and never twice at once");
}

#[tokio::test(start_paused = true)]
async fn a_domain_that_comes_back_waits_for_the_call_that_still_runs_about_it() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    bench.fake().edit(uuid, |domain| domain.hangs = true);
    bench.fake().happens(uuid, DomainEvent::Rebooted);
    bench.pass(MOMENT).await;
    bench.fake().vanish(uuid);
    bench.fake().happens(uuid, DomainEvent::Stopped);
    bench.pass(MOMENT).await;
    assert!(bench.try_vm(uuid).is_none());
    boot(bench.fake(), uuid, 2, 7);
    bench.pass(4 * SECOND).await;
    assert!(bench.vm(uuid).cpu.is_some());
    assert!(!bench.vm(uuid).collection.stuck, "the deadline was the old one's");
    assert_eq!(bench.fake().most_in_flight().1, 1);
}

#[tokio::test(start_paused = true)]
async fn a_domain_that_does_not_run_is_asked_for_its_state_and_for_nothing_else() {
    let bench = Bench::with(|fake| {
        fake.shut_off(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    bench.pass(4 * INTERVAL).await;
    bench.fake().happens(uuid, DomainEvent::DevicesChanged);
    bench.fake().happens(uuid, DomainEvent::Defined);
    bench.pass(SECOND).await;
    let vm = bench.vm(uuid);
    assert!(has_state_only(&vm), "{vm:?}");
    assert_eq!(vm.status, Some(destroyed()));
    assert_eq!(bench.fake().count(|asked| matches!(asked, Ask::Read(..) | Ask::Describe(_))), 0);
    assert!(bench.fake().count(|asked| *asked == Ask::Status(uuid)) >= 4);
    assert!(bench.snapshot().complete);
}

#[tokio::test(start_paused = true)]
async fn a_reading_of_a_domain_that_has_stopped_is_used_for_its_state_only() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    // Its event was lost, and libvirt answers with its own process' CPU time.
    bench.fake().edit(uuid, |domain| {
        domain.id = None;
        domain.status = destroyed();
    });
    bench.pass(INTERVAL + SECOND).await;
    let vm = bench.vm(uuid);
    assert!(has_state_only(&vm), "{vm:?}");
    assert_eq!(vm.status, Some(destroyed()));
}

#[tokio::test(start_paused = true)]
async fn a_crashed_domain_has_a_state_only_even_while_it_has_an_id() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    bench.fake().edit(uuid, |domain| {
        domain.status = Status::from_libvirt(6, 1);
        domain.status_takes = 60 * SECOND;
    });
    bench.pass(INTERVAL + SECOND).await;
    assert!(has_state_only(&bench.vm(uuid)), "{:?}", bench.vm(uuid));
}

#[tokio::test(start_paused = true)]
async fn until_a_started_domain_is_detected_it_is_shown_as_it_was() {
    let bench = Bench::with(|fake| {
        fake.shut_off(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    let before = bench.vm(uuid);
    let mut domain = running(1);
    domain.xml_takes = 2 * SECOND;
    bench.fake().put(uuid, domain);
    bench.fake().happens(uuid, STARTED);
    bench.pass(SECOND).await;
    let vm = bench.vm(uuid);
    assert!(has_state_only(&vm), "{vm:?}");
    assert_eq!(vm.identity, before.identity);
    bench.pass(2 * SECOND).await;
    let vm = bench.vm(uuid);
    assert_eq!(vm.status, Some(booted()));
    assert!(vm.identity.arch.is_some() && vm.cpu.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_domain_that_vanishes_in_the_middle_of_a_reading_is_gone() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    bench.fake().happens(uuid, DomainEvent::Rebooted);
    bench.pass(READ_TAKES / 2).await;
    bench.fake().vanish(uuid);
    bench.pass(MOMENT).await;
    assert!(bench.try_vm(uuid).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_renamed_domain_has_a_new_identity_and_the_same_key() {
    let bench = Bench::with(|fake| {
        fake.shut_off(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    let old = bench.vm(uuid);
    bench.fake().happens(uuid, DomainEvent::Undefined);
    bench.fake().edit(uuid, |domain| domain.name = "renamed".into());
    bench.fake().happens(uuid, DomainEvent::Defined);
    bench.pass(MOMENT).await;
    let vm = bench.vm(uuid);
    assert_eq!(&*old.identity.name, "vm-1");
    assert_eq!(&*vm.identity.name, "renamed");
    assert_eq!(bench.snapshot().vms.len(), 1);
}

/// How often a VM is read that reboots this often, and in the two seconds after; it remains the same run.
async fn reads_while_it_reboots(times: usize, apart: Duration) -> usize {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    let start = start_of(&bench, uuid);
    bench.fake().forget_calls();
    for _ in 0..times {
        bench.fake().happens(uuid, DomainEvent::Rebooted);
        bench.pass(apart).await;
    }
    bench.pass(2 * SECOND).await;
    assert_eq!(bench.fake().descriptions_of(uuid), 0);
    assert_eq!(start_of(&bench, uuid), start);
    bench.fake().reads_of(uuid).len()
}

#[tokio::test(start_paused = true)]
async fn a_guests_reboot_is_no_new_incarnation_and_many_are_read_once_a_second() {
    let reads = reads_while_it_reboots(100, Duration::from_millis(50)).await;
    assert!((5..=8).contains(&reads), "{reads} readings in seven seconds");
}

/// From libvirt 11 on a reset is told twice, 55 to 110 ms apart.
#[tokio::test(start_paused = true)]
async fn an_event_that_is_told_twice_changes_nothing_and_is_read_twice_at_most() {
    let reads = reads_while_it_reboots(2, MOMENT).await;
    assert!(reads <= 2, "{reads} readings");
}
