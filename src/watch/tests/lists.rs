//! Lists: in pages, repeated, streamed.

use super::fake::Mode;
use super::*;
use crate::model::VmChoice;
use crate::testing::logged::Logged;
use crate::watch::link::PAGE_SIZE;
use crate::watch::{EventKind, FaultKind};

#[tokio::test(start_paused = true)]
async fn five_hundred_vmis_come_in_small_pages() {
    let names: Vec<String> = (0..500).map(|number| format!("vm{number:03}")).collect();
    let fake = Fake::with(names.iter().map(String::as_str));
    let mut bench = Bench::start(fake.clone());
    let expected: Vec<String> = names.iter().map(|name| format!("shop/{name} running")).collect();
    assert_eq!(bench.list().await, expected);
    let requests = fake.requests();
    let lists: Vec<&String> = requests.iter().filter(|uri| !uri.contains("watch=true")).collect();
    assert_eq!(lists.len(), 500 / PAGE_SIZE as usize);
    assert!(lists.iter().all(|uri| uri.contains(&format!("limit={PAGE_SIZE}"))));
}

#[tokio::test(start_paused = true)]
async fn after_410_gone_there_is_a_new_list_without_those_who_left_and_nothing_is_wrong() {
    let (logged, _guard) = Logged::here();
    let fake = Fake::with(["db", "web"]);
    let mut bench = Bench::start(fake.clone());
    bench.list().await;
    fake.cut();
    fake.delete("web");
    fake.apply("new", "Running");
    fake.forget();
    assert_eq!(bench.list().await, ["shop/db running", "shop/new running"]);
    assert_eq!(bench.counters.errors(FaultKind::Expired), 1);
    assert_eq!(bench.counters.events(EventKind::Restarted), 2);
    assert!(bench.counters.connected());
    assert!(logged.with("WARN").is_empty());
    fake.apply("db", "Failed");
    assert_eq!(bench.next().await, "applied shop/db failed");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_half_way_begins_anew() {
    for code in [410, 500] {
        let names: Vec<String> = (0..30).map(|number| format!("vm{number:02}")).collect();
        let fake = Fake::with(names.iter().map(String::as_str));
        fake.mode(Mode::SecondPage(code));
        let mut bench = Bench::start(fake.clone());
        assert_eq!(bench.next().await, "restarted");
        for name in &names[..PAGE_SIZE as usize] {
            assert_eq!(bench.next().await, format!("applied shop/{name} running"));
        }
        assert!(!bench.counters.synced());
        fake.mode(Mode::Well);
        // Events of an abandoned list may follow; the last list is complete.
        let mut since = Vec::new();
        loop {
            match bench.next().await.as_str() {
                "restarted" => since.clear(),
                "synced" => break,
                event => since.push(event.to_owned()),
            }
        }
        assert_eq!(since.len(), 30, "{code}");
    }
}

fn streaming() -> Settings {
    Settings { node: NODE.into(), streaming_lists: true, ..Settings::default() }
}

#[tokio::test(start_paused = true)]
async fn lists_are_streamed_if_asked_for() {
    let fake = Fake::with(["db", "web"]);
    let mut bench = Bench::with(fake.clone(), streaming());
    assert_eq!(bench.list().await, ["shop/db running", "shop/web running"]);
    assert!(fake.requests().iter().all(|uri| uri.contains("watch=true")));
    fake.apply("db", "Failed");
    assert_eq!(bench.next().await, "applied shop/db failed");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_stream_lists_gives_plain_ones() {
    let (logged, _guard) = Logged::here();
    let fake = Fake::with(["db"]);
    fake.mode(Mode::NoStreaming);
    let mut bench = Bench::with(fake.clone(), streaming());
    assert_eq!(bench.list().await, ["shop/db running"]);
    bench.quiet(300 * SECOND).await;
    assert_eq!(logged.with("does not stream lists").len(), 1);
    assert_eq!(fake.requests().iter().filter(|uri| uri.contains("sendInitialEvents")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_vmi_that_is_left_out_is_not_told_of() {
    let fake = Fake::with(["db", "web", "web-test"]);
    let choice = VmChoice::new("the shop", |name| name.starts_with("shop/") && !name.ends_with("-test"));
    let settings = Settings { node: NODE.into(), choice, ..Settings::default() };
    let mut bench = Bench::with(fake.clone(), settings);
    assert_eq!(bench.list().await, ["shop/db running", "shop/web running"]);
    fake.apply("web-test", "Failed");
    fake.delete("web-test");
    fake.apply("web", "Succeeded");
    assert_eq!(bench.next().await, "applied shop/web succeeded");
    assert!(fake.requests().iter().all(|uri| !uri.contains("app%3Dshop")));
}

#[tokio::test(start_paused = true)]
async fn a_selector_is_added_to_that_of_the_node() {
    let fake = Fake::with(["db"]);
    let settings = Settings { node: NODE.into(), selector: Some("app=shop".to_owned()), ..Settings::default() };
    let mut bench = Bench::with(fake.clone(), settings);
    assert_eq!(bench.list().await, ["shop/db running"]);
    assert!(fake.requests().iter().all(|uri| uri.contains("%2Capp%3Dshop")), "{:?}", fake.requests());
}
