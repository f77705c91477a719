//! Daemons that send events without end: queries are limited, and the final state is shown.

use std::time::Duration;

use uuid::Uuid;

use super::fake::{booted, full, paused};
use super::{Bench, MOMENT, SECOND};
use crate::model::State;
use crate::observe::settings::{EVENT_PACE, LIST_PACE, STRANGERS_OF_A_HOST};
use crate::source::{Ask, DomainEvent, SourceEvent, Stats};

const ONE: Uuid = Uuid::from_u128(1);

/// Queries that the schedule sends within a minute on its own, and some that answers trigger.
const OWN: usize = 8;

/// How many queries a pace allows within a minute.
fn in_a_minute(pace: crate::observe::pace::Pace) -> usize {
    let more = 60 * SECOND.as_millis() / pace.every.as_millis();
    usize::try_from(u128::from(pace.burst) + more).unwrap()
}

fn reads(bench: &Bench) -> usize {
    bench.fake().count(|ask| matches!(ask, Ask::Read(..)))
}

#[tokio::test(start_paused = true)]
async fn honest_transitions_are_seen_at_once() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    for turn in 0..EVENT_PACE.burst {
        let (status, event, state) = match turn % 2 {
            0 => (paused(), DomainEvent::Suspended, State::Paused),
            _ => (booted(), DomainEvent::Resumed { migrated: false }, State::Running),
        };
        bench.fake().edit(ONE, |domain| domain.status = status);
        bench.fake().happens(ONE, event);
        bench.pass(Duration::from_millis(20)).await;
        assert_eq!(bench.vm(ONE).status.unwrap().state, state, "transition {turn}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_events_in_a_minute_make_readings_at_a_pace_and_the_last_one_is_true() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    bench.fake().forget_calls();
    for _ in 0..1_000 {
        for _ in 0..50 {
            bench.fake().happens(ONE, DomainEvent::Suspended);
            bench.fake().happens(ONE, DomainEvent::Resumed { migrated: false });
        }
        bench.pass(Duration::from_millis(60)).await;
    }
    let most = in_a_minute(EVENT_PACE) + OWN;
    assert!(reads(&bench) <= most, "{} readings", reads(&bench));
    let [status, describe] = [
        bench.fake().count(|ask| matches!(ask, Ask::Status(_))),
        bench.fake().count(|ask| matches!(ask, Ask::Describe(_))),
    ];
    assert!(status <= most && describe <= most, "{status} states, {describe} XMLs");
    bench.fake().edit(ONE, |domain| domain.status = paused());
    bench.fake().happens(ONE, DomainEvent::Suspended);
    bench.pass(EVENT_PACE.every + MOMENT).await;
    assert_eq!(bench.vm(ONE).status.unwrap().state, State::Paused);
}

#[tokio::test(start_paused = true)]
async fn readings_that_are_long_are_made_the_more_rarely_by_events() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
        fake.edit(ONE, |domain| domain.stats = Stats { parameters: 262_144, ..full(1_000) });
    })
    .await;
    bench.fake().forget_calls();
    for _ in 0..600 {
        bench.fake().happens(ONE, DomainEvent::Suspended);
        bench.fake().happens(ONE, DomainEvent::Resumed { migrated: false });
        bench.pass(SECOND / 10).await;
    }
    assert!(reads(&bench) <= 4 + OWN, "{} readings", reads(&bench));
}

#[tokio::test(start_paused = true)]
async fn starts_without_end_are_one_incarnation_after_the_other_at_a_pace() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    bench.fake().forget_calls();
    let (before, snapshots) = (bench.snapshot().lifecycle, bench.snapshot().sequence);
    for _ in 0..600 {
        for _ in 0..10 {
            bench.fake().happens(ONE, DomainEvent::Started { incoming_migration: false });
            bench.fake().happens(ONE, DomainEvent::Stopped);
        }
        bench.pass(SECOND / 10).await;
    }
    let most = in_a_minute(EVENT_PACE) + OWN;
    assert!(reads(&bench) <= 2 * most, "{} readings", reads(&bench));
    let told = bench.snapshot().lifecycle - before;
    assert!(told <= 4 * u64::try_from(most).unwrap(), "{told} were shown at once");
    let published = bench.snapshot().sequence - snapshots;
    assert!(published <= 4 * u64::try_from(most).unwrap(), "{published} snapshots in a minute");
    bench.fake().happens(ONE, DomainEvent::Started { incoming_migration: false });
    bench.pass(2 * SECOND).await;
    assert!(bench.vm(ONE).cpu.is_some(), "in the end it runs");
}

#[tokio::test(start_paused = true)]
async fn hundreds_of_new_domains_are_met_at_once_and_the_rest_soon() {
    const MANY: u128 = 700;
    let bench = Bench::with(|_| {}).await;
    for number in 1..=MANY {
        bench.fake().runs(number);
        bench.fake().happens(Uuid::from_u128(number), DomainEvent::Started { incoming_migration: false });
    }
    bench.pass(SECOND).await;
    let shown = bench.snapshot().vms.len();
    assert!(shown >= usize::try_from(STRANGERS_OF_A_HOST.burst).unwrap(), "{shown}");
    bench.pass(LIST_PACE.every + 10 * SECOND).await;
    assert_eq!(bench.snapshot().vms.len(), usize::try_from(MANY).unwrap());
}

#[tokio::test(start_paused = true)]
async fn domains_that_are_made_up_are_asked_about_at_a_pace() {
    let bench = Bench::with(|_| {}).await;
    bench.fake().forget_calls();
    for number in 0..60_000_u128 {
        bench.fake().happens(Uuid::from_u128(1_000 + number), DomainEvent::Started { incoming_migration: false });
        if number % 100 == 99 {
            bench.pass(SECOND / 10).await;
        }
    }
    let asked = bench.fake().count(|ask| matches!(ask, Ask::Status(_)));
    assert!(asked <= in_a_minute(STRANGERS_OF_A_HOST), "{asked}");
    let lists = bench.fake().count(|ask| *ask == Ask::List);
    assert!(lists <= in_a_minute(LIST_PACE), "{lists} lists");
}

#[tokio::test(start_paused = true)]
async fn events_that_are_lost_again_and_again_make_lists_at_a_pace() {
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    bench.fake().forget_calls();
    for _ in 0..6_000 {
        bench.fake().send(SourceEvent::EventsLost);
        bench.pass(SECOND / 100).await;
    }
    let lists = bench.fake().count(|ask| *ask == Ask::List);
    assert!(lists <= in_a_minute(LIST_PACE), "{lists} lists");
    assert!(reads(&bench) <= in_a_minute(EVENT_PACE) + OWN, "{} readings", reads(&bench));
    // A domain whose event was lost is still found.
    bench.fake().runs(2);
    bench.fake().send(SourceEvent::EventsLost);
    bench.pass(LIST_PACE.every + SECOND).await;
    assert!(bench.try_vm(Uuid::from_u128(2)).is_some());
}
