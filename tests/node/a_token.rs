//! A token of ten minutes, the shortest that the API server gives, which the kubelet rotates. The name has it begin first;
//! other tests run while it waits.

use std::time::{Duration, Instant};

use lab_support::process;
use serde_json::{Value, json};

use super::support::cluster::soon;
use super::support::{Cluster, Guest, NODE1, Release, Vm};

/// How long a token is good for.
const GOOD_FOR: Duration = Duration::from_secs(600);
/// What the API server allows beyond that, for clocks that differ.
const LEEWAY: Duration = Duration::from_secs(15);
/// Where a pod has its token.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The same past the image's link from /var/run to /run, which would lead into this machine's from outside.
const FROM_OUTSIDE: &str = "/run/secrets/kubernetes.io/serviceaccount";

/// Another token for the agents of a release: the kubelet's usual one is good for an hour, and then for a year more.
fn with_short_tokens(cluster: &Cluster, release: &Release) {
    let sources = json!([
        { "serviceAccountToken": { "path": "token", "expirationSeconds": GOOD_FOR.as_secs() } },
        { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
        { "downwardAPI": { "items": [{ "path": "namespace", "fieldRef": { "fieldPath": "metadata.namespace" } }] } }
    ]);
    let change = json!([
        { "op": "add", "path": "/spec/template/spec/automountServiceAccountToken", "value": false },
        { "op": "add", "path": "/spec/template/spec/volumes/-",
          "value": { "name": "short-token", "projected": { "sources": sources } } },
        { "op": "add", "path": "/spec/template/spec/containers/0/volumeMounts/-",
          "value": { "name": "short-token", "mountPath": ACCOUNT, "readOnly": true } }
    ]);
    cluster.kubectl(&[
        "patch",
        "-n",
        &release.name,
        &release.daemon_set(),
        "--type",
        "json",
        "-p",
        &change.to_string(),
    ]);
    release.wait_ready();
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn an_agent_goes_on_with_the_token_that_the_kubelet_has_rotated() {
    let cluster = Cluster::alone();
    let release = Release::install(&cluster, "virt-otel-token", &["exporters={prometheus}"]);
    with_short_tokens(&cluster, &release);
    let agent = release.on(NODE1);
    let token = || {
        // The kubelet's exchange of the files behind their link can be seen.
        let read = || std::fs::read_to_string(format!("/proc/{}/root{FROM_OUTSIDE}/token", agent.process())).ok();
        soon(&format!("a token of {}", agent.name), read)
    };
    let (first, begun) = (token(), Instant::now());
    assert_eq!(cluster.client.with_token(&first).status("GET", "/apis/kubevirt.io/v1/virtualmachineinstances"), 200);
    cluster.step_aside();

    std::thread::sleep((GOOD_FOR + LEEWAY).saturating_sub(begun.elapsed()));
    let refused =
        || cluster.client.with_token(&first).request("GET", "/api", None).is_ok_and(|answer| answer.status == 401);
    soon("the first token to be refused", || refused().then_some(()));
    assert_ne!(token(), first, "the kubelet has rotated it");

    cluster.take();
    // Every request from here on needs the new one: the API server has forgotten all connections.
    drop(cluster.without(NODE1, &["kube-apiserver"]));
    let vm = Vm::start(&cluster, "rotated", Guest::Emulated, NODE1);
    soon("the VM on the page of an agent with a new token", || vm.is_emulated_on(&agent.page()).then_some(()));
    assert!(process::alive(agent.process()));
    assert_eq!(agent.restarts(), 0);
    let log = agent.log();
    let refused: Vec<_> = log.lines().filter(|line| is_refusal(line)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

/// Whether a line of the log says that the API server did not accept who asked. Only the reason does: a UID may have a 401.
fn is_refusal(line: &str) -> bool {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    let reason = line["reason"].as_str().unwrap_or_default();
    reason.contains("401") || reason.contains("Unauthorized")
}
