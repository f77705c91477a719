//! The agent as a native sidecar, added by the policy that ships: from the start of a VM to its end, and on its way to
//! another node.

use std::time::Duration;

use lab_support::answer_within;

use super::support::vm::Launcher;
use super::support::{CPU, Cluster, Collector, Guest, NODE1, NODE2, TYPE, Vm, soon};

/// A namespace that wants sidecars.
pub const NAMESPACE: &str = "guarded";
/// How long a pod may take to end once its domain has ended.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// The policy, for as long as a test takes.
pub struct Policy<'a>(&'a Cluster);

impl<'a> Policy<'a> {
    #[track_caller]
    pub fn apply(cluster: &'a Cluster) -> Policy<'a> {
        cluster.ensure_namespace(NAMESPACE);
        cluster.kubectl(&["label", "--overwrite", "namespace", NAMESPACE, "virt-otel/sidecar=enabled"]);
        cluster.apply("deploy/sidecar/policy.yaml");
        let policy = Policy(cluster);
        soon("the policy to hold", || Launcher::would_have_a_sidecar(cluster, NAMESPACE).then_some(()));
        policy
    }
}

impl Drop for Policy<'_> {
    fn drop(&mut self) {
        self.0.delete("deploy/sidecar/policy.yaml");
    }
}

/// Waits until the type in a pod was pushed, and figures, which may come after it.
#[track_caller]
fn wait_pushed(received: &Collector, launcher: &Launcher) {
    let pushed = answer_within(Duration::from_secs(60), || {
        let points = received.of_pod(TYPE, &launcher.pod);
        let typed = points.iter().any(|point| point.attribute("hypervisor_type").as_deref() == Some("qemu-tcg"));
        (typed && !received.of_pod(CPU, &launcher.pod).is_empty()).then_some(())
    });
    assert!(pushed.is_some(), "nothing of {} was pushed:\n{}", launcher.pod.name, launcher.pod.log());
}

/// Waits until a launcher's pod has completed, sidecar and all.
#[track_caller]
fn wait_succeeded(launcher: &Launcher) {
    let ended = answer_within(ENDS_WITHIN, || (launcher.phase()? == "Succeeded").then_some(()));
    assert!(ended.is_some(), "{} is {:?}:\n{}", launcher.pod.name, launcher.phase(), launcher.log());
    let status = launcher.pod.status().expect("a sidecar");
    assert_eq!(status["state"]["terminated"]["exitCode"], 0, "{status}");
    assert_eq!(status["restartCount"], 0, "{status}");
}

/// It has logged nothing that somebody would have to look at.
#[track_caller]
fn check_log(launcher: &Launcher) {
    let log = launcher.pod.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\"")).collect();
    assert!(lines.is_empty(), "{}: {lines:#?}", launcher.pod.name);
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn a_sidecar_pushes_its_vm_from_start_to_end_and_the_pod_completes() {
    let cluster = Cluster::alone();
    let _policy = Policy::apply(&cluster);
    let received = Collector::from_now_on(&cluster);
    let vm = Vm::start_in(&cluster, NAMESPACE, "guest", Guest::Emulated, NODE1);
    wait_pushed(&received, &vm.launcher);
    vm.launcher.pod.check_memory();
    vm.power_off();
    wait_succeeded(&vm.launcher);
    received.check_ended(&vm.launcher.pod);
    check_log(&vm.launcher);
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn a_pod_that_is_deleted_pushes_the_end_of_its_vm() {
    let cluster = Cluster::alone();
    let _policy = Policy::apply(&cluster);
    let received = Collector::from_now_on(&cluster);
    let vm = Vm::start_in(&cluster, NAMESPACE, "guest", Guest::Emulated, NODE1);
    wait_pushed(&received, &vm.launcher);
    let begun = std::time::Instant::now();
    cluster.kubectl(&["delete", "pod", "-n", NAMESPACE, &vm.launcher.pod.name, "--wait"]);
    println!("gone {:.1} s after SIGTERM", begun.elapsed().as_secs_f64());
    assert!(begun.elapsed() < ENDS_WITHIN);
    received.check_ended(&vm.launcher.pod);
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn a_vm_that_moves_is_pushed_by_one_sidecar_and_then_by_the_other() {
    let cluster = Cluster::alone();
    let _policy = Policy::apply(&cluster);
    let received = Collector::from_now_on(&cluster);
    let vm = Vm::start_in(&cluster, NAMESPACE, "moving", Guest::Emulated, NODE1);
    wait_pushed(&received, &vm.launcher);
    let target = vm.target(NODE2);
    vm.migrate(&target);
    wait_pushed(&received, &target);
    wait_succeeded(&vm.launcher);
    received.check_ended(&vm.launcher.pod);
    for launcher in [&vm.launcher, &target] {
        let types = received.of_pod(TYPE, &launcher.pod);
        let types: Vec<_> = types.iter().filter_map(|point| point.attribute("hypervisor_type")).collect();
        assert!(types.iter().all(|kind| kind == "qemu-tcg"), "{}: {types:?}", launcher.pod.name);
        check_log(launcher);
    }
    target.pod.check_memory();
}
