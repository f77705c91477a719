//! A push over TLS out of the image, to a Collector whose certificate is checked.

use serde_json::json;

use super::support::{Cluster, Collector, Guest, NODE1, Release, TYPE, Vm, secret, soon};

/// The Collector's name, which its certificate has.
const NAME: &str = "secure.opentelemetry";
const MANIFEST: &str = "tests/node/manifests/secure-collector.yaml";

/// The Collector, for as long as the test takes. Returns the certificate of its authority.
struct Secure<'a>(&'a Cluster, String);

impl<'a> Secure<'a> {
    #[track_caller]
    fn start(cluster: &'a Cluster) -> Secure<'a> {
        let (secret, authority) = secret::tls("secure", NAME);
        cluster.client.create("/api/v1/namespaces/opentelemetry/secrets", &secret);
        cluster.apply(MANIFEST);
        cluster.kubectl(&["rollout", "status", "-n", "opentelemetry", "deployment/secure", "--timeout=60s"]);
        Secure(cluster, authority)
    }
}

impl Drop for Secure<'_> {
    fn drop(&mut self) {
        self.0.delete(MANIFEST);
        self.0.tidy(&["delete", "-n", "opentelemetry", "secret", "secure", "--ignore-not-found"]);
    }
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn the_image_pushes_over_tls_to_whom_it_trusts_and_to_nobody_else() {
    let cluster = Cluster::alone();
    let secure = Secure::start(&cluster);
    let received = Collector::of(&cluster, "secure");
    let endpoint = format!("otlp.endpoint=https://{NAME}:4317");
    let release = Release::install(&cluster, "virt-otel", &["interval=2s", &endpoint]);
    let vm = Vm::start(&cluster, "pushed", Guest::Emulated, NODE1);
    // The authorities of the image are there, and this one is not among them.
    soon("the reason in the log", || release.on(NODE1).log().contains("UnknownIssuer").then_some(()));
    assert!(received.points(TYPE).is_empty());

    let ca = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "authorities" },
        "stringData": { "ca.crt": secure.1 } });
    cluster.client.create(&format!("/api/v1/namespaces/{}/secrets", release.name), &ca);
    release.upgrade(&["interval=2s", &endpoint, "otlp.tls.secretName=authorities"]);
    release.wait_ready();
    soon("a push over TLS", || (!received.of_pod(TYPE, &vm.launcher.pod).is_empty()).then_some(()));
}
