//! A VMI that moves from one node to the other: its series and its Resources.

use super::support::{CPU, Cluster, Collector, Guest, NODE1, NODE2, Release, VMS, Vm, soon, types_meanwhile};

#[test]
#[ignore = "needs a cluster: make test-node"]
fn a_vmi_that_moves_ends_here_and_begins_there() {
    let cluster = Cluster::alone();
    let received = Collector::from_now_on(&cluster);
    let release = Release::install(&cluster, "virt-otel", &["interval=1s"]);
    let vm = Vm::start(&cluster, "moving", Guest::Emulated, NODE1);
    release.wait_for(NODE1, "the VM", |page| vm.is_emulated_on(page));
    let target = vm.target(NODE2);
    let agents = [NODE1, NODE2].map(|node| release.on(node));
    let seen = types_meanwhile(&[&agents[0], &agents[1]], VMS, "moving", || vm.migrate(&target));
    let emulated = || Some("qemu-tcg".to_owned());
    assert_eq!(seen[0], [emulated(), None], "on the first node");
    assert_eq!(seen[1], [None, emulated()], "on the second");

    // Both Resources are of the same VMI, and the first one's series have ended.
    let uid = vm.vmi.uid();
    soon("points from the second node", || (!received.of_pod(CPU, &target.pod).is_empty()).then_some(()));
    for (launcher, node) in [(&vm.launcher, NODE1), (&target, NODE2)] {
        let points = received.of_pod(CPU, &launcher.pod);
        for point in &points {
            assert_eq!(point.of_resource("kubevirt.vmi.uid"), Some(uid.as_str()));
            assert_eq!(point.of_resource("k8s.node.name"), Some(node));
        }
    }
    received.check_ended(&vm.launcher.pod);
}
