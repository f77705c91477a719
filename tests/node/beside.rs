//! The agent of the node and a sidecar on one VM: both show it, and the sidecar alone pushes it.

use std::time::Duration;

use lab_support::collector::Received;

use super::sidecar::{NAMESPACE, Policy};
use super::support::{Cluster, Collector, Guest, NODE1, Release, TYPE, VMS, Vm, soon};

const LEFT: &str = "virt_otel_otlp_vms_left_to_sidecars";

/// Only the agent of the node knows the VMI's UID.
fn is_of_the_node(point: &Received) -> bool {
    point.of_resource("kubevirt.vmi.uid").is_some()
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn a_vm_with_a_sidecar_is_shown_by_both_and_pushed_once() {
    let cluster = Cluster::alone();
    let _policy = Policy::apply(&cluster);
    let received = Collector::from_now_on(&cluster);
    let release = Release::install(&cluster, "virt-otel", &["interval=1s"]);
    let guarded = Vm::start_in(&cluster, NAMESPACE, "guarded", Guest::Emulated, NODE1);
    let plain = Vm::start(&cluster, "plain", Guest::Emulated, NODE1);
    for vm in [&guarded, &plain] {
        release.wait_for(NODE1, &vm.name, |page| vm.is_emulated_on(page));
        soon("a point of it", || (!received.of_pod(TYPE, &vm.launcher.pod).is_empty()).then_some(()));
    }
    release.wait_for(NODE1, "a VM that is left to its sidecar", |page| page.get(LEFT, &[]) == Some(1.0));
    // Some intervals of both.
    std::thread::sleep(Duration::from_secs(20));
    let points = |vm: &Vm| received.of_pod(TYPE, &vm.launcher.pod);
    assert!(!points(&guarded).iter().any(is_of_the_node), "the node's agent pushed it, too");
    assert!(points(&plain).iter().all(is_of_the_node) && plain.namespace == VMS);
    let agent = release.on(NODE1);
    let said = |pod: &super::support::Pod| pod.log().lines().filter(|line| line.contains("sidecar")).count();
    assert_eq!(said(&agent), 1, "{}", agent.log());

    release.upgrade(&["interval=1s", "pushBesideSidecar=true"]);
    release.wait_ready();
    soon("pushes of both", || points(&guarded).iter().any(is_of_the_node).then_some(()));
}
