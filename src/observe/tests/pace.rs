//! How often VMs are read and snapshots published.

use std::time::Duration;

use tokio::time::Instant;

use super::{Bench, INTERVAL, MOMENT, SECOND, Settings};
use crate::model::{Group, Groups};
use crate::observe::Intervals;
use crate::observe::settings::CLUMP_MAX;
use crate::source::{Ask, DomainEvent};
use uuid::Uuid;

fn busy_host(vms: u128) -> impl FnOnce(&super::FakeSource) {
    move |fake| {
        for number in 1..=vms {
            fake.runs(number);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn five_hundred_vms_are_read_evenly() {
    let bench = Bench::with(busy_host(500)).await;
    bench.pass(5 * SECOND).await;
    bench.fake().forget_calls();
    let from = Instant::now();
    bench.pass(4 * INTERVAL).await;
    let calls = bench.fake().calls();
    assert_eq!(calls.len(), 4 * 500, "each once in every interval");
    let mut seconds = vec![0_u32; 60];
    for (at, _) in &calls {
        seconds[usize::try_from((*at - from).as_secs()).unwrap()] += 1;
    }
    // 33 a second on average; a burst would be hundreds.
    assert!(seconds.iter().all(|count| (12..=60).contains(count)), "{seconds:?}");
    let (all, one) = bench.fake().most_in_flight();
    assert!(all <= CLUMP_MAX && one == 1, "{all} at once, {one} of one VM");
}

/// A daemon that does several readings one after the other wakes up once for them.
#[tokio::test(start_paused = true)]
async fn readings_that_are_due_soon_are_made_with_those_that_are_due_now() {
    let bench = Bench::with(busy_host(100)).await;
    bench.pass(3 * INTERVAL).await;
    bench.fake().forget_calls();
    let before = bench.fake().in_turn();
    bench.pass(10 * INTERVAL).await;
    let calls = bench.fake().calls();
    assert_eq!(calls.len(), 10 * 100, "each once in every interval");
    assert_eq!(bench.fake().in_turn() - before, calls.len(), "one after the other");
    let mut clumps: Vec<(Instant, usize)> = Vec::new();
    for (at, _) in &calls {
        match clumps.last_mut() {
            Some((last, count)) if last == at => *count += 1,
            _ => clumps.push((*at, 1)),
        }
    }
    assert!(clumps.iter().all(|(_, count)| *count <= CLUMP_MAX), "{clumps:?}");
    assert!(clumps.len() <= 10 * 16, "{} clumps for a thousand readings", clumps.len());
    let early = Intervals::default().clump_span();
    for number in 1..=100 {
        for pair in bench.fake().reads_of(Uuid::from_u128(number)).windows(2) {
            let gap = pair[1] - pair[0];
            assert!(gap >= INTERVAL - early && gap <= INTERVAL + early, "VM {number}: {gap:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_round_does_not_wait_for_the_schedule() {
    let bench = Bench::with(busy_host(500)).await;
    bench.pass(2 * SECOND).await;
    let snapshot = bench.snapshot();
    assert!(snapshot.complete, "500 readings of 6 ms, four at a time");
    assert!(snapshot.vms.iter().all(|vm| vm.cpu.is_some()));
    assert!(snapshot.vms.iter().is_sorted_by(|a, b| a.key < b.key));
}

#[tokio::test(start_paused = true)]
async fn a_slow_group_is_read_less_often_and_never_by_a_call_of_its_own() {
    let intervals = Intervals::default().with(Group::Block, 4 * INTERVAL);
    let settings = Settings { intervals, ..Settings::default() };
    let bench = Bench::of(settings, &["fake:///one"], |fakes| {
        fakes[0].runs(1);
        fakes[0].connect();
    })
    .await;
    bench.fake().forget_calls();
    bench.pass(16 * INTERVAL).await;
    let reads: Vec<Groups> = bench
        .fake()
        .calls()
        .into_iter()
        .filter_map(|(_, asked)| if let Ask::Read(_, groups) = asked { Some(groups) } else { None })
        .collect();
    assert_eq!(reads.len(), 16);
    assert_eq!(reads.iter().filter(|groups| groups.contains(Group::Block)).count(), 4);
    assert!(reads.iter().all(|groups| groups.contains(Group::Cpu)));
    assert!(bench.vm(Uuid::from_u128(1)).disks.is_some(), "three of its own intervals, not of the others'");
}

#[tokio::test(start_paused = true)]
async fn groups_that_nobody_wants_are_not_read() {
    let groups = [Group::Cpu].into_iter().collect();
    let settings = Settings { groups, ..Settings::default() };
    let bench = Bench::of(settings, &["fake:///one"], |fakes| {
        fakes[0].runs(1);
        fakes[0].connect();
    })
    .await;
    bench.pass(INTERVAL).await;
    let expected: Groups = [Group::State, Group::Cpu, Group::Job].into_iter().collect();
    assert_eq!(bench.fake().count(|asked| matches!(asked, Ask::Read(_, groups) if *groups != expected)), 0);
    assert!(bench.vm(Uuid::from_u128(1)).cpu.is_some());
}

#[tokio::test(start_paused = true)]
async fn snapshots_come_ten_times_a_second_at_most_while_nothing_but_readings_comes_in() {
    let bench = Bench::with(busy_host(500)).await;
    bench.pass(5 * SECOND).await;
    let before = bench.snapshot().sequence;
    bench.pass(10 * SECOND).await;
    let published = bench.snapshot().sequence - before;
    assert!((25..=101).contains(&published), "{published} in ten seconds");
    assert_eq!(bench.counters.snapshots.get(), bench.snapshot().sequence);
}

#[tokio::test(start_paused = true)]
async fn snapshots_come_every_second_while_nothing_happens() {
    let bench = Bench::with(|_| {}).await;
    let before = bench.snapshot();
    bench.pass(10 * SECOND).await;
    let after = bench.snapshot();
    assert!((9..=11).contains(&(after.sequence - before.sequence)));
    assert!(after.published > before.published);
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_lifecycle_events_does_not_make_a_storm_of_snapshots() {
    let bench = Bench::with(busy_host(100)).await;
    bench.pass(SECOND).await;
    let before = bench.snapshot();
    for event in 0..1_000 {
        let started = DomainEvent::Started { incoming_migration: false };
        bench.fake().happens(Uuid::from_u128(1 + event % 100), started);
        bench.pass(Duration::from_millis(1)).await;
    }
    let published = bench.snapshot().sequence - before.sequence;
    assert!((300..=505).contains(&published), "{published} in a second");
    assert!(bench.snapshot().lifecycle - before.lifecycle >= 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_did_not_change_is_the_same_object_in_the_next_snapshot() {
    let bench = Bench::with(|fake| {
        fake.shut_off(1);
        fake.runs(2);
    })
    .await;
    let idle = bench.vm(Uuid::from_u128(1));
    bench.pass(SECOND).await;
    bench.fake().happens(Uuid::from_u128(2), DomainEvent::StateChanged);
    bench.pass(MOMENT).await;
    assert!(std::sync::Arc::ptr_eq(&idle, &bench.vm(Uuid::from_u128(1))));
}

#[tokio::test(start_paused = true)]
async fn told_to_stop_it_stops_with_calls_still_running() {
    let bench = Bench::with(busy_host(3)).await;
    bench.fake().edit(Uuid::from_u128(1), |domain| domain.hangs = true);
    bench.fake().happens(Uuid::from_u128(1), DomainEvent::Rebooted);
    bench.pass(MOMENT).await;
    let before = bench.snapshot().sequence;
    let asked = Instant::now();
    bench.shutdown.cancel();
    let Bench { task, snapshots, .. } = bench;
    task.await.unwrap();
    assert!(asked.elapsed() < SECOND);
    assert_eq!(snapshots.borrow().sequence, before + 1, "with a last snapshot");
}
