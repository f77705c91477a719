//! What the cluster's Collector has received.

use std::fs;
use std::path::PathBuf;

use lab_support::collector::{Received, points_of};
use serde_json::Value;

use super::cluster::{Cluster, NODE1, lib_of};

/// The namespace of the Collectors.
pub const NAMESPACE: &str = "opentelemetry";

/// A Collector in the cluster.
pub struct Collector {
    file: PathBuf,
    /// What was received before the test began.
    from: u64,
}

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
        let file = volumes.join("data/received.jsonl");
        let from = fs::metadata(&file).map_or(0, |file| file.len());
        Collector { file, from }
    }

    /// The points of a metric, in order, with their Resources.
    #[track_caller]
    pub fn points(&self, metric: &str) -> Vec<Received> {
        let text = fs::read(&self.file).unwrap_or_default();
        let from = usize::try_from(self.from).expect("a length");
        let lines = text.get(from..).unwrap_or_default().split_inclusive(|byte| *byte == b'\n');
        // The last line may be half written.
        let whole = lines.filter(|line| line.ends_with(b"\n"));
        let requests = whole.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        let resources = requests.flat_map(|mut request| match request["resourceMetrics"].take() {
            Value::Array(resources) => resources,
            _ => Vec::new(),
        });
        resources.flat_map(|resource| points_of(&resource, metric)).collect()
    }

    /// The points of a metric that belong to the VM in a pod.
    pub fn of_pod(&self, metric: &str, pod_uid: &str) -> Vec<Received> {
        let mut points = self.points(metric);
        points.retain(|point| point.of_resource("service.instance.id") == Some(pod_uid));
        points
    }
}
