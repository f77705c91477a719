//! The agent as in a cluster: with the shipped account, role and binding, and its pod's token.

use std::fs;
use std::time::Duration;

use super::support::cluster::hypervisor;
use super::support::container::Container;
use super::support::{Agent, ApiServer, Node, Vmi, repository, wait_until};

/// The shipped account: its namespace and name.
const ACCOUNT: (&str, &str) = ("virt-otel", "virt-otel");
/// How long it may take until something shows on the page, on a busy machine.
const SOON: Duration = Duration::from_secs(15);

/// Creates an object of deploy/kubernetes.
#[track_caller]
fn make(api: &ApiServer, collection: &str, file: &str) {
    let path = repository().join("deploy/kubernetes").join(file);
    api.admin().create_text(collection, &fs::read_to_string(path).expect(file));
}

#[test]
fn with_the_account_that_ships_and_the_files_of_its_pod_it_sees_its_vms_and_nothing_else() {
    let (api, node) = (ApiServer::start(), Node::new("node-a"));
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    make(&api, "/api/v1/namespaces", "namespace.yaml");
    make(&api, &format!("/api/v1/namespaces/{}/serviceaccounts", ACCOUNT.0), "serviceaccount.yaml");
    make(&api, &format!("{rbac}/clusterroles"), "clusterrole.yaml");
    make(&api, &format!("{rbac}/clusterrolebindings"), "clusterrolebinding.yaml");
    let launcher = node.launcher();
    launcher.start_tcg("shop", "web");
    Vmi::create_running(&api, "shop", "web", launcher.place());

    // What the kubelet puts into the pod.
    let token = api.token_of(ACCOUNT.0, ACCOUNT.1);
    let files = tempfile::tempdir().unwrap();
    fs::write(files.path().join("token"), &token).unwrap();
    fs::write(files.path().join("namespace"), ACCOUNT.0).unwrap();
    fs::copy(api.authority_file(), files.path().join("ca.crt")).unwrap();
    let pods = tempfile::tempdir().unwrap();
    let container =
        Container::of_user(0).capability("dac_override").read_only(node.pods_dir(), pods.path()).account(files.path());

    let pods = pods.path().display().to_string();
    let arguments = ["--mode", "kubevirt", "--pods-dir", &pods, "--interval", "1s", "--exporters", "prometheus"];
    let port = api.port().to_string();
    let variables = [
        ("VIRT_OTEL_NODE_NAME", node.name()),
        ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
        ("KUBERNETES_SERVICE_PORT", &port),
    ];
    let mut agent = Agent::contained_with(&container, &arguments, &variables);
    agent.wait_for(SOON, "the VM", |page| hypervisor(page, "shop", "web").as_deref() == Some("qemu-tcg"));
    wait_until(SOON, "the agent to be ready", || agent.get("/readyz", &[]).ok().filter(|answer| answer.status == 200));
    assert!(!agent.log().contains("WARN"), "{}", agent.log());
    assert_eq!(agent.terminate().code, Some(0));

    // The same token allows nothing else.
    let account = api.admin().with_token(&token);
    for path in ["/api/v1/pods", "/api/v1/secrets", "/api/v1/nodes", "/apis/kubevirt.io/v1/virtualmachines"] {
        assert_eq!(account.status("GET", path), 403, "{path}");
    }
    assert_eq!(account.status("DELETE", "/apis/kubevirt.io/v1/namespaces/shop/virtualmachineinstances/web"), 403);
}

#[test]
fn outside_of_a_cluster_it_says_what_is_missing() {
    let output = Agent::output(
        &["run", "--mode", "kubevirt", "--node-name", "node-a", "--exporters", "prometheus", "--listen", "localhost:0"],
        &[],
    );
    assert_eq!(output.code, Some(64), "{}", output.stderr);
    assert!(output.stderr.contains("--kubeconfig"), "{}", output.stderr);
}
