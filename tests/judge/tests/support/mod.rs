//! Private daemons, as the lab's tests start them, and our client.

#[path = "../../../lab/support/control_groups.rs"]
mod control_groups;
#[path = "../../../lab/support/domain.rs"]
mod domain;
#[path = "../../../lab/support/guests.rs"]
mod guests;
#[path = "../../../lab/support/layout.rs"]
mod layout;
#[path = "../../../lab/support/libvirtd.rs"]
mod libvirtd;
#[path = "../../../lab/support/migration.rs"]
mod migration;
#[path = "../../../lab/support/namespace.rs"]
mod namespace;
#[path = "../../../lab/support/process.rs"]
mod process;
#[path = "../../../lab/support/virsh.rs"]
mod virsh;

pub(crate) mod client;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) use client::Client;
pub(crate) use domain::Domain;
pub(crate) use libvirtd::{Kind, Libvirtd, LibvirtdOptions};
pub(crate) use migration::Pace;

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR"));
    ours.ancestors().nth(2).expect("the repository that this crate is part of")
}

/// A file that `tests/lab/prepare.sh PART` leaves under target/lab.
pub(crate) fn prepared(part: &str, path: &str) -> PathBuf {
    let full = repository().join("target/lab").join(path);
    assert!(full.exists(), "target/lab/{path} is missing: make it with: tests/lab/prepare.sh {part}");
    full
}

/// Asks until there is an answer. Panics with `what` when there is none in time.
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

/// A random UUID, from the kernel.
pub(crate) fn uuid() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/uuid").expect("the kernel's UUID source");
    text.trim().to_owned()
}

/// Whether KVM domains can be started here.
pub(crate) fn kvm() -> bool {
    File::options().read(true).write(true).open("/dev/kvm").is_ok()
}
