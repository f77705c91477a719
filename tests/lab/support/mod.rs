//! Real daemons for the lab's tests: started on free ports and private sockets, waited for, and ended with everything
//! they started, also when a test panics or the test process itself is killed.
//!
//! What it needs is made by `tests/lab/prepare.sh`; a part that is missing is named with the command that makes it.

pub(crate) mod agent;
#[path = "../../support/binary.rs"]
mod binary;
pub(crate) mod cluster;
pub(crate) mod collector;
pub(crate) mod container;
pub(crate) mod control_groups;
pub(crate) mod domain;
pub(crate) mod exposition;
pub(crate) mod forward;
mod guests;
pub(crate) mod helm;
pub(crate) mod hostile;
pub(crate) mod http;
pub(crate) mod impostor;
pub(crate) mod kube_client;
pub(crate) mod kubernetes;
pub(crate) mod launcher;
pub(crate) mod layout;
pub(crate) mod libvirtd;
pub(crate) mod migration;
pub(crate) mod namespace;
pub(crate) mod pki;
pub(crate) mod polkit;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod proxy;
pub(crate) mod sshd;
pub(crate) mod virsh;
pub(crate) mod vmi;
pub(crate) mod weaver;
pub(crate) mod wire;

use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub(crate) use agent::Agent;
pub(crate) use cluster::Cluster;
pub(crate) use collector::{Collector, CollectorOptions};
pub(crate) use container::Container;
pub(crate) use domain::Domain;
pub(crate) use exposition::Metrics;
pub(crate) use kubernetes::{ApiServer, User};
pub(crate) use launcher::{Launcher, Node, Place};
pub(crate) use libvirtd::{Kind, Libvirtd, LibvirtdOptions};
pub(crate) use migration::{Migration, Pace};
pub(crate) use prometheus::{Prometheus3, PrometheusOptions};
pub(crate) use vmi::Vmi;
pub(crate) use wire::Wire;

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A thing that `tests/lab/prepare.sh PART` leaves under target/lab.
pub(crate) fn prepared(part: &str, path: &str) -> PathBuf {
    let full = repository().join("target/lab").join(path);
    assert!(full.exists(), "target/lab/{path} is missing: make it with: tests/lab/prepare.sh {part}");
    full
}

/// Asks until there is an answer, and panics with what was waited for when there is none in time.
#[track_caller]
pub(crate) fn wait_until<T>(timeout: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < timeout, "waited {timeout:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A TCP port on the loopback address that nobody listens on and that was not handed out before in this process.
pub(crate) fn free_port() -> u16 {
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
pub(crate) fn uuid() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/uuid").expect("the kernel's UUID source");
    text.trim().to_owned()
}

/// Whether KVM domains can be started here. Access is put right where root is all it takes.
///
/// `VIRT_OTEL_LAB_NO_KVM=1` says no, to see what the tests do on a machine without it.
pub(crate) fn kvm() -> bool {
    if std::env::var_os("VIRT_OTEL_LAB_NO_KVM").is_some_and(|value| value == "1") {
        return false;
    }
    let path = Path::new("/dev/kvm");
    let Ok(metadata) = std::fs::metadata(path) else {
        return false;
    };
    // Some machines give it to root alone; the session daemons' QEMUs run as a user of the group kvm.
    if let Some(group) = process::group_id("kvm")
        && (metadata.gid() != group || metadata.mode() & 0o060 != 0o060)
    {
        let _ = std::os::unix::fs::chown(path, None, Some(group));
        let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660));
    }
    File::options().read(true).write(true).open(path).is_ok()
}

/// [`kvm`], and when it is not there, the name of the test that is skipped: on the real stderr, as libtest would keep
/// the output of a test that passes to itself.
pub(crate) fn kvm_or_skip() -> bool {
    let usable = kvm();
    if !usable {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("a test");
        let _ = writeln!(std::io::stderr(), "{name} ... skipped: no usable /dev/kvm");
    }
    usable
}
