//! The agent in a container on a plain libvirt host, as docs/containers.md says and deploy/podman ships it.
//!
//! podman 5 is in the root of Debian 13; so these run with `make test-versions`, and in that root with `make test`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::support::bare_root;
use super::support::polkit::Polkit;
use super::support::process::{self, Output};
use super::support::{Domain, Kind, Libvirtd, LibvirtdOptions, repository, wait_until};

/// What the documentation's command has, too.
const OPTIONS: [&str; 5] = [
    "--user 0:0",
    "--read-only",
    "--cap-drop all",
    "--security-opt no-new-privileges",
    "--volume /run/libvirt:/run/libvirt:ro",
];
/// A user who is not root.
const PLAIN: &[&str] = &["--user", "65534:65534"];
const VM: &str = "web";
const PATIENCE: Duration = Duration::from_secs(60);

/// What makes a service of a quadlet.
const QUADLET: &str = "/usr/lib/systemd/system-generators/podman-system-generator";

/// A host with a VM, whose read-only socket is guarded by polkit as packages set it.
fn host() -> (Libvirtd, TempDir) {
    let options = LibvirtdOptions {
        libvirtd_conf: "auth_unix_ro = \"polkit\"\n".to_owned(),
        ..LibvirtdOptions::new(Kind::System)
    };
    let mut libvirtd = Libvirtd::start(options);
    libvirtd.create_paused(&Domain::tcg(VM));
    Polkit::hide(&libvirtd);
    libvirtd.restart();
    let image = tempfile::tempdir().unwrap();
    bare_root::fill(image.path());
    // What podman mounts, as there is no image that it could add folders to.
    for folder in ["run/libvirt", "etc", "tmp", "proc", "dev", "sys"] {
        std::fs::create_dir_all(image.path().join(folder)).unwrap();
    }
    (libvirtd, image)
}

/// podman on this host.
fn podman(libvirtd: &Libvirtd) -> Command {
    with_files(libvirtd, libvirtd.namespace().command("podman"))
}

/// podman with its files in a folder of the host's.
fn with_files(libvirtd: &Libvirtd, mut command: Command) -> Command {
    for option in ["--root", "--runroot", "--tmpdir"] {
        command.args([option, &libvirtd.folder().join("podman").join(&option[2..]).display().to_string()]);
    }
    // crun wants control groups of version 2.
    command.args(["--runtime", "runc", "--events-backend", "none"]);
    command.env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1");
    command
}

/// One reading in a container of the image, by this podman and with these further options.
fn snapshot(mut command: Command, image: &Path, more: &[&str]) -> Output {
    command.args(["run", "--rm", "--network", "none"]);
    command.args(OPTIONS.iter().flat_map(|option| option.split(' '))).args(more);
    read_once(command, image)
}

/// Ends a `podman run` with the image and what it does: one reading.
fn read_once(mut command: Command, image: &Path) -> Output {
    command.arg("--rootfs").arg(image).args(["virt-otel", "snapshot", "--libvirt-uri", "qemu:///system"]);
    process::run(command, PATIENCE).expect("the end of a container with one task")
}

#[track_caller]
fn assert_read(output: &Output) {
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains(VM), "{output:?}");
}

#[test]
#[ignore = "needs podman 5, which the root of Debian 13 has: make test-versions"]
fn in_a_container_root_reads_and_a_plain_user_does_by_polkit() {
    let text = std::fs::read_to_string(repository().join("docs/containers.md")).unwrap();
    for option in OPTIONS {
        assert!(text.contains(option), "docs/containers.md does not say {option}");
    }
    let (mut libvirtd, image) = host();
    assert_read(&snapshot(podman(&libvirtd), image.path(), &[]));
    let refused = snapshot(podman(&libvirtd), image.path(), PLAIN);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("could not ask polkit"), "{}", refused.stderr);

    let _polkit = Polkit::start(&libvirtd);
    libvirtd.restart();
    assert_read(&snapshot(podman(&libvirtd), image.path(), PLAIN));
}

/// As when the daemon runs in a container, too: neither is in the other's process namespace.
#[test]
#[ignore = "needs podman 5, which the root of Debian 13 has: make test-versions"]
fn beside_a_daemon_in_another_process_namespace_a_plain_user_is_told_the_ways_out() {
    let (mut libvirtd, image) = host();
    let _polkit = Polkit::start(&libvirtd);
    libvirtd.restart();
    let sockets = libvirtd.socket().parent().unwrap().display().to_string();
    let beside = |more: &[&str]| {
        let mounted = format!("{sockets}:/run/libvirt:ro");
        let mut command = with_files(&libvirtd, Command::new("podman"));
        command.args(["run", "--rm", "--network", "none", "--volume", &mounted]).args(more);
        read_once(command, image.path())
    };
    let refused = beside(PLAIN);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for word in ["Process not found", "as root", "process namespace", "--pid", "auth_unix_ro"] {
        assert!(refused.stderr.contains(word), "{word:?} is not in {}", refused.stderr);
    }
    assert_read(&beside(&[]));
    let shared = format!("ns:/proc/{}/ns/pid", libvirtd.namespace().holder());
    assert_read(&beside(&[PLAIN, &["--pid", &shared]].concat()));
}

#[test]
#[ignore = "needs podman 5, which the root of Debian 13 has: make test-versions"]
fn the_quadlet_that_ships_starts_an_agent_that_connects() {
    let (libvirtd, image) = host();
    // The image and the network are what a test cannot have.
    let quadlet = std::fs::read_to_string(repository().join("deploy/podman/virt-otel.container")).unwrap();
    let line = |key: &str| quadlet.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("no {key}"));
    let tried = quadlet
        .replace(line("Image="), &format!("Rootfs={}\nExec=virt-otel", image.path().display()))
        .replace(line("Network="), "Network=none");
    let units = tempfile::tempdir().unwrap();
    std::fs::write(units.path().join("virt-otel.container"), tried).unwrap();
    let mut generator = Command::new(QUADLET);
    generator.arg("--dryrun").env("QUADLET_UNIT_DIRS", units.path());
    let output = process::run(generator, PATIENCE).expect("the end of podman's generator");
    assert_eq!(output.code, Some(0), "{output:?}");
    let start = output.stdout.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/podman run "));
    let start = start.unwrap_or_else(|| panic!("no command in {}", output.stdout));

    let mut command = podman(&libvirtd);
    // There is no systemd that would have made a control group, or that could be notified.
    let arguments = start.split(' ').filter(|word| *word != "--cgroups=split" && !word.starts_with("--sdnotify"));
    command
        .arg("run")
        .args(arguments.map(|word| word.replace("%N", "virt-otel").replace("%t", &units.path().display().to_string())));
    let output = process::run(command, PATIENCE).expect("the end of podman run --detach");
    assert_eq!(output.code, Some(0), "{output:?}\n{start}");
    wait_until(PATIENCE, "the agent to be connected", || {
        let mut logs = podman(&libvirtd);
        logs.args(["logs", "virt-otel"]);
        process::run(logs, PATIENCE).filter(|log| log.stderr.contains("connected to libvirt"))
    });
    let mut end = podman(&libvirtd);
    end.args(["rm", "--force", "--time", "10", "virt-otel"]);
    assert_eq!(process::run(end, PATIENCE).expect("the container's end").code, Some(0));
}
