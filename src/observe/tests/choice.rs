//! Domains that the configuration leaves out.

use uuid::Uuid;

use super::{Bench, INTERVAL, MOMENT};
use crate::model::VmChoice;
use crate::observe::Settings;
use crate::source::DomainEvent;

const WEB: Uuid = Uuid::from_u128(1);
const TEST: Uuid = Uuid::from_u128(2);

/// Two domains, of which one is left out by its name.
async fn two_of_which_one_is_left_out() -> Bench {
    let choice = VmChoice::new("no tests", |name| !name.ends_with("-test"));
    Bench::of(Settings { choice, ..Settings::default() }, &["fake:///one"], |fakes| {
        fakes[0].runs(1);
        fakes[0].runs(2);
        fakes[0].edit(TEST, |domain| domain.name = "web-test".into());
        fakes[0].connect();
    })
    .await
}

/// How many domains the daemon is said to have.
fn counted(bench: &Bench) -> u64 {
    bench.snapshot().daemons[0].domains.iter().flatten().sum()
}

#[tokio::test(start_paused = true)]
async fn a_domain_that_is_left_out_is_neither_asked_for_nor_shown_nor_counted() {
    let bench = two_of_which_one_is_left_out().await;
    bench.pass(2 * INTERVAL).await;
    for event in [DomainEvent::Stopped, DomainEvent::Started { incoming_migration: false }, DomainEvent::Rebooted] {
        bench.fake().happens(TEST, event);
        bench.pass(MOMENT).await;
    }
    assert!(bench.vm(WEB).cpu.is_some());
    assert!(bench.try_vm(TEST).is_none());
    assert_eq!(bench.fake().count(|ask| ask.domain() == Some(TEST)), 0);
    assert_eq!(counted(&bench), 1);
    assert_eq!(bench.counters.domains_left_out.get(), 0, "those are for want of room");
}

#[tokio::test(start_paused = true)]
async fn a_domain_that_gets_such_a_name_is_gone_and_comes_back_with_another() {
    let bench = two_of_which_one_is_left_out().await;
    bench.fake().edit(WEB, |domain| domain.name = "db-test".into());
    bench.fake().happens(WEB, DomainEvent::Defined);
    bench.pass(MOMENT).await;
    assert!(bench.try_vm(WEB).is_none());
    assert_eq!(counted(&bench), 0);
    bench.fake().edit(WEB, |domain| domain.name = "db".into());
    bench.fake().happens(WEB, DomainEvent::Defined);
    bench.pass(2 * MOMENT).await;
    assert_eq!(&*bench.vm(WEB).identity.name, "db");
}

#[tokio::test(start_paused = true)]
async fn a_list_finds_out_such_a_name_too() {
    let bench = two_of_which_one_is_left_out().await;
    bench.fake().edit(WEB, |domain| domain.name = "db-test".into());
    bench.fake().disconnect();
    bench.pass(MOMENT).await;
    bench.fake().connect();
    bench.pass(2 * MOMENT).await;
    assert!(bench.try_vm(WEB).is_none());
    assert_eq!(counted(&bench), 0);
}
