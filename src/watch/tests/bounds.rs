//! Answers that never end, are too large, or are malformed.

use super::fake::Mode;
use super::*;
use crate::testing::logged::Logged;
use crate::watch::FaultKind;

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_or_does_not_end_is_given_up() {
    for (mode, words) in [(Mode::Mute, "no answer within 20 s"), (Mode::Endless, "did not arrive within 30 s")] {
        let (logged, _guard) = Logged::here();
        let fake = Fake::with(["db"]);
        fake.mode(mode);
        let mut bench = Bench::start(fake.clone());
        bench.quiet(31 * SECOND).await;
        assert_eq!(bench.counters.errors(FaultKind::Unreachable), 1, "{mode:?}");
        assert_eq!(logged.with(words).len(), 1, "{mode:?}");
        fake.mode(Mode::Well);
        assert_eq!(bench.list().await, ["shop/db running"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_larger_than_any_is_not_read_to_its_end() {
    let (logged, _guard) = Logged::here();
    let fake = Fake::with(["db"]);
    fake.mode(Mode::HugeObject);
    let mut bench = Bench::start(fake.clone());
    bench.list().await;
    bench.quiet(10 * SECOND).await;
    assert!(!bench.counters.connected());
    assert_eq!(logged.with("more than 4194304 bytes").len(), 1);
    fake.mode(Mode::Well);
    fake.apply("db", "Failed");
    assert_eq!(bench.next().await, "applied shop/db failed");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_list_is_an_error_that_says_so() {
    let (logged, _guard) = Logged::here();
    let fake = Fake::with(["db"]);
    fake.mode(Mode::Garbage);
    let mut bench = Bench::start(fake.clone());
    bench.quiet(60 * SECOND).await;
    assert!(bench.counters.errors(FaultKind::Garbled) > 2);
    assert_eq!(logged.with("a proxy before it").len(), 1);
    fake.mode(Mode::Well);
    assert_eq!(bench.list().await, ["shop/db running"]);
}
