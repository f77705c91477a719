//! The pages that lead a newcomer, followed to the letter: each of their commands is run, on a host of its own.

use std::path::PathBuf;
use std::process::Command;

use super::support::page::Place;
use super::support::{Domain, Libvirtd, binary, prepared};

/// What a reader of these pages has: a clone of the repository, and programs. The Collector is the lab's, in place of
/// OpenTelemetry's distribution.
fn place() -> Place {
    let prometheus = |name: &str| prepared("prometheus", &format!("bin/{name}"));
    let programs: [(&str, PathBuf); 4] = [
        ("virt-otel", binary()),
        ("prometheus", prometheus("prometheus")),
        ("promtool", prometheus("promtool")),
        ("otelcol-contrib", prepared("collector", "bin/otelcol-lab")),
    ];
    Place::new(&["deploy", "otel"], &programs)
}

/// Follows a page on the daemon's host, as root, where everything happens every second.
fn follow(page: &str, libvirtd: &Libvirtd) {
    let bash = || -> Command {
        let mut bash = libvirtd.namespace().command("bash");
        bash.env_remove("VIRT_OTEL_TEST_BINARY").env("VIRT_OTEL_INTERVAL", "1s");
        bash
    };
    place().follow(page, &[("15s", "1s")], &bash);
}

#[test]
fn a_newcomer_gets_from_nothing_to_an_alert_on_a_libvirt_host() {
    let libvirtd = Libvirtd::system();
    libvirtd.boot(&Domain::tcg_linux("web", 1, 1));
    follow("docs/getting-started/host.md", &libvirtd);
}

#[test]
fn on_a_host_of_openstack_an_instance_has_its_names() {
    let libvirtd = Libvirtd::system();
    libvirtd.create(&Domain::tcg("instance-0000002a").element(super::metadata::INSTANCE));
    follow("docs/getting-started/openstack.md", &libvirtd);
}
