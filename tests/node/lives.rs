//! Agents that are replaced, and a node on which everything around them is.

use std::time::{Duration, Instant};

use lab_support::answer_within;

use super::support::{Cluster, Guest, NODE1, NODE2, Pod, Release, VMS, Vm, soon, types_meanwhile};

/// An agent ends in order within seven seconds; the kubelet and the API server add theirs.
const ENDS_WITHIN: Duration = Duration::from_secs(14);

/// A variable of the agent's container.
fn variable(pod: &Pod, name: &str) -> Option<String> {
    let object = pod.object()?;
    let variables = object["spec"]["containers"][0]["env"].as_array()?.clone();
    let variable = variables.iter().find(|variable| variable["name"] == name)?;
    variable["value"].as_str().map(str::to_owned)
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn an_agent_that_is_deleted_ends_in_order_and_the_next_one_sees_the_same() {
    let cluster = Cluster::alone();
    let release = Release::install(&cluster, "virt-otel", &["interval=2s"]);
    let vm = Vm::start(&cluster, "stays", Guest::Emulated, NODE1);
    release.wait_for(NODE1, "the VM", |page| vm.is_emulated_on(page));
    let first = release.on(NODE1);
    let begun = Instant::now();
    cluster.kubectl(&["delete", "pod", "-n", &release.name, &first.name, "--wait"]);
    let took = begun.elapsed();
    println!("deleted in {:.1} s", took.as_secs_f64());
    assert!(took < ENDS_WITHIN, "{took:?}");
    release.wait_ready();
    assert_ne!(release.on(NODE1).uid, first.uid);
    release.wait_for(NODE1, "the VM again", |page| vm.is_emulated_on(page));
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn on_a_node_that_is_drained_a_vm_is_never_unknown() {
    let cluster = Cluster::alone();
    let release = Release::install(&cluster, "virt-otel", &["interval=2s"]);
    let vm = Vm::start(&cluster, "evicted", Guest::Emulated, NODE2);
    release.wait_for(NODE2, "the VM", |page| vm.is_emulated_on(page));
    let agent = release.on(NODE2);
    let seen = types_meanwhile(&[&agent], VMS, &vm.name, || {
        let drain = ["drain", NODE2, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=90s"];
        let drained = cluster.try_kubectl(&drain);
        cluster.kubectl(&["uncordon", NODE2]);
        assert_eq!(drained.code, Some(0), "{}{}", drained.stdout, drained.stderr);
    });
    assert_eq!(seen, [[Some("qemu-tcg".to_owned()), None]]);
    assert_eq!(release.on(NODE2).uid, agent.uid, "a drain leaves the DaemonSet's pods");
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn a_restart_of_kubelet_and_containerd_goes_unnoticed() {
    let cluster = Cluster::alone();
    let release = Release::install(&cluster, "virt-otel", &["interval=2s"]);
    let vm = Vm::start(&cluster, "stays", Guest::Emulated, NODE2);
    release.wait_for(NODE2, "the VM", |page| vm.is_emulated_on(page));
    let agent = release.on(NODE2);
    let process = agent.process();
    for service in ["kubelet", "containerd"] {
        let away = cluster.without(NODE2, &[service]);
        for _ in 0..30 {
            assert!(vm.is_emulated_on(&agent.page()), "while {service} is away");
            std::thread::sleep(Duration::from_millis(100));
        }
        drop(away);
        assert!(vm.is_emulated_on(&agent.page()), "after {service} is back");
    }
    // The kubelet asks it again.
    soon("an agent that is ready", || agent.is_ready().then_some(()));
    assert_eq!((agent.process(), agent.restarts()), (process, 0));
    // What comes later is seen as before.
    let later = Vm::start(&cluster, "later", Guest::Emulated, NODE2);
    release.wait_for(NODE2, "a later VM", |page| later.is_emulated_on(page));
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn an_update_goes_from_node_to_node_and_back() {
    let cluster = Cluster::alone();
    let release = Release::install(&cluster, "virt-otel", &["interval=2s"]);
    let vm = Vm::start(&cluster, "stays", Guest::Emulated, NODE1);
    release.upgrade(&["interval=3s"]);
    release.wait_ready();
    for node in [NODE1, NODE2] {
        assert_eq!(variable(&release.on(node), "VIRT_OTEL_INTERVAL").as_deref(), Some("3s"), "{node}");
    }
    release.wait_for(NODE1, "the VM after the update", |page| vm.is_emulated_on(page));

    // A version that cannot be had stops at the first node.
    release.upgrade(&["interval=4s", "image.tag=none"]);
    let broken = soon("a pod without its image", || {
        release.pods().into_iter().find(|pod| {
            let status = pod.status().unwrap_or_default();
            status["state"]["waiting"]["reason"].as_str().is_some_and(|reason| reason.contains("Image"))
        })
    });
    std::thread::sleep(Duration::from_secs(5));
    let ready = release.pods().into_iter().filter(Pod::is_ready).count();
    assert_eq!(ready, 1, "the other node keeps its agent");

    cluster.helm(&["rollback", &release.name, "2", "--namespace", &release.name]);
    release.wait_ready();
    for node in [NODE1, NODE2] {
        assert_eq!(variable(&release.on(node), "VIRT_OTEL_INTERVAL").as_deref(), Some("3s"), "{node}");
    }
    let gone = answer_within(Duration::from_secs(30), || broken.object().is_none().then_some(()));
    assert!(gone.is_some(), "{} is still there", broken.name);
    release.wait_for(NODE1, "the VM after the way back", |page| vm.is_emulated_on(page));
}
