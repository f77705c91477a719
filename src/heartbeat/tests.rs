//! Parts that run, wait, hang and panic, with the time paused.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

fn names(beats: &Heartbeats) -> Vec<String> {
    beats.still().into_iter().map(|still| still.part).collect()
}

#[tokio::test(start_paused = true)]
async fn a_part_that_turns_or_waits_under_a_deadline_does_not_stand_still() {
    let beats = Heartbeats::new();
    let (idle, patient) = (beats.part("idle"), beats.part("patient"));
    let waits = idle.clone();
    drop(tokio::spawn(idle.over(async move {
        loop {
            waits.idle().await;
        }
    })));
    let deadline = Instant::now() + HOUR;
    patient.promise(deadline);
    drop(tokio::spawn(patient.over(std::future::pending::<()>())));
    tokio::time::sleep_until(deadline).await;
    assert_eq!(beats.still(), []);
    tokio::time::sleep(LATE + SECOND).await;
    assert_eq!(names(&beats), ["patient"], "its deadline has passed");
}

#[tokio::test(start_paused = true)]
async fn those_that_stand_still_are_named_the_longest_first() {
    let beats = Heartbeats::new();
    let _first = beats.part("first");
    tokio::time::sleep(SECOND).await;
    let _second = beats.part_of("second", "qemu:///system".into());
    tokio::time::sleep(LATE).await;
    assert_eq!(names(&beats), ["first"]);
    tokio::time::sleep(SECOND).await;
    let expected = [("first", LATE + 2 * SECOND), ("second of qemu:///system", LATE + SECOND)];
    assert_eq!(beats.still(), expected.map(|(part, since)| Still { part: part.to_owned(), since }));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_woken_must_turn_whatever_it_promised() {
    let beats = Heartbeats::new();
    let pulse = beats.part("sleeper");
    pulse.promise(Instant::now() + HOUR);
    pulse.knock(Instant::now());
    tokio::time::sleep(LATE + SECOND).await;
    assert_eq!(names(&beats), ["sleeper"]);
    pulse.promise(Instant::now() + HOUR);
    assert_eq!(beats.still(), [], "it turns again");
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_does_not_end_is_standing_still_though_more_was_promised() {
    let beats = Heartbeats::new();
    let pulse = beats.part("spinner");
    pulse.promise(Instant::now() + HOUR);
    let inside = pulse.clone();
    let mut part = pulse.over(std::future::poll_fn(move |_| {
        assert_ne!(inside.0.working.load(Relaxed), WAITING);
        Poll::<()>::Pending
    }));
    assert!(Pin::new(&mut part).poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
    assert_eq!(pulse.0.working.load(Relaxed), WAITING, "this one has ended");
    pulse.0.working.store(pulse.0.number(Instant::now()), Relaxed);
    tokio::time::sleep(LATE + SECOND).await;
    assert_eq!(names(&beats), ["spinner"]);
}

#[tokio::test(start_paused = true)]
async fn a_part_that_fell_over_stands_still_and_one_that_ended_does_not() {
    let beats = Heartbeats::new();
    let parts = ["fell", "ended", "dropped"].map(|name| beats.part(name));
    let [fell, ended, dropped] = &parts;
    assert!(tokio::spawn(fell.over(async { panic!("for the test") })).await.is_err());
    tokio::spawn(ended.over(async {})).await.unwrap();
    let task = tokio::spawn(dropped.over(std::future::pending::<()>()));
    tokio::task::yield_now().await;
    task.abort();
    assert!(task.await.is_err());
    for pulse in &parts {
        pulse.knock(Instant::now());
    }
    tokio::time::sleep(LATE + SECOND).await;
    assert_eq!(names(&beats), ["fell"]);
    drop(beats.part("next"));
    assert_eq!(beats.parts.lock().unwrap().len(), 2, "those that ended are forgotten");
}
