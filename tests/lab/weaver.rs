//! The registry is true: OpenTelemetry's weaver accepts it, and the agent sends what it declares.
//!
//! `make weaver` runs these; they need weaver, which Debian does not package.

use std::time::Duration;

use super::kubevirt_api::guest;
use super::support::weaver::{Findings, LiveCheck, Registry};
use super::support::{Agent, Cluster, Domain, Libvirtd, Node, User, Vmi, wait_until};

/// How long it pushes, once a second.
const PUSHES: Duration = Duration::from_secs(20);

/// With fewer things than this, too little was pushed.
const ENOUGH: u64 = 4_000;

#[track_caller]
fn nothing_is_wrong(findings: &Findings) {
    let violations = findings.on("violation");
    assert!(violations.is_empty(), "{violations:#?}");
    assert!(findings.entities > ENOUGH, "only {} things arrived", findings.entities);
    // An unstable definition is no fault of what was sent.
    let improvements: Vec<String> =
        findings.on("improvement").into_iter().filter(|said| !said.contains("not_stable")).collect();
    eprintln!("{} things, no violation; to be improved: {improvements:#?}", findings.entities);
}

/// Runs an agent against weaver until it has pushed for a while.
#[track_caller]
fn judged(arguments: &[&str], ready: impl Fn(&Agent)) -> Findings {
    let weaver = LiveCheck::start();
    let environment = weaver.environment();
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut agent = Agent::start(arguments, &environment);
    ready(&agent);
    std::thread::sleep(PUSHES);
    let metrics = agent.metrics();
    assert!(metrics.get("virt_otel_otlp_points_sent_total", &[]) > Some(0.0), "nothing was accepted");
    agent.terminate();
    weaver.finish()
}

#[test]
#[ignore = "needs OpenTelemetry's weaver: make weaver"]
fn weaver_accepts_the_registry() {
    let said = Registry::committed().check();
    let ours = |line: &&str| line.contains("does not set") || line.contains("olation");
    let warnings: Vec<&str> = said.lines().filter(ours).filter(|line| !line.contains('✔')).collect();
    assert!(warnings.is_empty(), "{said}");
}

#[test]
#[ignore = "needs OpenTelemetry's weaver: make weaver"]
fn what_is_sent_in_libvirt_mode_is_what_the_registry_says() {
    let libvirtd = Libvirtd::system();
    let linux = Domain::tcg_linux("linux", 2, 1).vcpus(2, 2);
    let idle = Domain::tcg("idle");
    libvirtd.boot(&linux);
    libvirtd.create_paused(&idle);
    let findings = judged(&["--libvirt-uri", &libvirtd.uri(), "--interval", "1s"], |agent| {
        agent.wait_for(Duration::from_secs(30), "both VMs", |page| {
            page.all("libvirt_domain_cpu_usage_seconds_total", &[]).len() == 2
        });
    });
    nothing_is_wrong(&findings);
}

#[test]
#[ignore = "needs OpenTelemetry's weaver: make weaver"]
fn what_is_sent_in_kubevirt_mode_is_what_the_registry_says() {
    let cluster = Cluster::start();
    let node = Node::new("node-a");
    let launchers = ["web-1", "web-2"].map(|name| {
        let launcher = guest(&node, name);
        Vmi::create_running(&cluster.api, "shop", name, launcher.place());
        launcher
    });
    let kubeconfig = cluster.api.kubeconfig_for(User::Agent).display().to_string();
    let pods = node.pods_dir().display().to_string();
    let arguments = ["--mode", "kubevirt", "--node-name", node.name(), "--kubeconfig", &kubeconfig];
    let arguments = [&arguments[..], &["--pods-dir", &pods, "--interval", "1s"]].concat();
    let findings = judged(&arguments, |agent| {
        wait_until(Duration::from_secs(30), "both VMIs", || {
            (agent.metrics().all("kubevirt_vmi_cpu_usage_seconds_total", &[]).len() == launchers.len()).then_some(())
        });
    });
    nothing_is_wrong(&findings);
}
