use prost::bytes::Bytes;
use tonic::Code;

use super::super::script::{Answer, Script, fail, later};
use super::*;

struct Test {
    sender: Sender<Script>,
    script: Script,
    counters: Arc<OtlpCounters>,
    hurry: CancellationToken,
}

fn test(answers: impl IntoIterator<Item = Answer>) -> Test {
    let script = Script::new(answers);
    let counters = Arc::new(OtlpCounters::default());
    let hurry = CancellationToken::new();
    let sender =
        Sender::new(script.clone(), Duration::from_secs(10), retry::WAITS, hurry.clone(), Arc::clone(&counters));
    Test { sender, script, counters, hurry }
}

fn request() -> ExportRequest {
    ExportRequest { bytes: Bytes::from_static(&[]), points: 7, records: Vec::new() }
}

fn in_five_minutes() -> Instant {
    Instant::now() + retry::GIVE_UP_AFTER
}

/// The waits between requests, in seconds.
fn waits(script: &Script) -> Vec<f64> {
    script.times().windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_comes_back_gets_the_same_request_after_growing_waits() {
    let mut test = test(vec![fail(Code::Unavailable); 4]);
    assert_eq!(test.sender.send(&request(), in_five_minutes()).await, Outcome::Delivered);
    let waits = waits(&test.script);
    for (wait, full) in waits.iter().zip([1.0, 2.0, 4.0, 8.0]) {
        assert!((full / 2.0..=full + 0.01).contains(wait), "{waits:?}");
    }
    assert_eq!(waits.len(), 4);
    assert_eq!((test.counters.requests(), test.counters.failed_requests()), (5, 4));
    assert_eq!((test.counters.points_sent(), test.counters.points_retried()), (7, 28));
    assert_eq!(test.counters.all_dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_for_good_is_dropped_and_counted_and_not_sent_again() {
    for code in [Code::InvalidArgument, Code::ResourceExhausted, Code::Unimplemented, Code::Unauthenticated] {
        let mut test = test([fail(code)]);
        assert_eq!(test.sender.send(&request(), in_five_minutes()).await, Outcome::Dropped);
        assert_eq!(test.counters.requests(), 1, "{code:?}");
        assert_eq!(test.counters.points_dropped(DropReason::Refused), 7);
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_is_given_up_when_the_next_try_would_be_too_late() {
    let mut test = test([]);
    test.script.otherwise(fail(Code::Unavailable));
    let begun = Instant::now();
    assert_eq!(test.sender.send(&request(), in_five_minutes()).await, Outcome::Dropped);
    let took = begun.elapsed();
    assert!(took <= retry::GIVE_UP_AFTER, "{took:?}");
    assert!(took >= retry::GIVE_UP_AFTER - retry::WAITS.longest * 2, "{took:?}");
    assert_eq!(test.counters.points_dropped(DropReason::GivenUp), 7);
}

#[tokio::test(start_paused = true)]
async fn the_wait_that_a_collector_asks_for_is_kept_also_by_the_next_request() {
    let minute = Duration::from_secs(60);
    let mut test = test([later(Code::Unavailable, minute)]);
    // The request itself cannot wait that long and is dropped.
    let soon = Instant::now() + Duration::from_secs(30);
    assert_eq!(test.sender.send(&request(), soon).await, Outcome::Dropped);
    assert_eq!(test.script.times().len(), 1);
    assert_eq!(test.sender.send(&request(), in_five_minutes()).await, Outcome::Delivered);
    assert_eq!(waits(&test.script), [60.0]);
}

#[tokio::test(start_paused = true)]
async fn resource_exhausted_with_retry_info_is_sent_again_when_the_collector_said() {
    let mut test = test([later(Code::ResourceExhausted, Duration::from_secs(5))]);
    assert_eq!(test.sender.send(&request(), in_five_minutes()).await, Outcome::Delivered);
    assert_eq!(waits(&test.script), [5.0]);
}

#[tokio::test(start_paused = true)]
async fn rejected_points_are_counted_and_not_sent_again() {
    let mut test = test([Answer::Reject(3)]);
    assert_eq!(test.sender.send(&request(), in_five_minutes()).await, Outcome::Delivered);
    assert_eq!((test.counters.points_sent(), test.counters.points_rejected()), (4, 3));
    assert_eq!(test.counters.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_does_not_answer_is_left_after_the_timeout_and_connected_to_anew() {
    let mut test = test([Answer::Hang]);
    assert_eq!(test.sender.send(&request(), in_five_minutes()).await, Outcome::Delivered);
    assert_eq!(test.script.resets(), 1);
    let waits = waits(&test.script);
    assert!((10.5..=11.01).contains(&waits[0]), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn when_the_agent_ends_a_wait_of_our_own_is_cut_short_once_but_not_one_that_was_asked_for() {
    let mut test = test(vec![fail(Code::Unavailable); 2]);
    test.hurry.cancel();
    let _ = test.sender.send(&request(), in_five_minutes()).await;
    let own = waits(&test.script);
    assert_eq!(own[0], 0.0);
    assert!(own[1] >= 1.0, "{own:?}");

    let mut test = self::test([later(Code::Unavailable, Duration::from_secs(5))]);
    test.hurry.cancel();
    let _ = test.sender.send(&request(), in_five_minutes()).await;
    assert_eq!(waits(&test.script), [5.0]);
}
