//! The last files are not spent on connections.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::Duration;

use libvirt_remote::address::{Conf, Surroundings};

use super::*;

/// How long a program may take to be there, or, when it was killed, to be gone.
const GONE: Duration = Duration::from_secs(5);

fn route(uri: &str) -> Route {
    Route::Uri(libvirt_remote::Address::resolve(uri, &Surroundings::default(), &Conf::default()).unwrap())
}

/// A program in place of ssh, which stays, and whose command line names the folder.
fn program(folder: &Path) -> Route {
    let path = folder.join("ssh");
    // By a process of its own: a file that this one has open for writing cannot be run, and a fork in another test at that
    // moment keeps it open for a while.
    let write = "printf '#!/bin/sh\nexec tail -f %s\n' \"$1\" >\"$1\" && chmod 755 \"$1\"";
    let written = std::process::Command::new("sh").args(["-c", write, "sh"]).arg(&path).status();
    assert!(written.unwrap().success());
    route(&format!("qemu+ssh://host/system?command={}", path.display()))
}

/// Whether a process runs that names this folder.
fn runs(folder: &Path) -> bool {
    let folder = folder.display().to_string();
    let names = |process: std::io::Result<fs::DirEntry>| {
        let command = fs::read(process.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&command).contains(&folder))
    };
    fs::read_dir("/proc").unwrap().filter_map(names).any(|found| found)
}

/// Waits until such a process runs, or none does.
async fn until(folder: &Path, wanted: bool) {
    let waits = async {
        while runs(folder) != wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(GONE, waits).await.expect("started and not killed, or killed and reaped");
}

#[tokio::test]
async fn no_program_is_started_for_which_no_files_are_left() {
    let folder = tempfile::tempdir().unwrap();
    let route = program(folder.path());
    // Of four files one is kept back: this process has more open already.
    let error = route.dial(Files::limited_to(4)).await.unwrap_err();
    assert!(matches!(error, SocketError::Descriptors { limit: 4, .. }), "{error}");
    assert!(!error.is_absent() && !runs(folder.path()), "{error}");
    let stream = route.dial(Files::limited_to(1_000_000)).await;
    assert!(stream.is_ok(), "{:?}", stream.err());
    // Its command line is empty while one program becomes the other.
    until(folder.path(), true).await;
}

#[tokio::test]
async fn a_program_whose_pipes_are_among_the_last_files_does_not_stay() {
    let folder = tempfile::tempdir().unwrap();
    let route = program(folder.path());
    // One low number is free, and the next ones are high. Should another test take it meanwhile, it is refused at once.
    let mut taken: Vec<fs::File> = (0..64).map(|_| fs::File::open("/dev/null").unwrap()).collect();
    taken.sort_by_key(|file| file.as_raw_fd());
    let free = u64::try_from(taken.remove(0).as_raw_fd()).unwrap();
    let error = route.dial(Files::limited_to((free + 12) * 4 / 3)).await.unwrap_err();
    assert!(matches!(error, SocketError::Descriptors { .. }), "{error}");
    until(folder.path(), false).await;
}

#[tokio::test]
async fn a_connection_that_takes_one_of_the_last_files_does_not_stay() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let route = route(&format!("qemu+tcp://127.0.0.1:{}/system", listener.local_addr().unwrap().port()));
    let error = route.dial(Files::limited_to(4)).await.unwrap_err();
    assert!(matches!(error, SocketError::Descriptors { .. }), "{error}");
    assert!(route.dial(Files::limited_to(1_000_000)).await.is_ok());
}
