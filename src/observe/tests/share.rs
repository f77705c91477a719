//! Daemons with too many or too large domains harm only themselves.

use uuid::Uuid;

use super::fake::{FakeSource, disk, full};
use super::{Bench, INTERVAL, MOMENT, SECOND};
use crate::model::{Vcpu, Vm};
use crate::observe::share::{ALLOWANCE, DOMAINS_MAX, OF_A_HOST};
use crate::observe::{Settings, room};
use crate::source::{DomainEvent, SourceEvent, Stats, VcpuStats};
use crate::testing::logged::Logged;

const HONEST: &str = "fake:///honest";
const HOSTILE: &str = "fake:///hostile";

/// Domains of a hostile daemon: three times as many as fit into one daemon's limit, each as large as any.
const MANY: u128 = 60;

fn sized(vcpus: u32, disks: u32) -> Stats {
    let each = (0..vcpus).map(|number| Vcpu { number, ..Vcpu::default() }).collect();
    let disks = (0..disks).map(|number| disk(&format!("vd{number}"), 1)).collect();
    Stats { vcpus: Some(VcpuStats { each, ..VcpuStats::default() }), disks: Some(disks), ..full(1_000) }
}

fn has(fake: &FakeSource, number: u128, stats: &Stats) -> Uuid {
    let uuid = fake.runs(number);
    fake.edit(uuid, |domain| domain.stats = stats.clone());
    uuid
}

fn vms(bench: &Bench, daemon: &str) -> Vec<Vm> {
    let snapshot = bench.snapshot();
    snapshot.vms.iter().filter(|vm| &*vm.key.daemon.0 == daemon).map(|vm| Vm::clone(vm)).collect()
}

/// Page bytes that they take together.
fn page(vms: &[Vm]) -> usize {
    vms.iter().map(|vm| room::fit(&mut vm.clone(), usize::MAX).1).sum()
}

/// The most that one daemon may have.
fn most(vms: usize) -> usize {
    2 * OF_A_HOST + vms * ALLOWANCE
}

