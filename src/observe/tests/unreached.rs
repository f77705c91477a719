//! When a launcher's libvirt that cannot be reached is worth a warning, and when that is ordinary.

use std::time::Duration;

use super::fake::destroyed;
use super::owned::{Node, ONE, alone, leaving, owner, runs, vmi};
use super::{MOMENT, SECOND};
use crate::model::Phase;
use crate::observe::{NOT_YET, Roster, Settings};
use crate::source::{DomainEvent, Source, SourceEvent};
use crate::testing::logged::Logged;

const EARLY: &str = "libvirt is not there yet";
const UNREACHED: &str = "could not reach libvirt";

fn warnings(logged: &Logged) -> Vec<String> {
    logged.with(" WARN ")
}

fn absent(reason: &str) -> SourceEvent {
    SourceEvent::Disconnected { reason: reason.to_owned(), absent: true }
}

#[tokio::test(start_paused = true)]
async fn a_launcher_that_starts_after_its_sidecar_is_nothing_to_warn_of() {
    let (logged, _guard) = Logged::here();
    for named in [true, false] {
        let node = Node::start();
        let fake = node.launcher("pod-1", alone("pod-1", named)).await;
        fake.is_not_there();
        tokio::time::sleep(2 * SECOND).await;
        runs(&fake);
        fake.connect();
        tokio::time::sleep(2 * NOT_YET).await;
    }
    assert_eq!(warnings(&logged), [""; 0]);
    assert_eq!(logged.with(EARLY).len(), 2, "one line for each start");
}

#[tokio::test(start_paused = true)]
async fn a_launcher_that_does_not_come_is_warned_of_once_with_the_last_reason() {
    let (logged, _guard) = Logged::here();
    let node = Node::start();
    let fake = node.launcher("pod-1", alone("pod-1", true)).await;
    fake.send(absent("there is no pod"));
    tokio::time::sleep(SECOND).await;
    fake.send(absent("there is no socket"));
    tokio::time::sleep(NOT_YET - 5 * SECOND).await;
    assert_eq!(warnings(&logged), [""; 0]);
    assert_eq!(logged.with(EARLY).len(), 2, "each reason");
    tokio::time::sleep(10 * NOT_YET).await;
    let told = warnings(&logged);
    assert!(told.len() == 1 && told[0].contains(UNREACHED) && told[0].contains("there is no socket"), "{told:#?}");
    fake.send(absent("nobody listens"));
    tokio::time::sleep(SECOND).await;
    assert_eq!(warnings(&logged).len(), 2, "another reason, after that time");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_is_there_and_cannot_be_used_is_warned_of_at_once() {
    let (logged, _guard) = Logged::here();
    let node = Node::start();
    let fake = node.launcher("pod-1", alone("pod-1", true)).await;
    fake.is_not_there();
    tokio::time::sleep(SECOND).await;
    fake.disconnect();
    tokio::time::sleep(SECOND).await;
    assert_eq!(warnings(&logged).len(), 1);
    tokio::time::sleep(2 * NOT_YET).await;
    assert_eq!(warnings(&logged).len(), 1, "and it is no longer absent");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_answer_is_warned_at_once() {
    let (logged, _guard) = Logged::here();
    let node = Node::with(Settings { not_yet: Duration::ZERO, ..Settings::default() });
    node.launcher("pod-1", alone("pod-1", true)).await.is_not_there();
    tokio::time::sleep(SECOND).await;
    assert_eq!((warnings(&logged).len(), logged.with(EARLY).len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_has_ended_before_the_api_says_so_is_nothing_to_warn_of() {
    let (logged, _guard) = Logged::here();
    let node = Node::start();
    let fake = node.launcher("pod-1", owner("pod-1", vmi(Phase::Running))).await;
    fake.is_not_there();
    tokio::time::sleep(5 * SECOND).await;
    node.tell(Roster::Update(fake.id().clone(), owner("pod-1", vmi(Phase::Succeeded)))).await;
    tokio::time::sleep(2 * NOT_YET).await;
    assert_eq!(warnings(&logged), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn after_its_domain_has_ended_nothing_about_its_daemon_is_worth_a_warning() {
    let (logged, _guard) = Logged::here();
    for owner in [owner("pod-1", vmi(Phase::Running)), alone("pod-1", false)] {
        let node = Node::start();
        let fake = node.launcher("pod-1", owner).await;
        runs(&fake);
        fake.connect();
        tokio::time::sleep(4 * MOMENT).await;
        fake.edit(ONE, |domain| (domain.id, domain.status) = (None, destroyed()));
        fake.happens(ONE, DomainEvent::Stopped);
        tokio::time::sleep(MOMENT).await;
        // It ends: first it hangs up, even on those who connect meanwhile, then nobody listens, then the folder is gone.
        fake.disconnect();
        fake.send(SourceEvent::Disconnected { reason: "it hung up".to_owned(), absent: false });
        fake.send(absent("nobody listens"));
        fake.send(absent("there is no pod"));
        tokio::time::sleep(2 * NOT_YET).await;
    }
    assert_eq!(warnings(&logged), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_source_of_a_migration_may_end_as_it_likes() {
    let (logged, _guard) = Logged::here();
    let node = Node::start();
    let fake = node.running("pod-1").await;
    node.tell(Roster::Update(fake.id().clone(), owner("pod-1", leaving()))).await;
    fake.disconnect();
    fake.send(SourceEvent::Disconnected { reason: "it hung up".to_owned(), absent: false });
    tokio::time::sleep(2 * NOT_YET).await;
    assert_eq!(warnings(&logged), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_goes_away_while_its_vm_should_run_is_warned_of_at_once() {
    let (logged, _guard) = Logged::here();
    let node = Node::start();
    let fake = node.running("pod-1").await;
    fake.is_not_there();
    tokio::time::sleep(SECOND).await;
    let told = warnings(&logged);
    assert!(told.len() == 1 && told[0].contains("lost libvirt"), "{told:#?}");
    tokio::time::sleep(2 * NOT_YET).await;
    assert_eq!(warnings(&logged).len(), 1, "it stays lost");
}

#[tokio::test(start_paused = true)]
async fn a_vmi_that_begins_to_run_is_given_the_same_time() {
    let (logged, _guard) = Logged::here();
    let node = Node::start();
    let fake = node.launcher("pod-1", owner("pod-1", vmi(Phase::Scheduled))).await;
    fake.is_not_there();
    tokio::time::sleep(10 * NOT_YET).await;
    node.tell(Roster::Update(fake.id().clone(), owner("pod-1", vmi(Phase::Running)))).await;
    fake.is_not_there();
    tokio::time::sleep(NOT_YET - 5 * SECOND).await;
    assert_eq!((warnings(&logged).len(), logged.with(EARLY).len()), (0, 1));
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(warnings(&logged).len(), 1);
}
