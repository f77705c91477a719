//! What changed in libvirt 11: a domain's XML waits for the holder of the domain's job.

use super::*;

/// A libvirt 11 daemon with `domains` domains.
fn eleven(domains: u128) -> FakeHypervisor {
    let fake = FakeHypervisor::with(domains);
    for number in 1..=domains {
        fake.domain(number, |domain| domain.xml_waits = true);
    }
    fake
}

/// What `observe` requests for a new domain. Returns both results, and when the XML came.
async fn met(
    endpoint: &Arc<EndpointHandle>,
    number: u128,
) -> (Result<bool, ReadError>, Result<Monitor, ReadError>, Duration) {
    let before = Instant::now();
    let described = endpoint.describe(vm(number));
    let read = endpoint.read(vm(number), Groups::all());
    tokio::pin!(read);
    let described = tokio::select! {
        biased;
        described = described => described,
        _ = &mut read => panic!("the statistics came before the XML"),
    };
    let after = before.elapsed();
    let read = read.await.map(|stats| stats.unwrap().monitor);
    (described.map(|description| description.is_some()), read, after)
}

#[tokio::test(start_paused = true)]
async fn of_a_frozen_vm_the_type_is_known_before_its_statistics_hang() {
    let fake = eleven(1);
    fake.domain(1, |domain| domain.frozen = true);
    let (endpoint, _events) = connected(&fake).await;
    let (described, read, after) = met(&endpoint, 1).await;
    assert_eq!(described, Ok(true));
    assert!(deadline(&read.unwrap_err()));
    assert!(after < Duration::from_millis(100), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn an_xml_that_is_late_is_not_waited_for_and_used_when_it_comes() {
    let fake = eleven(2);
    let (endpoint, mut events) = connected(&fake).await;
    // Another client's call hangs in it.
    fake.domain(1, |domain| (domain.frozen, domain.busy) = (true, true));
    let before = Instant::now();
    let described = tokio::spawn({
        let endpoint = Arc::clone(&endpoint);
        async move { endpoint.describe(vm(1)).await.map(|description| description.is_some()) }
    });
    tokio::task::yield_now().await;
    let read = endpoint.read(vm(1), Groups::all()).await.map(|stats| stats.unwrap().monitor);
    assert_eq!(read, Ok(Monitor::Busy), "read by what libvirt itself knows");
    assert!(before.elapsed() < Duration::from_millis(300), "{:?}: as soon as the XML looks hung", before.elapsed());
    assert!(deadline(&described.await.unwrap().unwrap_err()));
    assert!(before.elapsed() < Settings::DEADLINE + Duration::from_millis(100), "{:?}", before.elapsed());
    assert!(deadline(&endpoint.describe(vm(1)).await.unwrap_err()), "not a second one beside it");
    assert_eq!((endpoint.counters().abandoned(), endpoint.counters().stuck()), (1, 0));
    assert_eq!(met(&endpoint, 2).await.0, Ok(true), "the other is not concerned");
    fake.domain(1, |domain| (domain.frozen, domain.busy) = (false, false));
    let Some(SourceEvent::LateDescription { uuid, description }) = events.recv().await else { panic!("not told") };
    assert_eq!((uuid, &*description.domain_type), (vm(1), "kvm"));
    pass(Duration::from_millis(1)).await;
    assert_eq!((endpoint.counters().abandoned(), fake.state().peak.xml_of_one), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn however_many_vms_others_hang_in_two_xml_calls_are_late_at_most_and_the_well_are_known_at_once() {
    let fake = eleven(11);
    // Calls of an earlier agent process hang in eight of them.
    for number in 1..=8 {
        fake.domain(number, |domain| (domain.frozen, domain.busy) = (true, true));
    }
    let (endpoint, _events) = connected(&fake).await;
    let before = Instant::now();
    let mut all = JoinSet::new();
    for number in 1..=11 {
        let endpoint = Arc::clone(&endpoint);
        all.spawn(async move {
            let (described, read) =
                tokio::join!(endpoint.describe(vm(number)), endpoint.read(vm(number), Groups::all()));
            (number, described, read, before.elapsed())
        });
    }
    while let Some(Ok((number, described, read, after))) = all.join_next().await {
        let read = read.map(|stats| stats.unwrap().monitor);
        if number <= 8 {
            assert!(deadline(&described.unwrap_err()), "VM {number}");
            assert!(matches!(read, Ok(Monitor::Busy | Monitor::NotAsked)), "VM {number}: {read:?}");
        } else {
            assert!(described.unwrap().is_some(), "VM {number}");
            assert_eq!(read, Ok(Monitor::Answered), "VM {number}");
            assert!(after < Duration::from_secs(1), "VM {number}: {after:?}");
        }
    }
    assert_eq!(endpoint.counters().abandoned(), 2);
    assert_eq!(fake.state().outstanding(), 2, "the daemon's workers");
}

#[tokio::test(start_paused = true)]
async fn a_new_vm_is_known_at_once_however_many_hang() {
    let fake = eleven(9);
    for number in 1..=6 {
        fake.domain(number, |domain| domain.frozen = true);
    }
    let (endpoint, _events) = connected(&fake).await;
    for number in 1..=9 {
        let (described, read, after) = met(&endpoint, number).await;
        assert_eq!(described, Ok(true), "VM {number}");
        assert_eq!(read.is_err(), number <= 6, "VM {number}: {read:?}");
        assert!(after < Duration::from_millis(500), "VM {number}: {after:?}");
    }
    fake.change(|state| {
        state.domains.insert(vm(10), Default::default());
    });
    let (described, read, after) = met(&endpoint, 10).await;
    assert_eq!((described, read), (Ok(true), Ok(Monitor::Answered)));
    assert!(after < Duration::from_millis(100), "{after:?}");
    assert!(fake.state().peak.hung <= 8);
}
