//! The whole check, of a machine without libvirt and without a Collector.

use super::*;
use crate::config::{self, Environment, Invocation};
use system::tests::machine;

/// The settings that these options give.
pub(super) fn run(options: &[&str]) -> Run {
    let arguments = ["virt-otel", "check"].into_iter().chain(options.iter().copied());
    match config::parse(arguments, &Environment::default()) {
        Ok(Invocation::Check(check)) => check.run,
        other => panic!("{options:?}: {other:?}"),
    }
}

fn outcomes(report: &Report, check: Check) -> Vec<Outcome> {
    report.findings.iter().filter(|finding| finding.check == check).map(|finding| finding.outcome).collect()
}

const ABSENT: &str = "qemu+unix:///system?socket=/nonexistent/libvirt-sock-ro";

#[tokio::test]
async fn everything_of_mode_libvirt_is_tried_though_libvirt_and_the_collector_are_away() {
    let (_root, system) = machine(&[("dev/kvm", ""), ("run/systemd/timesync/synchronized", "")]);
    let mut run = run(&["--libvirt-uri", ABSENT, "--listen", "127.0.0.1:0"]);
    let collector = run.otlp_metrics.as_mut().unwrap();
    collector.endpoint = "http://127.0.0.1:1".parse().unwrap();
    let report = on(&run, system).await;
    assert_eq!(report.outcome(), Outcome::Failure);
    for (check, outcome) in [
        (Check::Configuration, Outcome::Well),
        (Check::Clock, Outcome::Well),
        (Check::Kvm, Outcome::Well),
        (Check::Selinux, Outcome::NotTried),
        (Check::LibvirtSocket, Outcome::Failure),
        (Check::LibvirtReadOnly, Outcome::NotTried),
        (Check::StatisticsGroups, Outcome::NotTried),
        (Check::VmReadings, Outcome::NotTried),
        (Check::VmTypes, Outcome::NotTried),
        (Check::BalloonPeriod, Outcome::NotTried),
        (Check::Collector, Outcome::Failure),
        (Check::CollectorLogs, Outcome::NotTried),
        (Check::Listen, Outcome::Well),
        (Check::Guard, Outcome::Well),
        (Check::Series, Outcome::Well),
    ] {
        assert_eq!(outcomes(&report, check), [outcome], "{check:?}: {}", report.text());
    }
    for of_other_modes in [Check::PodsDirectory, Check::KubernetesApi, Check::Vmis, Check::ListenHealth] {
        assert_eq!(outcomes(&report, of_other_modes), [], "{of_other_modes:?}");
    }
    assert!(report.findings.is_sorted_by_key(|finding| finding.check), "{}", report.text());
    for finding in &report.findings {
        let needs_a_step = finding.outcome > Outcome::Well;
        assert!(!needs_a_step || finding.next_step.is_some(), "{finding:?} says nothing of what to do");
    }
}

#[tokio::test]
async fn without_credentials_for_the_api_the_rest_of_mode_kubevirt_is_tried_all_the_same() {
    let pods = tempfile::tempdir().unwrap();
    let (_root, system) = machine(&[("proc/self/status", "Uid:\t0\t0\t0\t0\nCapEff:\t0000000000000002\n")]);
    let directory = pods.path().display().to_string();
    let mut run =
        run(&["--mode", "kubevirt", "--node-name", "node-a", "--pods-dir", &directory, "--exporters", "none"]);
    run.listen.port = 0;
    let report = on(&run, system).await;
    for (check, outcome) in [
        (Check::KubernetesApi, Outcome::Failure),
        (Check::KubernetesRights, Outcome::NotTried),
        (Check::VmReadings, Outcome::NotTried),
        (Check::Vmis, Outcome::NotTried),
        (Check::LibvirtSocket, Outcome::NotTried),
        (Check::Series, Outcome::NotTried),
        (Check::PodsDirectory, Outcome::Warning),
        (Check::Openat2, Outcome::Well),
        (Check::Privileges, Outcome::Well),
        (Check::Kvm, Outcome::Warning),
        (Check::Collector, Outcome::NotTried),
    ] {
        assert_eq!(outcomes(&report, check), [outcome], "{check:?}: {}", report.text());
    }
}

/// docs/check.md has a place for each check.
#[test]
fn every_check_has_its_place_in_the_documentation() {
    let page = include_str!("../../docs/check.md");
    for check in Check::ALL {
        assert!(
            page.contains(&format!("\n| `{}` |", check.as_str())),
            "docs/check.md says nothing of {}",
            check.as_str()
        );
    }
    for outcome in Outcome::ALL {
        assert!(page.contains(&format!("`{}`", outcome.as_str())), "{outcome:?}");
    }
}
