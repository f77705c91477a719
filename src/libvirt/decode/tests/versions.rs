//! Real answers of libvirt 9.0 (QEMU 7.2), 11.3 (10.0) and 12.8 (11.1): what one says and another does not is absorbed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::*;

const VERSIONS: [&str; 3] = ["9.0", "11.3", "12.8"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/libvirt/decode/fixtures")
}

/// The answers of a version, by what the domain was doing.
fn fixtures(version: &str) -> BTreeMap<String, String> {
    let files = folder().join(version).read_dir().unwrap();
    let fixture = |file: std::io::Result<std::fs::DirEntry>| {
        let path = file.unwrap().path();
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap())
    };
    files.map(fixture).collect()
}

/// The parameters of an answer, without its remarks.
fn parameters(text: &str) -> Vec<Parameter<'static>> {
    text.lines().filter(|text| !text.starts_with('#') && !text.is_empty()).map(line).collect()
}

fn decoded(version: &str, name: &str) -> Stats {
    let text = &fixtures(version)[name];
    let (id, _) = answer(text);
    stats(id, parameters(text), Groups::all())
}

#[test]
fn no_parameter_of_any_version_is_unknown() {
    for version in VERSIONS {
        for (name, text) in fixtures(version) {
            let stats = stats(Some(1), parameters(&text), Groups::all());
            assert_eq!(stats.unknown_parameters, 0, "{version} {name}");
            assert_eq!(stats.left_out, 0, "{version} {name}");
        }
    }
}

#[test]
fn a_running_guest_answers_in_full_on_each_version() {
    for version in VERSIONS {
        for name in ["running-tcg", "running-tcg-backing", "running-kvm", "paused-kvm"] {
            let stats = decoded(version, name);
            assert_eq!(stats.monitor, Monitor::Answered, "{version} {name}");
            assert!(stats.cpu.is_some_and(|cpu| cpu.time.is_some()), "{version} {name}");
            assert!(stats.memory.is_some_and(|memory| memory.resident.is_some()), "{version} {name}");
            assert!(!stats.vcpus.unwrap().each.is_empty(), "{version} {name}");
            let disks = stats.disks.unwrap();
            assert!(disks.iter().any(|disk| disk.read_requests.is_some()), "{version} {name}");
        }
    }
}

#[test]
fn a_frozen_guest_is_busy_to_whoever_comes_second_on_each_version() {
    for version in VERSIONS {
        for name in ["frozen-tcg", "frozen-kvm"] {
            let stats = decoded(version, name);
            assert_eq!(stats.monitor, Monitor::Busy, "{version} {name}");
            assert!(stats.cpu.is_some() && stats.vcpus.is_some() && stats.disks.is_none(), "{version} {name}");
            assert_eq!(stats.memory.unwrap().resident, None, "{version} {name}");
        }
    }
}

/// Up to 9.0 such a call fails.
#[test]
fn the_answer_of_a_hung_call_whose_qemu_died_says_nothing() {
    for version in ["11.3", "12.8"] {
        let stats = decoded(version, "qemu-died-kvm");
        let nothing = Stats { id: Some(1), monitor: Monitor::Busy, parameters: stats.parameters, ..Stats::default() };
        assert_eq!(stats, nothing, "{version}");
    }
}

/// What `libvirt-domain.h` of 12.8 names and no machine here has.
#[test]
fn what_only_the_header_names_is_known() {
    let names = [
        "block.0.limits.discard_max",
        "block.0.limits.write_zeroes_alignment",
        "block.0.limits.transfer_hw_max",
        "block.0.limits.iov_hw_max",
        "cpu.energy.monitor.count",
        "cpu.energy.monitor.0.name",
        "cpu.energy.monitor.0.pkg.0.id",
        "dirtyrate.vcpu.3.megabytes_per_second",
    ];
    for name in names {
        let stats = stats(Some(1), [line(&format!("{name} ullong 1"))], Groups::all());
        assert_eq!(stats.unknown_parameters, 0, "{name}");
    }
}

/// Up to 11.3 libvirt tells a domain that does not run its own CPU time; 12.8 no longer does.
#[test]
fn of_a_domain_that_does_not_run_only_the_state_is_used_on_each_version() {
    for version in VERSIONS {
        for name in ["shutoff", "shutoff-never-started"] {
            let stats = decoded(version, name);
            let state = stats.status.unwrap();
            assert!(!state.state.is_active(), "{version} {name}");
            let nothing = Stats { status: Some(state), parameters: stats.parameters, ..Stats::default() };
            assert_eq!(stats, nothing, "{version} {name}");
        }
    }
}

/// From 11 on the start of the measurement is a time of day; before, it counts from the start of the host, and the age
/// of the dirty rate cannot be known.
#[test]
fn the_time_of_a_dirty_rate_is_known_from_the_version_on_that_tells_it() {
    for (version, known) in VERSIONS.into_iter().zip([false, true, true]) {
        for name in ["dirtyrate-dirty-ring-kvm", "dirtyrate-dirty-bitmap-kvm"] {
            let rate = decoded(version, name).dirty_rate.unwrap_or_else(|| panic!("{version} {name}"));
            assert!(rate.bytes_per_second.is_some(), "{version} {name}");
            assert_eq!(rate.measured.is_some(), known, "{version} {name}");
        }
    }
}

#[test]
fn a_migrations_destination_has_a_state_before_it_has_figures_on_each_version() {
    for version in VERSIONS {
        let stats = decoded(version, "migrating-destination-1-state3-11");
        assert_eq!(stats.status, Some(crate::model::Status::from_libvirt(3, 11)), "{version}");
    }
}

/// Which parameter is said by which version, and whether it is used: `parameters.txt`. A stale file is rewritten, and the
/// test fails once.
#[test]
fn the_set_of_parameters_is_the_golden_one() {
    let mut said: BTreeMap<(String, &'static str), (BTreeSet<&'static str>, bool)> = BTreeMap::new();
    for version in VERSIONS {
        for text in fixtures(version).values() {
            for text in text.lines().filter(|text| !text.starts_with('#') && !text.is_empty()) {
                let kind = ["int", "uint", "llong", "ullong", "double", "boolean", "string"];
                let kind = kind.into_iter().find(|kind| text.split(' ').nth(1) == Some(kind)).unwrap();
                let parameter = line(text);
                let words = parameter.field.split('.');
                let pattern: Vec<&str> =
                    words.map(|word| if word.parse::<u32>().is_ok() { "N" } else { word }).collect();
                let used = matches!(Draft::default().take(&parameter.field, &parameter.value), Fit::Taken);
                let entry = said.entry((pattern.join("."), kind)).or_default();
                entry.0.insert(version);
                entry.1 |= used;
            }
        }
    }
    let mut page = String::from("# parameter, type, versions, and - where it is not used\n");
    for ((pattern, kind), (versions, used)) in &said {
        let versions: Vec<&str> = VERSIONS.into_iter().filter(|version| versions.contains(version)).collect();
        page += &format!("{pattern} {kind} {}{}\n", versions.join(","), if *used { "" } else { " -" });
    }
    let path = folder().join("parameters.txt");
    if std::fs::read_to_string(&path).is_ok_and(|golden| golden == page) {
        return;
    }
    std::fs::write(&path, page).unwrap();
    panic!("{} was stale and has been rendered again: look at the difference and commit it", path.display());
}
