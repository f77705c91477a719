//! Which VMI is read through which launcher pod of this node. Pure: API objects go in, changes come out.
//!
//! A VMI belongs to the node in `status.nodeName`. A migration changes that in one update: the target node ignores its
//! pod before, the source node ignores its own after. The API does not say which of several pods runs a VMI: a pod that
//! has ended stays in `status.activePods` until it is deleted. A pod that is read stays in use while it is listed. If
//! there are several and none is read, the caller must first say which one is live ([`Join::choose`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{LauncherPod, Vmi};

/// A VMI's name: it is unique at any moment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmiName {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name in it.
    pub name: Arc<str>,
}

impl VmiName {
    /// The name of this VMI.
    #[must_use]
    pub fn of(vmi: &Vmi) -> Self {
        Self { namespace: Arc::clone(&vmi.namespace), name: Arc::clone(&vmi.name) }
    }
}

/// A change in what to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Read this VMI through this pod.
    Start {
        /// The VMI.
        vmi: Arc<Vmi>,
        /// The pod's UID.
        pod: Arc<str>,
    },
    /// A VMI that is being read has changed.
    Update {
        /// The VMI.
        vmi: Arc<Vmi>,
        /// The pod's UID.
        pod: Arc<str>,
    },
    /// Stop reading this pod.
    Stop {
        /// The VMI that was read through it.
        vmi: VmiName,
        /// The pod's UID.
        pod: Arc<str>,
    },
}

/// The VMIs of this node, and the pod each is read through.
#[derive(Debug)]
pub struct Join {
    node: Arc<str>,
    vmis: BTreeMap<VmiName, Entry>,
}

#[derive(Debug)]
struct Entry {
    vmi: Arc<Vmi>,
    pod: Option<Arc<str>>,
    /// Whether the list in progress has included it.
    listed: bool,
}

/// A VMI with several pods on this node, one of which runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The VMI.
    pub vmi: Arc<Vmi>,
    /// The UIDs of its pods on this node, starting with the one read.
    pub pods: Vec<Arc<str>>,
    /// Whether one of them is read.
    pub is_read: bool,
}

impl Join {
    /// No VMIs of this node are known.
    #[must_use]
    pub fn new(node: Arc<str>) -> Self {
        Self { node, vmis: BTreeMap::new() }
    }

    /// A VMI was added or has changed.
    pub fn apply(&mut self, vmi: Arc<Vmi>) -> Vec<Change> {
        let name = VmiName::of(&vmi);
        let mut changes = Vec::new();
        let mut known = self.vmis.remove(&name);
        if let Some(other) = known.take_if(|entry| entry.vmi.uid != vmi.uid) {
            // Another VMI was created with the same name.
            changes.extend(other.pod.map(|pod| Change::Stop { vmi: name.clone(), pod }));
        }
        let pods = pods(&vmi, &self.node);
        let before = known.as_ref().and_then(|entry| entry.pod.clone());
        // The pod that is read stays while it is listed; among several, the caller must choose.
        let only = || pods.first().filter(|_| pods.len() == 1).cloned();
        let pod = before.clone().filter(|pod| pods.contains(pod)).or_else(only);
        if before != pod {
            changes.extend(before.map(|pod| Change::Stop { vmi: name.clone(), pod }));
            changes.extend(pod.clone().map(|pod| Change::Start { vmi: Arc::clone(&vmi), pod }));
        } else if known.is_some_and(|entry| entry.vmi != vmi) {
            changes.extend(pod.clone().map(|pod| Change::Update { vmi: Arc::clone(&vmi), pod }));
        }
        if vmi.node.as_ref() != Some(&self.node) {
            return changes;
        }
        self.vmis.insert(name, Entry { vmi, pod, listed: true });
        changes
    }

