//! What is logged, and how often.

use super::fake::{Xml, xml};
use super::{Bench, INTERVAL, SECOND};
use crate::source::DomainEvent;
use crate::testing::logged::Logged;
use uuid::Uuid;

const ONE: Uuid = Uuid::from_u128(1);

#[tokio::test(start_paused = true)]
async fn xml_that_cannot_be_read_is_logged_once_for_each_vm_and_cause() {
    let (logged, _guard) = Logged::here();
    let bench = Bench::with(|fake| {
        for number in [1, 2] {
            let uuid = fake.runs(number);
            fake.edit(uuid, |domain| domain.xml = Xml::Broken);
        }
    })
    .await;
    bench.pass(600 * SECOND).await;
    assert!(bench.counters.describe_failures.get() > 10);
    assert_eq!(logged.with("could not read what runs the domain").len(), 2);
    assert_eq!(logged.with("vm-1").len(), 1);

    bench.fake().edit(ONE, |domain| domain.xml = Xml::Fails);
    bench.pass(600 * SECOND).await;
    assert_eq!(logged.with("vm-1").len(), 2, "another cause");

    bench.fake().edit(ONE, |domain| domain.xml = Xml::Says(xml(&["vda"], &["vnet0"])));
    bench.pass(600 * SECOND).await;
    bench.fake().edit(ONE, |domain| domain.xml = Xml::Broken);
    bench.fake().happens(ONE, DomainEvent::DevicesChanged);
    bench.pass(600 * SECOND).await;
    assert_eq!(logged.with("vm-1").len(), 3, "again after it was well");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_goes_away_is_logged_once_for_itself_and_once_for_each_vm() {
    let (logged, _guard) = Logged::here();
    let bench = Bench::with(|fake| {
        fake.runs(1);
        fake.runs(2);
    })
    .await;
    for _ in 0..10 {
        bench.fake().disconnect();
        bench.pass(SECOND).await;
    }
    assert_eq!(logged.with("lost libvirt").len(), 1);
    assert_eq!(logged.with("exported as unknown until it can").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stuck_vm_is_logged_when_it_becomes_so_and_when_it_is_well_again() {
    let (logged, _guard) = Logged::here();
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    bench.fake().edit(ONE, |domain| domain.hangs = true);
    bench.pass(10 * INTERVAL).await;
    assert_eq!(logged.with("QEMU does not answer").len(), 1);
    bench.fake().edit(ONE, |domain| domain.hangs = false);
    bench.pass(2 * INTERVAL).await;
    assert_eq!(logged.with("can be read in full again").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_fails_again_and_again_is_logged_once() {
    let (logged, _guard) = Logged::here();
    let bench = Bench::with(|fake| {
        fake.runs(1);
    })
    .await;
    bench.fake().edit(ONE, |domain| domain.fails = true);
    bench.pass(10 * INTERVAL).await;
    assert_eq!(logged.with("could not read the domain's statistics").len(), 1);
    assert!(bench.counters.reading_failures.get() >= 9);
}
