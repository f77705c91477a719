use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::address::{Conf, Surroundings};

fn address(uri: &str) -> Address {
    Address::resolve(uri, &Surroundings::default(), &Conf::default()).unwrap()
}

/// A program in a folder of its own.
fn program(script: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ssh");
    // A separate process writes it: a file that is open for writing cannot be run, and a fork in another test could
    // keep ours open for a while.
    let write = "printf '#!/bin/sh\n%s\n' \"$2\" >\"$1\" && chmod 755 \"$1\"";
    let written = std::process::Command::new("sh").args(["-c", write, "sh"]).arg(&path).arg(script).status();
    assert!(written.unwrap().success());
    let uri = format!("qemu+ssh://host/system?command={}", path.display());
    (folder, uri)
}

#[tokio::test]
async fn a_socket_that_is_not_there_is_told_from_one_where_nobody_listens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sock");
    let uri = format!("qemu+unix:///system?socket={}", path.display());
    let error = address(&uri).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Absent { .. }) && error.is_absent(), "{error}");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let error = address(&uri).connect().await.unwrap_err();
    assert!(error.to_string().contains("nobody listens on") && error.is_absent(), "{error}");
    let _listener = {
        std::fs::remove_file(&path).unwrap();
        std::os::unix::net::UnixListener::bind(&path).unwrap()
    };
    assert!(matches!(address(&uri).connect().await, Ok(Stream::Unix(_))));
}

#[tokio::test]
async fn ssh_is_a_stream_and_its_errors_are_ours() {
    let (_folder, uri) = program("cat");
    let mut stream = address(&uri).connect().await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut echoed = [0; 5];
    stream.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"hello");

    for (script, expected) in [
        ("echo 'Host key verification failed.' >&2; exit 255", "put the key into known_hosts"),
        (
            "echo 'WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!' >&2; echo 'Host key verification failed.' >&2; exit 255",
            "another one than known_hosts has",
        ),
        ("echo 'ann@host: Permission denied (publickey,password).' >&2; exit 255", "keyfile= or by an agent"),
        ("echo 'sh: 1: nc: not found' >&2; exit 127", "the host needs virt-ssh-helper"),
        ("seq 100000 >&2; echo last words >&2; exit 1", "last words"),
        ("exit 1", "said nothing"),
    ] {
        let (_folder, uri) = program(script);
        let stream = address(&uri).connect().await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(stream);
        // A write that cannot succeed waits until reading has said why.
        let (error, _) = tokio::join!(
            async {
                let mut word = [0; 5];
                reader.read_exact(&mut word).await.unwrap_err().to_string()
            },
            tokio::time::timeout(Duration::from_millis(100), writer.write_all(b"call"))
        );
        assert!(error.contains(expected), "{script}: {error}");
        assert!(error.len() < 4_096, "{} bytes", error.len());
    }
}

/// An abandoned look-up goes on, so it keeps its place.
#[tokio::test]
async fn a_look_up_that_hangs_is_given_up_and_keeps_its_place_until_it_ends() {
    const PLACES: usize = 2;
    let gate: &'static Gate = Box::leak(Box::new(Gate::new(PLACES, Duration::from_millis(300))));
    let (server, silent) = std::sync::mpsc::sync_channel::<()>(1);
    let silent = Arc::new(Mutex::new(silent));
    let begun = Arc::new(AtomicUsize::new(0));
    let found = SocketAddr::from(([127, 0, 0, 1], 7));
    let look_up = |name: &'static str| {
        let (silent, begun) = (Arc::clone(&silent), Arc::clone(&begun));
        addresses(gate, name, 7, move |_| {
            begun.fetch_add(1, Ordering::Relaxed);
            let _ = silent.lock().unwrap().recv();
            Ok(vec![found])
        })
    };
    let (one, other) = tokio::join!(look_up("one"), look_up("other"));
    for (given_up, name) in [(one, "one"), (other, "other")] {
        let said = given_up.unwrap_err().to_string();
        assert!(said.contains(name) && said.contains("no answer within 300ms"), "{said}");
    }
    let said = look_up("third").await.unwrap_err().to_string();
    assert!(said.contains("third") && said.contains("2 other names or files are asked for"), "{said}");
    assert_eq!(begun.load(Ordering::Relaxed), PLACES, "the third was not asked for");
    let literal = addresses(gate, "::1", 7, |_| panic!("this is no name")).await.unwrap().unwrap();
    assert_eq!(literal, [SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 7))]);

    drop(server);
    assert_eq!(look_up("fourth").await.unwrap().unwrap(), [found], "a place is free when a look-up ends");
}

#[tokio::test]
async fn a_program_takes_as_many_descriptors_as_are_said() {
    let (_folder, uri) = program("exec sleep 1000");
    let address = address(&uri);
    let stream = address.connect().await.unwrap();
    let Stream::Ssh(ssh) = &stream else { panic!("no ssh") };
    let child = ssh.id().unwrap();
    // The child's standard input, output and error are the other ends of our pipes.
    let theirs = [0, 1, 2].map(|number| std::fs::read_link(format!("/proc/{child}/fd/{number}")).unwrap());
    let ours = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| {
        let number = entry.ok()?.file_name().into_string().ok()?;
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
        let is_pipe = std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok_and(|name| theirs.contains(&name));
        Some(is_pipe || info.lines().any(|line| line == format!("Pid:\t{child}")))
    });
    assert_eq!(ours.filter(|ours| *ours).count() as u64, address.descriptors());
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let error = address("qemu+ssh://host/system?command=/nonexistent/ssh").connect().await.unwrap_err();
    assert!(error.to_string().contains("`/nonexistent/ssh` cannot be run"), "{error}");
}

/// Whether a process exists, even as a zombie.
fn is_there(id: u32) -> bool {
    Path::new(&format!("/proc/{id}")).exists()
}

#[tokio::test]
async fn dropping_the_stream_kills_ssh_at_once_and_it_is_reaped() {
    let (_folder, uri) = program("exec sleep 1000");
    let Stream::Ssh(stream) = address(&uri).connect().await.unwrap() else { panic!("no ssh") };
    let id = stream.id().unwrap();
    drop(stream);
    let reaped = async {
        while is_there(id) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), reaped).await.expect("killed and reaped within a second");
}
