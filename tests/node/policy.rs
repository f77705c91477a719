//! The chart's NetworkPolicy, enforced by kube-router's firewall.

use std::net::SocketAddr;

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
        cluster.ensure_namespace(namespace);
        let client = Client { cluster, namespace };
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "client", "namespace": namespace },
            "spec": {
                "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
                "nodeSelector": { "kubernetes.io/hostname": NODE2 },
                "containers": [{
                    "name": "client", "image": "localhost/launcher:1",
                    "command": ["/bin/sleep", "infinity"] }] } });
        cluster.client.create(&format!("/api/v1/namespaces/{namespace}/pods"), &pod);
        cluster.kubectl(&["wait", "-n", namespace, "--for=condition=Ready", "pod/client", "--timeout=60s"]);
        client
    }

    /// Whether it gets the page at an address.
    #[track_caller]
    fn gets_the_page(&self, page: SocketAddr) -> bool {
        let (address, port) = (page.ip(), page.port());
        let get = format!(
            "exec 3<>/dev/tcp/{address}/{port} && printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3"
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
    let release = Release::install(&cluster, "virt-otel", &["networkPolicy.create=false"]);
    let [friend, stranger] = ["monitoring", "strangers"].map(|namespace| Client::start(&cluster, namespace));
    let page = |node: &str| release.on(node).page_address();
    for client in [&friend, &stranger] {
        assert!(client.gets_the_page(page(NODE1)), "without a policy everybody reaches it");
    }
    // The default: those of one namespace.
    release.upgrade_to_default();
    soon("the stranger to be kept out", || (!stranger.gets_the_page(page(NODE1))).then_some(()));
    for node in [NODE1, NODE2] {
        assert!(!stranger.gets_the_page(page(node)), "{node}");
        assert!(friend.gets_the_page(page(node)), "{node}");
    }
    // Two rounds of probes.
    std::thread::sleep(std::time::Duration::from_secs(12));
    for node in [NODE1, NODE2] {
        assert!(release.on(node).is_ready(), "the kubelet of {node} reaches the probes");
        assert_eq!(release.on(node).restarts(), 0);
    }
}
