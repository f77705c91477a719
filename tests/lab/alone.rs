//! What the program alone needs from the system that it runs on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::support::agent::program;
use super::support::{Domain, Libvirtd, kvm, process};

/// How long a program with one task may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// glibc, its loader, and the support library of the compiler, without which Debian does not install glibc.
const GLIBC: [&str; 5] = ["linux-vdso.so.1", "libgcc_s.so.1", "libm.so.6", "libc.so.6", "ld-linux-x86-64.so.2"];

/// The shared objects that are loaded with the program: the name of each, and where it was found.
fn shared_objects() -> Vec<(String, Option<PathBuf>)> {
    let mut ldd = Command::new("ldd");
    ldd.arg(program());
    let output = process::run(ldd, PATIENCE).expect("ldd ends");
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let object = |line: &str| {
        let path = line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
        let name = line.split_whitespace().next().expect("a name");
        (name.rsplit('/').next().expect("a last part").to_owned(), path)
    };
    output.stdout.lines().map(object).collect()
}

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
    libvirtd.create_paused(&if kvm() { Domain::kvm("web") } else { Domain::tcg("web") });
    let root = tempfile::tempdir().unwrap();
    let place = |path: &Path| root.path().join(path.strip_prefix("/").unwrap());
    for (name, path) in shared_objects() {
        let Some(path) = path else {
            assert_eq!(name, "linux-vdso.so.1", "the kernel's own");
            continue;
        };
        std::fs::create_dir_all(place(&path).parent().unwrap()).unwrap();
        std::fs::copy(&path, place(&path)).unwrap();
    }
    std::fs::copy(program(), root.path().join("virt-otel")).unwrap();
    let socket = libvirtd.socket();
    std::fs::hard_link(socket.with_file_name("libvirt-sock-ro"), root.path().join("socket")).unwrap();

    let mut command = Command::new("chroot");
    command.arg(root.path()).args(["/virt-otel", "snapshot", "--libvirt-uri", "qemu+unix:///system?socket=/socket"]);
    let output = process::run(command, PATIENCE).expect("it ends");
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let line = output.stdout.lines().find(|line| line.contains("web")).unwrap_or_else(|| panic!("{}", output.stdout));
    assert!(line.contains(if kvm() { "kvm" } else { "qemu-tcg" }), "{line}");
}
