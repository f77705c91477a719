use proptest::prelude::*;

use super::*;

fn abandoned(count: usize) -> Budget {
    let mut budget = Budget::new(Limits::AGENT);
    for _ in 0..count {
        budget.start(WaitsFor::Monitor);
        budget.abandon(WaitsFor::Monitor);
    }
    budget
}

fn startable(mut budget: Budget, wanted: WaitsFor) -> usize {
    let mut started = 0;
    while let Room::Start(reach) = budget.stats(wanted) {
        budget.start(reach);
        started += 1;
    }
    started
}

#[test]
fn four_at_once_and_one_less_for_each_that_was_left_behind_but_never_none() {
    let at_once: Vec<usize> = (0..=8).map(|count| startable(abandoned(count), WaitsFor::Monitor)).collect();
    assert_eq!(at_once, [4, 3, 2, 1, 1, 1, 1, 1, 1]);
}

#[test]
fn when_eight_were_left_behind_the_others_are_read_without_the_monitor() {
    assert_eq!(abandoned(7).stats(WaitsFor::Monitor), Room::Start(WaitsFor::Monitor));
    assert_eq!(abandoned(8).stats(WaitsFor::Monitor), Room::Start(WaitsFor::NoMonitor));
    let mut healed = abandoned(8);
    healed.recover(WaitsFor::Monitor);
    assert_eq!(healed.stats(WaitsFor::Monitor), Room::Start(WaitsFor::Monitor));
}

#[test]
fn one_call_without_the_monitor_runs_beside_those_that_hang() {
    let mut budget = abandoned(4);
    budget.start(WaitsFor::Monitor);
    assert_eq!(budget.stats(WaitsFor::Monitor), Room::Wait);
    assert!(budget.stats_aside());
    budget.start(WaitsFor::NoMonitor);
    assert!(!budget.stats_aside(), "one at a time");
    budget.finish(WaitsFor::NoMonitor);
    assert!(budget.stats_aside());
    assert!(!Budget::new(Limits::AGENT).stats_aside(), "while nothing hangs everything has its turn");
}

#[test]
fn calls_that_wait_for_a_lock_are_bounded_too() {
    let mut budget = abandoned(8);
    for _ in 0..LOCKED_MAX {
        assert_eq!(budget.stats(WaitsFor::Monitor), Room::Start(WaitsFor::NoMonitor));
        budget.start(WaitsFor::NoMonitor);
        budget.abandon(WaitsFor::NoMonitor);
    }
    assert_eq!(budget.stats(WaitsFor::Monitor), Room::None);
    budget.recover(WaitsFor::NoMonitor);
    assert_eq!(budget.stats(WaitsFor::NoMonitor), Room::Start(WaitsFor::NoMonitor));
}

/// A launcher has one VM: while a call hangs in it, another must be allowed, since only that one still reads.
#[test]
fn one_at_a_time_leaves_a_place_beside_those_that_hang() {
    let mut budget = Budget::new(Limits::AGENT.at_most(1));
    for hung in 0..ABANDONED_MAX {
        assert_eq!(startable(budget, WaitsFor::Monitor), 1, "beside {hung}");
        budget.start(WaitsFor::Monitor);
        budget.abandon(WaitsFor::Monitor);
    }
    assert_eq!(budget.stats(WaitsFor::Monitor), Room::Start(WaitsFor::NoMonitor));
}

#[test]
fn a_smaller_budget_can_be_asked_for_but_not_a_larger_one() {
    assert_eq!(startable(Budget::new(Limits::AGENT.at_most(1)), WaitsFor::Monitor), 1);
    assert_eq!(startable(Budget::new(Limits::AGENT.at_most(0)), WaitsFor::Monitor), 1);
    assert_eq!(startable(Budget::new(Limits::AGENT.at_most(100)), WaitsFor::Monitor), AT_ONCE);
}

#[test]
fn beside_an_agent_one_call_runs_and_two_are_left_behind() {
    let mut budget = Budget::new(Limits::BESIDE_AN_AGENT);
    for hung in 0..2 {
        assert_eq!(startable(budget, WaitsFor::Monitor), 1, "beside {hung} that hang");
        budget.start(WaitsFor::Monitor);
        assert!(!budget.stats_aside() && budget.xml(false) != Room::Start(WaitsFor::Xml), "nothing goes beside it");
        assert_ne!(budget.xml(true), Room::Start(WaitsFor::Xml));
        budget.abandon(WaitsFor::Monitor);
    }
    assert_eq!(budget.stats(WaitsFor::Monitor), Room::Start(WaitsFor::NoMonitor));
    assert_eq!(budget.xml(true), Room::None, "the agent knows the types");
    // Somebody holds the VM's lock.
    budget.start(WaitsFor::NoMonitor);
    budget.abandon(WaitsFor::NoMonitor);
    assert_eq!(budget.stats(WaitsFor::NoMonitor), Room::None);
    budget.recover(WaitsFor::Monitor);
    assert_eq!(budget.stats(WaitsFor::Monitor), Room::Start(WaitsFor::Monitor));
}

