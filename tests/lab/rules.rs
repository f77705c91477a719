//! The rules and alerts that ship, judged by promtool.

use super::support::prometheus::promtool;
use super::support::{helm, repository};

fn judged(arguments: &[&str], file: &str) {
    let path = repository().join("deploy/prometheus").join(file).display().to_string();
    let (code, said) = promtool(&[arguments, &[path.as_str()]].concat(), None);
    assert_eq!(code, Some(0), "{file}: {said}");
}

#[test]
fn promtool_understands_the_rules() {
    for file in ["libvirt.yaml", "kubevirt.yaml"] {
        judged(&["check", "rules", "--lint=all", "--lint-fatal"], file);
    }
}

/// The rules of the chart's PrometheusRule are those that promtool has judged.
#[test]
fn the_chart_has_the_same_rules() {
    let objects = helm::template(Some(&helm::chart().join("ci/everything-values.yaml")));
    let made = &objects["prometheusrule.yaml"];
    let rules = made.split_once("\nspec:\n").expect("a specification").1;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("rules.yaml");
    std::fs::write(&file, rules).expect("a file");
    let (code, said) = promtool(&["check", "rules", &file.display().to_string()], None);
    assert_eq!(code, Some(0), "{said}");
    let shipped = std::fs::read_to_string(repository().join("deploy/prometheus/kubevirt.yaml")).expect("the rules");
    for kind in ["alert: ", "record: "] {
        let count = |text: &str| text.matches(kind).count();
        assert_eq!(count(rules), count(&shipped), "{kind}");
    }
    assert!(rules.contains("{{ $labels.namespace }}"), "{rules}");
    let by_default = helm::template(None);
    assert!(!by_default.contains_key("prometheusrule.yaml"), "nobody asked for it");
}

#[test]
fn each_alert_fires_for_the_vm_that_it_describes_and_for_no_other() {
    for file in ["libvirt_test.yaml", "kubevirt_test.yaml"] {
        judged(&["test", "rules"], file);
    }
}
