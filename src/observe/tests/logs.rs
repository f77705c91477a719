//! What is logged, and how often.

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::fake::{Xml, xml};
use super::{Bench, INTERVAL, SECOND};
use crate::source::DomainEvent;
use uuid::Uuid;

const ONE: Uuid = Uuid::from_u128(1);

/// Keeps what is logged.
#[derive(Debug, Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Logged {
    /// Takes what this thread logs from now on.
    fn here() -> (Self, tracing::subscriber::DefaultGuard) {
        let logged = Self::default();
        let writer = logged.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (logged, tracing::subscriber::set_default(subscriber))
    }

    fn lines_with(&self, words: &str) -> usize {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(words)).count()
    }
}

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
    assert!(bench.health.describe_failures.get() > 10);
    assert_eq!(logged.lines_with("could not read what runs the domain"), 2);
    assert_eq!(logged.lines_with("vm-1"), 1);

    bench.fake().edit(ONE, |domain| domain.xml = Xml::Fails);
    bench.pass(600 * SECOND).await;
    assert_eq!(logged.lines_with("vm-1"), 2, "another cause");

    bench.fake().edit(ONE, |domain| domain.xml = Xml::Says(xml(&["vda"], &["vnet0"])));
    bench.pass(600 * SECOND).await;
    bench.fake().edit(ONE, |domain| domain.xml = Xml::Broken);
    bench.fake().happens(ONE, DomainEvent::DevicesChanged);
    bench.pass(600 * SECOND).await;
    assert_eq!(logged.lines_with("vm-1"), 3, "again after it was well");
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
    assert_eq!(logged.lines_with("lost libvirt"), 1);
    assert_eq!(logged.lines_with("exported as unknown until it can"), 2);
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
    assert_eq!(logged.lines_with("QEMU does not answer"), 1);
    bench.fake().edit(ONE, |domain| domain.hangs = false);
    bench.pass(2 * INTERVAL).await;
    assert_eq!(logged.lines_with("can be read in full again"), 1);
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
    assert_eq!(logged.lines_with("could not read the domain's statistics"), 1);
    assert!(bench.health.reading_failures.get() >= 9);
}