    /// A VMI was deleted, or belongs to another node now. A newer one of the same name stays.
    pub fn delete(&mut self, name: &VmiName, uid: &str) -> Vec<Change> {
        if self.vmis.get(name).is_none_or(|entry| *entry.vmi.uid != *uid) {
            return Vec::new();
        }
        self.forget(name).into_iter().collect()
    }

    /// A new list of all VMIs begins.
    pub fn restarted(&mut self) {
        for entry in self.vmis.values_mut() {
            entry.listed = false;
        }
    }

    /// The list is complete: VMIs that it did not include are gone.
    pub fn synced(&mut self) -> Vec<Change> {
        let gone: Vec<VmiName> =
            self.vmis.iter().filter(|(_, entry)| !entry.listed).map(|(name, _)| name.clone()).collect();
        gone.iter().filter_map(|name| self.forget(name)).collect()
    }

    /// The VMIs for which the pod that runs them is uncertain.
    pub fn choices(&self) -> impl Iterator<Item = Choice> {
        self.vmis.values().filter(|entry| entry.vmi.pods.len() > 1).filter_map(|entry| {
            let mut pods = pods(&entry.vmi, &self.node);
            // Stable: the others keep their order.
            pods.sort_by_key(|pod| Some(pod) != entry.pod.as_ref());
            let is_read = entry.pod.is_some();
            (pods.len() > 1).then(|| Choice { vmi: Arc::clone(&entry.vmi), pods, is_read })
        })
    }

    /// This pod is the VMI's live one.
    pub fn choose(&mut self, name: &VmiName, pod: &Arc<str>) -> Vec<Change> {
        let Some(entry) = self.vmis.get_mut(name) else { return Vec::new() };
        if entry.pod.as_ref() == Some(pod) || !pods(&entry.vmi, &self.node).contains(pod) {
            return Vec::new();
        }
        let start = Change::Start { vmi: Arc::clone(&entry.vmi), pod: Arc::clone(pod) };
        let stop = entry.pod.replace(Arc::clone(pod)).map(|pod| Change::Stop { vmi: name.clone(), pod });
        stop.into_iter().chain([start]).collect()
    }

    fn forget(&mut self, name: &VmiName) -> Option<Change> {
        let pod = self.vmis.remove(name)?.pod?;
        Some(Change::Stop { vmi: name.clone(), pod })
    }
}

