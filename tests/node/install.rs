//! The agent is installed and removed, by Helm and by kubectl, before and after KubeVirt is there.

use super::support::cluster::soon;
use super::support::{Cluster, Guest, NODE1, NODE2, Pod, Release, VMS, Vm};

/// The release's name and namespace, as in the README.
const NAME: &str = "virt-otel";
/// What `kubectl apply -k` is given.
const MANIFESTS: &str = "deploy/kubernetes";

fn manifests() -> String {
    lab_support::repository().join(MANIFESTS).display().to_string()
}

/// The agents run, are unready, and say that KubeVirt is missing; once it is there they become ready by themselves.
fn waits_for_kubevirt(cluster: &Cluster, release: &Release) {
    let agents: Vec<Pod> = [NODE1, NODE2].map(|node| release.on(node)).into();
    for agent in &agents {
        let (status, text) = soon("an answer of /readyz", || agent.probe("/readyz"));
        assert_eq!(status, 503, "{text}");
        soon("the reason in the log", || agent.log().contains("virtualmachineinstances").then_some(()));
        assert!(!agent.is_ready());
        assert_eq!(agent.probe("/livez").expect("an answer").0, 200);
    }
    cluster.define_vmis();
    for agent in &agents {
        soon("an agent that is ready", || agent.is_ready().then_some(()));
        assert_eq!(agent.restarts(), 0, "nothing had to be started again");
    }
}

/// A VM shows.
fn sees_a_vm(cluster: &Cluster, release: &Release) {
    let vm = Vm::start(cluster, "first", Guest::Emulated, NODE1);
    release.wait_for(NODE1, "the VM", |page| vm.is_emulated_on(page));
}

/// What `act` has made and not removed again.
fn left_behind(cluster: &Cluster, act: impl FnOnce()) -> Vec<String> {
    cluster.ensure_namespace(VMS);
    let before = cluster.objects();
    act();
    let mut after = cluster.objects();
    after.retain(|object| !before.contains(object) && !object.contains(&format!(" {VMS}/")));
    after
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn the_chart_works_after_kubevirt_and_helm_uninstall_leaves_nothing() {
    let cluster = Cluster::alone();
    let left = left_behind(&cluster, || {
        let release = Release::install(&cluster, NAME, &[]);
        sees_a_vm(&cluster, &release);
    });
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn the_chart_works_before_kubevirt() {
    let cluster = Cluster::alone();
    cluster.remove_vmis();
    let release = Release::install_unready(&cluster, NAME, &[]);
    waits_for_kubevirt(&cluster, &release);
    sees_a_vm(&cluster, &release);
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn kubectl_apply_works_after_kubevirt_and_kubectl_delete_leaves_nothing() {
    let cluster = Cluster::alone();
    let left = left_behind(&cluster, || {
        cluster.kubectl(&["apply", "-k", &manifests()]);
        let release = Release::of_manifests(&cluster);
        release.wait_ready();
        sees_a_vm(&cluster, &release);
    });
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn kubectl_apply_works_before_kubevirt() {
    let cluster = Cluster::alone();
    cluster.remove_vmis();
    cluster.kubectl(&["apply", "-k", &manifests()]);
    let release = Release::of_manifests(&cluster);
    waits_for_kubevirt(&cluster, &release);
    sees_a_vm(&cluster, &release);
}
