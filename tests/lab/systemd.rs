//! The unit for a libvirt host, judged by systemd.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::support::process::{self, Output};
use super::support::{binary, repository};

/// The most exposure that `systemd-analyze security` may find, in tenths.
const EXPOSURE: &str = "15";

fn systemd_analyze(arguments: &[&str]) -> Output {
    let mut command = Command::new("systemd-analyze");
    command.args(arguments);
    process::run(command, Duration::from_secs(30)).expect("systemd-analyze ends")
}

/// The unit in a folder, with the program that was built.
fn unit(folder: &Path) -> String {
    let text = std::fs::read_to_string(repository().join("deploy/systemd/virt-otel.service")).expect("the unit");
    let program = binary().display().to_string();
    assert!(text.contains("ExecStart=/usr/bin/virt-otel run\n"), "{text}");
    let unit = folder.join("virt-otel.service");
    std::fs::write(&unit, text.replace("/usr/bin/virt-otel", &program)).expect("a file");
    unit.display().to_string()
}

#[test]
fn systemd_understands_the_unit() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = systemd_analyze(&["verify", "--man=no", &unit(folder.path())]);
    assert_eq!((output.code, output.stderr.trim()), (Some(0), ""), "{}", output.stdout);
}

#[test]
fn the_unit_exposes_little() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let threshold = format!("--threshold={EXPOSURE}");
    let output = systemd_analyze(&["security", "--offline=true", "--no-pager", &threshold, &unit(folder.path())]);
    assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
}
