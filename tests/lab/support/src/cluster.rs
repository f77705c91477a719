//! What the KubeVirt tests share: an API server that allows the agent what its manifest says, and the product's central
//! metric.

use std::path::PathBuf;

use super::{Agent, ApiServer, Collector, Metrics, Node, User, repository};

/// What really runs a VirtualMachineInstance.
pub const HYPERVISOR: &str = "kubevirt_vmi_hypervisor_info";

/// An API server with KubeVirt's objects and the role that ships.
pub struct Cluster {
    pub api: ApiServer,
    /// The agent's kubeconfig.
    pub kubeconfig: PathBuf,
}

impl Cluster {
    #[track_caller]
    pub fn start() -> Cluster {
        let api = ApiServer::start();
        api.bind_cluster_role(&repository().join("deploy/kubernetes/clusterrole.yaml"), User::Agent);
        let kubeconfig = api.kubeconfig_for(User::Agent);
        Cluster { api, kubeconfig }
    }

    /// The agent of a node.
    #[track_caller]
    pub fn agent(&self, node: &Node, collector: Option<&Collector>) -> Agent {
        Agent::on_node(node, &self.kubeconfig, &[], collector)
    }
}

/// A VirtualMachineInstance's hypervisor type on a page; none if it has no series. Panics if it has more than one
/// series or unexpected labels.
#[track_caller]
pub fn hypervisor(page: &Metrics, namespace: &str, name: &str) -> Option<String> {
    let series = page.all(HYPERVISOR, &[("namespace", namespace), ("name", name)]);
    assert!(series.len() < 2, "one type at a time: {series:?}");
    let sample = series.first()?;
    let labels: Vec<&str> = sample.labels.keys().map(String::as_str).collect();
    assert_eq!(labels, ["hypervisor_type", "name", "namespace", "node"], "{sample:?}");
    assert_eq!(sample.value, 1.0, "{sample:?}");
    sample.label("hypervisor_type").map(str::to_owned)
}
