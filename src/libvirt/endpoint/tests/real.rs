//! With libvirt's own driver for tests, which lives in the library and needs no daemon.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_libvirts_test_driver() {
    let (sender, mut events) = mpsc::channel(64);
    let endpoint = Endpoint::start(&Settings::of_uri("test:///default"), sender);
    let wait = tokio::time::timeout(Duration::from_secs(10), events.recv()).await.unwrap();
    let Some(SourceEvent::Connected(facts)) = wait else { panic!("{wait:?}") };
    assert_eq!(&*facts.driver, "TEST");
    let listed = endpoint.list().await.unwrap();
    let uuid = listed[0].uuid;
    let stats = endpoint.read(uuid, Groups::all()).await.unwrap().unwrap();
    assert_eq!(stats.id, Some(1));
    assert!(stats.status.is_some());
    assert!(endpoint.status(uuid).await.unwrap().is_some());
    assert_eq!(endpoint.status(vm(7)).await, Ok(None));
    assert_eq!(&*endpoint.describe(uuid).await.unwrap().unwrap().domain_type, "test");
}

#[tokio::test]
async fn a_uri_that_libvirt_refuses_is_told_with_its_reason() {
    let (sender, mut events) = mpsc::channel(64);
    let _endpoint = Endpoint::start(&Settings::of_uri("qemu:///system?socket=/nonexistent/sock"), sender);
    let wait = tokio::time::timeout(Duration::from_secs(10), events.recv()).await.unwrap();
    let Some(SourceEvent::Disconnected { reason, .. }) = wait else { panic!("{wait:?}") };
    assert!(reason.contains("/nonexistent/sock") && reason.contains("is the daemon running?"), "{reason}");
}
