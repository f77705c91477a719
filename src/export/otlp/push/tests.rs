use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Code;

use super::super::fixture::{self, TestClock, cpu, vm};
use super::super::script::{Answer, Script, fail};
use super::*;
use crate::heartbeat::Heartbeats;
use crate::model::{Status, Vm};
use crate::snapshot;
use crate::testing::receiver::{Receiver, attributes};

const INTERVAL: Duration = Duration::from_secs(15);

struct Test {
    script: Script,
    clock: Arc<TestClock>,
    writer: watch::Sender<Arc<Snapshot>>,
    counters: Arc<OtlpCounters>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    beats: Heartbeats,
    began: Instant,
    sequence: u64,
    lifecycle: u64,
}

fn test(answers: impl IntoIterator<Item = Answer>) -> Test {
    test_with(answers, Tuning::default())
}

fn test_with(answers: impl IntoIterator<Item = Answer>, tuning: Tuning) -> Test {
    let script = Script::new(answers);
    let clock = TestClock::at(1_000);
    let counters = Arc::new(OtlpCounters::default());
    let shutdown = CancellationToken::new();
    let (writer, reader) = snapshot::channel();
    let beats = Heartbeats::new();
    let task = tokio::spawn(run(
        script.clone(),
        OtlpSettings { interval: INTERVAL, ..OtlpSettings::default() },
        fixture::selection(),
        clock.clone(),
        Arc::clone(&counters),
        tuning,
        beats.part("export::otlp"),
        reader,
        shutdown.clone(),
    ));
    Test { script, clock, writer, counters, shutdown, task, beats, began: Instant::now(), sequence: 0, lifecycle: 0 }
}

impl Test {
    /// Now, in milliseconds: the wall clock follows tokio's.
    fn now(&self) -> u64 {
        let now = 1_000 + u64::try_from(self.began.elapsed().as_millis()).unwrap();
        self.clock.set(now);
        now
    }

