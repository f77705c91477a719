//! Misbehaving launchers: each is reported with its reason, and the others go on.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::*;

/// The path of a pod's socket in a directory of pods, after making everything above it.
pub(super) fn socket(pods: &Path, uid: &str) -> PathBuf {
    let volume = pods.join(uid).join("volumes/kubernetes.io~empty-dir/libvirt-runtime");
    fs::create_dir_all(&volume).unwrap();
    volume.join("virtqemud-sock")
}

/// Serves each client of a socket with `serve`, as long as the test runs.
pub(super) fn serve(path: &Path, serve: impl Fn(UnixStream) + Send + 'static) {
    // Bound at a short path: a socket's name may have 107 bytes.
    let short = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(short.path().join("s")).unwrap();
    fs::rename(short.path().join("s"), path).unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
}

/// Answers the first call as libvirt does, and no other.
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
    loop {
        match tokio::time::timeout(Duration::from_secs(10), events.recv()).await.unwrap() {
            Some(SourceEvent::Disconnected { reason, .. }) => return reason,
            Some(SourceEvent::Hypervisor(_)) => {}
            other => panic!("{other:?}"),
        }
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

/// Reads one call: its procedure and its serial.
fn call(stream: &mut UnixStream) -> std::io::Result<(u32, u32)> {
    let mut head = [0; 28];
    stream.read_exact(&mut head)?;
    let word = |at: usize| u32::from_be_bytes(head[4 * at..4 * at + 4].try_into().unwrap());
    stream.read_exact(&mut vec![0; word(0) as usize - head.len()])?;
    Ok((word(3), word(5)))
}

/// The first bytes of an answer: its head, and as many of its body as there are.
fn reply(procedure: u32, serial: u32, length: usize, body: &[u32]) -> Vec<u8> {
    let head = [u32::try_from(28 + length).unwrap(), 0x2000_8086, 1, procedure, 1, serial, 0];
    head.iter().chain(body).flat_map(|word| word.to_be_bytes()).collect()
}

/// Connects as a daemon does; answers the call for statistics with 8 MiB but for the last byte, or, if `honest`, with a
/// record.
pub(super) fn daemon(mut stream: UnixStream, honest: bool) -> std::io::Result<()> {
    let mut registered = 0;
    loop {
        let (procedure, serial) = call(&mut stream)?;
        let body: Vec<u32> = match procedure {
            66 => vec![1, 0],
            3 | 7 | 59 => vec![4, 0x5145_4d55],
            298 => vec![0, 0],
            4 | 157 => vec![0, 9_000_000],
            316 => {
                registered += 1;
                vec![registered]
            }
            344 if honest => vec![1, 2, 0x766d_0000, 0, 0, 0, 1, 7, 1, 8, 0x6370_752e, 0x7469_6d65, 4, 0, 5],
            344 => {
                const LENGTH: usize = 8 * 1_048_576;
                stream.write_all(&reply(procedure, serial, LENGTH, &[]))?;
                stream.write_all(&vec![0; LENGTH - 1])?;
                continue;
            }
            _ => Vec::new(),
        };
        stream.write_all(&reply(procedure, serial, 4 * body.len(), &body))?;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn launchers_that_hoard_share_the_room_and_an_honest_one_is_read_beside_them() {
    const HOARDERS: usize = 24;
    let pods = tempfile::tempdir().unwrap();
    let room = room();
    let start = |uid: &str, honest: bool| {
        serve(&socket(pods.path(), uid), move |stream| {
            std::thread::spawn(move || daemon(stream, honest));
        });
        let launcher = LauncherSocket { pods_dir: pods.path().to_owned(), pod_uid: uid.into(), runtime_user: None };
        let (sender, events) = mpsc::channel(64);
        let settings = Settings::new(DaemonId(uid.into()), Address::Launcher(launcher));
        let settings = Settings { room: Some(Arc::clone(&room)), deadline: Duration::from_millis(700), ..settings };
        (Endpoint::start(&settings, sender), events)
    };
    let (honest, mut told) = start("honest", true);
    let mut hoarders: Vec<_> = (0..HOARDERS).map(|number| start(&format!("pod-{number}"), false)).collect();
    for events in hoarders.iter_mut().map(|(_, events)| events).chain([&mut told]) {
        while !matches!(events.recv().await, Some(SourceEvent::Connected(_))) {}
    }
    let groups = Groups::all();
    let asked: Vec<_> = hoarders
        .iter()
        .map(|(endpoint, _)| {
            let endpoint = Arc::clone(endpoint);
            tokio::spawn(async move { endpoint.read(vm(1), groups).await })
        })
        .collect();
    let mut most = 0;
    while asked.iter().any(|asked| !asked.is_finished()) {
        honest.read(vm(1), groups).await.unwrap();
        most = most.max(room.held());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(most > 0 && most <= ROOM, "{most} bytes");
    let mut reasons = Vec::new();
    for (_, events) in &mut hoarders {
        reasons.push(reason(events).await);
    }
    let told = |words: &str| reasons.iter().filter(|reason| reason.contains(words)).count();
    let (withheld, refused) = (told("has not ended a long message within 700ms"), told("is too long for what the"));
    assert_eq!(withheld + refused, HOARDERS, "{reasons:#?}");
    assert!(withheld > 0 && refused > 0, "{reasons:#?}");
    assert_eq!(room.held(), 0, "nobody keeps any of it");
}