/// The UIDs of a VMI's pods on a node, in order, if it belongs there.
fn pods(vmi: &Vmi, node: &Arc<str>) -> Vec<Arc<str>> {
    if vmi.node.as_ref() != Some(node) {
        return Vec::new();
    }
    let mut here: Vec<&LauncherPod> = vmi.pods.iter().filter(|pod| pod.node == *node).collect();
    here.sort();
    here.into_iter().map(|pod| Arc::clone(&pod.uid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vmi(uid: &str, node: &str, pods: &[(&str, &str)]) -> Arc<Vmi> {
        let pod = |(uid, node): &(&str, &str)| LauncherPod { uid: (*uid).into(), node: (*node).into() };
        Arc::new(Vmi {
            namespace: "shop".into(),
            name: "web".into(),
            uid: uid.into(),
            node: Some(node.into()),
            pods: pods.iter().map(pod).collect(),
            ..Vmi::default()
        })
    }

    fn name() -> VmiName {
        VmiName { namespace: "shop".into(), name: "web".into() }
    }

    /// A summary of changes.
    fn told(changes: &[Change]) -> Vec<String> {
        let tell = |change: &Change| match change {
            Change::Start { vmi, pod } => format!("start {} by {pod}", vmi.uid),
            Change::Update { vmi, pod } => format!("update {} by {pod}", vmi.uid),
            Change::Stop { pod, .. } => format!("stop {pod}"),
        };
        changes.iter().map(tell).collect()
    }

    fn join() -> Join {
        Join::new("here".into())
    }

    #[test]
    fn a_vmi_is_read_through_its_pod_on_this_node() {
        let mut join = join();
        let moving = vmi("1", "here", &[("b", "there"), ("a", "here")]);
        assert_eq!(told(&join.apply(moving)), ["start 1 by a"]);
        assert_eq!(join.choices().count(), 0, "the other pod is on another node");
    }

    #[test]
    fn a_vmi_of_another_node_is_none_of_ours_though_its_target_pod_is_here() {
        assert_eq!(told(&join().apply(vmi("1", "there", &[("a", "there"), ("b", "here")]))), [""; 0]);
    }

    #[test]
    fn a_vmi_without_a_pod_waits_for_one() {
        let mut join = join();
        assert_eq!(told(&join.apply(vmi("1", "here", &[]))), [""; 0]);
        assert_eq!(told(&join.apply(vmi("1", "here", &[("a", "here")]))), ["start 1 by a"]);
    }

    #[test]
    fn what_has_not_changed_is_no_change() {
        let mut join = join();
        join.apply(vmi("1", "here", &[("a", "here")]));
        assert_eq!(told(&join.apply(vmi("1", "here", &[("a", "here")]))), [""; 0]);
        let more = vmi("1", "here", &[("a", "here"), ("b", "there")]);
        assert_eq!(told(&join.apply(more)), ["update 1 by a"]);
    }

    #[test]
    fn when_the_node_changes_the_source_stops() {
        let mut join = join();
        join.apply(vmi("1", "here", &[("a", "here"), ("b", "there")]));
        assert_eq!(told(&join.apply(vmi("1", "there", &[("a", "here"), ("b", "there")]))), ["stop a"]);
        assert_eq!(told(&join.delete(&name(), "1")), [""; 0], "it is gone already");
    }

    #[test]
    fn made_anew_under_the_same_name_it_is_another_though_its_pod_seems_the_same() {
        let mut join = join();
        join.apply(vmi("1", "here", &[("a", "here")]));
        assert_eq!(told(&join.apply(vmi("2", "here", &[("a", "here")]))), ["stop a", "start 2 by a"]);
        assert_eq!(told(&join.delete(&name(), "1")), [""; 0], "the deletion of the first comes late");
        assert_eq!(told(&join.delete(&name(), "2")), ["stop a"]);
    }

    #[test]
    fn what_a_new_list_does_not_name_is_gone() {
        let mut join = join();
        join.apply(vmi("1", "here", &[("a", "here")]));
        join.restarted();
        assert_eq!(told(&join.apply(vmi("1", "here", &[("a", "here")]))), [""; 0]);
        assert_eq!(told(&join.synced()), [""; 0]);
        join.restarted();
        assert_eq!(told(&join.synced()), ["stop a"]);
    }

    #[test]
    fn a_pod_that_is_read_stays_while_it_is_there() {
        let mut join = join();
        join.apply(vmi("1", "here", &[("m", "here")]));
        assert_eq!(told(&join.apply(vmi("1", "here", &[("a", "here"), ("m", "here")]))), ["update 1 by m"]);
        let choice = join.choices().next().expect("two pods");
        assert_eq!(choice.pods.iter().map(|pod| &**pod).collect::<Vec<_>>(), ["m", "a"]);
        assert_eq!(told(&join.apply(vmi("1", "here", &[("a", "here")]))), ["stop m", "start 1 by a"]);
    }

    #[test]
    fn of_two_pods_the_live_one_is_read_once_it_is_known() {
        let mut join = join();
        assert_eq!(told(&join.apply(vmi("1", "here", &[("old", "here"), ("new", "here")]))), [""; 0]);
        assert!(!join.choices().next().expect("two pods").is_read);
        assert_eq!(told(&join.choose(&name(), &"new".into())), ["start 1 by new"]);
        assert_eq!(told(&join.choose(&name(), &"old".into())), ["stop new", "start 1 by old"]);
        assert_eq!(told(&join.choose(&name(), &"old".into())), [""; 0]);
        assert_eq!(told(&join.choose(&name(), &"other".into())), [""; 0], "no pod of it");
    }
}
