//! The endpoint with a fake daemon, in paused time; and with hostile launchers.

mod fake;
mod files;
mod heartbeat;
mod hostile;
#[cfg(feature = "virt")]
mod library;
mod many;
mod properties;
mod versions;

use std::collections::HashSet;

use tokio::task::JoinSet;
use uuid::Uuid;

use self::fake::FakeHypervisor;
use super::*;
use crate::model::{Description, Group, Groups, JobOperation, Status, Version};
use crate::source::{DomainEvent, Listed, Monitor, Said, Stats};

type Events = mpsc::Receiver<SourceEvent>;

fn vm(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// A daemon with many VMs.
fn host() -> Settings {
    let settings = Settings::new(DaemonId("fake:///".into()), Address::Socket("/nonexistent".into()));
    Settings { calls_at_once: Settings::AT_ONCE, ..settings }
}

/// One method per kind of request.
impl EndpointHandle {
    async fn list(&self) -> Result<Vec<Listed>, ReadError> {
        match self.ask(Ask::List, Order::AtOnce).await? {
            Said::Listed(listed) => Ok(listed),
            other => panic!("{other:?}"),
        }
    }

    async fn status(&self, uuid: Uuid) -> Result<Option<Status>, ReadError> {
        match self.ask(Ask::Status(uuid), Order::AtOnce).await? {
            Said::Status(status) => Ok(status),
            other => panic!("{other:?}"),
        }
    }

    async fn describe(&self, uuid: Uuid) -> Result<Option<Description>, ReadError> {
        match self.ask(Ask::Describe(uuid), Order::AtOnce).await? {
            Said::Described(description) => Ok(description.map(|description| *description)),
            other => panic!("{other:?}"),
        }
    }

    async fn read(&self, uuid: Uuid, groups: Groups) -> Result<Option<Stats>, ReadError> {
        self.read_in(Order::AtOnce, uuid, groups).await
    }

    async fn read_in(&self, order: Order, uuid: Uuid, groups: Groups) -> Result<Option<Stats>, ReadError> {
        match self.ask(Ask::Read(uuid, groups), order).await? {
            Said::Stats(stats) => Ok(stats.map(|stats| *stats)),
            other => panic!("{other:?}"),
        }
    }

    fn calls(&self, name: &str) -> &CallCounters {
        self.counters.calls().find(|(of, _)| *of == name).unwrap().1
    }
}

fn begin_with(fake: &FakeHypervisor, settings: &Settings) -> (Arc<EndpointHandle>, Events) {
    let (sender, events) = mpsc::channel(64);
    (Endpoint::start_with(fake.clone(), settings, sender), events)
}

fn begin(fake: &FakeHypervisor) -> (Arc<EndpointHandle>, Events) {
    begin_with(fake, &host())
}

async fn connected(fake: &FakeHypervisor) -> (Arc<EndpointHandle>, Events) {
    connected_with(fake, &host()).await
}

async fn connected_with(fake: &FakeHypervisor, settings: &Settings) -> (Arc<EndpointHandle>, Events) {
    let (endpoint, mut events) = begin_with(fake, settings);
    assert!(matches!(events.recv().await, Some(SourceEvent::Connected(_))));
    // A single-VM daemon probes its emulators when its VM is first read, not before.
    if !bounds::is_of_one(settings) {
        assert!(matches!(events.recv().await, Some(SourceEvent::Hypervisor(Version(7_002_000)))));
    }
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
async fn a_daemon_says_who_it_is_and_the_connection_is_closed() {
    let fake = FakeHypervisor::with(0);
    let facts = meeting::introduced(&fake).await.unwrap();
    assert_eq!((&*facts.driver, fake.state().connections), ("Fake", 0));
    fake.change(|state| state.mute = true);
    let error = meeting::introduced(&fake).await.unwrap_err();
    assert_eq!((error.reason.as_str(), error.absent), ("mute", false));
}

/// Twelve frozen VMs, in eight of which calls of an agent hang: these answer without their QEMU, the four others do not.
#[tokio::test(start_paused = true)]
async fn beside_an_agent_one_call_runs_and_two_are_left_behind() {
    let fake = FakeHypervisor::with(14);
    for number in 1..=12 {
        fake.domain(number, |domain| {
            domain.frozen = true;
            domain.busy = number <= 8;
        });
    }
    let settings = Settings { reader: Reader::BesideAnAgent, ..host() };
    let (endpoint, _events) = connected_with(&fake, &settings).await;
    let results = read_all(&endpoint, 1..=14).await;
    assert_eq!(endpoint.counters().abandoned(), 2, "{results:?}");
    let peak = fake.state().peak;
    assert!(peak.hung == 2 && peak.monitor <= 2 + 1, "{peak:?}");
    let of = |number: usize| results[number - 1].as_ref();
    assert!((1..=8).all(|number| of(number) == Ok(&Monitor::Busy)), "where the agent's calls hang: {results:?}");
    assert_eq!((9..=12).filter(|number| of(*number).is_err_and(deadline)).count(), 2, "{results:?}");
    assert!((13..=14).all(|number| of(number).is_ok()), "the healthy ones are read: {results:?}");
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
    assert_eq!(endpoint.calls("stats").late(), 1);
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
    assert_eq!(endpoint.calls("stats").late(), 0);
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

/// Reads that wait behind hung calls are made without monitor groups within a second and a bit.
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
    // One that hangs for three seconds takes the turn.
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
    while let Ok(event) = events.try_recv() {
        assert!(
            matches!(event, SourceEvent::Hypervisor(_)),
            "nothing late is told of an earlier connection: {event:?}"
        );
    }
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
        // The failure of the hung call may be reported first.
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
    assert_eq!(read(&endpoint, 2).await, Ok(Monitor::Answered));
    fake.change(|state| state.mute = true);
    assert!(read(&endpoint, 2).await.as_ref().is_err_and(lost));
    assert_eq!(fake.state().outstanding(), 2, "the daemon's workers");
    fake.change(|state| state.mute = false);
    while !matches!(events.recv().await, Some(SourceEvent::Connected(_))) {}
    assert_eq!((endpoint.counters().stuck(), endpoint.counters().abandoned()), (0, 2), "it is the same process");
    assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Busy), "not blamed before it has had its time again");
    pass(Settings::DEADLINE + Duration::from_secs(1)).await;
    assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Stuck));
    assert_eq!(read(&endpoint, 2).await, Ok(Monitor::Answered));
    pass(Duration::from_millis(1)).await;
    assert_eq!(endpoint.counters().abandoned(), 1, "the other has answered as a whole");
    fake.domain(1, |domain| domain.frozen = false);
    assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Answered));
    pass(Duration::from_millis(1)).await;
    assert_eq!((endpoint.counters().stuck(), endpoint.counters().abandoned()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn workers_that_hang_are_free_when_the_qemu_is_gone_or_the_daemon_is_another_process() {
    let fake = FakeHypervisor::with(3);
    let (endpoint, mut events) = connected(&fake).await;
    for number in 1..=3 {
        fake.domain(number, |domain| domain.frozen = true);
        assert!(read(&endpoint, number).await.is_err());
    }
    // Keepalive reports it as unresponsive, and it is back at once: the same process.
    fake.end_with(hypervisor::Ending { reason: "it answers no PING".to_owned(), hung_up: false });
    while !matches!(events.recv().await, Some(SourceEvent::Connected(_))) {}
    assert_eq!((endpoint.counters().abandoned(), fake.state().outstanding()), (3, 3));
    fake.domain(1, |domain| domain.frozen = false);
    fake.emit(1, DomainEvent::Stopped);
    while !matches!(events.recv().await, Some(SourceEvent::Domain { .. })) {}
    pass(Duration::from_millis(1)).await;
    assert_eq!(endpoint.counters().abandoned(), 2, "its QEMU is gone");
    fake.change(|state| {
        state.domains.remove(&vm(2));
    });
    assert_eq!(endpoint.read(vm(2), Groups::all()).await, Ok(None));
    pass(Duration::from_millis(1)).await;
    assert_eq!(endpoint.counters().abandoned(), 1, "its domain is gone");
    fake.kill();
    fake.change(|state| state.dead = false);
    while !matches!(events.recv().await, Some(SourceEvent::Connected(_))) {}
    pass(Duration::from_millis(1)).await;
    assert_eq!(endpoint.counters().abandoned(), 0, "it is another process");
}

/// Under systemd's socket activation all daemons look alike. One that hangs up has ended.
#[tokio::test(start_paused = true)]
async fn where_nobody_tells_the_process_a_daemon_that_hung_up_is_another_afterwards() {
    let fake = FakeHypervisor::with(1);
    fake.change(|state| state.tells_process = false);
    let (endpoint, mut events) = connected(&fake).await;
    fake.domain(1, |domain| domain.frozen = true);
    assert!(read(&endpoint, 1).await.is_err());
    for (hung_up, expected) in [(false, 1), (true, 0)] {
        fake.end_with(hypervisor::Ending { reason: "it ended".to_owned(), hung_up });
        while !matches!(events.recv().await, Some(SourceEvent::Connected(_))) {}
        pass(Duration::from_millis(1)).await;
        assert_eq!(endpoint.counters().abandoned(), expected, "hung up: {hung_up}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fresh_daemon_that_takes_long_to_probe_its_emulators_makes_nothing_stuck() {
    let fake = FakeHypervisor::with(3);
    fake.change(|state| state.prepare_takes = Duration::from_secs(4));
    let before = Instant::now();
    let (endpoint, mut events) = begin(&fake);
    assert!(matches!(events.recv().await, Some(SourceEvent::Connected(_))));
    assert_eq!(endpoint.list().await.unwrap().len(), 3);
    assert!(endpoint.describe(vm(1)).await.unwrap().is_some());
    assert!(before.elapsed() < Duration::from_secs(1), "who is there, and what runs it, is said at once");
    assert!(read_all(&endpoint, 1..=3).await.iter().all(|result| *result == Ok(Monitor::Answered)));
    assert!(before.elapsed() >= Duration::from_secs(4), "statistics wait");
    assert_eq!(endpoint.counters().stuck(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_never_ends_probing_its_emulators_is_read_all_the_same() {
    let fake = FakeHypervisor::with(1);
    fake.change(|state| state.prepare_takes = Duration::from_secs(100_000));
    let (endpoint, mut events) = begin(&fake);
    assert!(matches!(events.recv().await, Some(SourceEvent::Connected(_))));
    let before = Instant::now();
    let first = read(&endpoint, 1).await;
    assert!(matches!(first, Err(ReadError::Overloaded { .. })), "it waited for as long as one may: {first:?}");
    pass(Duration::from_secs(2)).await;
    assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Answered));
    assert!(before.elapsed() < Duration::from_secs(35), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn without_a_daemon_it_is_tried_again_and_again_and_told_once() {
    let fake = FakeHypervisor::with(1);
    fake.change(|state| state.mute = true);
    let (endpoint, mut events) = begin(&fake);
    assert!(matches!(events.recv().await, Some(SourceEvent::Disconnected { .. })));
    pass(Duration::from_secs(60)).await;
    assert!(endpoint.calls("open").failed() > 15);
    assert!(events.try_recv().is_err(), "the same reason is no news");
    fake.change(|state| (state.mute, state.dead) = (false, true));
    assert!(matches!(events.recv().await, Some(SourceEvent::Disconnected { reason, .. }) if reason.contains("nobody")));
    fake.change(|state| (state.mute, state.dead) = (true, false));
    assert!(matches!(events.recv().await, Some(SourceEvent::Disconnected { reason, .. }) if reason.contains("mute")));
    assert!(read(&endpoint, 1).await.as_ref().is_err_and(lost));
    assert_eq!(fake.state().opens, 0, "a mute socket is never opened");
    fake.change(|state| state.mute = false);
    while !matches!(events.recv().await, Some(SourceEvent::Connected(_))) {}
}

#[tokio::test(start_paused = true)]
async fn an_open_that_hangs_is_given_up_told_and_tried_again_one_at_a_time() {
    let fake = FakeHypervisor::with(1);
    fake.change(|state| state.open_hangs = true);
    let (_endpoint, mut events) = begin(&fake);
    assert!(matches!(events.recv().await, Some(SourceEvent::Disconnected { .. })));
    pass(Duration::from_secs(600)).await;
    assert!(fake.state().opens > 50, "{}", fake.state().opens);
    assert_eq!(fake.state().peak.opening, 1);
    assert!(events.try_recv().is_err(), "told once");
    fake.change(|state| state.open_hangs = false);
    assert!(matches!(events.recv().await, Some(SourceEvent::Connected(_))));
}

#[tokio::test(start_paused = true)]
async fn an_open_that_hangs_later_refuses_requests_instead_of_keeping_them() {
    let fake = FakeHypervisor::with(2);
    let (endpoint, _events) = connected(&fake).await;
    fake.domain(2, |domain| domain.frozen = true);
    fake.change(|state| state.open_hangs = true);
    // One takes the existing connection, and the other needs another.
    let (hangs, waits) = tokio::join!(read(&endpoint, 2), read(&endpoint, 1));
    assert!(hangs.is_err());
    assert!(matches!(waits, Err(ReadError::Libvirt { call: "virConnectOpenReadOnly", .. })), "{waits:?}");
    assert_eq!(fake.state().peak.opening, 1);
    fake.change(|state| state.open_hangs = false);
    pass(Duration::from_secs(3)).await;
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
    assert!(matches!(events.try_recv(), Ok(SourceEvent::LateDescription { .. })), "it came after all");
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

/// ssh, or anything on the way to a remote daemon, ends connections, too.
#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_on_its_way_does_not_make_its_daemon_another_one() {
    let fake = FakeHypervisor::with(1);
    fake.change(|state| (state.tells_process, state.remote) = (false, true));
    let (endpoint, mut events) = connected(&fake).await;
    fake.domain(1, |domain| domain.frozen = true);
    assert!(read(&endpoint, 1).await.is_err());
    fake.hang_up();
    while !matches!(events.recv().await, Some(SourceEvent::Connected(_))) {}
    pass(Duration::from_millis(1)).await;
    assert_eq!((endpoint.counters().abandoned(), fake.state().outstanding()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn where_a_connection_ends_during_the_job_the_statistics_stand_and_its_worker_counts_on() {
    let fake = FakeHypervisor::with(1);
    let (endpoint, _events) = connected(&fake).await;
    fake.domain(1, |domain| domain.job_lost = true);
    let stats = endpoint.read(vm(1), Groups::all()).await.unwrap().unwrap();
    assert_eq!((stats.monitor, stats.job), (Monitor::Answered, None));
    pass(Duration::from_millis(1)).await;
    assert_eq!(endpoint.counters().abandoned(), 1, "nobody knows whether it hangs");
    fake.domain(1, |domain| domain.job_lost = false);
    assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Answered));
    pass(Duration::from_millis(1)).await;
    assert_eq!(endpoint.counters().abandoned(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_job_is_read_with_the_statistics_and_its_delay_costs_them_nothing() {
    let fake = FakeHypervisor::with(1);
    let (endpoint, mut events) = connected(&fake).await;
    let only_job: Groups = [Group::Job].into_iter().collect();
    let stats = endpoint.read(vm(1), only_job).await.unwrap().unwrap();
    assert_eq!(stats.job.unwrap().unwrap().operation, JobOperation::MigrationOut);
    assert_eq!(stats.memory, None, "it was not asked for");
    assert_eq!(stats.unknown_parameters, 1);

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
    fake.emit(1, DomainEvent::Suspended);
    fake.emit(2, DomainEvent::Rebooted);
    let mut told = Vec::new();
    for _ in 0..2 {
        let Some(SourceEvent::Domain { uuid, event, .. }) = events.recv().await else { panic!("no event") };
        told.push((uuid, event));
    }
    assert_eq!(told, [(vm(1), DomainEvent::Suspended), (vm(2), DomainEvent::Rebooted)]);

    // The connection's own queue overflowed.
    fake.notice(hypervisor::Notice::Lost(5));
    assert_eq!(events.recv().await, Some(SourceEvent::EventsLost));
    assert_eq!((endpoint.counters().events_received(), endpoint.counters().events_dropped()), (7, 5));

    // The reader does not take them.
    for _ in 0..5000 {
        fake.emit(1, DomainEvent::Rebooted);
    }
    pass(Duration::from_secs(1)).await;
    let mut lost = false;
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(1), events.recv()).await {
        lost |= event == SourceEvent::EventsLost;
    }
    assert!(lost);
    assert_eq!(endpoint.counters().events_received(), 5007);
    assert!(endpoint.counters().events_dropped() > 1000);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_reads_no_events_holds_up_no_readings() {
    let fake = FakeHypervisor::with(1);
    let (endpoint, events) = connected(&fake).await;
    for _ in 0..10_000 {
        fake.emit(1, DomainEvent::Rebooted);
        if endpoint.counters().events_received().is_multiple_of(500) {
            assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Answered));
        }
    }
    drop(events);
    assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Answered), "nor one that has gone");
}

#[tokio::test(start_paused = true)]
async fn more_requests_than_can_wait_are_refused_and_counted() {
    let domains = 2 * WAITING_MAX as u128;
    let fake = FakeHypervisor::with(domains);
    let (endpoint, _events) = connected(&fake).await;
    let results = read_all(&endpoint, 1..=domains).await;
    let refused = results.iter().filter(|result| matches!(result, Err(ReadError::Overloaded { .. }))).count();
    assert!(refused > 0 && results.iter().any(Result::is_ok));
    assert_eq!(endpoint.counters().requests_refused(), u64::try_from(refused).unwrap());
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
    pass(Duration::from_millis(1)).await;
    for _ in 0..100 {
        let _ = tokio::time::timeout(Duration::from_millis(1), read(&endpoint, 1)).await;
    }
    assert!(first.await.unwrap().is_err());
    pass(Duration::from_secs(60)).await;
    assert_eq!(endpoint.calls("stats").returned(), 0);
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
    let opens = fake.state().opens;
    pass(Duration::from_secs(600)).await;
    read(&endpoint, 1).await.unwrap();
    assert_eq!(fake.state().opens, opens, "calls that are minutes apart find one");
}

#[test]
fn every_kind_of_call_has_a_name_and_a_function_of_its_own() {
    let uuid = vm(1);
    let asks =
        [Ask::List, Ask::Status(uuid), Ask::Describe(uuid), Ask::Read(uuid, Groups::NONE)].map(hypervisor::Call::Ask);
    let calls = [hypervisor::Call::Job(uuid), hypervisor::Call::Prepare].into_iter().chain(asks);
    let names: Vec<CallName> = calls.map(CallName::of).chain([CallName::OPEN, CallName::PING]).collect();
    let counters = EndpointCounters::default();
    let counted: HashSet<&str> = counters.calls().map(|(name, _)| name).collect();
    assert_eq!(names.iter().map(|call| call.name).collect::<HashSet<_>>(), counted);
    assert_eq!(names.iter().map(|call| call.function).collect::<HashSet<_>>().len(), counted.len());
}

#[tokio::test(start_paused = true)]
async fn readings_that_run_at_once_over_all_daemons_share_the_places_and_a_slow_one_gives_its_place_back() {
    let places = Arc::new(Semaphore::new(2));
    let fakes: Vec<FakeHypervisor> = (0..6).map(|_| FakeHypervisor::with(1)).collect();
    let mut all = Vec::new();
    for fake in &fakes {
        let settings = Settings { places: Some(Arc::clone(&places)), ..host() };
        all.push(connected_with(fake, &settings).await);
    }
    for fake in &fakes[..3] {
        fake.domain(1, |domain| domain.frozen = true);
    }
    let before = Instant::now();
    let mut reads = JoinSet::new();
    for (number, (endpoint, _)) in all.iter().enumerate() {
        let endpoint = Arc::clone(endpoint);
        reads.spawn(async move { (number, read(&endpoint, 1).await) });
    }
    pass(Duration::from_millis(2)).await;
    let running = || fakes.iter().filter(|fake| fake.state().outstanding() > 0).count();
    assert_eq!(running(), 2);
    let mut read = 0;
    while let Some(Ok((number, result))) = reads.join_next().await {
        if number >= 3 {
            assert_eq!(result, Ok(Monitor::Answered));
            read += 1;
            assert!(before.elapsed() < 3 * calls::SLOW, "{number}: {:?}", before.elapsed());
        }
    }
    assert_eq!(read, 3);
    assert_eq!(places.available_permits(), 2);
}

/// A compromised launcher ends its idle connection, and never finishes opening the next.
#[tokio::test(start_paused = true)]
async fn a_daemon_that_cannot_be_connected_to_holds_no_place() {
    let places = Arc::new(Semaphore::new(1));
    let settings = Settings { places: Some(Arc::clone(&places)), ..host() };
    let [well, bad] = [FakeHypervisor::with(1), FakeHypervisor::with(1)];
    let (honest, _honest_events) = connected_with(&well, &settings).await;
    let (hostile, _hostile_events) = connected_with(&bad, &settings).await;
    bad.change(|state| (state.idle_ends, state.open_hangs) = (true, true));
    assert!(hostile.list().await.is_ok());

    let taken = Arc::clone(&places).acquire_owned().await.unwrap();
    let waiting = tokio::spawn(async move { read(&hostile, 1).await });
    pass(Duration::from_millis(5)).await;
    drop(taken);
    pass(Duration::from_millis(5)).await;
    assert_eq!((places.available_permits(), bad.state().opening), (1, 1), "it has left the place to others");
    assert_eq!(read(&honest, 1).await, Ok(Monitor::Answered));
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn readings_in_turn_are_made_one_after_the_other_and_a_slow_one_holds_up_nobody() {
    let fake = FakeHypervisor::with(10);
    let (endpoint, _events) = connected(&fake).await;
    let in_turn = || async {
        let reads = (1..=10).map(|number| endpoint.read_in(Order::InTurn, vm(number), Groups::all()));
        let answers = futures_util::future::join_all(reads).await;
        answers.into_iter().map(|answer| answer.map(|stats| stats.unwrap().monitor)).collect::<Vec<_>>()
    };
    assert!(in_turn().await.iter().all(|answer| *answer == Ok(Monitor::Answered)));
    let peak = fake.state().peak;
    assert_eq!((peak.monitor, peak.connections), (1, 2));

    fake.domain(5, |domain| domain.frozen = true);
    let before = Instant::now();
    let nine = async {
        let reads = (1..=10).filter(|number| *number != 5);
        let frozen = endpoint.read_in(Order::InTurn, vm(5), Groups::all());
        tokio::pin!(frozen);
        let others = reads.map(|number| endpoint.read_in(Order::InTurn, vm(number), Groups::all()));
        let others = futures_util::future::join_all(others);
        tokio::select! {
            _ = frozen => panic!("it hangs"),
            others = others => assert!(others.iter().all(Result::is_ok)),
        }
    };
    nine.await;
    assert!(before.elapsed() < Duration::from_millis(200), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_broke_the_protocol_is_left_on_all_connections() {
    let fake = FakeHypervisor::with(2);
    let (endpoint, mut events) = connected(&fake).await;
    read_all(&endpoint, 1..=2).await;
    let connections = fake.state().connections;
    assert!(connections > 1);
    let broken = "what the daemon sent is not libvirt's protocol";
    fake.end_with(hypervisor::Ending { reason: broken.to_owned(), hung_up: false });
    let Some(SourceEvent::Disconnected { reason, absent: false }) = events.recv().await else { panic!("not told") };
    assert!(reason.contains(broken), "{reason}");
    assert_eq!(fake.state().connections, 0);
    while !matches!(events.recv().await, Some(SourceEvent::Connected(_))) {}
    assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Answered));
}
