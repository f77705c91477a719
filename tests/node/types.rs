//! What really runs a VM, on a node where both are possible.

use lab_support::cluster::hypervisor;
use lab_support::terminal::{ENDED, Terminal};

use super::support::{Cluster, Collector, Guest, NODE1, Release, TYPE, VMS, Vm, soon};

#[test]
#[ignore = "needs a cluster: make test-node"]
fn vms_on_kvm_and_emulated_ones_are_told_apart_everywhere() {
    let cluster = Cluster::alone();
    if !lab_support::kvm_or_skip() {
        return;
    }
    let received = Collector::from_now_on(&cluster);
    let release = Release::install(&cluster, "virt-otel", &["interval=2s"]);
    let vms = [Vm::start(&cluster, "real", Guest::Kvm, NODE1), Vm::start(&cluster, "emulated", Guest::Emulated, NODE1)];
    let types = ["kvm", "qemu-tcg"];
    for (vm, wanted) in vms.iter().zip(types) {
        release.wait_for(NODE1, &format!("{} as {wanted}", vm.name), |page| {
            hypervisor(page, VMS, &vm.name).as_deref() == Some(wanted)
        });
        soon(&format!("a point that says {wanted}"), || {
            let points = received.of_pod(TYPE, &vm.launcher.pod);
            points.iter().any(|point| point.attribute("hypervisor_type").as_deref() == Some(wanted)).then_some(())
        });
    }
    // As in deploy/README.md.
    let table = cluster.kubectl(&["exec", "-n", &release.name, &release.on(NODE1).name, "--", "virt-otel", "snapshot"]);
    for (vm, wanted) in vms.iter().zip(types) {
        let line = table.lines().find(|line| line.split_whitespace().any(|word| word.ends_with(&vm.name)));
        assert!(line.is_some_and(|line| line.contains(wanted)), "{}: {table}", vm.name);
    }
    let shown = |seen: &str| {
        let row = |vm: &Vm| seen.lines().find(|line| line.starts_with(&format!("{VMS}/{}", vm.name)));
        vms.iter().zip(types).all(|(vm, wanted)| row(vm).is_some_and(|row| row.contains(wanted)))
    };
    let terminal = Terminal::run(&cluster.command_line(&[
        "exec",
        "-it",
        "-n",
        &release.name,
        &release.on(NODE1).name,
        "--",
        "virt-otel top",
    ]));
    terminal.wait_for("both VMs, live", shown);
    terminal.press("q");
    terminal.wait_for("its end", |seen| seen.contains(&format!("{ENDED} 0")));
}
