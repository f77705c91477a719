//! Invariants for any events in any order.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy)]
enum Step {
    Freeze(u128),
    Thaw(u128),
    Lock(u128),
    Unlock(u128),
    Mute,
    Unmute,
    Restart,
    Read(u128),
    ReadAll,
    Status(u128),
    Describe(u128),
    List,
    Wait(u64),
}

const DOMAINS: u128 = 14;

fn step() -> impl Strategy<Value = Step> {
    let domain = 1..=DOMAINS;
    prop_oneof![
        4 => domain.clone().prop_map(Step::Freeze),
        2 => domain.clone().prop_map(Step::Thaw),
        1 => domain.clone().prop_map(Step::Lock),
        1 => domain.clone().prop_map(Step::Unlock),
        1 => Just(Step::Mute),
        1 => Just(Step::Unmute),
        1 => Just(Step::Restart),
        6 => domain.clone().prop_map(Step::Read),
        2 => Just(Step::ReadAll),
        2 => domain.clone().prop_map(Step::Status),
        2 => domain.prop_map(Step::Describe),
        1 => Just(Step::List),
        6 => (0_u64..8000).prop_map(Step::Wait),
    ]
}

async fn play(steps: Vec<Step>) {
    let mutes = steps.iter().filter(|step| matches!(step, Step::Mute)).count();
    let fake = FakeHypervisor::with(DOMAINS);
    for number in 1..=DOMAINS / 2 {
        fake.domain(number, |domain| domain.xml_waits = true);
    }
    let (endpoint, mut events) = connected(&fake).await;
    let mut tasks = JoinSet::new();
    let mut read = |number: u128| {
        let endpoint = endpoint.clone();
        tasks.spawn(async move { drop(endpoint.read(vm(number), Groups::all()).await) });
    };
    let mut others = JoinSet::new();
    for step in steps {
        match step {
            Step::Freeze(number) => fake.domain(number, |domain| domain.frozen = true),
            Step::Thaw(number) => fake.domain(number, |domain| domain.frozen = false),
            Step::Lock(number) => fake.domain(number, |domain| domain.locked = true),
            Step::Unlock(number) => fake.domain(number, |domain| domain.locked = false),
            Step::Mute => fake.change(|state| state.mute = true),
            Step::Unmute => fake.change(|state| state.mute = false),
            Step::Restart => {
                fake.kill();
                pass(Duration::from_millis(50)).await;
                fake.change(|state| state.dead = false);
            }
            Step::Read(number) => read(number),
            Step::ReadAll => (1..=DOMAINS).for_each(&mut read),
            Step::Status(number) => {
                let endpoint = endpoint.clone();
                others.spawn(async move { drop(endpoint.status(vm(number)).await) });
            }
            Step::Describe(number) => {
                let endpoint = endpoint.clone();
                others.spawn(async move { drop(endpoint.describe(vm(number)).await) });
            }
            Step::List => {
                let endpoint = endpoint.clone();
                others.spawn(async move { drop(endpoint.list().await) });
            }
            Step::Wait(milliseconds) => pass(Duration::from_millis(milliseconds)).await,
        }
        while events.try_recv().is_ok() {}
        let counters = endpoint.counters();
        assert!(counters.abandoned() <= 11, "eight in QEMUs, one for XML, and two in locks: {counters:?}");
        assert!(counters.in_flight() <= 5, "{counters:?}");
    }
    // Every question is answered, even if nothing ever gets better.
    let answered = async {
        while tasks.join_next().await.is_some() {}
        while others.join_next().await.is_some() {}
    };
    tokio::time::timeout(Duration::from_secs(60), answered).await.expect("every question is answered");
    let peak = fake.state().peak;
    if mutes == 0 {
        assert!(peak.monitor <= 8, "{peak:?}");
        assert!(peak.hung <= 9, "{peak:?}");
        assert!(peak.xml_of_one <= 1, "{peak:?}");
    }
    // Only one more call in each domain can tell what an unresponsive daemon's workers do.
    assert!(peak.in_one_domain <= 2 + mutes, "{peak:?}");
    assert!(peak.opening <= 1, "{peak:?}");

    // When all is well again, so is the endpoint.
    fake.change(|state| {
        state.mute = false;
        for domain in state.domains.values_mut() {
            domain.frozen = false;
            domain.locked = false;
        }
    });
    pass(Duration::from_secs(10)).await;
    // Workers whose connections have ended are known to be free once their VMs were read.
    drop(read_all(&endpoint, 1..=DOMAINS).await);
    let results = read_all(&endpoint, 1..=DOMAINS).await;
    assert!(results.iter().all(|result| *result == Ok(Monitor::Answered)), "{results:?}");
    let counters = endpoint.counters();
    assert_eq!((counters.abandoned(), counters.stuck(), counters.in_flight()), (0, 0, 0));
    assert_eq!(fake.state().outstanding(), 0);
    assert!(fake.state().connections <= 20, "{}", fake.state().connections);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_budget_holds_and_everything_is_answered(steps in proptest::collection::vec(step(), 0..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(play(steps));
    }
}
