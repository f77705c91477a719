//! One endpoint per VM, as under KubeVirt: they count together, are cheap while idle, and leave nothing behind.

use super::super::link::LOCAL;
use super::fake::FakeHypervisor;
use super::*;

/// A launcher's endpoint, with shared counters.
fn launcher(counters: &Arc<EndpointCounters>) -> Settings {
    let pods = "/nonexistent/pods".into();
    let socket = LauncherSocket { pods_dir: pods, pod_uid: "0b5c2f6e".into(), runtime_user: Some(107) };
    let settings = Settings::new(DaemonId("launcher".into()), Address::Launcher(socket));
    Settings { counters: counters.clone(), calls_at_once: 1, ..settings }
}

fn load(counters: &EndpointCounters) -> [u64; 4] {
    [counters.in_flight(), counters.abandoned(), counters.stuck(), counters.connections()]
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_share_counters_add_up_and_take_back_their_part() {
    let counters = Arc::new(EndpointCounters::default());
    let [frozen, well] = [FakeHypervisor::with(1), FakeHypervisor::with(1)];
    let (first, _first_events) = connected_with(&frozen, &launcher(&counters)).await;
    let (second, _second_events) = connected_with(&well, &launcher(&counters)).await;
    frozen.domain(1, |domain| domain.frozen = true);
    assert!(deadline(&read(&first, 1).await.unwrap_err()));
    assert_eq!(read(&second, 1).await, Ok(Monitor::Answered));
    pass(Duration::from_millis(1)).await;
    assert_eq!(load(&counters), [0, 1, 1, 4], "two connections each");
    assert_eq!(counters.connects(), 2);
    drop(first);
    pass(Duration::from_millis(60)).await;
    assert_eq!(load(&counters), [0, 0, 0, 2], "only what the other has");
    drop(second);
    pass(Duration::from_millis(1)).await;
    assert_eq!(load(&counters), [0; 4]);
}

#[tokio::test(start_paused = true)]
async fn what_the_daemon_of_one_vm_is_asked_at_once_goes_over_one_connection() {
    let fake = FakeHypervisor::with(1);
    let (endpoint, _events) = connected_with(&fake, &launcher(&Arc::default())).await;
    let state = [Group::State].into_iter().collect();
    let (status, description, stats) =
        tokio::join!(endpoint.status(vm(1)), endpoint.describe(vm(1)), endpoint.read(vm(1), state));
    assert!(status.is_ok() && description.is_ok() && stats.is_ok());
    assert!(!fake.state().asked.contains(&hypervisor::Call::Prepare), "none of these needs it");
    let (description, stats) = tokio::join!(endpoint.describe(vm(1)), read(&endpoint, 1));
    assert!(description.is_ok() && stats == Ok(Monitor::Answered));
    assert!(fake.state().asked.contains(&hypervisor::Call::Prepare));
    assert_eq!(fake.state().peak.connections, 2, "one for events and one for calls");
}

#[tokio::test(start_paused = true)]
async fn the_one_vm_of_a_launcher_is_read_while_it_is_stuck_with_one_connection_more() {
    let fake = FakeHypervisor::with(1);
    let (endpoint, _events) = connected_with(&fake, &launcher(&Arc::default())).await;
    assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Answered));
    assert_eq!(fake.state().peak.connections, 2, "one for events and one for calls");
    fake.domain(1, |domain| domain.frozen = true);
    assert!(deadline(&read(&endpoint, 1).await.unwrap_err()));
    let before = Instant::now();
    for _ in 0..10 {
        assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Stuck));
    }
    assert!(before.elapsed() < Duration::from_millis(500), "{:?}", before.elapsed());
    assert_eq!(fake.state().outstanding(), 1);
    assert_eq!(fake.state().peak.connections, 3);
}

