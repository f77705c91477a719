//! Fewer files than launchers need, over real sockets.

use super::hostile::{daemon, serve, socket};
use super::*;
use crate::libvirt::limits::Stock;

/// A generous limit for anything that takes milliseconds.
const SOON: Duration = Duration::from_secs(10);

/// `FIT` launchers fit, with two files each.
static FILES: Stock = Stock::new(|| 64);
const FIT: usize = 17;

fn start(path: std::path::PathBuf) -> (Arc<EndpointHandle>, Events) {
    serve(&path, |stream| {
        std::thread::spawn(move || daemon(stream, true));
    });
    let settings = Settings::new(DaemonId("launcher".into()), Address::Socket(path.clone()));
    let (sender, events) = mpsc::channel(64);
    (Endpoint::start_with(Wire::new(Route::Socket(path), Bounds::default(), &FILES), &settings, sender), events)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_launcher_has_both_of_its_connections_or_none() {
    let pods = tempfile::tempdir().unwrap();
    let all = (0..40).map(|number| start(socket(pods.path(), &format!("pod-{number}"))));
    let (mut read, mut waiting) = (Vec::new(), Vec::new());
    for (endpoint, mut events) in all.collect::<Vec<_>>() {
        match events.recv().await {
            Some(SourceEvent::Connected(_)) => read.push((endpoint, events)),
            Some(SourceEvent::Disconnected { reason, absent: false }) => {
                assert!(reason.contains("too few of the 64 files"), "{reason}");
                waiting.push((endpoint, events));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(read.len(), FIT);
    // The second of two concurrent calls would get its own connection, and has to do without.
    for _ in 0..10 {
        let both = |endpoint: Arc<EndpointHandle>| async move {
            tokio::join!(endpoint.read(vm(1), Groups::all()), endpoint.read(vm(1), Groups::NONE))
        };
        let answers = futures_util::future::join_all(read.iter().map(|(endpoint, _)| both(Arc::clone(endpoint)))).await;
        assert!(answers.iter().all(|(one, other)| one.is_ok() && other.is_ok()), "{answers:?}");
        assert_eq!(FILES.taken(), 2 * FIT as u64);
    }

    // A waiting launcher connects when another ends.
    read.pop();
    let comes_in = async {
        loop {
            let mut told = waiting.iter_mut().map(|(_, events)| events.try_recv());
            if told.any(|told| matches!(told, Ok(SourceEvent::Connected(_)))) {
                return;
            }
            pass(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, comes_in).await.unwrap();

    for (endpoint, mut events) in read.into_iter().chain(waiting) {
        drop(endpoint);
        while events.recv().await.is_some() {}
    }
    assert_eq!(FILES.taken(), 0);
}
