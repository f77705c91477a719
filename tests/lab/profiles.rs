//! Where one Prometheus has KubeVirt's series and ours, each VM counts once under the profile `beside-kubevirt`, and twice
//! under `full`: promtool evaluates what KubeVirt's operator installs over both.

use std::fmt::Write as _;

use super::support::prometheus::promtool;
use kubevirts::GROUPS;
use virt_otel::catalog::{Profile, Selection, Vocabulary};
use virt_otel::export::naming;

/// KubeVirt's metrics, as docs/compatibility.md has them.
#[path = "../support/kubevirt.rs"]
#[allow(dead_code, unreachable_pub, reason = "the documents need more of it")]
pub(super) mod kubevirts;

/// A page under KubeVirt with every row: five VMs run, three tell their memory, one cannot be evicted.
const PAGE: &str = include_str!("../golden/kubevirt.prom");

/// Recording rules and an alert, as KubeVirt's operator has them.
const RULES: &str = "
groups:
  - name: kubevirt
    rules:
      - record: node:kubevirt_vmi_phase:sum
        expr: >-
          sum by (node, phase, os, workload, flavor, instance_type, preference, guest_os_kernel_release, guest_os_machine,
          guest_os_arch, guest_os_name, guest_os_version_id) (kubevirt_vmi_info)
      - record: vmi:kubevirt_vmi_memory_available_bytes:sum
        expr: sum by (name, namespace) (kubevirt_vmi_memory_available_bytes)
      - alert: VMCannotBeEvicted
        expr: >-
          kubevirt_vmi_non_evictable * on (name, namespace) group_left ()
          topk by (name, namespace) (1, kubevirt_vmi_info{phase='running'}) == 1
        for: 1m
";

/// Who has a series of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// KubeVirt: what it has of the page.
    Kubevirt,
    /// virt-otel, scraped.
    Scraped(Profile),
    /// virt-otel, pushed through the Collector of otel/collector.
    Pushed(Profile),
}

impl Source {
    /// Whether it has the series of this family.
    fn has(self, family: &str) -> bool {
        let row = |profile: Profile| {
            let rows = Selection::new(Vocabulary::Kubevirt, |row| profile.has(row.metric)).vm;
            rows.iter().any(|row| naming::of_row(&row.name, row.metric) == family)
        };
        match self {
            Source::Kubevirt => GROUPS.iter().flat_map(|group| group.metrics).any(|theirs| theirs.name == family),
            Source::Scraped(profile) | Source::Pushed(profile) => row(profile),
        }
    }

    /// The labels that Prometheus adds.
    fn labels(self, vm: &str) -> String {
        match self {
            Source::Kubevirt => r#"job="kubevirt-prometheus-metrics",instance="10.0.0.1:8443""#.to_owned(),
            Source::Scraped(_) => r#"job="virt-otel",instance="10.0.0.2:9464""#.to_owned(),
            Source::Pushed(_) => format!(r#"job="shop/kubevirt-vmi",instance="pod-of-{vm}""#),
        }
    }

    /// Its series, as promtool reads them: constant for ten minutes.
    fn series(self) -> String {
        let mut out = String::new();
        for line in PAGE.lines().filter(|line| line.starts_with("kubevirt_vmi_")) {
            let (series, value) = line.rsplit_once(' ').expect("a sample");
            let (family, labels) = series.split_once('{').expect("labels");
            let labels = labels.strip_suffix('}').expect("the end of the labels");
            let vm = labels.split("name=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a name");
            if self.has(family) {
                let series = format!("{family}{{{labels},{}}}", self.labels(vm)).replace('\'', "''");
                let _ = writeln!(out, "      - series: '{series}'\n        values: '{value}+0x10'");
            }
        }
        out
    }
}

/// A test for promtool: these sources, and how often each VM counts.
fn unit_test(sources: &[Source], times: u64) -> String {
    let memory = 2_065_694_720 * times;
    let series: String = sources.iter().map(|source| source.series()).collect();
    let mut expressions = String::new();
    for (expression, labels, value) in [
        ("sum(node:kubevirt_vmi_phase:sum{phase=\"running\"})", "{}", 5 * times),
        (
            "vmi:kubevirt_vmi_memory_available_bytes:sum{name=\"stayer\"}",
            "vmi:kubevirt_vmi_memory_available_bytes:sum{name=\"stayer\",namespace=\"shop\"}",
            memory,
        ),
        ("count(ALERTS{alertname=\"VMCannotBeEvicted\",alertstate=\"firing\"})", "{}", times),
    ] {
        let _ = write!(
            expressions,
            "      - expr: '{expression}'\n        eval_time: 5m\n        exp_samples:\n          - labels: '{labels}'\n            \
             value: {value}\n"
        );
    }
    format!("  - interval: 1m\n    input_series:\n{series}    promql_expr_test:\n{expressions}")
}

#[test]
fn beside_kubevirt_each_vm_counts_once_in_what_kubevirt_installs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("rules.yaml"), RULES).expect("a file");
    let mut tests = "rule_files: [rules.yaml]\nevaluation_interval: 1m\ntests:\n".to_owned();
    tests += &unit_test(&[Source::Kubevirt], 1);
    for by in [Source::Scraped, Source::Pushed] {
        tests += &unit_test(&[Source::Kubevirt, by(Profile::BesideKubevirt)], 1);
        tests += &unit_test(&[Source::Kubevirt, by(Profile::Full)], 2);
        tests += &unit_test(&[by(Profile::Full)], 1);
    }
    tests += &unit_test(&[Source::Scraped(Profile::Full), Source::Pushed(Profile::Full)], 2);
    let file = folder.path().join("tests.yaml");
    std::fs::write(&file, tests).expect("a file");
    let (code, said) = promtool(&["test", "rules", &file.display().to_string()], None);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn every_profile_tells_what_runs_each_vm() {
    for source in [Source::Scraped(Profile::BesideKubevirt), Source::Pushed(Profile::Full)] {
        assert!(source.has("kubevirt_vmi_hypervisor_info"), "{source:?}");
    }
    assert!(!Source::Kubevirt.has("kubevirt_vmi_hypervisor_info"));
}
