//! What the program alone needs from the system that it runs on.

use std::process::Command;
use std::time::Duration;

use super::support::bare_root::{self, shared_objects};
use super::support::{Domain, Libvirtd, kvm, process};

/// How long a program with one task may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// glibc, its loader, and the support library of the compiler, without which Debian does not install glibc.
const GLIBC: [&str; 5] = ["linux-vdso.so.1", "libgcc_s.so.1", "libm.so.6", "libc.so.6", "ld-linux-x86-64.so.2"];

#[test]
fn the_program_links_glibc_and_nothing_else() {
    let objects = shared_objects();
    assert!(objects.len() > 2, "{objects:?}");
    let strangers: Vec<_> = objects.iter().filter(|(name, _)| !GLIBC.contains(&name.as_str())).collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}

#[test]
fn the_program_reads_vms_in_a_root_that_has_glibc_and_nothing_else() {
    let libvirtd = Libvirtd::system();
    libvirtd.create_paused(&Domain::quick("web"));
    let root = tempfile::tempdir().unwrap();
    bare_root::fill(root.path());
    let socket = libvirtd.socket();
    std::fs::hard_link(socket.with_file_name("libvirt-sock-ro"), root.path().join("socket")).unwrap();

    let mut command = Command::new("chroot");
    command.arg(root.path()).args([
        "/usr/bin/virt-otel",
        "snapshot",
        "--libvirt-uri",
        "qemu+unix:///system?socket=/socket",
    ]);
    let output = process::run(command, PATIENCE).expect("it ends");
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let line = output.stdout.lines().find(|line| line.contains("web")).unwrap_or_else(|| panic!("{}", output.stdout));
    assert!(line.contains(if kvm() { "kvm" } else { "qemu-tcg" }), "{line}");
}
