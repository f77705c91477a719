//! The chart's NetworkPolicy, enforced by kube-router's firewall.

use serde_json::json;

use super::support::{Cluster, NODE1, NODE2, Release, soon};

/// A pod with a shell in a namespace of its own; both go when dropped.
struct Client<'a> {
    cluster: &'a Cluster,
    namespace: &'static str,
}

impl<'a> Client<'a> {
    #[track_caller]
    fn start(cluster: &'a Cluster, namespace: &'static str) -> Client<'a> {
        cluster.client.ensure_namespace(namespace);
        let client = Client { cluster, namespace };
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "client", "namespace": namespace },
            "spec": {
                "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
                "nodeSelector": { "kubernetes.io/hostname": NODE2 },
                "containers": [{
                    "name": "client", "image": "localhost/launcher:1",
                    "command": ["/bin/sleep", "infinity"] }] } });
        soon("a client", || {
            // The account of a namespace comes a moment after it.
            let body = pod.to_string();
            let made = cluster.client.request(
                "POST",
                &format!("/api/v1/namespaces/{namespace}/pods"),
                Some(("application/json", body.as_bytes())),
            );
            made.is_ok_and(|answer| matches!(answer.status, 201 | 409)).then_some(())
        });
        cluster.kubectl(&["wait", "-n", namespace, "--for=condition=Ready", "pod/client", "--timeout=60s"]);
        client
    }

    /// Whether it gets the page of an address.
    #[track_caller]
    fn gets_the_page(&self, address: &str) -> bool {
        let get = format!(
            "exec 3<>/dev/tcp/{address}/9464 && printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3"
        );
        let output = self.cluster.try_kubectl(&[
            "exec",
            "-n",
            self.namespace,
            "client",
            "--",
            "timeout",
            "3",
            "bash",
            "-c",
            &get,
        ]);
        output.stdout.contains(" 200 ")
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        self.cluster.tidy(&["delete", "namespace", self.namespace, "--wait"]);
    }
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn only_those_whom_the_chart_names_reach_the_page_and_probes_pass() {
    let cluster = Cluster::alone();
    let release = Release::install(&cluster, "virt-otel", &[]);
    let [friend, stranger] = ["monitoring", "strangers"].map(|namespace| Client::start(&cluster, namespace));
    let address = |node: &str| {
        let object = release.on(node).object().expect("an agent");
        object["status"]["podIP"].as_str().expect("its address").to_owned()
    };
    for client in [&friend, &stranger] {
        assert!(client.gets_the_page(&address(NODE1)), "without a policy everybody reaches it");
    }
    release.upgrade(&[
        "networkPolicy.create=true",
        "networkPolicy.from[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=monitoring",
    ]);
    soon("the stranger to be kept out", || (!stranger.gets_the_page(&address(NODE1))).then_some(()));
    for node in [NODE1, NODE2] {
        assert!(!stranger.gets_the_page(&address(node)), "{node}");
        assert!(friend.gets_the_page(&address(node)), "{node}");
    }
    // Two rounds of probes.
    std::thread::sleep(std::time::Duration::from_secs(12));
    for node in [NODE1, NODE2] {
        assert!(release.on(node).is_ready(), "the kubelet of {node} reaches the probes");
        assert_eq!(release.on(node).restarts(), 0);
    }
}
