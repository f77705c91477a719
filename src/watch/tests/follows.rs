//! Changes to VMIs arrive once and in order.

use serde_json::json;

use super::fake::Mode;
use super::*;
use crate::watch::{EventKind, FaultKind};

#[tokio::test(start_paused = true)]
async fn what_is_there_is_listed_and_what_happens_then_follows() {
    let fake = Fake::with(["db", "web"]);
    let mut bench = Bench::start(fake.clone());
    assert!(!bench.counters.synced());
    assert_eq!(bench.list().await, ["shop/db running", "shop/web running"]);
    assert!(bench.counters.synced() && bench.counters.connected());

    fake.apply("new", "Scheduled");
    fake.apply("db", "Succeeded");
    fake.delete("web");
    let events: [String; 3] = bench.all().await;
    assert_eq!(events, ["applied shop/new scheduled", "applied shop/db succeeded", "deleted shop/web uid-web"]);
    let sent = EventKind::ALL.map(|kind| bench.counters.events(kind));
    assert_eq!(sent, [1, 4, 1, 1]);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_news_is_an_hour_of_watches_and_one_list() {
    let fake = Fake::with(["db"]);
    let mut bench = Bench::start(fake.clone());
    bench.list().await;
    bench.quiet(3600 * SECOND).await;
    assert!(bench.counters.connected());
    let requests = fake.requests();
    assert_eq!(requests.iter().filter(|uri| !uri.contains("watch=true")).count(), 1);
    assert!((100..=125).contains(&requests.len()), "{}", requests.len());
    assert!(FaultKind::ALL.iter().all(|kind| bench.counters.errors(*kind) == 0));
    fake.apply("db", "Failed");
    assert_eq!(bench.next().await, "applied shop/db failed");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_cut_goes_on_where_it_was() {
    let fake = Fake::with(["db"]);
    let mut bench = Bench::start(fake.clone());
    bench.list().await;
    for round in 0..20 {
        fake.apply("db", "Running");
        assert_eq!(bench.next().await, "applied shop/db running", "before cut {round}");
        fake.cut();
        // Both happen while nobody watches.
        fake.apply("web", "Running");
        fake.delete("web");
        let events: [String; 2] = bench.all().await;
        assert_eq!(events, ["applied shop/web running", "deleted shop/web uid-web"], "cut {round}");
    }
    assert_eq!(bench.counters.events(EventKind::Restarted), 1);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_takes_its_time_misses_nothing() {
    let fake = Fake::with(["db"]);
    let mut bench = Bench::start(fake.clone());
    bench.list().await;
    for number in 0..200 {
        fake.apply(&format!("vm{number:03}"), "Running");
    }
    for number in 0..200 {
        tokio::time::sleep(SECOND).await;
        assert_eq!(bench.next().await, format!("applied shop/vm{number:03} running"));
    }
    bench.quiet(60 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn an_object_without_identity_is_dropped_and_counted_and_spoils_nothing() {
    let fake = Fake::with(["db", "web"]);
    fake.put("broken", json!({ "metadata": { "name": ["broken"], "namespace": "shop", "uid": "u" } }));
    fake.put("odd", json!({ "metadata": { "name": "odd", "namespace": "shop", "uid": "u" }, "status": 7 }));
    let mut bench = Bench::start(fake.clone());
    assert_eq!(bench.list().await, ["shop/db running", "shop/odd unset", "shop/web running"]);
    assert_eq!(bench.counters.objects_dropped(), 1);
    assert_eq!(bench.counters.fields_dropped(), 2, "the name, and the status of the odd one");

    fake.put("broken", json!({ "metadata": { "uid": 7 } }));
    fake.apply("db", "Failed");
    assert_eq!(bench.next().await, "applied shop/db failed");
    assert_eq!(bench.counters.objects_dropped(), 2);
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_told_and_when_nobody_listens() {
    let bench = Bench::start(Fake::with(["db"]));
    bench.end().await;

    // Stopped while it waits for room, and while it waits for an absent API.
    let bench = Bench::start(Fake::with(["a", "b", "c", "d", "e", "f", "g"]));
    tokio::time::sleep(SECOND).await;
    bench.end().await;
    let fake = Fake::default();
    fake.mode(Mode::Mute);
    Bench::start(fake).end().await;

    let Bench { events, task, fake, .. } = Bench::start(Fake::with(["db"]));
    drop(events);
    fake.apply("db", "Failed");
    task.await.expect("a watch that ends");
}
