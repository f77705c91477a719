//! `virt-otel check` on a real host and on a node of a real API server. What it does beside an agent whose VMs hang is in
//! hung.rs.

use std::path::Path;

use serde_json::Value;

use super::kubevirt_api::{SHOP, guest};
use super::support::{Agent, ApiServer, Collector, CollectorOptions, Domain, Libvirtd, Node, User, Vmi, repository};

/// A report, with the exit code.
pub(super) struct Report {
    code: Option<i32>,
    object: Value,
}

impl Report {
    #[track_caller]
    pub(super) fn of(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let output = Agent::output(&[&["check", "--format", "json"], arguments].concat(), environment);
        let object =
            serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{}{}", output.stdout, output.stderr));
        Self { code: output.code, object }
    }

    /// The outcomes and details of a check.
    pub(super) fn said(&self, check: &str) -> Vec<(&str, &str)> {
        let findings = self.object["findings"].as_array().expect("a list");
        let wanted = findings.iter().filter(|finding| finding["check"] == check);
        wanted.map(|it| (it["outcome"].as_str().expect("a word"), it["detail"].as_str().expect("a text"))).collect()
    }

    #[track_caller]
    pub(super) fn one(&self, check: &str) -> (&str, &str) {
        let said = self.said(check);
        assert_eq!(said.len(), 1, "{check}: {:#}", self.object);
        said[0]
    }
}

#[test]
fn a_host_has_what_the_agent_needs_and_a_vm_without_a_period_is_named() {
    let libvirtd = Libvirtd::system();
    libvirtd.create_paused(&Domain::quick("web").disks(1).nics(1));
    let collector = Collector::start(CollectorOptions::file());
    let uri = libvirtd.uri();
    let arguments = ["--libvirt-uri", uri.as_str(), "--listen", "127.0.0.1:0"];
    let endpoint = collector.endpoint();
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let report = Report::of(&arguments, &environment);
    for check in ["libvirt-socket", "statistics-groups", "vm-readings", "collector", "listen", "series", "open-files"] {
        assert_eq!(report.one(check).0, "well", "{check}: {:#}", report.object);
    }
    let groups = report.one("statistics-groups").1;
    assert!(groups.contains("state, cpu, balloon, vcpu, interface, block"), "{groups}");
    assert_eq!(report.one("balloon-period").0, "well", "a guest that is paused is not blamed: {:#}", report.object);
    let page = Agent::output(&["snapshot", "--libvirt-uri", &uri, "--format", "prometheus"], &[]).stdout;
    let series = page.lines().filter(|line| !line.starts_with('#')).count();
    let counted = report.object["series"]["served"]["series"].as_u64().expect("a count");
    // Ages of groups are there only when the group was read.
    assert!(counted.abs_diff(series as u64) <= 3, "{counted} were counted, {series} are there");

    // What the check says of a VM without a period mends it.
    libvirtd.virsh(&["dommemstat", "web", "--period", "0", "--live"]);
    let report = Report::of(&arguments, &environment);
    let (outcome, detail) = report.one("balloon-period");
    assert!(outcome == "warning" && detail.ends_with(": web"), "{detail}");
    assert_eq!(report.code, Some(1), "{:#}", report.object);
    libvirtd.virsh(&["dommemstat", "web", "--period", "10", "--live"]);
    assert_eq!(Report::of(&arguments, &environment).one("balloon-period").0, "well");
}

#[test]
fn a_node_has_what_the_agent_needs_once_the_role_that_ships_is_bound() {
    let api = ApiServer::start();
    let node = Node::new("node-a");
    let launcher = guest(&node, "web");
    Vmi::create_running(&api, SHOP, "web", launcher.place());
    let kubeconfig = api.kubeconfig_for(User::Agent).display().to_string();
    let pods = node.pods_dir().display().to_string();
    let arguments = [
        "--mode",
        "kubevirt",
        "--node-name",
        node.name(),
        "--kubeconfig",
        &kubeconfig,
        "--pods-dir",
        &pods,
        "--exporters",
        "prometheus",
        "--listen",
        "127.0.0.1:0",
    ];
    let forbidden = Report::of(&arguments, &[]);
    assert_eq!(forbidden.one("kubernetes-api").0, "well", "{:#}", forbidden.object);
    let rights: Vec<&str> = forbidden.said("kubernetes-rights").iter().map(|(outcome, _)| *outcome).collect();
    assert_eq!(rights, ["failure", "failure"], "{:#}", forbidden.object);
    assert_eq!(forbidden.one("vmis").0, "not_tried", "{:#}", forbidden.object);
    assert_eq!(forbidden.code, Some(2));

    let role = repository().join("deploy/kubernetes/clusterrole.yaml");
    api.bind_cluster_role(Path::new(&role), User::Agent);
    let report = super::support::wait_until(std::time::Duration::from_secs(20), "the role to take effect", || {
        let report = Report::of(&arguments, &[]);
        report.said("kubernetes-rights").iter().all(|(outcome, _)| *outcome == "well").then_some(report)
    });
    for check in ["vmis", "libvirt-socket", "pods-directory", "openat2", "privileges", "vm-readings", "clock", "series"]
    {
        assert_eq!(report.one(check).0, "well", "{check}: {:#}", report.object);
    }
    assert!(report.one("clock").1.contains("the API server's"), "{:#}", report.object);
    // The lab's pods are in an ordinary folder.
    assert_eq!(report.one("pods-mount").0, "warning");
}
