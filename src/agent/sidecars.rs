//! Which launcher pods of this node have a sidecar that pushes their VM, so that this agent need not.
//!
//! The kubelet's folder of the sidecar's container says so: it needs no further right at the API, and is there before
//! the sidecar is. Looking for it is one walk along a path of this node, as each attempt to connect to a launcher is.

use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use crate::libvirt::endpoint::has_container;
use crate::model::Vmi;

/// The name of the sidecar's container, as deploy/sidecar/policy.yaml gives it.
const CONTAINER: &str = "virt-otel";

/// How many pods are looked at in one turn: a third of a millisecond. A node's usual number of pods gets its turn in
/// four seconds, and a thousand in half a minute. Only a sidecar that starts after its launcher is found so late.
const LOOKS: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Sidecars {
    /// The kubelet's directory of pods; `None` if no sidecars are looked for.
    pods_dir: Option<PathBuf>,
    /// The UIDs of the pods with one. It stays for as long as its pod does.
    with: HashSet<Arc<str>>,
    /// The UIDs of the pods in which there was none when they were last looked at, the longest ago first.
    without: VecDeque<Arc<str>>,
}

impl Sidecars {
    /// Looks for them below this directory, or not at all.
    pub(super) fn new(pods_dir: Option<PathBuf>) -> Self {
        Self { pods_dir, with: HashSet::new(), without: VecDeque::new() }
    }

    /// Whether a VMI's pod has a sidecar, which is logged once. If it has none, it is looked at again.
    pub(super) fn is_in(&mut self, pod: &Arc<str>, vmi: &Vmi) -> bool {
        let Some(pods_dir) = &self.pods_dir else { return false };
        if self.with.contains(pod) {
            return true;
        }
        self.without.retain(|other| other != pod);
        let found = has_container(pods_dir, pod, CONTAINER);
        if found {
            self.with.insert(Arc::clone(pod));
            tracing::info!(
                vmi = %format_args!("{}/{}", vmi.namespace, vmi.name), %pod,
                "a sidecar in its pod pushes this VM, so that this agent only serves it at /metrics; with \
                 --push-beside-sidecar both push it"
            );
        } else {
            self.without.push_back(Arc::clone(pod));
        }
        found
    }

    /// A pod is no longer read.
    pub(super) fn forget(&mut self, pod: &str) {
        self.with.remove(pod);
        self.without.retain(|other| **other != *pod);
    }

    /// Looks at some pods again, and returns those that have a sidecar now, for [`is_in`](Self::is_in).
    pub(super) fn come(&mut self) -> Vec<Arc<str>> {
        let Some(pods_dir) = &self.pods_dir else { return Vec::new() };
        let turn = self.without.len().min(LOOKS);
        let (found, without): (Vec<_>, Vec<_>) =
            self.without.drain(..turn).partition(|pod| has_container(pods_dir, pod, CONTAINER));
        self.without.extend(without);
        found
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn pod(number: usize) -> Arc<str> {
        format!("0b5c2f6e-8a3d-4b1c-9e7f-{number:012}").into()
    }

    fn start_in(pods_dir: &Path, pod: &str) {
        fs::create_dir_all(pods_dir.join(pod).join("containers").join(CONTAINER)).unwrap();
    }

    #[test]
    fn the_container_has_the_name_that_the_policy_gives_it() {
        let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/sidecar/policy.yaml");
        let policy = fs::read_to_string(policy).unwrap();
        assert!(policy.contains(&format!("\n                name: \"{CONTAINER}\",\n")), "the container's name");
        assert!(policy.contains(&format!("one.name == \"{CONTAINER}\"")), "by which the policy knows its own");
    }

    #[test]
    fn a_sidecar_is_found_at_once_or_when_it_comes_and_only_once() {
        let pods = tempfile::tempdir().unwrap();
        let mut sidecars = Sidecars::new(Some(pods.path().to_owned()));
        start_in(pods.path(), &pod(1));
        assert!(sidecars.is_in(&pod(1), &Vmi::default()));
        assert!(!sidecars.is_in(&pod(2), &Vmi::default()) && !sidecars.is_in(&pod(3), &Vmi::default()));
        assert_eq!(sidecars.come(), []);
        start_in(pods.path(), &pod(2));
        start_in(pods.path(), &pod(3));
        sidecars.forget(&pod(3));
        assert_eq!(sidecars.come(), [pod(2)]);
        assert_eq!(sidecars.come(), []);
        assert!(sidecars.is_in(&pod(3), &Vmi::default()), "it is read again");
    }

    #[test]
    fn each_pod_gets_its_turn_and_no_turn_is_long() {
        let pods = tempfile::tempdir().unwrap();
        let mut sidecars = Sidecars::new(Some(pods.path().to_owned()));
        for number in 0..3 * LOOKS {
            assert!(!sidecars.is_in(&pod(number), &Vmi::default()));
            assert!(!sidecars.is_in(&pod(number), &Vmi::default()), "looked at twice, and remembered once");
            start_in(pods.path(), &pod(number));
        }
        for turn in 0..3 {
            let expected: Vec<_> = (turn * LOOKS..(turn + 1) * LOOKS).map(pod).collect();
            assert_eq!(sidecars.come(), expected);
        }
        assert_eq!(sidecars.come(), []);
    }

    #[test]
    fn who_does_not_ask_is_told_of_none() {
        let pods = tempfile::tempdir().unwrap();
        start_in(pods.path(), &pod(1));
        let mut sidecars = Sidecars::new(None);
        assert!(!sidecars.is_in(&pod(1), &Vmi::default()));
        assert_eq!(sidecars.come(), []);
    }
}
