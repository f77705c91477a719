//! The page that leads a newcomer under KubeVirt, followed to the letter: each of its commands is run.

use std::process::Command;

use lab_support::page::Place;
use lab_support::prepared;

use super::support::{Cluster, Guest, NODE1, NODE2, Vm};

/// What is run in place of what the page has: the nodes have the image by the chart's own name, and everything happens every
/// second.
const SHORTER: [(&str, &str); 3] = [
    ("    --set image.repository=registry.example.com/virt-otel --set image.tag=0.1.0 \\\n", ""),
    ("metricsProfile=full", "metricsProfile=full --set interval=1s"),
    ("15s", "1s"),
];

const PAGE: &str = "docs/getting-started/kubevirt.md";
/// The release and the namespace that the page makes.
const RELEASE: &str = "virt-otel";
/// What the Prometheus operator has, whose own definitions are not here: the kinds of object, without their fields.
const OPERATOR: &str = "tests/node/manifests/operator-crds.yaml";

/// What the reader has installed, and which part of the lab has it.
const PROGRAMS: [(&str, &str); 4] =
    [("kubernetes", "kubectl"), ("helm", "helm"), ("prometheus", "prometheus"), ("prometheus", "promtool")];

/// What the page makes goes, and the operator's kinds, also when it was not followed to its end.
struct Made<'a>(&'a Cluster);

impl<'a> Made<'a> {
    #[track_caller]
    fn before(cluster: &'a Cluster) -> Made<'a> {
        cluster.apply_kinds(OPERATOR);
        Made(cluster)
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        self.0.uninstall(RELEASE);
        self.0.delete(OPERATOR);
    }
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn a_newcomer_gets_from_nothing_to_an_alert_and_dashboards_under_kubevirt() {
    let cluster = Cluster::alone();
    let _made = Made::before(&cluster);
    let _vms = [Vm::start(&cluster, "web", Guest::Emulated, NODE1), Vm::start(&cluster, "db", Guest::Emulated, NODE2)];
    let programs = PROGRAMS.map(|(part, name)| (name, prepared(part, &format!("bin/{name}"))));
    let place = Place::new(&["deploy"], &programs);
    let bash = || {
        let mut bash = Command::new("bash");
        bash.envs(cluster.variables());
        bash
    };
    place.follow(PAGE, &SHORTER, &bash);
    // Another test may have a release of its own.
    let left = cluster.kubectl(&["get", "clusterroles,clusterrolebindings", "-o", "name"]);
    let ours: Vec<_> = left.lines().filter(|name| name.ends_with(&format!("/{RELEASE}"))).collect();
    assert!(ours.is_empty(), "the page says how to remove it: {ours:?}");
}
