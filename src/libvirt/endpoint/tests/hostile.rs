//! Launchers that are not what they should be: each is told with its reason, and the others go on.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::*;

/// The socket of a pod in a directory of pods, with everything above it made.
fn socket(pods: &Path, uid: &str) -> PathBuf {
    let volume = pods.join(uid).join("volumes/kubernetes.io~empty-dir/libvirt-runtime");
    fs::create_dir_all(&volume).unwrap();
    volume.join("virtqemud-sock")
}

/// Serves each client of a socket with `serve`, as long as the test runs.
fn serve(path: &Path, serve: impl Fn(UnixStream) + Send + 'static) {
    // Bound at a short path: a socket's name may have 107 bytes.
    let short = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(short.path().join("s")).unwrap();
    fs::rename(short.path().join("s"), path).unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
}

fn start(pods: &Path, uid: &str) -> (Arc<EndpointHandle>, Events) {
    let launcher = LauncherSocket { pods_dir: pods.to_owned(), pod_uid: uid.into(), runtime_user: None };
    let (sender, events) = mpsc::channel(64);
    (Endpoint::start(&Settings::new(DaemonId(uid.into()), Address::Launcher(launcher)), sender), events)
}

async fn reason(events: &mut Events) -> String {
    match tokio::time::timeout(Duration::from_secs(10), events.recv()).await.unwrap() {
        Some(SourceEvent::Disconnected { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_launchers_are_told_with_their_reasons_and_hold_up_nobody() {
    let pods = tempfile::tempdir().unwrap();
    let pods = pods.path();
    symlink(socket(pods, "victim"), socket(pods, "link")).unwrap();
    fs::write(socket(pods, "file"), "").unwrap();
    serve(&socket(pods, "hangs-up"), drop);
    serve(&socket(pods, "garbage"), |mut stream| {
        let _ = stream.read(&mut [0; 28]);
        let _ = stream.write_all(&[0x55; 4096]);
    });
    let kept = std::sync::Mutex::new(Vec::new());
    serve(&socket(pods, "mute"), move |stream| kept.lock().unwrap().push(stream));
    socket(pods, "not-yet");

    let began = Instant::now();
    let mut endpoints: Vec<_> = [
        ("link", "is a symbolic link"),
        ("file", "is a regular file, not a socket"),
        ("hangs-up", "hung up"),
        ("garbage", "is not libvirt"),
        ("mute", "did not answer within 1s"),
        ("not-yet", "is not there yet"),
        ("no-pod", "there is no "),
        ("../victim", "is no pod UID"),
    ]
    .map(|(uid, expected)| (start(pods, uid), uid, expected))
    .into();
    let (sender, mut well) = mpsc::channel(64);
    let _well = Endpoint::start(&Settings::of_uri("test:///default"), sender);
    assert!(matches!(well.recv().await, Some(SourceEvent::Connected(_))));
    assert!(began.elapsed() < Duration::from_secs(1), "it did not wait for those that are mute");
    for ((_, events), uid, expected) in &mut endpoints {
        let reason = reason(events).await;
        assert!(reason.contains(*uid) && reason.contains(*expected), "{uid}: {reason}");
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// It answers the look at its socket like a daemon, and then nothing: libvirt's own opening hangs in it. (The clock
/// stands still while the runtime has something to do, which this test sees to until it moves it.)
#[tokio::test(start_paused = true)]
async fn one_that_lets_the_opening_hang_is_opened_once_and_costs_one_thread() {
    let pods = tempfile::tempdir().unwrap();
    let clients = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = clients.clone();
    serve(&socket(pods.path(), "sly"), move |mut stream| {
        let before = seen.lock().unwrap().len();
        if before >= 2 {
            return;
        }
        if before == 0 {
            let _ = stream.read(&mut [0; 28]);
            let words: [u32; 9] = [36, 0x2000_8086, 1, 66, 1, 0, 0, 1, 0];
            let _ = stream.write_all(&words.map(u32::to_be_bytes).concat());
        }
        seen.lock().unwrap().push(stream);
    });
    let (endpoint, mut events) = start(pods.path(), "sly");
    while clients.lock().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    tokio::time::advance(Duration::from_secs(10)).await;
    let told = reason(&mut events).await;
    assert!(told.contains("has not answered in time"), "{told}");
    for _ in 0..100 {
        endpoint.hurry();
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    assert!(events.try_recv().is_err(), "no second attempt beside the one that hangs");
    assert_eq!(clients.lock().unwrap().len(), 2, "the look and the opening");
    // The daemon hangs up, and with that the opening ends. (So do all later ones.)
    for client in clients.lock().unwrap().iter() {
        client.shutdown(std::net::Shutdown::Both).unwrap();
    }
    assert!(reason(&mut events).await.contains("connecting to sly failed"));
}
