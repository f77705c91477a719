use crate::model::Groups;

use super::budget::{ABANDONED_MAX, LOCKED_MAX};
use super::cases::LOCKED_FOR;
use super::*;

const A: Uuid = Uuid::from_u128(1);
const B: Uuid = Uuid::from_u128(2);
const C: Uuid = Uuid::from_u128(3);

fn read(domain: Uuid) -> Ask {
    Ask::Read(domain, Groups::all())
}

/// Admission, with a clock.
struct Bench {
    admission: Admission,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self::within(Limits::AGENT)
    }

    fn within(limits: Limits) -> Self {
        Self { admission: Admission::new(limits), now: Instant::now() }
    }

    fn turn(&self, ask: Ask) -> Turn {
        self.admission.turn(ask, Duration::ZERO, false, self.now)
    }

    fn start(&mut self, ask: Ask) -> WaitsFor {
        let Turn::Start(reach) = self.turn(ask) else { panic!("{ask:?}: {:?}", self.turn(ask)) };
        self.admission.start(ask, reach, self.now);
        reach
    }

    fn hang(&mut self, ask: Ask) -> WaitsFor {
        let reach = self.start(ask);
        self.admission.abandon(ask, reach);
        self.admission.condemn(ask.domain().unwrap());
        reach
    }

    fn whole(&mut self, ask: Ask) {
        let reach = self.start(ask);
        self.admission.finish(ask, reach, Some(true));
    }
}

#[test]
fn one_call_at_a_time_in_a_domain_that_answers() {
    let mut bench = Bench::new();
    let reach = bench.start(read(A));
    assert_eq!(bench.turn(read(A)), Turn::Wait);
    assert_eq!(bench.turn(read(B)), Turn::Start(WaitsFor::Monitor));
    bench.admission.finish(read(A), reach, Some(true));
    assert_eq!(bench.turn(read(A)), Turn::Start(WaitsFor::Monitor));
    assert!(bench.admission.cases.of(A).is_none(), "nothing is kept of a healthy domain");
}

#[test]
fn beside_one_hung_call_a_second_goes_and_a_third_does_not() {
    let mut bench = Bench::new();
    bench.hang(read(A));
    assert_eq!(bench.turn(read(A)), Turn::Start(WaitsFor::Monitor));
    bench.hang(read(A));
    assert_eq!(bench.turn(read(A)), Turn::Late);
}

#[test]
fn a_domain_is_healed_when_its_last_hung_call_returns() {
    let mut bench = Bench::new();
    let first = bench.hang(read(A));
    let second = bench.hang(read(A));
    assert!(!bench.admission.recover(read(A), first));
    assert!(bench.admission.is_stuck(A));
    assert!(bench.admission.recover(read(A), second));
    assert!(!bench.admission.is_stuck(A));
    assert_eq!(bench.admission.abandoned(), 0);
    assert!(bench.admission.cases.of(A).is_none());
}

#[test]
fn the_xml_goes_before_the_statistics_and_is_not_waited_for_when_it_hangs() {
    let mut bench = Bench::new();
    let waiting = |bench: &Bench| bench.admission.turn(read(A), Duration::ZERO, true, bench.now);
    assert_eq!(waiting(&bench), Turn::Wait, "it was asked for, and goes first");
    let reach = bench.start(Ask::Describe(A));
    assert_eq!(bench.turn(read(A)), Turn::Wait);
    assert_eq!(bench.turn(Ask::Describe(A)), Turn::Wait, "once at a time");
    bench.now += SLOW_XML;
    assert_eq!(bench.turn(read(A)), Turn::Start(WaitsFor::Monitor), "read beside the XML that looks hung");
    bench.admission.abandon(Ask::Describe(A), reach);
    assert_eq!(bench.turn(read(A)), Turn::Start(WaitsFor::Monitor), "read beside the XML that is late");
    assert_eq!(bench.turn(Ask::Describe(A)), Turn::Late);
    assert_eq!(bench.admission.abandoned(), 1, "it counts as a call that hangs");
    bench.admission.recover(Ask::Describe(A), reach);
    assert_eq!(bench.turn(Ask::Describe(A)), Turn::Start(WaitsFor::Xml));
}

#[test]
fn while_two_xml_calls_hang_statistics_tell_whose_xml_is_asked_for() {
    let mut bench = Bench::new();
    bench.start(Ask::Describe(A));
    bench.start(Ask::Describe(B));
    assert_eq!(bench.turn(Ask::Describe(C)), Turn::Crowded, "two at once");
    bench.now += SLOW_XML;
    let read_of_c = |bench: &Bench| bench.admission.turn(read(C), Duration::ZERO, true, bench.now);
    assert_eq!(read_of_c(&bench), Turn::Start(WaitsFor::Monitor), "nobody waits for the deadline of the two");
    assert_eq!(bench.turn(Ask::Describe(C)), Turn::Wait);
    for domain in [A, B] {
        bench.admission.abandon(Ask::Describe(domain), WaitsFor::Xml);
    }
    bench.whole(read(C));
    bench.start(Ask::Describe(C));
    bench.admission.finish(Ask::Describe(C), WaitsFor::Xml, None);

    let frozen = Uuid::from_u128(4);
    bench.hang(read(frozen));
    assert_eq!(bench.turn(Ask::Describe(frozen)), Turn::Late, "it would hang, too");
    bench.admission.recover(Ask::Describe(A), WaitsFor::Xml);
    assert_eq!(bench.turn(Ask::Describe(frozen)), Turn::Start(WaitsFor::Xml), "one that hangs is no rule");
}

