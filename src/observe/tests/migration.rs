//! Incoming and outgoing migrations.

use uuid::Uuid;

use super::fake::{booted, migrating, running, starting_up};
use super::{Bench, INTERVAL, MOMENT, SECOND, has_state_only, start_of};
use crate::model::{HypervisorType, Status};
use crate::source::{Ask, DomainEvent};

#[tokio::test(start_paused = true)]
async fn an_incoming_migration_has_a_state_and_nothing_else_until_it_is_resumed_here() {
    let bench = Bench::with(|_| {}).await;
    let uuid = Uuid::from_u128(1);
    let mut domain = running(1);
    domain.status = starting_up();
    bench.fake().put(uuid, domain);
    bench.fake().happens(uuid, DomainEvent::Started { incoming_migration: true });
    for _ in 0..8 {
        bench.pass(5 * SECOND).await;
        assert!(has_state_only(&bench.vm(uuid)));
    }
    bench.fake().edit(uuid, |domain| domain.status = migrating());
    bench.pass(20 * SECOND).await;
    assert!(has_state_only(&bench.vm(uuid)));
    assert_eq!(bench.vm(uuid).status, Some(migrating()));
    assert_eq!(bench.fake().count(|asked| matches!(asked, Ask::Read(..) | Ask::Describe(_))), 0);

    bench.fake().edit(uuid, |domain| domain.status = booted());
    let before = bench.snapshot().published;
    bench.fake().happens(uuid, DomainEvent::Resumed { migrated: true });
    bench.pass(MOMENT).await;
    let vm = bench.vm(uuid);
    let cpu = vm.cpu.as_ref().unwrap();
    assert!(cpu.start >= before && cpu.start < cpu.at, "the incarnation begins here");
    assert_eq!(vm.hypervisor, Some(HypervisorType::Kvm));
    assert_eq!(bench.fake().descriptions_of(uuid), 1);
}

#[tokio::test(start_paused = true)]
async fn a_migrations_destination_that_is_found_in_the_list_is_silent_too() {
    let bench = Bench::with(|fake| {
        let uuid = fake.runs(1);
        fake.edit(uuid, |domain| domain.status = migrating());
    })
    .await;
    let uuid = Uuid::from_u128(1);
    assert!(has_state_only(&bench.vm(uuid)));
    assert!(bench.snapshot().complete, "it keeps nobody waiting");
    // Its RESUMED was missed: its state says that it runs here.
    bench.fake().edit(uuid, |domain| domain.status = booted());
    bench.pass(INTERVAL + MOMENT).await;
    assert_eq!(bench.vm(uuid).hypervisor, Some(HypervisorType::Kvm));
}

#[tokio::test(start_paused = true)]
async fn a_migrations_source_keeps_its_figures_to_the_end() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    let start = start_of(&bench, uuid);
    bench.fake().edit(uuid, |domain| domain.status = migrating());
    bench.fake().happens(uuid, DomainEvent::Suspended);
    bench.pass(MOMENT).await;
    assert!(bench.vm(uuid).cpu.is_some());
    assert_eq!(bench.vm(uuid).status, Some(migrating()));
    // The migration is cancelled: libvirt resumes the source with the same detail as the destination.
    bench.fake().edit(uuid, |domain| domain.status = booted());
    bench.fake().happens(uuid, DomainEvent::Resumed { migrated: true });
    bench.pass(MOMENT).await;
    assert_eq!(start_of(&bench, uuid), start);
}

/// From libvirt 11 on the source's end is told twice, and its state is `shutdown` in between, for an unknown reason.
#[tokio::test(start_paused = true)]
async fn a_migrations_source_that_is_shut_down_before_it_stops_is_still_the_same_run() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    let uuid = Uuid::from_u128(1);
    let (start, detections) = (start_of(&bench, uuid), bench.fake().descriptions_of(uuid));
    bench.fake().edit(uuid, |domain| domain.status = migrating());
    bench.fake().happens(uuid, DomainEvent::Suspended);
    bench.pass(MOMENT).await;
    bench.fake().edit(uuid, |domain| domain.status = Status::from_libvirt(4, 0));
    bench.fake().happens(uuid, DomainEvent::StateChanged);
    bench.pass(MOMENT).await;
    assert_eq!(bench.vm(uuid).status, Some(Status::from_libvirt(4, 0)));
    assert_eq!((start_of(&bench, uuid), bench.fake().descriptions_of(uuid)), (start, detections));
    assert_eq!(bench.vm(uuid).hypervisor, Some(HypervisorType::Kvm));
    bench.fake().vanish(uuid);
    bench.fake().happens(uuid, DomainEvent::Stopped);
    bench.pass(MOMENT).await;
    assert!(bench.try_vm(uuid).is_none());
}