#[test]
fn xml_counts_with_the_statistics_and_one_has_its_place_beside_them() {
    let mut budget = abandoned(6);
    budget.start(WaitsFor::Monitor);
    assert_eq!(budget.xml(false), Room::Start(WaitsFor::Xml), "a new VM's type does not wait for those that hang");
    budget.start(WaitsFor::Xml);
    assert_eq!(budget.xml(false), Room::Wait);
    assert_eq!(budget.xml(true), Room::Wait, "as many as may hang");
    budget.abandon(WaitsFor::Xml);
    budget.finish(WaitsFor::Monitor);
    assert_eq!(budget.abandoned(), 7);
    budget.start(WaitsFor::Xml);
    budget.abandon(WaitsFor::Xml);
    assert_eq!(
        budget.stats(WaitsFor::Monitor),
        Room::Start(WaitsFor::NoMonitor),
        "eight hang: six for statistics, two for XML"
    );
    assert_eq!(budget.xml(false), Room::None);
}

#[test]
fn a_daemon_whose_xml_never_hangs_says_it_however_many_statistics_do() {
    assert_eq!(abandoned(8).xml(false), Room::Start(WaitsFor::Xml));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Stats(bool),
    Xml(bool),
    Abandon(usize),
    Return(usize),
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_limits_hold_in_any_order(beside in any::<bool>(), steps in proptest::collection::vec(
        prop_oneof![
            3 => any::<bool>().prop_map(Step::Stats),
            2 => any::<bool>().prop_map(Step::Xml),
            2 => any::<usize>().prop_map(Step::Abandon),
            2 => any::<usize>().prop_map(Step::Return),
        ],
        0..200,
    )) {
        let limits = if beside { Limits::BESIDE_AN_AGENT } else { Limits::AGENT };
        let mut budget = Budget::new(limits);
        // Each call that has not returned: what it may wait for, whether it was abandoned.
        let mut calls: Vec<(WaitsFor, bool)> = Vec::new();
        for step in steps {
            let room = match step {
                Step::Stats(monitor) => match budget.stats(if monitor { WaitsFor::Monitor } else { WaitsFor::NoMonitor }) {
                    Room::Wait if budget.stats_aside() => Room::Start(WaitsFor::NoMonitor),
                    room => room,
                },
                Step::Xml(well) => budget.xml(well),
                Step::Abandon(index) if !calls.is_empty() => {
                    let index = index % calls.len();
                    if !calls[index].1 {
                        calls[index].1 = true;
                        budget.abandon(calls[index].0);
                    }
                    Room::None
                }
                Step::Return(index) if !calls.is_empty() => {
                    let (reach, left_behind) = calls.remove(index % calls.len());
                    if left_behind { budget.recover(reach) } else { budget.finish(reach) }
                    Room::None
                }
                _ => Room::None,
            };
            if let Room::Start(reach) = room {
                budget.start(reach);
                calls.push((reach, false));
            }
            let count = |wanted: &dyn Fn(WaitsFor, bool) -> bool| {
                calls.iter().filter(|(reach, behind)| wanted(*reach, *behind)).count()
            };
            let (running, behind) = (count(&|_, behind| !behind), count(&|_, behind| behind));
            let hung = count(&|reach, behind| behind && reach != WaitsFor::NoMonitor);
            if beside {
                prop_assert!(running <= 1, "{running} run");
                prop_assert!(hung <= 2, "{hung} hang");
                prop_assert!(behind <= 3, "{behind} were left behind");
                prop_assert_eq!(behind, budget.abandoned());
                continue;
            }
            // The first XML call to hang may exceed the limit.
            prop_assert!(hung <= ABANDONED_MAX + 1, "{hung} hang");
            prop_assert!(hung <= ABANDONED_MAX || count(&|reach, behind| behind && reach == WaitsFor::Xml) == 1);
            prop_assert!(count(&|reach, behind| behind && reach == WaitsFor::NoMonitor) <= AT_ONCE);
            let xml = count(&|reach, behind| !behind && reach == WaitsFor::Xml);
            prop_assert!(running - xml <= AT_ONCE + ASIDE, "{running} run");
            prop_assert!(xml <= XML_AT_ONCE + ASIDE, "{xml} run");
            prop_assert_eq!(running, budget.running());
            prop_assert_eq!(behind, budget.abandoned());
        }
    }
}
