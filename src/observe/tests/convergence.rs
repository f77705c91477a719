//! Whatever happens to a host in whatever order: once it is quiet, the snapshot is correct.

use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::fake::{FakeDomain, FakeSource, booted, destroyed, full, paused, running};
use super::{Bench, SECOND, has_state_only};
use crate::model::{HypervisorType, State};
use crate::source::{DomainEvent, SourceEvent};

/// One thing that happens to a host of four domains.
#[derive(Debug, Clone, Copy)]
enum Step {
    Boot { domain: u128, told: bool },
    Stop { domain: u128, told: bool },
    Vanish { domain: u128, told: bool },
    Pause { domain: u128 },
    Resume { domain: u128 },
    Hang { domain: u128 },
    Thaw { domain: u128 },
    Reboot { domain: u128 },
    Plug { domain: u128 },
    Disconnect,
    Connect,
    EventsLost,
}

fn step() -> impl Strategy<Value = (Step, u64)> {
    let domain = || 1_u128..=4;
    let step = prop_oneof![
        4 => (domain(), any::<bool>()).prop_map(|(domain, told)| Step::Boot { domain, told }),
        2 => (domain(), any::<bool>()).prop_map(|(domain, told)| Step::Stop { domain, told }),
        1 => (domain(), any::<bool>()).prop_map(|(domain, told)| Step::Vanish { domain, told }),
        1 => domain().prop_map(|domain| Step::Pause { domain }),
        1 => domain().prop_map(|domain| Step::Resume { domain }),
        1 => domain().prop_map(|domain| Step::Hang { domain }),
        1 => domain().prop_map(|domain| Step::Thaw { domain }),
        1 => domain().prop_map(|domain| Step::Reboot { domain }),
        1 => domain().prop_map(|domain| Step::Plug { domain }),
        1 => Just(Step::Disconnect),
        2 => Just(Step::Connect),
        1 => Just(Step::EventsLost),
    ];
    // Mostly close together, where answers and events cross; at times far apart.
    (step, prop_oneof![4 => 0_u64..10, 2 => 10_u64..4_000, 1 => 4_000_u64..60_000])
}

fn told(fake: &FakeSource, told: bool, uuid: Uuid, events: &[DomainEvent]) {
    for event in events.iter().filter(|_| told) {
        fake.happens(uuid, event.clone());
    }
}

fn does(fake: &FakeSource, step: Step, next_id: &mut u32) {
    let has = |domain: u128| fake.domain(Uuid::from_u128(domain));
    let active = |domain: u128| has(domain).is_some_and(|domain| domain.id.is_some());
    let edit = |domain: u128, change: fn(&mut FakeDomain)| fake.edit(Uuid::from_u128(domain), change);
    match step {
        Step::Boot { domain, told: seen } if !active(domain) => {
            *next_id += 1;
            let uuid = Uuid::from_u128(domain);
            fake.put(uuid, FakeDomain { id: Some(*next_id), stats: full(u64::from(*next_id)), ..running(domain) });
            let started = DomainEvent::Started { incoming_migration: false };
            told(fake, seen, uuid, &[DomainEvent::Resumed { migrated: false }, started]);
        }
        Step::Stop { domain, told: seen } if active(domain) => {
            edit(domain, |domain| {
                domain.id = None;
                domain.status = destroyed();
                domain.hangs = false;
            });
            told(fake, seen, Uuid::from_u128(domain), &[DomainEvent::StateChanged, DomainEvent::Stopped]);
        }
        Step::Vanish { domain, told: seen } if has(domain).is_some() => {
            fake.vanish(Uuid::from_u128(domain));
            told(fake, seen, Uuid::from_u128(domain), &[DomainEvent::Stopped, DomainEvent::Undefined]);
        }
        Step::Pause { domain } if active(domain) => {
            edit(domain, |domain| domain.status = paused());
            told(fake, true, Uuid::from_u128(domain), &[DomainEvent::Suspended]);
        }
        Step::Resume { domain } if active(domain) => {
            edit(domain, |domain| domain.status = booted());
            told(fake, true, Uuid::from_u128(domain), &[DomainEvent::Resumed { migrated: false }]);
        }
        Step::Hang { domain } if active(domain) => edit(domain, |domain| domain.hangs = true),
        Step::Thaw { domain } if active(domain) => edit(domain, |domain| domain.hangs = false),
        Step::Reboot { domain } if active(domain) => {
            told(fake, true, Uuid::from_u128(domain), &[DomainEvent::Rebooted, DomainEvent::Rebooted]);
        }
        Step::Plug { domain } if active(domain) => {
            told(fake, true, Uuid::from_u128(domain), &[DomainEvent::DevicesChanged]);
        }
        Step::Disconnect => fake.disconnect(),
        Step::Connect => fake.connect(),
        Step::EventsLost => fake.send(SourceEvent::EventsLost),
        _ => {} // it cannot happen to this domain now
    }
}

