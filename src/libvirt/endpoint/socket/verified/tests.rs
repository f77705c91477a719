//! A directory of pods as an attacker who has taken over a launcher could arrange it.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::fs::{CWD, mknodat};
use tempfile::TempDir;

use super::*;

const POD: &str = "0b5c2f6e-8a3d-4b1c-9e7f-1d2c3b4a5968";
const OTHER: &str = "77777777-8a3d-4b1c-9e7f-1d2c3b4a5968";

struct Pods(TempDir);

impl Pods {
    /// With one pod in which libvirt has not started.
    fn new() -> Self {
        let pods = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(pods.socket().parent().unwrap()).unwrap();
        pods
    }

    fn launcher(&self) -> LauncherSocket {
        LauncherSocket { pods_dir: self.0.path().to_owned(), pod_uid: POD.into(), runtime_user: None }
    }

    /// The path to the first `parts` components below the pod's directory.
    fn step(&self, parts: usize) -> PathBuf {
        [self.0.path(), Path::new(POD)].into_iter().chain(IN_POD[..parts].iter().map(Path::new)).collect()
    }

    fn socket(&self) -> PathBuf {
        self.step(IN_POD.len())
    }

    fn listen(&self) -> UnixListener {
        listen(&self.socket())
    }

    fn held(&self) -> Result<VerifiedSocket, SocketError> {
        VerifiedSocket::of_launcher(&self.launcher())
    }

    /// How many of our descriptors are for files in here.
    fn descriptors(&self) -> usize {
        let names = |entry: io::Result<fs::DirEntry>| {
            fs::read_link(entry.ok()?.path()).ok().filter(|path| path.starts_with(self.0.path()))
        };
        fs::read_dir("/proc/self/fd").unwrap().filter_map(names).count()
    }
}

/// Listens at a path of any length.
fn listen(path: &Path) -> UnixListener {
    let short = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(short.path().join("s")).unwrap();
    fs::rename(short.path().join("s"), path).unwrap();
    listener
}

fn answered(held: &VerifiedSocket, listener: &UnixListener) -> bool {
    listener.set_nonblocking(true).unwrap();
    UnixStream::connect(held.place()).is_ok() && listener.accept().is_ok()
}

#[test]
fn a_launchers_socket_is_held_and_connected_to_by_its_descriptor() {
    let pods = Pods::new();
    let listener = pods.listen();
    let held = pods.held().unwrap();
    assert_eq!(held.path(), pods.socket());
    assert!(answered(&held, &listener));
    let number = held.descriptor.as_raw_fd();
    assert_eq!(held.place(), Path::new(&format!("/proc/self/fd/{number}")));
    let driver = if fs::metadata(pods.socket()).unwrap().uid() == 0 { "system" } else { "session" };
    assert_eq!(held.driver_uri(), format!("qemu:///{driver}"));
    assert_eq!(pods.descriptors(), 1);
    drop(held);
    assert_eq!(pods.descriptors(), 0);
}

#[test]
fn the_driver_is_that_of_the_sockets_owner() {
    let pods = Pods::new();
    let _listener = pods.listen();
    let mut held = pods.held().unwrap();
    for (owner, driver) in [(0, "system"), (107, "session")] {
        held.owner = owner;
        assert_eq!(held.driver_uri(), format!("qemu:///{driver}"));
    }
}

#[test]
fn a_path_of_131_bytes_works() {
    let pods = Pods::new();
    let length = 131 - pods.socket().as_os_str().len() - 1;
    let pods_dir = pods.0.path().join("p".repeat(length));
    let way: PathBuf = [POD].into_iter().chain(IN_POD).collect();
    fs::create_dir_all(pods_dir.join(&way).parent().unwrap()).unwrap();
    let listener = listen(&pods_dir.join(&way));
    let held = VerifiedSocket::of_launcher(&LauncherSocket { pods_dir, ..pods.launcher() }).unwrap();
    assert_eq!(held.path().as_os_str().len(), 131);
    assert!(UnixStream::connect(held.path()).is_err(), "too long for a socket's name");
    assert!(answered(&held, &listener));
}

#[test]
fn a_link_is_followed_at_no_step() {
    for parts in 0..=IN_POD.len() {
        let pods = Pods::new();
        let _listener = pods.listen();
        let (step, moved) = (pods.step(parts), pods.0.path().join("moved"));
        fs::rename(&step, &moved).unwrap();
        symlink(&moved, &step).unwrap();
        assert!(pods.socket().exists(), "it would be reached if links were followed");
        let error = pods.held().unwrap_err();
        assert!(matches!(&error, SocketError::Symlink { component } if *component == step), "{parts}: {error:?}");
        assert!(error.to_string().contains(step.to_str().unwrap()), "{error}");
    }
}

#[test]
fn another_vms_socket_is_not_reached() {
    let pods = Pods::new();
    let other: PathBuf = [OTHER].into_iter().chain(IN_POD).collect();
    fs::create_dir_all(pods.0.path().join(&other).parent().unwrap()).unwrap();
    let _listener = listen(&pods.0.path().join(&other));
    symlink(Path::new("../../../..").join(&other), pods.socket()).unwrap();
    assert!(pods.socket().exists(), "the link leads there");
    assert!(matches!(pods.held(), Err(SocketError::Symlink { component }) if component == pods.socket()));
}

