//! The endpoint with a fake daemon, in paused time; and once with libvirt's own test driver.

mod fake;
mod properties;
mod real;

use std::collections::HashSet;

use tokio::task::JoinSet;

use self::fake::FakeHypervisor;
use super::*;
use crate::libvirt::event::RawEvent;
use crate::model::{Group, JobOperation};
use crate::source::{DomainEvent, Monitor};

type Events = mpsc::Receiver<SourceEvent>;

fn vm(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn begin(fake: &FakeHypervisor) -> (Arc<EndpointHandle>, Events) {
    let (sender, events) = mpsc::channel(64);
    let settings = Settings::of_uri("fake:///");
    (Endpoint::start_with(fake.clone(), &settings, sender), events)
}

async fn connected(fake: &FakeHypervisor) -> (Arc<EndpointHandle>, Events) {
    let (endpoint, mut events) = begin(fake);
    assert!(matches!(events.recv().await, Some(SourceEvent::Connected(_))));
    (endpoint, events)
}

async fn read(endpoint: &EndpointHandle, number: u128) -> Result<Monitor, ReadError> {
    endpoint.read(vm(number), Groups::all()).await.map(|stats| stats.unwrap().monitor)
}

fn deadline(error: &ReadError) -> bool {
    matches!(error, ReadError::Deadline { .. })
}

fn lost(error: &ReadError) -> bool {
    matches!(error, ReadError::Disconnected { .. })
}

/// Reads the domains all at once.
async fn read_all(
    endpoint: &Arc<EndpointHandle>,
    numbers: impl Iterator<Item = u128>,
) -> Vec<Result<Monitor, ReadError>> {
    let mut tasks = JoinSet::new();
    for number in numbers {
        let endpoint = endpoint.clone();
        tasks.spawn(async move { (number, read(&endpoint, number).await) });
    }
    let mut results = tasks.join_all().await;
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn answers_every_kind_of_question() {
    let fake = FakeHypervisor::with(2);
    let (endpoint, _events) = connected(&fake).await;
    assert_eq!(endpoint.list().await.unwrap().len(), 2);
    assert!(endpoint.status(vm(1)).await.unwrap().is_some());
    assert_eq!(&*endpoint.describe(vm(1)).await.unwrap().unwrap().domain_type, "kvm");
    assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Answered));
    assert_eq!(endpoint.read(vm(9), Groups::all()).await, Ok(None), "a domain that is not there");
    assert_eq!(endpoint.status(vm(9)).await, Ok(None));
    assert_eq!(fake.state().connections, 2, "one for events, one for calls made one after the other");
}