#[tokio::test(start_paused = true)]
async fn a_hostile_host_takes_no_more_than_one_may_and_an_honest_one_loses_nothing() {
    let (logged, _guard) = Logged::here();
    let bench = Bench::of(Settings::default(), &[HOSTILE, HONEST], |fakes| {
        let immense = sized(4_096, 64);
        for number in 1..=MANY {
            has(&fakes[0], number, &immense);
        }
        has(&fakes[1], 1, &sized(512, 64));
        for number in 2..=100 {
            has(&fakes[1], number, &sized(4, 2));
        }
        fakes.iter().for_each(|fake| fake.connect());
    })
    .await;
    for _ in 0..4 {
        bench.pass(INTERVAL).await;
        let honest = vms(&bench, HONEST);
        assert_eq!(honest.len(), 100);
        assert!(honest.iter().all(|vm| vm.collection.complete == Some(true)));
        let hostile = vms(&bench, HOSTILE);
        assert_eq!(hostile.len(), 60);
        assert!(hostile.iter().all(|vm| vm.collection.complete == Some(false)));
        assert!(page(&hostile) > OF_A_HOST && page(&hostile) < most(60), "{}", page(&hostile));
    }
    assert!(bench.counters.left_out.get() > 60 * 2_048);
    assert_eq!(logged.with("have more vCPUs and devices than they may show together").len(), 1);

    // Most of them go: the rest are shown up to the limit of one VM.
    for number in 3..=MANY {
        bench.fake().vanish(Uuid::from_u128(number));
        bench.fake().happens(Uuid::from_u128(number), DomainEvent::Stopped);
    }
    bench.pass(2 * INTERVAL).await;
    let hostile = vms(&bench, HOSTILE);
    assert_eq!(hostile.len(), 2);
    for vm in hostile {
        assert!(vm.vcpus.as_ref().unwrap().value.each.len() > 1_024 && vm.disks.unwrap().value.len() == 64);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_to_be_shown_is_given_back() {
    let immense = sized(4_096, 64);
    let bench = Bench::of(Settings::default(), &[HOSTILE, HONEST], |fakes| {
        for number in 1..=MANY {
            has(&fakes[0], number, &immense);
            has(&fakes[1], number, &immense);
        }
        fakes.iter().for_each(|fake| fake.connect());
    })
    .await;
    bench.pass(4 * INTERVAL).await;
    let [before, other] = [HONEST, HOSTILE].map(|daemon| page(&vms(&bench, daemon)));
    assert!(before.abs_diff(other) < OF_A_HOST / 8, "they share evenly: {before}, {other}");
    for number in 1..=MANY {
        bench.fake().edit(Uuid::from_u128(number), |domain| domain.hangs = true);
    }
    bench.pass(6 * INTERVAL).await;
    assert!(page(&vms(&bench, HOSTILE)) < 60 * 2_048, "nothing but what the XML says");
    let after = page(&vms(&bench, HONEST));
    assert!(after > before + OF_A_HOST / 8, "{before}, then {after}");

    // Whether it is stuck or unreachable does not matter.
    bench.fake().disconnect();
    bench.pass(4 * INTERVAL).await;
    assert!(vms(&bench, HOSTILE).is_empty());
    assert!(page(&vms(&bench, HONEST)) >= after);
}

#[tokio::test(start_paused = true)]
async fn of_more_domains_than_one_daemon_may_have_those_that_run_are_known_and_the_rest_is_counted() {
    const BEYOND: u64 = 10;
    let (logged, _guard) = Logged::here();
    let idle = u128::try_from(DOMAINS_MAX).unwrap() + u128::from(BEYOND);
    let bench = Bench::with(|fake| {
        for number in 1..=idle {
            fake.shut_off(number);
        }
        fake.runs(idle + 1);
    })
    .await;
    bench.pass(SECOND).await;
    let runs = Uuid::from_u128(idle + 1);
    assert_eq!(bench.snapshot().vms.len(), DOMAINS_MAX);
    assert!(bench.vm(runs).cpu.is_some());
    assert_eq!(bench.counters.domains_left_out.get(), BEYOND + 1);
    // Nor does an event add one.
    bench.fake().runs(idle + 2);
    bench.fake().happens(Uuid::from_u128(idle + 2), DomainEvent::Started { incoming_migration: false });
    bench.pass(4 * MOMENT).await;
    assert!(bench.try_vm(Uuid::from_u128(idle + 2)).is_none());
    assert_eq!(bench.counters.domains_left_out.get(), BEYOND + 2);
    assert_eq!(logged.with("has more domains").len(), 1);

    for number in 1..=u128::from(BEYOND) + 2 {
        bench.fake().vanish(Uuid::from_u128(number));
        bench.fake().happens(Uuid::from_u128(number), DomainEvent::Undefined);
    }
    bench.fake().send(SourceEvent::EventsLost);
    bench.pass(SECOND).await;
    assert_eq!(bench.snapshot().vms.len(), DOMAINS_MAX);
    assert!(bench.vm(Uuid::from_u128(idle + 2)).cpu.is_some());
}

#[tokio::test(start_paused = true)]
async fn names_that_are_longer_than_there_is_room_for_are_not_taken() {
    let long = |number: u128| format!("{number}{}", "\\".repeat(1_000));
    let bench = Bench::with(|fake| {
        for number in 1..=1_000 {
            let uuid = fake.runs(number);
            fake.edit(uuid, |domain| domain.name = long(number).into());
        }
    })
    .await;
    bench.pass(SECOND).await;
    let shown = vms(&bench, "fake:///one");
    let names: usize = shown.iter().map(|vm| room::name_bytes(&vm.identity.name)).sum();
    assert!((100..1_000).contains(&shown.len()) && names < most(1_000), "{}: {names} bytes", shown.len());

    // An ordinary domain that takes such a name keeps the one that it had.
    let uuid = bench.fake().runs(2_000);
    bench.fake().happens(uuid, DomainEvent::Started { incoming_migration: false });
    bench.pass(SECOND).await;
    bench.fake().edit(uuid, |domain| domain.name = long(2_000).into());
    bench.fake().happens(uuid, DomainEvent::Defined);
    bench.fake().happens(uuid, DomainEvent::Started { incoming_migration: false });
    bench.pass(SECOND).await;
    assert_eq!(&*bench.vm(uuid).identity.name, "vm-2000");
}
