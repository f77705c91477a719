//! An API that does not answer: what is logged, and how often.

use super::fake::Mode;
use super::*;
use crate::testing::logged::Logged;
use crate::watch::{EventKind, FaultKind};

#[tokio::test(start_paused = true)]
async fn thirty_seconds_without_the_api_send_nothing_and_are_told() {
    let (logged, _guard) = Logged::here();
    let fake = Fake::with(["db"]);
    let mut bench = Bench::start(fake.clone());
    bench.list().await;
    assert_eq!(bench.counters.away(), None);

    fake.mode(Mode::Refuses);
    fake.cut();
    fake.apply("db", "Failed");
    bench.quiet(30 * SECOND).await;
    let away = bench.counters.away().expect("away");
    assert!((28 * SECOND..=30 * SECOND).contains(&away), "{away:?}");
    assert!(bench.counters.synced(), "what is known stays");
    assert!(bench.counters.errors(FaultKind::Unreachable) >= 3);

    fake.mode(Mode::Well);
    let back = tokio::time::Instant::now();
    assert_eq!(bench.next().await, "applied shop/db failed");
    assert!(back.elapsed() <= 5 * SECOND, "known {:?} after the API was back", back.elapsed());
    assert!(bench.counters.connected());
    assert_eq!(bench.counters.events(EventKind::Restarted), 1, "no list was necessary");
    let lost = logged.with("WARN");
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(lost[0].contains("https://fake:6443/") && lost[0].contains("is kept"), "{}", lost[0]);
    assert_eq!(logged.with("answers again").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_api_that_refuses_while_it_starts_is_asked_again_soon() {
    let fake = Fake::with(["db"]);
    let mut bench = Bench::start(fake.clone());
    bench.list().await;
    fake.mode(Mode::Refuses);
    fake.cut();
    fake.apply("db", "Failed");
    bench.quiet(60 * SECOND).await;
    fake.mode(Mode::Status(429));
    while bench.counters.errors(FaultKind::Throttled) == 0 {
        bench.quiet(SECOND / 10).await;
    }
    fake.mode(Mode::Well);
    let ready = tokio::time::Instant::now();
    assert_eq!(bench.next().await, "applied shop/db failed");
    assert!(ready.elapsed() < 2 * SECOND, "known {:?} after the API was ready", ready.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_cut_now_and_then_is_no_news() {
    let (logged, _guard) = Logged::here();
    let fake = Fake::with(["db"]);
    let mut bench = Bench::start(fake.clone());
    bench.list().await;
    for _ in 0..10 {
        fake.cut();
        bench.quiet(70 * SECOND).await;
        assert!(bench.counters.connected());
    }
    assert_eq!(bench.counters.errors(FaultKind::Unreachable), 10);
    assert!(logged.with("WARN").is_empty() && logged.with("answers again").is_empty());
}

#[tokio::test(start_paused = true)]
async fn it_is_back_without_news_too() {
    let fake = Fake::with(["db"]);
    let mut bench = Bench::start(fake.clone());
    bench.list().await;
    fake.mode(Mode::Refuses);
    fake.cut();
    bench.quiet(20 * SECOND).await;
    assert!(!bench.counters.connected());
    fake.mode(Mode::Well);
    bench.quiet(40 * SECOND).await;
    assert!(bench.counters.connected());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_died_silently_is_noticed_within_a_minute() {
    let fake = Fake::with(["db"]);
    let mut bench = Bench::start(fake.clone());
    bench.list().await;
    // Just after a sign of life, which is the worst moment.
    fake.apply("db", "Running");
    bench.next().await;
    fake.mode(Mode::Mute);
    fake.delete("db");
    bench.quiet(60 * SECOND).await;
    assert!(!bench.counters.connected());
    fake.mode(Mode::Well);
    assert_eq!(bench.next().await, "deleted shop/db uid-db");
}

#[tokio::test(start_paused = true)]
async fn an_api_that_is_away_at_the_start_is_waited_for() {
    let (logged, _guard) = Logged::here();
    let fake = Fake::with(["db"]);
    fake.mode(Mode::Refuses);
    let mut bench = Bench::start(fake.clone());
    bench.quiet(600 * SECOND).await;
    assert!(!bench.counters.synced());
    assert_eq!(bench.counters.away(), Some(600 * SECOND));
    assert!(bench.counters.errors(FaultKind::Unreachable) < 130, "with growing pauses");
    assert_eq!(logged.with("no VMI is known yet").len(), 1);
    fake.mode(Mode::Well);
    assert_eq!(bench.list().await, ["shop/db running"]);
    assert_eq!(logged.with("WARN").len(), 1);
    assert_eq!(logged.with("answers again").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_refusal_is_logged_once_with_what_to_do() {
    let cases = [
        (401, FaultKind::Unauthorized, "service account"),
        (403, FaultKind::Forbidden, r#"resources: ["virtualmachineinstances"], verbs: ["get", "list", "watch"]"#),
        (404, FaultKind::NotFound, "is KubeVirt installed"),
        (429, FaultKind::Throttled, "priority and fairness"),
        (500, FaultKind::Failed, "API server's log"),
    ];
    for (code, kind, advice) in cases {
        for mode in [Mode::Status(code), Mode::WatchStatus(code)] {
            let (logged, _guard) = Logged::here();
            let fake = Fake::with(["db"]);
            fake.mode(mode);
            let mut bench = Bench::start(fake.clone());
            if mode == Mode::WatchStatus(code) {
                bench.list().await;
            }
            bench.quiet(600 * SECOND).await;
            assert!(!bench.counters.connected());
            assert!(bench.counters.errors(kind) > 5, "{mode:?}");
            let lines = logged.with("WARN");
            assert_eq!(lines.len(), 1, "{mode:?}: {lines:?}");
            assert!(lines[0].contains(advice), "{mode:?}: {}", lines[0]);

            fake.mode(Mode::Well);
            bench.fake.apply("db", "Failed");
            while bench.next().await != "applied shop/db failed" {}
            while tokio::time::timeout(10 * SECOND, bench.events.recv()).await.is_ok() {}
            assert_eq!(logged.with("answers again").len(), 1, "{mode:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn another_cause_is_news_and_the_same_one_in_turn_is_not() {
    let (logged, _guard) = Logged::here();
    let fake = Fake::default();
    let mut bench = Bench::start(fake.clone());
    bench.list().await;
    fake.mode(Mode::Refuses);
    fake.cut();
    for _ in 0..10 {
        bench.quiet(60 * SECOND).await;
        fake.mode(Mode::Status(403));
        bench.quiet(60 * SECOND).await;
        fake.mode(Mode::Refuses);
    }
    assert_eq!(logged.with("WARN").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn watches_that_open_and_fail_at_once_are_one_failure_not_many() {
    let (logged, _guard) = Logged::here();
    let fake = Fake::with(["db"]);
    fake.mode(Mode::FailingWatches);
    let mut bench = Bench::start(fake.clone());
    bench.list().await;
    bench.quiet(600 * SECOND).await;
    assert!(bench.counters.errors(FaultKind::Failed) > 5);
    assert!(!bench.counters.connected());
    assert_eq!((logged.with("WARN").len(), logged.with("answers again").len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_api_that_is_away_or_has_nothing_to_say_does_not_stop_the_heartbeat() {
    let fake = Fake::with(["db"]);
    let mut bench = Bench::start(fake.clone());
    bench.list().await;
    for mode in [Mode::Well, Mode::Refuses, Mode::Mute, Mode::Status(503), Mode::Endless] {
        fake.mode(mode);
        fake.cut();
        for _ in 0..300 {
            let _ = tokio::time::timeout(SECOND, bench.events.recv()).await;
            assert_eq!(bench.beats.still(), [], "{mode:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_whose_events_nobody_takes_is_seen_to_stand_still() {
    let fake = Fake::with(["a", "b", "c", "d", "e", "f"]);
    let mut bench = Bench::start(fake);
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(bench.beats.still().len(), 1);
    bench.list().await;
    assert_eq!(bench.beats.still(), [], "it goes on");
}
