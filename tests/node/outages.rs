//! What the agent reaches is away: the API server, the Collector's name, the Collector.

use std::time::Duration;

use lab_support::Metrics;
use lab_support::cluster::hypervisor;

use super::support::{Cluster, Collector, Guest, NODE1, Pod, Release, TYPE, VMS, Vm, soon};

/// How long an outage takes: some of the agent's attempts fall into it.
const OUTAGE: Duration = Duration::from_secs(20);

/// Packets of a pod that its node drops, until dropped itself.
struct Dropped<'a> {
    cluster: &'a Cluster,
    node: String,
}

impl<'a> Dropped<'a> {
    /// What matches and comes from the pod vanishes, before any Service is looked up.
    #[track_caller]
    fn from(cluster: &'a Cluster, pod: &Pod, matches: &str) -> Dropped<'a> {
        let address = pod.page_address().ip();
        let rules = format!(
            "add table ip outage; add chain ip outage drops {{ type filter hook prerouting priority -300; }}; \
             add rule ip outage drops ip saddr {address} {matches} drop"
        );
        cluster.on(&pod.node, &["nft", &rules]);
        Dropped { cluster, node: pod.node.clone() }
    }
}

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.cluster.on(&self.node, &["nft", "delete table ip outage"]);
    }
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn an_api_server_that_is_away_costs_neither_readiness_nor_figures() {
    let cluster = Cluster::alone();
    let release = Release::install(&cluster, "virt-otel", &["interval=2s"]);
    let vms = ["stays", "ends"].map(|name| Vm::start(&cluster, name, Guest::Emulated, NODE1));
    for vm in &vms {
        release.wait_for(NODE1, &vm.name, |page| vm.is_emulated_on(page));
    }
    let agent = release.on(NODE1);
    let process = agent.process();
    let age = |page: &Metrics, group: &str| {
        page.get("kubevirt_vmi_collection_age_seconds", &[("name", "stays"), ("group", group)])
    };
    assert!(vms.iter().all(|vm| vm.is_emulated_on(&agent.page())));
    let away = cluster.without(NODE1, &["kube-apiserver"]);
    std::thread::sleep(OUTAGE);
    let page = agent.page();
    assert!(vms.iter().all(|vm| vm.is_emulated_on(&page)), "{}", page.samples.len());
    assert!(age(&page, "cpu").is_some_and(|age| age < 7.0), "libvirt is still read: {:?}", age(&page, "cpu"));
    assert_eq!(agent.ask(9465, "/readyz").expect("an answer").0, 200);
    drop(away);

    vms[1].power_off();
    vms[1].vmi.succeed();
    release.wait_for(NODE1, "the end of a VM", |page| hypervisor(page, VMS, "ends").is_none());
    let later = Vm::start(&cluster, "later", Guest::Emulated, NODE1);
    release.wait_for(NODE1, "a later VM", |page| later.is_emulated_on(page));
    assert_eq!((agent.process(), agent.restarts()), (process, 0));
}

/// Pushes stop while packets are dropped, the log says why in these words, and afterwards they come again.
#[track_caller]
fn pushes_stop_and_come_again(endpoint: &str, matches: &str, says: &[&str]) {
    let cluster = Cluster::alone();
    let received = Collector::from_now_on(&cluster);
    let endpoint = format!("otlp.endpoint={endpoint}");
    let release = Release::install(&cluster, "virt-otel", &["interval=2s", &endpoint]);
    let agent = release.on(NODE1);
    let outage = Dropped::from(&cluster, &agent, matches);
    // Nothing of what was known before helps: not the connection, and not the address.
    cluster.kubectl(&["delete", "pod", "-n", "opentelemetry", "-l", "app=otel-collector", "--wait"]);
    cluster.kubectl(&["rollout", "status", "-n", "opentelemetry", "deployment/otel-collector", "--timeout=60s"]);
    drop(received);
    let received = Collector::from_now_on(&cluster);
    let vm = Vm::start(&cluster, "pushed", Guest::Emulated, NODE1);
    release.wait_for(NODE1, "the VM", |page| vm.is_emulated_on(page));
    soon("the reason in the log", || {
        let log = agent.log();
        says.iter().all(|words| log.contains(words)).then_some(())
    });
    std::thread::sleep(OUTAGE);
    assert!(received.of_pod(TYPE, &vm.launcher.pod).is_empty(), "something came through");
    assert!(agent.is_ready() && vm.is_emulated_on(&agent.page()), "only the pushes suffer");
    assert_eq!(agent.restarts(), 0);
    drop(outage);
    soon("pushes again", || (!received.of_pod(TYPE, &vm.launcher.pod).is_empty()).then_some(()));
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn a_dns_that_does_not_answer_is_named_and_costs_only_pushes() {
    let name = "http://otel-collector.opentelemetry:4317";
    pushes_stop_and_come_again(name, "meta l4proto { tcp, udp } th dport 53", &["no connection"]);
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn a_firewall_that_drops_is_named_and_costs_only_pushes() {
    pushes_stop_and_come_again("http://otel-collector.opentelemetry:4317", "tcp dport 4317", &["no connection"]);
}