#[tokio::test(start_paused = true)]
async fn a_frozen_vm_is_stuck_still_read_and_healed() {
    let fake = FakeHypervisor::with(2);
    let (endpoint, mut events) = connected(&fake).await;
    fake.domain(1, |domain| domain.frozen = true);
    let before = Instant::now();
    assert!(deadline(&read(&endpoint, 1).await.unwrap_err()));
    let waited = before.elapsed();
    assert!(waited >= Settings::DEADLINE && waited < Settings::DEADLINE + Duration::from_secs(1), "{waited:?}");
    assert_eq!((endpoint.counters().abandoned(), endpoint.counters().stuck()), (1, 1));

    let before = Instant::now();
    for _ in 0..10 {
        assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Stuck), "read without its QEMU");
        assert_eq!(read(&endpoint, 2).await, Ok(Monitor::Answered), "the other is read on");
    }
    assert!(before.elapsed() < Duration::from_secs(1));
    assert_eq!(fake.state().outstanding(), 1, "one call hangs in it");

    fake.domain(1, |domain| domain.frozen = false);
    let Some(SourceEvent::Late { uuid, stats: Some(stats) }) = events.recv().await else { panic!("no late answer") };
    assert_eq!((uuid, stats.monitor), (vm(1), Monitor::Answered));
    assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Answered));
    assert_eq!((endpoint.counters().abandoned(), endpoint.counters().stuck()), (0, 0));
    assert_eq!(endpoint.counters().calls(CallKind::Stats).late(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_others_keep_busy_is_not_stuck() {
    let fake = FakeHypervisor::with(1);
    let (endpoint, _events) = connected(&fake).await;
    fake.domain(1, |domain| domain.busy = true);
    assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Busy));
    assert_eq!(fake.state().peak.jobs, 0, "the job's call would wait for the others' job");
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_no_fault() {
    let fake = FakeHypervisor::with(1);
    let (endpoint, _events) = connected(&fake).await;
    fake.domain(1, |domain| domain.frozen = true);
    let reading = tokio::spawn({
        let endpoint = endpoint.clone();
        async move { read(&endpoint, 1).await }
    });
    pass(Duration::from_millis(2900)).await;
    fake.domain(1, |domain| domain.frozen = false);
    assert_eq!(reading.await.unwrap(), Ok(Monitor::Answered));
    assert_eq!(endpoint.counters().calls(CallKind::Stats).late(), 0);
}

#[tokio::test(start_paused = true)]
async fn with_eight_frozen_the_others_are_read_without_the_monitor_until_one_thaws() {
    let fake = FakeHypervisor::with(20);
    let (endpoint, _events) = connected(&fake).await;
    for number in 1..=12 {
        fake.domain(number, |domain| domain.frozen = true);
    }
    let before = Instant::now();
    let mut rounds = 0;
    while endpoint.counters().abandoned() < 8 {
        let results = read_all(&endpoint, 1..=20).await;
        assert!(results[12..].iter().all(Result::is_ok), "healthy ones are read: {results:?}");
        rounds += 1;
        assert!(rounds < 10, "{} were left behind after {rounds} rounds", endpoint.counters().abandoned());
    }
    assert!(before.elapsed() < Duration::from_secs(30), "{:?}", before.elapsed());
    assert_eq!(read(&endpoint, 20).await, Ok(Monitor::NotAsked));
    assert_eq!(fake.state().peak.monitor, 8);

    fake.domain(1, |domain| domain.frozen = false);
    pass(Duration::from_millis(10)).await;
    assert_eq!(read(&endpoint, 20).await, Ok(Monitor::Answered));
}

/// Whoever waits for a turn behind calls that hang is read without the monitor groups within a second and a bit.
#[tokio::test(start_paused = true)]
async fn nobody_waits_long_behind_calls_that_hang() {
    let fake = FakeHypervisor::with(20);
    let (endpoint, _events) = connected(&fake).await;
    for number in 1..=6 {
        fake.domain(number, |domain| domain.frozen = true);
    }
    while endpoint.counters().abandoned() < 4 {
        read_all(&endpoint, 1..=6).await;
    }
    // The turn is taken by one that hangs for three seconds.
    let hanging = tokio::spawn({
        let endpoint = endpoint.clone();
        async move { read_all(&endpoint, 1..=6).await }
    });
    pass(Duration::from_millis(10)).await;
    let before = Instant::now();
    let results = read_all(&endpoint, 7..=20).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert!(before.elapsed() < Duration::from_millis(1_500), "{:?}", before.elapsed());
    hanging.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn two_hundred_at_once_are_read_four_at_a_time() {
    let fake = FakeHypervisor::with(200);
    let (endpoint, _events) = connected(&fake).await;
    let before = Instant::now();
    let results = read_all(&endpoint, 1..=200).await;
    assert!(results.iter().all(|result| *result == Ok(Monitor::Answered)));
    // 200 readings of two calls of 5 ms each, four at a time.
    assert!(before.elapsed() < Duration::from_millis(600), "{:?}", before.elapsed());
    let peak = fake.state().peak;
    assert_eq!((peak.monitor, peak.in_one_domain), (4, 1));
    assert_eq!(peak.connections, 5, "four for calls and one for events");
}

#[tokio::test(start_paused = true)]
async fn a_mute_daemon_is_lost_and_no_vm_is_blamed() {
    let fake = FakeHypervisor::with(10);
    let (endpoint, mut events) = connected(&fake).await;
    read_all(&endpoint, 1..=10).await;
    fake.change(|state| state.mute = true);
    let results = read_all(&endpoint, 1..=10).await;
    assert!(results.iter().all(|result| result.as_ref().is_err_and(lost)), "{results:?}");
    assert!(matches!(events.recv().await, Some(SourceEvent::Disconnected { .. })));
    assert_eq!(endpoint.counters().stuck(), 0);
    pass(Duration::from_secs(60)).await;
    assert!(read(&endpoint, 1).await.as_ref().is_err_and(lost), "answered at once while it is mute");

    fake.change(|state| state.mute = false);
    loop {
        match events.recv().await {
            Some(SourceEvent::Connected(_)) => break,
            Some(SourceEvent::Disconnected { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(read_all(&endpoint, 1..=10).await.iter().all(|result| *result == Ok(Monitor::Answered)));
    assert_eq!((endpoint.counters().stuck(), endpoint.counters().abandoned()), (0, 0));
    assert!(events.try_recv().is_err(), "nothing late is told of an earlier connection");
    assert_eq!(fake.state().connections, 5);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_daemon_is_back_within_moments() {
    let fake = FakeHypervisor::with(3);
    let (endpoint, mut events) = connected(&fake).await;
    fake.domain(1, |domain| domain.frozen = true);
    assert!(read(&endpoint, 1).await.is_err());
    for _ in 0..30 {
        fake.kill();
        // The call that hung may be told of first: it has failed.
        while !matches!(events.recv().await, Some(SourceEvent::Disconnected { .. })) {}
        assert!(read(&endpoint, 2).await.as_ref().is_err_and(lost));
        pass(Duration::from_secs(10)).await;
        fake.change(|state| state.dead = false);
        let before = Instant::now();
        while !matches!(events.recv().await, Some(SourceEvent::Connected(_))) {}
        assert!(before.elapsed() < Duration::from_millis(2600), "{:?}", before.elapsed());
        assert_eq!(read(&endpoint, 2).await, Ok(Monitor::Answered));
        assert_eq!(endpoint.counters().stuck(), 0, "the calls died with the daemon");
    }
    assert_eq!((endpoint.counters().connects(), endpoint.counters().disconnects()), (31, 30));
    assert!(fake.state().connections <= 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_outlives_its_connection_in_a_frozen_vm_counts_on() {
    let fake = FakeHypervisor::with(2);
    let (endpoint, mut events) = connected(&fake).await;
    fake.domain(1, |domain| domain.frozen = true);
    assert!(read(&endpoint, 1).await.is_err());
    fake.change(|state| state.mute = true);
    assert!(read(&endpoint, 2).await.as_ref().is_err_and(lost));
    fake.change(|state| state.mute = false);
    while !matches!(events.recv().await, Some(SourceEvent::Connected(_))) {}
    assert_eq!(endpoint.counters().stuck(), 0);
    assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Busy), "not blamed before it has had its time again");
    pass(Settings::DEADLINE + Duration::from_secs(1)).await;
    assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Stuck));
    assert_eq!(endpoint.counters().abandoned(), 1);
    fake.domain(1, |domain| domain.frozen = false);
    assert_eq!(events.recv().await, Some(SourceEvent::Late { uuid: vm(1), stats: None }));
    assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Answered));
}

#[tokio::test(start_paused = true)]
async fn a_fresh_daemon_that_takes_long_to_say_what_it_can_makes_nothing_stuck() {
    let fake = FakeHypervisor::with(3);
    fake.change(|state| state.prepare_takes = Duration::from_secs(4));
    let before = Instant::now();
    let (endpoint, _events) = connected(&fake).await;
    assert!(before.elapsed() >= Duration::from_secs(4));
    assert!(read_all(&endpoint, 1..=3).await.iter().all(|result| *result == Ok(Monitor::Answered)));
    assert_eq!(endpoint.counters().stuck(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_daemon_it_is_tried_and_told_again_and_again() {
    let fake = FakeHypervisor::with(1);
    fake.change(|state| state.mute = true);
    let (endpoint, mut events) = begin(&fake);
    for _ in 0..5 {
        assert!(matches!(events.recv().await, Some(SourceEvent::Disconnected { .. })));
    }
    assert!(read(&endpoint, 1).await.as_ref().is_err_and(lost));
    assert_eq!(fake.state().opens, 0, "a mute socket is never opened");
    fake.change(|state| state.mute = false);
    while !matches!(events.recv().await, Some(SourceEvent::Connected(_))) {}
}

#[tokio::test(start_paused = true)]
async fn an_open_that_hangs_is_told_and_stays_the_only_one() {
    let fake = FakeHypervisor::with(1);
    fake.change(|state| state.open_hangs = true);
    let (_endpoint, mut events) = begin(&fake);
    assert!(matches!(events.recv().await, Some(SourceEvent::Disconnected { .. })));
    pass(Duration::from_secs(600)).await;
    assert_eq!(fake.state().opens, 1);
    fake.change(|state| state.open_hangs = false);
    assert!(matches!(events.recv().await, Some(SourceEvent::Connected(_))));
}

#[tokio::test(start_paused = true)]
async fn an_open_that_hangs_later_refuses_requests_instead_of_keeping_them() {
    let fake = FakeHypervisor::with(1);
    let (endpoint, _events) = connected(&fake).await;
    fake.change(|state| state.open_hangs = true);
    assert!(matches!(read(&endpoint, 1).await, Err(ReadError::Libvirt { call: "virConnectOpenReadOnly", .. })));
    assert_eq!(fake.state().peak.opening, 1);
    fake.change(|state| state.open_hangs = false);
    assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Answered));
}

#[tokio::test(start_paused = true)]
async fn a_vm_whose_lock_is_held_delays_only_itself_and_the_list() {
    let fake = FakeHypervisor::with(5);
    let (endpoint, mut events) = connected(&fake).await;
    fake.domain(1, |domain| domain.locked = true);
    let (list, status, describe) = tokio::join!(endpoint.list(), endpoint.status(vm(1)), endpoint.describe(vm(1)));
    assert!(deadline(&list.unwrap_err()) && deadline(&status.unwrap_err()) && deadline(&describe.unwrap_err()));
    assert!(deadline(&endpoint.list().await.unwrap_err()), "not a second one beside it");
    for number in 2..=5 {
        assert!(endpoint.status(vm(number)).await.unwrap().is_some());
        assert!(endpoint.describe(vm(number)).await.unwrap().is_some());
        assert_eq!(read(&endpoint, number).await, Ok(Monitor::Answered));
    }
    assert_eq!(endpoint.counters().stuck(), 0, "no statistics were asked of it");
    fake.domain(1, |domain| domain.locked = false);
    pass(Duration::from_millis(10)).await;
    assert_eq!(endpoint.list().await.unwrap().len(), 5);
    assert!(endpoint.status(vm(1)).await.unwrap().is_some());
    assert!(events.try_recv().is_err(), "the daemon was never lost");
}

#[tokio::test(start_paused = true)]
async fn in_a_vm_whose_lock_is_held_there_are_two_calls_and_no_third() {
    let fake = FakeHypervisor::with(2);
    let (endpoint, mut events) = connected(&fake).await;
    fake.domain(1, |domain| domain.locked = true);
    for _ in 0..5 {
        assert!(deadline(&read(&endpoint, 1).await.unwrap_err()));
    }
    assert_eq!(fake.state().outstanding(), 2);
    assert_eq!(read(&endpoint, 2).await, Ok(Monitor::Answered));
    fake.domain(1, |domain| domain.locked = false);
    assert!(matches!(events.recv().await, Some(SourceEvent::Late { .. })));
    assert!(events.try_recv().is_err(), "healed once");
}

#[tokio::test(start_paused = true)]
async fn the_job_is_read_with_the_statistics_and_its_delay_costs_them_nothing() {
    let fake = FakeHypervisor::with(1);
    let (endpoint, mut events) = connected(&fake).await;
    let only_job: Groups = [Group::Job].into_iter().collect();
    let stats = endpoint.read(vm(1), only_job).await.unwrap().unwrap();
    assert_eq!(stats.job.unwrap().unwrap().operation, JobOperation::MigrationOut);
    assert_eq!(stats.memory, None, "it was not asked for");
    assert_eq!(endpoint.counters().unknown_parameters(), 1);

    fake.domain(1, |domain| domain.job_frozen = true);
    let stats = endpoint.read(vm(1), Groups::all()).await.unwrap().unwrap();
    assert_eq!((stats.monitor, stats.job), (Monitor::Answered, None));
    assert_eq!(endpoint.counters().stuck(), 1, "its call may wait for the QEMU like any other");
    fake.domain(1, |domain| domain.job_frozen = false);
    let Some(SourceEvent::Late { stats: Some(stats), .. }) = events.recv().await else { panic!("no late answer") };
    assert!(stats.job.is_some() && stats.id == Some(1));
}

#[tokio::test(start_paused = true)]
async fn groups_that_need_no_monitor_are_read_from_a_frozen_vm() {
    let fake = FakeHypervisor::with(1);
    let (endpoint, _events) = connected(&fake).await;
    fake.domain(1, |domain| domain.frozen = true);
    let stats = endpoint.read(vm(1), Groups::all().without_monitor()).await.unwrap().unwrap();
    assert_eq!(stats.monitor, Monitor::NotAsked);
}

#[tokio::test(start_paused = true)]
async fn events_arrive_in_order_and_losses_are_told() {
    let fake = FakeHypervisor::with(2);
    let (endpoint, mut events) = connected(&fake).await;
    fake.emit(1, RawEvent::Lifecycle { event: 3, detail: 0 });
    fake.emit(2, RawEvent::Reboot);
    let mut told = Vec::new();
    for _ in 0..2 {
        let Some(SourceEvent::Domain { uuid, event, .. }) = events.recv().await else { panic!("no event") };
        told.push((uuid, event));
    }
    assert_eq!(told, [(vm(1), DomainEvent::Suspended), (vm(2), DomainEvent::Rebooted)]);

    // Nobody lets the endpoint run in between: its inbox overflows.
    for _ in 0..5000 {
        fake.emit(1, RawEvent::Reboot);
    }
    let mut lost = false;
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(1), events.recv()).await {
        lost |= event == SourceEvent::EventsLost;
    }
    assert!(lost);
    assert_eq!(endpoint.counters().events_received(), 5002);
    assert!(endpoint.counters().events_dropped() > 3000);
    assert_eq!(endpoint.counters().events_refused(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_reads_no_events_holds_up_no_readings() {
    let fake = FakeHypervisor::with(1);
    let (endpoint, events) = connected(&fake).await;
    for _ in 0..10_000 {
        fake.emit(1, RawEvent::Reboot);
        if endpoint.counters().events_received().is_multiple_of(500) {
            assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Answered));
        }
    }
    drop(events);
    assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Answered), "nor one that has gone");
}

#[tokio::test(start_paused = true)]
async fn more_requests_than_can_wait_are_refused_and_counted() {
    let fake = FakeHypervisor::with(1);
    let (endpoint, _events) = connected(&fake).await;
    let results = read_all(&endpoint, std::iter::repeat_n(1, 3000)).await;
    let refused = results.iter().filter(|result| matches!(result, Err(ReadError::Overloaded { .. }))).count();
    assert!(refused > 0 && results.iter().any(Result::is_ok));
    assert_eq!(endpoint.counters().requests_refused(), u64::try_from(refused).unwrap());
    assert_eq!(fake.state().peak.in_one_domain, 1);
}

#[tokio::test(start_paused = true)]
async fn readers_that_have_gone_away_cost_no_calls() {
    let fake = FakeHypervisor::with(1);
    let (endpoint, _events) = connected(&fake).await;
    fake.domain(1, |domain| domain.frozen = true);
    let first = tokio::spawn({
        let endpoint = endpoint.clone();
        async move { read(&endpoint, 1).await }
    });
    for _ in 0..100 {
        let _ = tokio::time::timeout(Duration::from_millis(1), read(&endpoint, 1)).await;
    }
    assert!(first.await.unwrap().is_err());
    pass(Duration::from_secs(60)).await;
    assert_eq!(endpoint.counters().calls(CallKind::Stats).returned(), 0);
    assert_eq!(fake.state().outstanding(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_without_a_handle_ends_and_closes_its_connections() {
    let fake = FakeHypervisor::with(3);
    let (endpoint, mut events) = connected(&fake).await;
    read_all(&endpoint, 1..=3).await;
    drop(endpoint);
    assert_eq!(events.recv().await, None);
    assert_eq!(fake.state().connections, 0);
}

#[tokio::test(start_paused = true)]
async fn connections_that_a_storm_needed_are_closed_afterwards() {
    let fake = FakeHypervisor::with(4);
    let (endpoint, _events) = connected(&fake).await;
    read_all(&endpoint, 1..=4).await;
    assert_eq!(fake.state().connections, 5);
    for _ in 0..20 {
        pass(Duration::from_secs(10)).await;
        read(&endpoint, 1).await.unwrap();
    }
    assert_eq!(fake.state().connections, 2);
}

#[test]
fn every_kind_of_call_has_a_name_of_its_own() {
    let names: HashSet<&str> = CallKind::ALL.into_iter().map(CallKind::as_str).collect();
    let functions: HashSet<&str> = CallKind::ALL.into_iter().map(CallKind::function).collect();
    assert_eq!((names.len(), functions.len()), (CallKind::ALL.len(), CallKind::ALL.len()));
}

#[tokio::test(start_paused = true)]
async fn daemons_that_share_a_turnstile_are_connected_to_in_turn_and_one_that_hangs_holds_up_the_next_for_a_moment() {
    let turnstile = Turnstile::new(1);
    let share = |fake: &FakeHypervisor| {
        let (sender, events) = mpsc::channel(64);
        let settings = Settings { turnstile: Some(turnstile.clone()), ..Settings::of_uri("fake:///") };
        (Endpoint::start_with(fake.clone(), &settings, sender), events)
    };
    let [slow, second, hangs, last] = [(); 4].map(|()| FakeHypervisor::with(1));
    let preparing = turnstile::HOLD / 2;
    slow.state().prepare_takes = preparing;
    hangs.state().open_hangs = true;
    let began = Instant::now();
    let mut all = [&slow, &second, &hangs, &last].map(share);
    let mut after = Vec::new();
    for place in [0, 1, 3] {
        assert!(matches!(all[place].1.recv().await, Some(SourceEvent::Connected(_))), "{place}");
        after.push(began.elapsed());
    }
    assert!(after[0] >= preparing && after[1] > after[0] && after[1] < turnstile::HOLD, "{after:?}");
    assert!(after[2] >= after[1] + turnstile::HOLD - Duration::from_millis(50), "{after:?}");
    assert!(after[2] < after[1] + turnstile::HOLD * 2, "{after:?}");

    // Nobody waits any more: it is connected to again at once.
    second.kill();
    second.state().dead = false;
    let lost = Instant::now();
    assert!(matches!(all[1].1.recv().await, Some(SourceEvent::Disconnected { .. })));
    while !matches!(all[1].1.recv().await, Some(SourceEvent::Connected(_))) {}
    assert!(lost.elapsed() < turnstile::HOLD, "{:?}", lost.elapsed());
}
