//! What the cluster's Collector has received.

use lab_support::collector::{Received, Requests};

use super::cluster::{Cluster, NODE1, lib_of};
use super::pod::Pod;

/// The type of a VM, which every push has.
pub const TYPE: &str = "kubevirt.vmi.hypervisor.info";
/// A counter of a VM.
pub const CPU: &str = "kubevirt.vmi.cpu.usage";
/// The namespace of the Collectors.
pub const NAMESPACE: &str = "opentelemetry";

/// A Collector in the cluster.
pub struct Collector(Requests);

impl Collector {
    /// What the usual one receives from now on.
    #[track_caller]
    pub fn from_now_on(cluster: &Cluster) -> Collector {
        Collector::of(cluster, "otel-collector")
    }

    /// What the one with this label receives from now on.
    #[track_caller]
    pub fn of(cluster: &Cluster, app: &str) -> Collector {
        let pods = cluster.list(&["pods", "-n", NAMESPACE, "-l", &format!("app={app}")]);
        let uid = pods.first().and_then(|pod| pod["metadata"]["uid"].as_str()).expect("the Collector's pod");
        let volumes = lib_of(NODE1).join("kubelet/pods").join(uid).join("volumes/kubernetes.io~empty-dir");
        Collector(Requests::from_now_on(volumes.join("data/received.jsonl")))
    }

    /// The points of a metric, in order, with their Resources.
    pub fn points(&self, metric: &str) -> Vec<Received> {
        self.0.points(metric)
    }

    /// Those of the VM in a launcher's pod.
    pub fn of_pod(&self, metric: &str, pod: &Pod) -> Vec<Received> {
        self.0.of_pod(metric, &pod.uid)
    }

    /// The series of the VM in a pod have ended, once.
    #[track_caller]
    pub fn check_ended(&self, pod: &Pod) {
        for metric in [TYPE, CPU] {
            let points = self.of_pod(metric, pod);
            assert_eq!(points.iter().filter(|point| point.ended()).count(), 1, "{metric}: {points:#?}");
            assert!(points.last().is_some_and(Received::ended), "{metric} goes on after its end: {points:#?}");
        }
    }
}
