//! The Kubernetes edge: the VirtualMachineInstances of one node, as events.
//!
//! ```text
//!  API server ◄─list, watch─ kube's watcher ─objects─► pump ─VmiEvent─► consumer, joins them with domains
//!                 through `link`              lean, see `object`
//! ```
//!
//! - **Lean.** Only an object's used fields are taken, straight from the text of the answer. What is missing is absent;
//!   what has the wrong type, is too long or too much is absent and counted, and affects nothing else.
//! - **Lossless.** Events go through a channel that the consumer empties at its own pace. A full channel makes the
//!   watch wait. After a failure the watch resumes where it was, or lists again.
//! - **Patient.** While the API is away nothing is sent: what the consumer knows stays. [`WatchCounters`] show it.
//! - **Least privilege.** `list` and `watch` of `virtualmachineinstances.kubevirt.io`, nothing else; where tokens are
//!   reviewed (`review`), `create` of `tokenreviews` and `subjectaccessreviews`, which store nothing. Whether they are
//!   allowed can be asked (`rights`), which every account may.

mod allow;
mod connect;
mod counters;
mod fault;
mod health;
mod link;
mod metrics;
mod object;
mod pause;
mod pump;
mod review;
mod rights;
mod share;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::{VmChoice, Vmi};

pub use allow::AllowedLabels;
pub use connect::{ApiServer, ConnectError, connect};
pub use counters::{EventKind, WatchCounters};
pub use fault::FaultKind;
pub use metrics::METRICS;
pub use object::{ParsedVmi, Tally};
pub use pump::run;
pub use review::{NoVerdict, Reviewer, TokenOwner};
pub use rights::{Need, REVIEWING, Right, Rights, RightsError, WATCHING, rights};

/// What is watched, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// The node whose VMIs are watched: those with the label `kubevirt.io/nodeName=<node>`.
    pub node: String,
    /// A kubeconfig file, for a run outside of the cluster. Without one, the pod's service account is used.
    pub kubeconfig: Option<PathBuf>,
    /// The keys of the VMI labels to use, most important first.
    pub vmi_labels: Vec<String>,
    /// A label selector: of the node's VMIs only those that it matches are watched.
    pub selector: Option<String>,
    /// Which of these, by `NAMESPACE/NAME`, are told. The others are as if they did not exist.
    pub choice: VmChoice,
    /// Whether to stream lists, which saves the API server memory. Kubernetes supports it since 1.32; if a server
    /// refuses, plain lists are used.
    pub streaming_lists: bool,
}

/// What happened to the VMIs of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VmiEvent {
    /// A new list begins: at the start, and when the watch could not resume where it was.
    Restarted,
    /// A VMI is new, has changed, or is in the list.
    Applied(Arc<Vmi>),
    /// A VMI is no longer on this node: deleted, or handed over to another one.
    Deleted {
        /// Its namespace.
        namespace: Arc<str>,
        /// Its name.
        name: Arc<str>,
        /// Its UID.
        uid: Arc<str>,
    },
    /// The list is complete: what was not applied since [`VmiEvent::Restarted`] is gone.
    Synced,
}