#[test]
fn the_pods_directory_itself_may_be_a_link() {
    let pods = Pods::new();
    let _listener = pods.listen();
    let elsewhere = tempfile::tempdir().unwrap();
    let pods_dir = elsewhere.path().join("pods");
    symlink(pods.0.path(), &pods_dir).unwrap();
    assert!(
        VerifiedSocket::of_launcher(&LauncherSocket { pods_dir, ..pods.launcher() }).is_ok(),
        "whoever runs us has put it there"
    );
}

#[test]
fn what_is_no_uid_of_a_pod_is_not_looked_for() {
    let pods = Pods::new();
    let long = "a".repeat(65);
    for uid in ["", ".", "..", "../x", "a/b", "/etc", "a\0b", "a b", "ä", "\n", &long] {
        let launcher = LauncherSocket { pod_uid: uid.into(), ..pods.launcher() };
        let error = VerifiedSocket::of_launcher(&launcher).unwrap_err();
        assert!(matches!(error, SocketError::PodUid { .. }), "{uid:?}: {error:?}");
        assert!(error.to_string().len() < 200, "{error}");
    }
}

#[test]
fn what_is_missing_is_told_apart() {
    let pods = Pods::new();
    assert!(matches!(pods.held(), Err(SocketError::Absent { path }) if path == pods.socket()));
    fs::remove_dir_all(pods.step(1)).unwrap();
    assert!(matches!(pods.held(), Err(SocketError::Absent { .. })), "the kubelet has not made the volume yet");
    fs::remove_dir(pods.step(0)).unwrap();
    assert!(matches!(pods.held(), Err(SocketError::NoPod { path }) if path == pods.step(0)));
    let launcher = LauncherSocket { pods_dir: pods.0.path().join("missing"), ..pods.launcher() };
    let error = VerifiedSocket::of_launcher(&launcher).unwrap_err();
    assert!(matches!(error, SocketError::PodsDirectory { .. }), "{error:?}");
    assert!(error.to_string().contains("No such file or directory"), "{error}");
}

#[test]
fn what_is_no_socket_is_not_opened() {
    let pods = Pods::new();
    let path = pods.socket();
    let kind = |pods: &Pods| match pods.held() {
        Err(SocketError::NotSocket { kind, .. }) => kind,
        other => panic!("{other:?}"),
    };
    fs::write(&path, "x").unwrap();
    assert_eq!(kind(&pods), "a regular file");
    fs::remove_file(&path).unwrap();
    mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    assert_eq!(kind(&pods), "a FIFO");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(kind(&pods), "a directory");
    fs::remove_dir_all(pods.step(3)).unwrap();
    fs::write(pods.step(3), "x").unwrap();
    assert!(matches!(pods.held(), Err(SocketError::NotDirectory { .. })));
}

#[test]
fn a_socket_of_somebody_else_is_refused_with_both_uids() {
    let pods = Pods::new();
    let _listener = pods.listen();
    let owner = fs::metadata(pods.socket()).unwrap().uid();
    let with = |user| VerifiedSocket::of_launcher(&LauncherSocket { runtime_user: Some(user), ..pods.launcher() });
    assert!(with(owner).is_ok());
    let error = with(owner + 107).unwrap_err();
    assert!(matches!(error, SocketError::Owner { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&format!("uid {owner},")) && text.contains(&format!("as {}:", owner + 107)), "{text}");
}

#[test]
fn a_sidecars_path_may_go_through_links_but_not_end_in_one() {
    let pods = Pods::new();
    let listener = pods.listen();
    let run = pods.0.path().join("run");
    symlink(pods.step(3), &run).unwrap();
    assert!(
        answered(&VerifiedSocket::at(&run.join("virtqemud-sock")).unwrap(), &listener),
        "/var/run is a link to /run"
    );
    let link = pods.0.path().join("link");
    symlink(pods.socket(), &link).unwrap();
    assert!(matches!(VerifiedSocket::at(&link), Err(SocketError::Symlink { component }) if component == link));
    assert!(matches!(VerifiedSocket::at(&pods.0.path().join("missing")), Err(SocketError::Absent { .. })));
    assert!(matches!(VerifiedSocket::at(pods.0.path()), Err(SocketError::NotSocket { kind: "a directory", .. })));
}

#[test]
fn two_hundred_failures_leave_no_descriptor() {
    let pods = Pods::new();
    for round in 0..200 {
        match round % 4 {
            0 => assert!(pods.held().is_err()),
            1 => fs::write(pods.socket(), "x").unwrap(),
            2 => assert!(pods.held().is_err()),
            _ => fs::remove_file(pods.socket()).unwrap(),
        }
        symlink("x", pods.0.path().join("link")).unwrap();
        assert!(VerifiedSocket::at(&pods.0.path().join("link")).is_err());
        fs::remove_file(pods.0.path().join("link")).unwrap();
    }
    assert_eq!(pods.descriptors(), 0);
}

#[test]
fn the_kernels_refusals_say_what_to_do() {
    for (errno, expected) in [
        (Errno::ACCESS, "CAP_DAC_OVERRIDE"),
        (Errno::NOSYS, "Linux 5.6"),
        (Errno::PERM, "seccomp"),
        (Errno::MFILE, "limit of open files"),
        (Errno::NFILE, "limit of open files"),
        (Errno::IO, "Input/output error"),
    ] {
        let text = walk_error(Path::new("/pods/x"), errno).to_string();
        assert!(text.contains(expected) && text.contains("/pods/x"), "{text}");
    }
}
