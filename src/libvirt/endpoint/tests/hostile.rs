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

/// The first call is answered as libvirt does, and no other.
fn sly(mut stream: UnixStream) {
    std::thread::spawn(move || {
        let _ = stream.read(&mut [0; 28]);
        let words: [u32; 9] = [36, 0x2000_8086, 1, 66, 1, 1, 0, 1, 0];
        let _ = stream.write_all(&words.map(u32::to_be_bytes).concat());
        let _ = stream.read_to_end(&mut Vec::new());
    });
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
    serve(&socket(pods, "sly"), sly);
    socket(pods, "not-yet");

    let began = Instant::now();
    let mut endpoints: Vec<_> = [
        ("link", "is a symbolic link"),
        ("file", "is a regular file, not a socket"),
        ("hangs-up", "hung up"),
        ("garbage", "is not libvirt"),
        ("mute", "did not answer within 1s"),
        ("sly", "has not opened its driver within 5s"),
        ("not-yet", "is not there yet"),
        ("no-pod", "there is no "),
        ("../victim", "is no pod UID"),
    ]
    .map(|(uid, expected)| (start(pods, uid), uid, expected))
    .into();
    for ((_, events), uid, expected) in &mut endpoints {
        let reason = reason(events).await;
        assert!(reason.contains(*uid) && reason.contains(*expected), "{uid}: {reason}");
    }
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    let threads = fs::read_dir("/proc/self/task").unwrap().count();
    assert!(threads < 200, "{threads} threads");
}

#[test]
fn whether_a_daemon_answers_is_told_within_a_second() {
    let pods = tempfile::tempdir().unwrap();
    let kept = std::sync::Mutex::new(Vec::new());
    serve(&socket(pods.path(), "mute"), move |stream| kept.lock().unwrap().push(stream));
    serve(&socket(pods.path(), "sly"), sly);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for uid in ["mute", "sly"] {
        let launcher = LauncherSocket { pods_dir: pods.path().to_owned(), pod_uid: uid.into(), runtime_user: None };
        let began = Instant::now();
        assert!(!runtime.block_on(answers(&Address::Launcher(launcher))), "{uid}");
        assert!(began.elapsed() < Duration::from_secs(2), "{uid}: {:?}", began.elapsed());
    }
}