async fn check(steps: Vec<(Step, u64)>) -> Result<(), TestCaseError> {
    let bench = Bench::with(|fake| {
        fake.runs(1);
        fake.shut_off(2);
    })
    .await;
    let mut next_id = 100;
    for (step, wait) in steps {
        does(bench.fake(), step, &mut next_id);
        bench.pass(Duration::from_millis(wait)).await;
        let snapshot = bench.snapshot();
        prop_assert!(snapshot.vms.iter().is_sorted_by(|a, b| a.key < b.key));
        for vm in snapshot.vms.iter() {
            let off = vm.status.is_some_and(|status| status.state == State::Shutoff);
            prop_assert!(!off || has_state_only(vm), "figures of a domain that does not run: {vm:?}");
            prop_assert!(vm.newest().is_none() || vm.hypervisor.is_some(), "figures, and no word of what runs it");
        }
    }
    prop_assert!(bench.fake().most_in_flight().1 <= 1, "two reads of one domain at once");

    // Now nothing hangs, and the daemon is reachable. The longest wait is the retry of a failed XML query.
    for number in 1..=4 {
        let uuid = Uuid::from_u128(number);
        if bench.fake().domain(uuid).is_some() {
            bench.fake().edit(uuid, |domain| domain.hangs = false);
        }
    }
    bench.fake().connect();
    bench.pass(70 * SECOND).await;
    let snapshot = bench.snapshot();
    let mut shown = 0;
    for number in 1..=4 {
        let uuid = Uuid::from_u128(number);
        let vm = bench.try_vm(uuid);
        let Some(domain) = bench.fake().domain(uuid) else {
            prop_assert!(vm.is_none(), "a domain that is gone is shown");
            continue;
        };
        shown += 1;
        let Some(vm) = vm else { return Err(TestCaseError::fail(format!("domain {number} is not shown"))) };
        prop_assert_eq!(vm.status, Some(domain.status));
        if domain.id.is_none() {
            prop_assert!(has_state_only(&vm), "{:?}", vm);
            continue;
        }
        prop_assert_eq!(vm.hypervisor, Some(HypervisorType::Kvm));
        prop_assert!(!vm.collection.stuck && vm.collection.complete == Some(true), "{:?}", vm.collection);
        let time = vm.cpu.as_ref().and_then(|cpu| cpu.value.time);
        prop_assert_eq!(time, domain.stats.cpu.as_ref().and_then(|cpu| cpu.time));
        prop_assert!(vm.disks.as_ref().is_some_and(|disks| disks.value[0].value.description.is_some()));
    }
    prop_assert_eq!(snapshot.vms.len(), shown);
    prop_assert!(snapshot.complete);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn left_alone_the_snapshot_says_what_is_true(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().start_paused(true).enable_time().build().unwrap();
        runtime.block_on(check(steps))?;
    }
}

#[tokio::test(start_paused = true)]
async fn a_boot_while_everything_is_read_afresh_shows_no_figures_of_what_does_not_run() {
    for wait in 0..8 {
        check(vec![(Step::EventsLost, wait), (Step::Boot { domain: 2, told: true }, 2)]).await.unwrap();
    }
}
