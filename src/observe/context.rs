//! What the domains of a daemon have in common.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::counters::ObserveCounters;
use super::lines::Lines;
use super::settings::Intervals;
use super::share::Share;
use crate::model::{DaemonId, Groups, Identity, Launcher, MetadataKey, Timestamp, Version, VmChoice, Vmi};

/// The same moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// On the monotonic clock: for waits and ages.
    pub(super) instant: Instant,
    /// On the wall clock: for timestamps.
    pub(super) stamp: Timestamp,
}

/// What all domains of a daemon have in common.
#[derive(Debug, Clone)]
pub(super) struct DaemonContext {
    pub(super) daemon: DaemonId,
    /// The host's name, as the daemon reports it.
    pub(super) host_name: Arc<str>,
    /// The version of its libvirt, once it has told it.
    pub(super) libvirt: Option<Version>,
    /// Where the VMI runs, if the daemon is a launcher's.
    pub(super) launcher: Option<Arc<Launcher>>,
    /// The VMI, as the Kubernetes API reports it.
    pub(super) vmi: Option<Arc<Vmi>>,
    /// Whether a sidecar pushes that VMI.
    pub(super) has_sidecar: bool,
    /// The identity of a launcher's VM. A pod runs one incarnation of one VM, so the first identity published stays.
    pub(super) told: Option<Arc<Identity>>,
    pub(super) intervals: Intervals,
    pub(super) groups: Groups,
    /// Which of its domains are read, if it is a host's.
    pub(super) choice: VmChoice,
    /// What of a domain's metadata every series of it has as a label.
    pub(super) metadata_labels: Arc<[MetadataKey]>,
    /// How long nothing may listen at a launcher's socket before that is worth a warning.
    pub(super) not_yet: Duration,
    pub(super) epoch: Instant,
    pub(super) counters: Arc<ObserveCounters>,
    pub(super) lines: Arc<Lines>,
    pub(super) share: Arc<Share>,
}

impl DaemonContext {
    /// Whether more may be logged about this daemon's domains.
    pub(super) fn may_log(&self) -> bool {
        self.lines.one(&self.daemon)
    }
}
