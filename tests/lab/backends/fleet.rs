//! The pair for fleets: each VM keeps to one gateway, and what is pushed while no gateway answers waits on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tempfile::TempDir;

use super::pushes::{Agents, numbers, received, text};
use super::sink::{Sink, eventually};
use crate::support::pki::{Authority, Subject};
use crate::support::{Collector, CollectorOptions, repository};

/// How the certificate names all gateways.
const NAME: &str = "gateways.test";

/// How many VMs the libvirt host has: enough for each gateway to get some.
const DOMAINS: u128 = 20;

/// A shipped file with a part replaced.
#[track_caller]
fn with_replaced(name: &str, old: &str, new: &str) -> String {
    let path = repository().join("otel/collector/fleet").join(name);
    let text = std::fs::read_to_string(path).expect("a file that ships");
    assert!(text.contains(old), "{name} has no {old:?}");
    text.replace(old, new)
}

/// A Collector of a node, two gateways, and what is behind each of these.
struct Fleet {
    node: Collector,
    gateways: [Collector; 2],
    sinks: [Sink; 2],
    _folder: TempDir,
}

impl Fleet {
    fn start() -> Fleet {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).display().to_string();
        let authority = Authority::new("fleet");
        authority.write(Path::new(&file("ca.pem")));
        authority.issue(Subject::Names(&[NAME]), Path::new(&file("cert.pem")), Path::new(&file("key.pem")));
        let sinks = [Sink::start(), Sink::start()];
        let gateways = [0, 1].map(|number: usize| {
            Collector::start(
                CollectorOptions::shipped("fleet/gateway.yaml")
                    .with_vendors()
                    .variable("BACKEND_OTLP_ENDPOINT", &sinks[number].url())
                    .variable("TLS_CERT_FILE", &file("cert.pem"))
                    .variable("TLS_KEY_FILE", &file("key.pem"))
                    .variable("QUEUE_DIRECTORY", &file(&format!("gateway-{number}"))),
            )
        });
        // No name service here knows them: they are listed. The name is still the one that certificates are checked for.
        let addresses: Vec<String> =
            gateways.iter().map(|gateway| gateway.endpoint().trim_start_matches("http://").to_owned()).collect();
        let listed = format!("static:\n        hostnames: [\"{}\"]\n", addresses.join("\", \""));
        let dns = "dns:\n        # The addresses of all gateways: a headless Service in Kubernetes.\n        hostname: \
                   ${env:GATEWAY_HOSTNAME}\n        port: ${env:GATEWAY_PORT:-4317}\n";
        let node = Collector::start(
            CollectorOptions::changed(&with_replaced("agent.yaml", dns, &listed))
                .with_vendors()
                .variable("GATEWAY_HOSTNAME", NAME)
                .variable("GATEWAY_CA_FILE", &file("ca.pem"))
                .variable("K8S_CLUSTER_NAME", "production")
                .variable("QUEUE_DIRECTORY", &file("node")),
        );
        Fleet { node, gateways, sinks, _folder: folder }
    }

    /// How each VM's points came.
    fn ways(&self) -> BTreeMap<String, Way> {
        let mut ways: BTreeMap<String, Way> = BTreeMap::new();
        for (number, sink) in self.sinks.iter().enumerate() {
            let requests = sink.otlp("/v1/metrics");
            for (resource, metric) in received(&requests) {
                let Some(name) = text(resource, "libvirt.domain.name") else { continue };
                let way = ways.entry(name.to_owned()).or_default();
                way.gateways.insert(number);
                if super::CPU.contains(&&*metric.name) {
                    way.times.extend(numbers(metric).iter().map(|point| point.time_unix_nano));
                }
            }
        }
        ways
    }

    /// Waits until so many pushes of every VM have come.
    #[track_caller]
    fn arrived(&self, pushes: usize) -> BTreeMap<String, Way> {
        let vms = usize::try_from(DOMAINS).unwrap() + 2;
        eventually(&format!("{pushes} pushes of {vms} VMs"), || {
            Some(self.ways()).filter(|ways| ways.len() == vms && ways.values().all(|way| way.pushes() >= pushes))
        })
    }
}

/// How the points of a VM came.
#[derive(Debug, Default)]
struct Way {
    /// Through which gateways.
    gateways: BTreeSet<usize>,
    /// The times of one counter, as they came.
    times: Vec<u64>,
}

impl Way {
    /// How many pushes they are from: some may have come twice.
    fn pushes(&self) -> usize {
        self.times.iter().collect::<BTreeSet<_>>().len()
    }
}

#[test]
#[ignore = "needs vendors' exporters: make test-backends"]
fn each_vm_keeps_to_one_gateway_in_order_and_knows_its_cluster() {
    let fleet = Fleet::start();
    let mut agents = Agents::with_domains(DOMAINS);
    for _ in 0..3 {
        agents.push_to(fleet.node.http_port());
    }
    let ways = fleet.arrived(3);
    assert!(ways.values().all(|way| way.gateways.len() == 1 && way.times.len() == 3), "{ways:?}");
    assert!(ways.values().all(|way| way.times.is_sorted()), "{ways:?}");
    let used: BTreeSet<usize> = ways.values().flat_map(|way| way.gateways.iter().copied()).collect();
    assert_eq!(used.len(), 2, "one gateway got everything: {ways:?}");

    for sink in &fleet.sinks {
        let requests = sink.otlp("/v1/metrics");
        for (resource, _) in received(&requests) {
            let expected = text(resource, "k8s.node.name").map(|_| "production");
            assert_eq!(text(resource, "k8s.cluster.name"), expected, "{resource:?}");
        }
    }
    assert_eq!(fleet.node.points_lost(), 0.0, "{}", fleet.node.log());
}

#[test]
#[ignore = "needs vendors' exporters: make test-backends"]
fn what_is_pushed_while_no_gateway_answers_survives_the_nodes_collector() {
    let mut fleet = Fleet::start();
    let mut agents = Agents::with_domains(DOMAINS);
    agents.push_to(fleet.node.http_port());
    fleet.arrived(1);
    for gateway in &mut fleet.gateways {
        gateway.stop();
    }
    agents.push_to(fleet.node.http_port());
    agents.push_to(fleet.node.http_port());
    fleet.node.kill();
    for gateway in &mut fleet.gateways {
        gateway.start_again();
    }
    fleet.node.start_again();
    // In any order: the request that was on its way when the Collector was killed goes to the end of its queue.
    let ways = fleet.arrived(3);
    assert!(ways.values().all(|way| way.gateways.len() == 1), "{ways:?}");
}
