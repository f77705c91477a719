//! Real daemons for the lab's tests: started on free ports and private sockets, waited for, and ended with everything
//! they started, also when a test panics or the test process itself is killed.
//!
//! `tests/lab/prepare.sh` makes what it needs; an error about a missing part names the command that makes it.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "tests fail by panicking, wait by sleeping, and read the real clock and environment"
)]

pub mod agent;
pub mod bare_root;
mod binary;
pub mod cluster;
pub mod collector;
pub mod container;
pub mod control_groups;
pub mod domain;
pub mod exposition;
pub mod forward;
mod guests;
pub mod helm;
pub mod hostile;
pub mod http;
pub mod https;
pub mod impostor;
pub mod kube_client;
pub mod kubernetes;
pub mod launcher;
pub mod layout;
pub mod libvirtd;
pub mod measure;
pub mod migration;
pub mod namespace;
pub mod page;
pub mod pki;
pub mod polkit;
mod private_mounts;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod sshd;
pub mod terminal;
pub mod victoria;
pub mod virsh;
pub mod vmi;
pub mod weaver;
pub mod wire;

use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use agent::Agent;
pub use binary::binary;
pub use cluster::Cluster;
pub use collector::{Collector, CollectorOptions};
pub use container::Container;
pub use domain::Domain;
pub use exposition::Metrics;
pub use kubernetes::{ApiServer, User};
pub use launcher::{Launcher, Node, Place};
pub use libvirtd::{Kind, Libvirtd, LibvirtdOptions};
pub use migration::{Migration, Pace};
pub use prometheus::{Prometheus3, PrometheusOptions};
pub use victoria::Victoria;
pub use vmi::Vmi;
pub use wire::Wire;

/// The root of the repository.
pub fn repository() -> &'static Path {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR"));
    ours.ancestors().nth(3).expect("the repository that this crate is part of")
}

/// A file that `tests/lab/prepare.sh PART` leaves under target/lab.
pub fn prepared(part: &str, path: &str) -> PathBuf {
    let full = repository().join("target/lab").join(path);
    assert!(full.exists(), "target/lab/{path} is missing: make it with: tests/lab/prepare.sh {part}");
    full
}

/// Polls until there is an answer; after the timeout, panics with what it waited for.
#[track_caller]
pub fn wait_until<T>(timeout: Duration, what: &str, ask: impl FnMut() -> Option<T>) -> T {
    answer_within(timeout, ask).unwrap_or_else(|| panic!("waited {timeout:?} in vain for: {what}"))
}

/// Looks again and again, from one thread for each of `looks`, while something is done and for some time more. Returns what
/// was done, and what each has seen, in order.
pub fn meanwhile<L, T: Send, R>(
    looks: impl IntoIterator<Item = L>,
    afterwards: Duration,
    act: impl FnOnce() -> R,
) -> (R, Vec<Vec<T>>)
where
    L: FnMut() -> T + Send,
{
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = &over;
        let start = |mut look: L| {
            scope.spawn(move || {
                let mut seen = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    seen.push(look());
                    std::thread::sleep(Duration::from_millis(50));
                }
                seen
            })
        };
        let threads: Vec<_> = looks.into_iter().map(start).collect();
        let result = catch_unwind(AssertUnwindSafe(act));
        std::thread::sleep(afterwards);
        // Before anything panics: the scope waits for its threads.
        over.store(true, Ordering::Relaxed);
        let seen = threads.into_iter().map(|thread| thread.join().expect("what was seen")).collect();
        match result {
            Ok(result) => (result, seen),
            Err(panic) => resume_unwind(panic),
        }
    })
}

/// Polls until there is an answer, or the time is over.
pub fn answer_within<T>(timeout: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if started.elapsed() >= timeout {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A TCP port on the loopback address that nobody listens on and that was not handed out before in this process.
pub fn free_port() -> u16 {
    // The kernel may give the same port twice, as we let go of it before its user takes it.
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut given = GIVEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on the loopback address");
        let port = listener.local_addr().expect("the port just bound").port();
        if !given.contains(&port) {
            given.push(port);
            return port;
        }
    }
}

/// A random UUID, from the kernel.
pub fn uuid() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/uuid").expect("the kernel's UUID source");
    text.trim().to_owned()
}

/// Whether KVM domains can start here. Fixes the device's permissions where root can.
///
/// `VIRT_OTEL_LAB_NO_KVM=1` says no, to see what the tests do on a machine without it.
pub fn kvm() -> bool {
    if std::env::var_os("VIRT_OTEL_LAB_NO_KVM").is_some_and(|value| value == "1") {
        return false;
    }
    let path = Path::new("/dev/kvm");
    let Ok(metadata) = std::fs::metadata(path) else {
        return false;
    };
    // Some machines give it to root alone; the session daemons' QEMUs run as a user, with the device's group. A group that
    // it has already is left alone, because another root may number its groups otherwise.
    if let Some(group) = process::group_id("kvm")
        && (metadata.gid() == 0 || metadata.mode() & 0o060 != 0o060)
    {
        let _ = std::os::unix::fs::chown(path, None, Some(group));
        let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660));
    }
    File::options().read(true).write(true).open(path).is_ok()
}

/// [`kvm`]; if it is missing, says that the test is skipped.
pub fn kvm_or_skip() -> bool {
    let usable = kvm();
    if !usable {
        skipped("no usable /dev/kvm");
    }
    usable
}

/// Prints the running test's name and why it is skipped to the real stderr, because libtest hides the output of tests
/// that pass.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "{name} ... skipped: {why}");
}
