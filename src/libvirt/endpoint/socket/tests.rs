//! The last files are not spent on connections.

use std::fs;
use std::path::Path;
use std::time::Duration;

use libvirt_remote::address::{Conf, Surroundings};

use super::*;
use crate::libvirt::limits::Stock;

/// How long a program may take to start, or, after it was killed, to be gone.
const GONE: Duration = Duration::from_secs(5);

fn route(uri: &str) -> Route {
    Route::Uri(libvirt_remote::Address::resolve(uri, &Surroundings::default(), &Conf::default()).unwrap())
}

/// A long-running program in place of ssh, with the folder in its command line.
fn program(folder: &Path) -> Route {
    let path = folder.join("ssh");
    // Another process writes it: a file that this one has open for writing cannot be run, and a fork in another test at
    // that moment keeps it open for a while.
    let write = "printf '#!/bin/sh\nexec tail -f %s\n' \"$1\" >\"$1\" && chmod 755 \"$1\"";
    let written = std::process::Command::new("sh").args(["-c", write, "sh"]).arg(&path).status();
    assert!(written.unwrap().success());
    route(&format!("qemu+ssh://host/system?command={}", path.display()))
}

/// Whether a process with this folder in its command line runs.
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

/// A process without any files left for connections.
static NONE: Stock = Stock::new(|| 16);

#[tokio::test]
async fn no_program_is_started_for_which_no_files_are_left() {
    static PLENTY: Stock = Stock::new(|| 1_024);
    let folder = tempfile::tempdir().unwrap();
    let route = program(folder.path());
    let error = route.dial(&Share::of(&NONE, route.files())).await.unwrap_err();
    assert!(matches!(error, SocketError::Descriptors { limit: 16, .. }), "{error}");
    assert!(!error.is_absent() && !runs(folder.path()), "{error}");
    let dialed = route.dial(&Share::of(&PLENTY, route.files())).await.unwrap();
    assert_eq!(PLENTY.taken(), 8, "three pipes and the process, and the same for the second connection");
    // The command line is empty during exec.
    until(folder.path(), true).await;
    drop(dialed);
    until(folder.path(), false).await;
    assert_eq!(PLENTY.taken(), 0);
}

#[tokio::test]
async fn nobody_is_connected_to_for_whom_no_files_are_left() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let route = route(&format!("qemu+tcp://127.0.0.1:{}/system", listener.local_addr().unwrap().port()));
    let error = route.dial(&Share::of(&NONE, 1)).await.unwrap_err();
    assert!(matches!(error, SocketError::Descriptors { .. }) && listener.accept().is_err(), "{error}");
    let absent = Route::Socket("/nonexistent".into()).dial(&Share::of(&NONE, 1)).await.unwrap_err();
    assert!(absent.is_absent(), "that nobody is there is told first: {absent}");
}