/// In a VM where a call of the agent hangs, XML waits from libvirt 11 on, and statistics return at once.
#[test]
fn beside_an_agent_one_xml_that_hangs_is_enough_for_statistics_to_go_first() {
    let mut bench = Bench::within(Limits::BESIDE_AN_AGENT);
    bench.start(Ask::Describe(A));
    assert_eq!(bench.turn(Ask::Describe(B)), Turn::Crowded, "one call at a time, of whatever kind");
    assert_eq!(bench.turn(read(B)), Turn::Crowded);
    bench.now += SLOW_XML;
    assert_eq!(bench.turn(read(B)), Turn::Crowded, "nothing goes beside it though it is slow");
    bench.admission.abandon(Ask::Describe(A), WaitsFor::Xml);
    assert_eq!(
        bench.turn(Ask::Describe(B)),
        Turn::Wait,
        "only what its statistics say of B tells whether it would hang"
    );
    bench.whole(read(B));
    bench.start(Ask::Describe(B));
    bench.admission.finish(Ask::Describe(B), WaitsFor::Xml, None);
    let frozen = read(C);
    bench.hang(frozen);
    assert_eq!(bench.admission.abandoned(), 2);
    assert_eq!(bench.turn(read(B)), Turn::Start(WaitsFor::NoMonitor), "the others are read without their QEMUs");
    assert_eq!(bench.turn(Ask::Describe(B)), Turn::Full);
}

#[test]
fn a_worker_hangs_on_when_its_connection_has_ended() {
    let mut bench = Bench::new();
    let hung = bench.hang(read(A));
    bench.admission.orphan(read(A), hung, true, bench.now);
    let running = bench.start(read(B));
    bench.admission.orphan(read(B), running, false, bench.now);
    let xml = bench.start(Ask::Describe(C));
    bench.admission.orphan(Ask::Describe(C), xml, false, bench.now);
    bench.admission.disconnected();
    assert_eq!((bench.admission.running(), bench.admission.abandoned(), bench.admission.stuck()), (0, 3, 0));
    assert_eq!(bench.turn(Ask::Describe(C)), Turn::Late);

    // Its QEMU answers.
    bench.whole(read(A));
    assert_eq!(bench.admission.abandoned(), 2);
    // Its QEMU is gone.
    bench.admission.freed(B);
    assert_eq!(bench.admission.abandoned(), 1);
    // The daemon is another process.
    bench.admission.freed_all();
    assert_eq!(bench.admission.abandoned(), 0);
    assert_eq!(bench.turn(Ask::Describe(C)), Turn::Start(WaitsFor::Xml));
}

#[test]
fn a_vm_whose_calls_are_lost_with_their_connections_again_and_again_is_read_all_the_same() {
    let mut bench = Bench::new();
    for _ in 0..20 {
        let running = bench.start(read(A));
        bench.admission.orphan(read(A), running, false, bench.now);
    }
    assert_eq!(bench.admission.abandoned(), HUNG_MAX, "as many as can hang in it");
    for number in 0..6 {
        bench.hang(read(Uuid::from_u128(10 + number)));
    }
    assert_eq!(bench.turn(read(B)), Turn::Start(WaitsFor::NoMonitor), "eight hang");
    assert_eq!(bench.hang(read(A)), WaitsFor::Monitor, "only a call can tell whether its workers hang still");
    assert_eq!(bench.admission.abandoned(), ABANDONED_MAX, "and one that hangs tells that another does no longer");
    bench.admission.recover(read(A), WaitsFor::Monitor);
    bench.whole(read(A));
    assert_eq!(bench.admission.abandoned(), 6);
}

#[test]
fn a_domain_whose_call_was_only_lost_with_its_daemon_is_not_stuck() {
    let mut bench = Bench::new();
    let hung = bench.hang(read(A));
    bench.admission.orphan(read(A), hung, true, bench.now);
    bench.admission.disconnected();
    assert_eq!(bench.admission.stuck(), 0);
    assert!(bench.admission.condemn(A), "until it has had its time again");
    bench.whole(read(A));
    assert_eq!(bench.admission.stuck(), 0);
}

#[test]
fn workers_that_waited_for_a_lock_without_a_connection_do_not_stop_the_others_for_long() {
    let mut bench = Bench::new();
    for number in 0..ABANDONED_MAX as u128 {
        bench.hang(read(Uuid::from_u128(10 + number)));
    }
    for number in 0..LOCKED_MAX as u128 {
        let frozen = read(Uuid::from_u128(10 + number));
        let Turn::Start(WaitsFor::NoMonitor) = bench.turn(frozen) else { panic!("{:?}", bench.turn(frozen)) };
        bench.admission.start(frozen, WaitsFor::NoMonitor, bench.now);
        bench.admission.orphan(frozen, WaitsFor::NoMonitor, false, bench.now);
    }
    assert_eq!(bench.turn(read(A)), Turn::Full);
    bench.admission.expire(bench.now);
    assert_eq!(bench.turn(read(A)), Turn::Full, "not before they have had their time");
    bench.now += LOCKED_FOR;
    bench.admission.expire(bench.now);
    assert_eq!(bench.turn(read(A)), Turn::Start(WaitsFor::NoMonitor));
    assert_eq!(bench.admission.abandoned(), ABANDONED_MAX, "those that hang in QEMUs count on");
}

#[test]
fn domains_without_number_leave_nothing_behind_though_an_xml_hangs() {
    let mut bench = Bench::new();
    bench.start(Ask::Describe(A));
    bench.admission.abandon(Ask::Describe(A), WaitsFor::Xml);
    for number in 0..10_000 {
        bench.whole(read(Uuid::from_u128(10 + number)));
    }
    assert!(bench.admission.cases.remembered() < 300, "{} are remembered", bench.admission.cases.remembered());
    assert_eq!(bench.turn(Ask::Describe(A)), Turn::Late);
}
