//! What the kubelet asks, and what the agent may do on the node.

use lab_support::process;
use rustix::process::Signal;

use super::support::{Cluster, NODE1, NODE2, Release, soon};

/// DAC_OVERRIDE, the second capability of all.
const DAC_OVERRIDE: &str = "0000000000000002";

#[test]
#[ignore = "needs a cluster: make test-node"]
fn the_kubelet_starts_an_agent_again_that_has_stopped_turning() {
    let cluster = Cluster::alone();
    let release = Release::install(&cluster, "virt-otel", &[]);
    let (frozen, other) = (release.on(NODE1), release.on(NODE2));
    process::signal(frozen.process(), Signal::STOP);
    // Six probes, ten seconds apart; the kubelet then waits for as long as the pod may take to end.
    let again =
        lab_support::answer_within(std::time::Duration::from_secs(150), || (frozen.restarts() == 1).then_some(()));
    assert!(again.is_some(), "{:?}", frozen.status());
    soon("the new agent to be ready", || frozen.is_ready().then_some(()));
    assert_eq!(other.restarts(), 0);
}

#[test]
#[ignore = "needs a cluster: make test-node"]
fn the_agent_has_the_rights_that_the_chart_gives_it_and_no_others() {
    let cluster = Cluster::alone();
    let release = Release::install(&cluster, "virt-otel", &[]);
    let agent = release.on(NODE1).process();
    let field = |name: &str| process::status_field(agent, name).unwrap_or_else(|| panic!("no {name}"));
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(field(set), DAC_OVERRIDE, "{set}");
    }
    assert_eq!(field("NoNewPrivs"), "1");
    assert_eq!(field("Seccomp"), "2", "a filter");
    let mounts = std::fs::read_to_string(format!("/proc/{agent}/mountinfo")).expect("its mounts");
    let options = |at: &str| {
        let line = mounts.lines().find(|line| line.split(' ').nth(4) == Some(at));
        line.and_then(|line| line.split(' ').nth(5)).unwrap_or_else(|| panic!("nothing at {at}: {mounts}"))
    };
    for at in ["/", "/pods"] {
        assert!(options(at).split(',').any(|option| option == "ro"), "{at} is {}", options(at));
    }
}