    async fn pass(&self, time: Duration) {
        // In small steps, so that the wall clock keeps up.
        let end = Instant::now() + time;
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(100).min(end - Instant::now())).await;
            self.now();
        }
    }

    fn publish(&mut self, vms: Vec<Vm>, lifecycle: bool) {
        self.sequence += 1;
        self.lifecycle += u64::from(lifecycle);
        let snapshot =
            Snapshot { sequence: self.sequence, lifecycle: self.lifecycle, ..fixture::snapshot(vms, self.now()) };
        self.writer.send_replace(Arc::new(snapshot));
    }

    /// A VM whose CPU was just read.
    fn fresh(&self, number: u128) -> Vm {
        Vm { cpu: Some(cpu(self.now())), ..vm(number) }
    }

    /// The names of the VMs in each request.
    fn requests(&self) -> Vec<Vec<String>> {
        let name = |message: &ResourceMetrics| {
            attributes(&message.resource.as_ref().unwrap().attributes)["libvirt.domain.name"].clone()
        };
        self.script.requests().iter().map(|request| request.resource_metrics.iter().map(name).collect()).collect()
    }

    /// When each request came, in tenths of a second since the start.
    fn times(&self) -> Vec<u128> {
        self.script.times().iter().map(|at| (*at - self.began).as_millis() / 100).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_pushed_before_anything_is_known() {
    let test = test([]);
    test.pass(INTERVAL * 3).await;
    assert!(test.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn everything_is_pushed_at_the_interval() {
    let mut test = test([]);
    test.pass(Duration::from_secs(5)).await;
    test.publish(vec![test.fresh(1), test.fresh(2)], false);
    test.pass(Duration::from_secs(41)).await;
    // The end of the first round is pushed at once.
    assert_eq!(test.times(), [50, 150, 300, 450]);
    assert!(test.requests().iter().all(|names| names.len() == 2));
}

/// Many agents that start together do not push together.
#[tokio::test(start_paused = true)]
async fn the_first_push_and_each_interval_have_a_place_of_their_own() {
    let spread = Spread { first: Duration::from_secs(2), each: Duration::from_secs(7) };
    let mut test = test_with([], Tuning { spread, ..Tuning::default() });
    test.pass(Duration::from_secs(1)).await;
    test.publish(vec![test.fresh(1)], false);
    test.pass(Duration::from_secs(23)).await;
    assert_eq!(test.times(), [20, 70, 220]);
    let paused = Vm { status: Some(Status::from_libvirt(3, 1)), ..test.fresh(1) };
    test.publish(vec![paused], true);
    test.pass(Duration::from_millis(100)).await;
    assert_eq!(test.times().last(), Some(&240), "a change does not wait");
}

#[tokio::test(start_paused = true)]
async fn the_first_figures_are_pushed_at_the_end_of_the_first_round() {
    let mut test = test([]);
    test.pass(Duration::from_secs(5)).await;
    test.publish(vec![vm(1), vm(2)], true);
    let told = Snapshot { complete: false, ..Snapshot::clone(&test.writer.borrow()) };
    test.writer.send_replace(Arc::new(told));
    test.pass(Duration::from_secs(3)).await;
    test.publish(vec![test.fresh(1), test.fresh(2)], false);
    test.pass(Duration::from_secs(2)).await;
    assert_eq!(test.times(), [50, 80], "what they are, and then their figures");
    assert!(test.requests().iter().all(|names| names.len() == 2));
}

#[tokio::test(start_paused = true)]
async fn a_lifecycle_change_is_pushed_at_once_and_alone() {
    let mut test = test([]);
    test.publish(vec![test.fresh(1), test.fresh(2)], false);
    test.pass(Duration::from_secs(5)).await;
    let paused = Vm { status: Some(Status::from_libvirt(3, 1)), ..test.fresh(1) };
    test.publish(vec![paused, test.fresh(2)], true);
    test.pass(Duration::from_millis(100)).await;
    assert_eq!(test.requests().last().unwrap(), &["vm-1"]);
    assert_eq!(test.times().last(), Some(&50));
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_lifecycle_changes_makes_one_push_a_second_and_the_last_one_is_in_it() {
    let mut test = test([]);
    test.publish(vec![], false);
    test.pass(Duration::from_secs(2)).await;
    for number in 1..=40 {
        test.publish((1..=number).map(|number| test.fresh(number)).collect(), true);
        test.pass(Duration::from_millis(50)).await;
    }
    test.pass(Duration::from_secs(2)).await;
    assert_eq!(test.times(), [20, 30, 40]);
    let names: usize = test.requests().iter().map(Vec::len).sum();
    assert_eq!(names, 40, "each VM once");
}

#[tokio::test(start_paused = true)]
async fn vms_that_are_left_to_sidecars_are_counted_as_they_are_now() {
    let mut test = test([]);
    let left = |number| Vm { has_sidecar: true, ..vm(number) };
    for (vms, count) in [(vec![left(1), left(2), vm(3)], 2), (vec![left(1)], 1), (vec![], 0)] {
        test.publish(vms, false);
        test.pass(INTERVAL).await;
        assert_eq!(test.counters.left_to_sidecars(), count);
    }
    assert_eq!(test.requests().concat().iter().filter(|name| *name != "vm-3").count(), 0);
}

#[tokio::test(start_paused = true)]
async fn readings_alone_make_no_push_between_intervals() {
    let mut test = test([]);
    test.publish(vec![test.fresh(1)], false);
    for _ in 0..100 {
        test.pass(Duration::from_millis(100)).await;
        test.publish(vec![test.fresh(1)], false);
    }
    assert_eq!(test.times(), [0]);
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_the_pushes_that_waited_arrive_in_order_and_the_oldest_are_counted_as_lost() {
    let mut test = test([]);
    test.script.otherwise(fail(Code::Unavailable));
    for _ in 0..12 {
        test.publish(vec![test.fresh(1)], false);
        test.pass(INTERVAL).await;
    }
    let points = u64::try_from(crate::model::State::ALL.len()).unwrap() + 2;
    assert_eq!(test.counters.queued(), u64::try_from(super::super::WAITING_PUSHES).unwrap());
    assert_eq!(test.counters.points_dropped(DropReason::QueueFull) % points, 0);
    assert!(test.counters.points_dropped(DropReason::QueueFull) > 0);
    assert!(!test.task.is_finished());

    let before = test.script.requests().len();
    test.script.otherwise(Answer::Accept);
    test.pass(Duration::from_secs(60)).await;
    let delivered = test.script.requests().split_off(before);
    assert!(delivered.len() > super::super::WAITING_PUSHES, "{}", delivered.len());
    let mut receiver = Receiver::default();
    for request in &delivered {
        receiver.accept(&request.resource_metrics);
    }
    assert_eq!(test.counters.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_ended_during_an_outage_ends_when_it_is_over() {
    let mut test = test([]);
    test.publish(vec![test.fresh(1), test.fresh(2)], false);
    test.pass(Duration::from_secs(1)).await;
    test.script.otherwise(fail(Code::Unavailable));
    test.publish(vec![test.fresh(2)], true);
    test.pass(Duration::from_secs(40)).await;
    test.script.otherwise(Answer::Accept);
    test.pass(Duration::from_secs(40)).await;
    let mut receiver = Receiver::default();
    let mut delivered = test.script.requests();
    delivered.dedup();
    for request in &delivered {
        receiver.accept(&request.resource_metrics);
    }
    assert!(receiver.alive.keys().all(|(resource, ..)| resource["libvirt.domain.name"] == "vm-2"));
    assert!(receiver.ended.values().all(|times| *times == 1));
    assert!(!receiver.ended.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_agent_pushes_what_is_new_and_ends_no_series() {
    let mut test = test([]);
    test.publish(vec![test.fresh(1)], false);
    test.pass(Duration::from_secs(1)).await;
    test.publish(vec![test.fresh(1)], false);
    test.shutdown.cancel();
    (&mut test.task).await.unwrap();
    assert_eq!(test.times(), [0, 10]);
    let mut receiver = Receiver::default();
    for request in &test.script.requests() {
        receiver.accept(&request.resource_metrics);
    }
    assert!(receiver.ended.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_is_away_or_mute_does_not_stop_the_heartbeat() {
    let mut test = test([]);
    for answer in [Answer::Accept, fail(Code::Unavailable), Answer::Hang] {
        test.script.otherwise(answer);
        for _ in 0..60 {
            test.publish(vec![test.fresh(1)], true);
            test.pass(Duration::from_secs(10)).await;
            assert_eq!(test.beats.still(), []);
        }
    }
    // Nor does having nothing new to push.
    test.pass(INTERVAL * 4).await;
    assert_eq!(test.beats.still(), []);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_agent_waits_for_a_mute_collector_no_longer_than_an_end_may_take() {
    let mut test = test([]);
    test.publish(vec![test.fresh(1)], false);
    test.pass(Duration::from_secs(1)).await;
    test.script.otherwise(Answer::Hang);
    test.publish(vec![test.fresh(1)], false);
    test.shutdown.cancel();
    let asked = Instant::now();
    (&mut test.task).await.unwrap();
    assert_eq!(asked.elapsed(), super::super::LAST_PUSH);
    assert!(test.counters.points_dropped(DropReason::Shutdown) > 0);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_agent_does_not_wait_for_the_next_try_of_its_own_choice() {
    let mut test = test([]);
    test.script.otherwise(fail(Code::Unavailable));
    test.publish(vec![test.fresh(1)], false);
    test.pass(Duration::from_secs(50)).await;
    test.script.otherwise(Answer::Accept);
    test.shutdown.cancel();
    let asked = Instant::now();
    (&mut test.task).await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    assert_eq!(test.counters.all_dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_when_no_more_snapshots_can_come() {
    let mut test = test([]);
    test.publish(vec![test.fresh(1)], false);
    test.pass(Duration::from_secs(1)).await;
    let Test { writer, task, .. } = test;
    drop(writer);
    task.await.unwrap();
}
