//! The launchers of this node: how many were reached, and why the others were not.

use std::path::Path;
use std::sync::Arc;

use futures_util::future::join_all;

use super::daemons;
use super::finding::{Check, Finding};
use crate::agent::named;
use crate::libvirt::endpoint::{self, Address, LauncherSocket};
use crate::model::{Phase, Place, Vm};
use crate::snapshot::Snapshot;

/// How many of those that were not reached are asked why: they mostly have one reason.
const ASKED: usize = 5;

/// Whether its libvirt should have been reached: its VMI runs.
fn should_be_reached(vm: &Vm) -> bool {
    vm.vmi.as_ref().is_some_and(|vmi| vmi.phase == Phase::Running)
}

fn was_reached(vm: &Vm) -> bool {
    vm.collection.connected == Some(true)
}

/// Asks some of those that were not reached once more, for the reason.
pub(super) async fn probe(pods_dir: &Path, snapshot: &Snapshot) -> Vec<Finding> {
    let missed: Vec<&Arc<Vm>> = snapshot.vms.iter().filter(|vm| should_be_reached(vm) && !was_reached(vm)).collect();
    let mut findings = judge(snapshot);
    let asked = missed.iter().take(ASKED).filter_map(|vm| Some((vm, address(pods_dir, vm)?)));
    let reasons = asked.map(|(vm, address)| async move {
        let met = endpoint::meet(&address).await;
        daemons::socket(&vm.identity.name, &met)
    });
    findings.extend(join_all(reasons).await);
    if let Some(more) = missed.len().checked_sub(ASKED).filter(|more| *more > 0) {
        let rest = named(missed.iter().skip(ASKED).copied()).unwrap_or_default();
        findings.push(Finding::failure(
            Check::LibvirtSocket,
            format!("{more} more were not reached: {rest}"),
            "see what is said of the first ones",
        ));
    }
    findings
}

fn address(pods_dir: &Path, vm: &Vm) -> Option<Address> {
    let Place::Launcher(launcher) = &vm.identity.place else { return None };
    Some(Address::Launcher(LauncherSocket {
        pods_dir: pods_dir.to_owned(),
        pod_uid: Arc::clone(&launcher.pod_uid),
        runtime_user: vm.vmi.as_ref().and_then(|vmi| vmi.runtime_user),
    }))
}

/// What is said of those that were reached.
fn judge(snapshot: &Snapshot) -> Vec<Finding> {
    let running = snapshot.vms.iter().filter(|vm| should_be_reached(vm)).count();
    let reached = snapshot.vms.iter().filter(|vm| should_be_reached(vm) && was_reached(vm)).count();
    if running == 0 {
        let reason = "no VMI runs on this node";
        return vec![
            Finding::not_tried(Check::LibvirtSocket, reason),
            Finding::not_tried(Check::LibvirtReadOnly, reason),
        ];
    }
    if reached == 0 {
        return vec![Finding::not_tried(Check::LibvirtReadOnly, "no launcher was reached")];
    }
    vec![
        Finding::well(Check::LibvirtSocket, format!("{reached} of {running} launchers answer")),
        Finding::well(Check::LibvirtReadOnly, "launchers' sockets are opened for reading only"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Outcome;
    use crate::testing::vmis;

    fn node(reached: usize, missed: usize) -> Snapshot {
        let vm = |connected: bool| {
            let mut vm = vmis::running();
            vm.collection.connected = Some(connected);
            Arc::new(vm)
        };
        let vms = (0..reached).map(|_| vm(true)).chain((0..missed).map(|_| vm(false)));
        Snapshot { vms: vms.collect(), ..Snapshot::default() }
    }

    fn outcomes(findings: &[Finding]) -> Vec<(Check, Outcome)> {
        findings.iter().map(|finding| (finding.check, finding.outcome)).collect()
    }

    #[tokio::test]
    async fn those_that_are_not_reached_are_asked_why_and_named_at_last() {
        let findings = probe(Path::new("/nonexistent/pods"), &node(2, 7)).await;
        let failures: Vec<&Finding> = findings.iter().filter(|finding| finding.outcome == Outcome::Failure).collect();
        assert_eq!(failures.len(), ASKED + 1, "{findings:?}");
        assert!(failures[0].detail.contains("/nonexistent/pods"), "{:?}", failures[0]);
        assert!(failures[ASKED].detail.starts_with("2 more were not reached: "), "{:?}", failures[ASKED]);
        assert!(findings[0].detail.starts_with("2 of 9 launchers"), "{:?}", findings[0]);
    }

    #[tokio::test]
    async fn a_node_without_vmis_has_nothing_to_reach() {
        let findings = probe(Path::new("/nonexistent/pods"), &Snapshot::default()).await;
        assert_eq!(
            outcomes(&findings),
            [(Check::LibvirtSocket, Outcome::NotTried), (Check::LibvirtReadOnly, Outcome::NotTried)]
        );
    }
}
