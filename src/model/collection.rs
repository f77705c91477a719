//! How well a VM could be read.

use std::sync::Arc;
use std::time::Duration;

use super::Group;

/// How well a VM could be read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Collection {
    /// Whether the libvirt that runs it can be reached; `None` if unknown.
    pub connected: Option<bool>,
    /// Why it cannot, as the log says it; known only of a VM under KubeVirt whose launcher was never reached. A host's
    /// daemon says it itself.
    pub reason: Option<Arc<str>>,
    /// A call into its QEMU hangs past its deadline, or a job that libvirt does not name has kept the VM busy for
    /// longer than three intervals.
    pub stuck: bool,
    /// Whether its last reading gave every requested group; `None` before the first.
    pub complete: Option<bool>,
    /// How old the newest reading of each group is, for groups that have been read in this incarnation.
    pub ages: Vec<GroupAge>,
}

/// How old a group's newest reading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupAge {
    /// The group.
    pub group: Group,
    /// Its age when the snapshot was published.
    pub age: Duration,
}
