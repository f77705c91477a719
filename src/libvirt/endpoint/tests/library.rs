//! With libvirt's own driver for tests, which lives in the library and needs no daemon.

use virt::domain::Domain;

use super::*;
use crate::libvirt::endpoint::hypervisor::{Connection as _, OpenError};
use crate::libvirt::endpoint::library::{Library, THREADS_MAX};
use crate::libvirt::library::tests::{ALONE, URI, change};

fn settings(uri: &str) -> Settings {
    Settings::new(DaemonId(uri.into()), Address::Library(uri.into()))
}

async fn next(events: &mut Events) -> SourceEvent {
    tokio::time::timeout(Duration::from_secs(10), events.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn reads_libvirts_test_driver() {
    let _alone = ALONE.lock().await;
    let (sender, mut events) = mpsc::channel(64);
    let endpoint = Endpoint::start(&settings(URI), sender);
    let SourceEvent::Connected(facts) = next(&mut events).await else { panic!("not connected") };
    assert_eq!(&*facts.driver, "TEST");
    let listed = endpoint.list().await.unwrap();
    assert_eq!((listed.len(), &*listed[0].name), (1, "test"));
    let uuid = listed[0].uuid;
    let stats = endpoint.read(uuid, Groups::all()).await.unwrap().unwrap();
    assert_eq!(stats.id, Some(1));
    assert_eq!(stats.status, endpoint.status(uuid).await.unwrap());
    assert!(stats.status.is_some());
    assert_eq!(endpoint.status(vm(7)).await, Ok(None));
    assert_eq!(endpoint.read(vm(7), Groups::all()).await, Ok(None));
    assert_eq!(&*endpoint.describe(uuid).await.unwrap().unwrap().domain_type, "test");

    tokio::task::spawn_blocking(|| {
        change(Domain::suspend);
        change(Domain::resume);
    })
    .await
    .unwrap();
    let mut heard = Vec::new();
    while heard.len() < 2 {
        if let SourceEvent::Domain { uuid: of, event, .. } = next(&mut events).await {
            assert_eq!(of, uuid);
            heard.push(event);
        }
    }
    assert_eq!(heard, [DomainEvent::Suspended, DomainEvent::Resumed { migrated: false }]);
    assert!(answers(&Address::Library(URI.into())).await);
}

#[tokio::test]
async fn what_libvirt_refuses_is_told_with_its_reason() {
    let uri = "nonsense:///x";
    let (sender, mut events) = mpsc::channel(64);
    let _endpoint = Endpoint::start(&settings(uri), sender);
    let SourceEvent::Disconnected { reason, absent } = next(&mut events).await else { panic!("connected") };
    assert!(reason.contains("nonsense") && !absent, "{reason}");
    assert!(!answers(&Address::Library(uri.into())).await);
}

#[tokio::test]
async fn a_connection_that_is_dropped_takes_its_thread_along() {
    let library = Library::new(&URI.into());
    assert_eq!(library.free_threads(), THREADS_MAX);
    let (first, second) = (library.open().await.unwrap(), library.meet().await.ok().unwrap());
    assert_eq!(library.free_threads(), THREADS_MAX - 2);
    drop(first);
    second.connection.close().await;
    let freed = async {
        while library.free_threads() < THREADS_MAX {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), freed).await.unwrap();
}

#[tokio::test]
async fn there_are_only_so_many_threads() {
    let library = Library::new(&URI.into());
    let mut all = Vec::new();
    while library.free_threads() > 0 {
        all.push(library.open().await.ok().unwrap());
    }
    assert_eq!(all.len(), THREADS_MAX);
    let Err(OpenError::Failed(reason)) = library.open().await else { panic!("one too many was opened") };
    assert!(reason.contains("24 calls"), "{reason}");
    all.clear();
    let freed = async {
        while library.open().await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), freed).await.unwrap();
}