#[tokio::test(start_paused = true)]
async fn whoever_keeps_all_places_holds_up_nobody_for_long() {
    let places = Arc::new(Semaphore::new(1));
    let settings = || Settings { places: Some(places.clone()), ..launcher(&Arc::default()) };
    let (slow, well) = (FakeHypervisor::with(1), FakeHypervisor::with(1));
    let (first, _first_events) = connected_with(&slow, &settings()).await;
    let (second, _second_events) = connected_with(&well, &settings()).await;
    assert_eq!(read(&first, 1).await, Ok(Monitor::Answered));
    assert_eq!(read(&second, 1).await, Ok(Monitor::Answered));

    // A read that hangs returns its permit after a moment.
    slow.domain(1, |domain| domain.frozen = true);
    let began = Instant::now();
    let (hung, read_beside) = tokio::join!(read(&first, 1), async {
        pass(Duration::from_millis(1)).await;
        let answer = read(&second, 1).await;
        (answer, began.elapsed())
    });
    assert!(deadline(&hung.unwrap_err()));
    assert_eq!(read_beside.0, Ok(Monitor::Answered));
    assert!(read_beside.1 < calls::SLOW * 2, "{:?}", read_beside.1);

    // No permit is returned.
    let kept = places.clone().acquire_owned().await.unwrap();
    for _ in 0..3 {
        let began = Instant::now();
        assert_eq!(read(&second, 1).await, Ok(Monitor::Answered));
        let took = began.elapsed();
        assert!(took >= actor::PLACE_PATIENCE && took < actor::PLACE_PATIENCE * 2, "{took:?}");
    }
    drop(kept);
    let began = Instant::now();
    assert_eq!(read(&second, 1).await, Ok(Monitor::Answered));
    assert!(began.elapsed() < calls::SLOW, "{:?}", began.elapsed());
    assert_eq!(places.available_permits(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_an_endpoint_whose_handle_is_dropped() {
    let before = tasks();
    let fake = FakeHypervisor::with(2);
    let (endpoint, mut events) = connected(&fake).await;
    assert_eq!(read_all(&endpoint, 1..=2).await, [Ok(Monitor::Answered), Ok(Monitor::Answered)]);
    fake.domain(1, |domain| domain.frozen = true);
    assert!(deadline(&read(&endpoint, 1).await.unwrap_err()));
    drop(endpoint);
    pass(Duration::from_millis(60)).await;
    assert_eq!(fake.state().connections, 0, "the one whose call hangs, too");
    assert_eq!(fake.state().closed, 3, "each of them in order");
    assert_eq!(tasks(), before);
    assert_eq!(fake.state().outstanding(), 1, "the daemon's worker hangs on");
    while let Some(event) = events.recv().await {
        assert!(!matches!(event, SourceEvent::Late { .. }), "nothing more is said");
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_ends_while_it_connects_closes_what_it_gets() {
    let before = tasks();
    for (hangs, closed) in [(false, 1), (true, 0)] {
        let fake = FakeHypervisor::with(1);
        fake.change(|state| state.open_hangs = hangs);
        let (endpoint, _events) = begin(&fake);
        pass(Duration::from_micros(500)).await;
        assert_eq!(fake.state().opening, 1);
        drop(endpoint);
        // A hung attempt is not waited for any longer.
        pass(Duration::from_millis(110)).await;
        let state = fake.state();
        assert_eq!((state.opens, state.opening, state.connections, state.closed), (1, 0, 0, closed));
        drop(state);
        assert_eq!(tasks(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_hears_that_the_daemon_is_there_need_not_wait() {
    let fake = FakeHypervisor::with(1);
    fake.change(|state| state.dead = true);
    let (endpoint, mut events) = begin(&fake);
    pass(Duration::from_secs(60)).await;
    fake.change(|state| state.dead = false);
    let before = Instant::now();
    endpoint.hurry();
    while !matches!(events.recv().await, Some(SourceEvent::Connected(_))) {}
    assert!(before.elapsed() < Duration::from_millis(20), "{:?}", before.elapsed());
    let opens = fake.state().opens;
    for _ in 0..100 {
        endpoint.hurry();
        pass(Duration::from_millis(1)).await;
    }
    assert_eq!(fake.state().opens, opens, "a daemon that is connected is left alone");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_drops_each_connection_is_tried_ever_more_rarely() {
    let fake = FakeHypervisor::with(1);
    let (endpoint, mut events) = connected(&fake).await;
    for _ in 0..10 {
        fake.kill();
        fake.change(|state| state.dead = false);
        while !matches!(events.recv().await, Some(SourceEvent::Connected(_))) {}
    }
    let before = Instant::now();
    fake.kill();
    fake.change(|state| state.dead = false);
    while !matches!(events.recv().await, Some(SourceEvent::Connected(_))) {}
    assert!(before.elapsed() >= LOCAL.longest, "{:?}", before.elapsed());

    pass(Duration::from_secs(60)).await;
    let before = Instant::now();
    fake.kill();
    fake.change(|state| state.dead = false);
    while !matches!(events.recv().await, Some(SourceEvent::Connected(_))) {}
    assert!(
        before.elapsed() <= LOCAL.first * 2 + Duration::from_millis(10),
        "one that held is back at once: {:?}",
        before.elapsed()
    );
    drop(endpoint);
}
