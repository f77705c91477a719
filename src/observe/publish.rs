//! Builds and publishes snapshots.
//!
//! On a node with a thousand VMs, most snapshots differ from the previous one in one VM. So daemons without news are
//! published as before; once a second, since ages grow, everything is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::context::Moment;
use super::counters::ObserveCounters;
use super::daemon::DaemonState;
use super::settings::{HEARTBEAT, PUBLISH_GAP, URGENT_GAP};
use crate::model::{DaemonId, Timestamp, Vm};
use crate::snapshot::{Snapshot, VmList};

/// A daemon's part of the snapshot.
struct Part {
    /// Where its VMs begin in the list, and how many there are.
    begin: usize,
    count: usize,
    looked: Looked,
}

/// Counts over a daemon's VMs.
#[derive(Debug, Clone, Copy, Default)]
struct Looked {
    stuck: u64,
    busy: u64,
}

impl Looked {
    /// Replaces a part of a sum.
    const fn replace(&mut self, before: Self, after: Self) {
        self.stuck = self.stuck - before.stuck + after.stuck;
        self.busy = self.busy - before.busy + after.busy;
    }
}

/// The one writer of snapshots.
pub(super) struct Publisher {
    sender: watch::Sender<Arc<Snapshot>>,
    counters: Arc<ObserveCounters>,
    sequence: u64,
    lifecycle: u64,
    complete: bool,
    /// Whether every VM was once identified, or found not to be identifiable.
    known: bool,
    published: Timestamp,
    last: Option<Instant>,
    /// What was published last.
    vms: VmList,
    /// Counts over these.
    looked: Looked,
    /// By the daemons' places.
    parts: BTreeMap<usize, Part>,
    /// The libvirt hosts among these, which are themselves published.
    hosts: Vec<usize>,
    /// When everything was last looked at; `None` if daemons have come or gone since.
    whole: Option<Instant>,
    /// The daemons with news since the last snapshot.
    touched: BTreeSet<usize>,
    /// Something was read.
    changed: bool,
    /// Something happened that is shown at once.
    urgent: bool,
}

impl Publisher {
    pub(super) fn new(sender: watch::Sender<Arc<Snapshot>>, counters: Arc<ObserveCounters>) -> Self {
        Self {
            sender,
            counters,
            sequence: 0,
            lifecycle: 0,
            complete: false,
            known: false,
            published: Timestamp::default(),
            last: None,
            vms: VmList::default(),
            looked: Looked::default(),
            parts: BTreeMap::new(),
            hosts: Vec::new(),
            whole: None,
            touched: BTreeSet::new(),
            changed: false,
            urgent: true,
        }
    }

    /// This daemon, or its VMs, have news.
    pub(super) fn touch(&mut self, place: usize) {
        self.touched.insert(place);
    }

    /// Daemons have come, or gone.
    pub(super) fn regroup(&mut self) {
        self.whole = None;
    }

    /// Something was read.
    pub(super) fn changed(&mut self) {
        self.changed = true;
    }

    /// Something happened that is shown at once.
    pub(super) fn lifecycle(&mut self) {
        self.lifecycle += 1;
        self.urgent = true;
    }

    /// Whether every VM was once identified.
    pub(super) const fn knows_all(&self) -> bool {
        self.known
    }

    /// When to publish the next snapshot; a moment in the past means now.
    pub(super) fn due(&self, now: Instant) -> Instant {
        let gap = match (self.urgent, self.changed) {
            (true, _) => URGENT_GAP,
            (false, true) => PUBLISH_GAP,
            (false, false) => HEARTBEAT,
        };
        self.last.map_or(now, |last| last + gap)
    }

    /// Publishes what is known now. While its daemon is unreachable, a domain is dropped with its last statistics.
    ///
    /// `places` gives the daemons' order, which is that of their VMs' keys; `rostered` whether all are known.
    pub(super) fn publish(
        &mut self,
        daemons: &mut BTreeMap<usize, DaemonState>,
        places: &BTreeMap<DaemonId, usize>,
        rostered: bool,
        moment: Moment,
    ) {
        // Nothing in a snapshot is newer than it, not even a timestamp that was moved on to stay in order.
        self.published = self.published.max(moment.stamp);
        let is_fresh = self.whole.is_some_and(|whole| moment.instant < whole + HEARTBEAT);
        if !(is_fresh && self.look_at_touched(daemons, moment)) {
            self.look_at_all(daemons, places, moment);
        }
        self.known = self.known || (rostered && daemons.values().all(DaemonState::is_known));
        self.complete = self.complete || (rostered && daemons.values_mut().all(DaemonState::round_is_done));
        self.sequence += 1;
        self.last = Some(moment.instant);
        self.changed = false;
        self.urgent = false;
        self.touched.clear();
        self.counters.stuck.set(self.looked.stuck);
        self.counters.busy.set(self.looked.busy);
        self.counters.snapshots.one();
        self.sender.send_replace(Arc::new(Snapshot {
            published: self.published,
            sequence: self.sequence,
            complete: self.complete,
            daemons: self.hosts.iter().filter_map(|place| Some(Arc::clone(&daemons.get(place)?.shown))).collect(),
            vms: self.vms.clone(),
            lifecycle: self.lifecycle,
        }));
    }

    /// Puts what has changed into the list. `false` if the list must be rebuilt because the number of VMs has changed.
    fn look_at_touched(&mut self, daemons: &mut BTreeMap<usize, DaemonState>, moment: Moment) -> bool {
        let mut vms = Vec::new();
        for place in std::mem::take(&mut self.touched) {
            let Some(daemon) = daemons.get_mut(&place) else { return false };
            vms.clear();
            let looked = self.look_at(daemon, moment, &mut vms);
            let Some(part) = self.parts.get_mut(&place).filter(|part| part.count == vms.len()) else { return false };
            self.looked.replace(std::mem::replace(&mut part.looked, looked), looked);
            for (index, vm) in (part.begin..).zip(&vms) {
                self.vms.replace(index, vm);
            }
        }
        true
    }

    /// Rebuilds the list.
    fn look_at_all(
        &mut self,
        daemons: &mut BTreeMap<usize, DaemonState>,
        places: &BTreeMap<DaemonId, usize>,
        moment: Moment,
    ) {
        let mut vms = Vec::with_capacity(self.vms.len());
        let mut parts = BTreeMap::new();
        self.looked = Looked::default();
        for place in places.values() {
            let Some(daemon) = daemons.get_mut(place) else { continue };
            let begin = vms.len();
            let looked = self.look_at(daemon, moment, &mut vms);
            self.looked.replace(Looked::default(), looked);
            parts.insert(*place, Part { begin, count: vms.len() - begin, looked });
        }
        self.vms = vms.into();
        self.parts = parts;
        // A launcher's daemon is only a part of its VM, and is not published.
        self.hosts = daemons.iter().filter(|(_, daemon)| daemon.owned.is_none()).map(|(place, _)| *place).collect();
        self.whole = Some(moment.instant);
    }

    /// Collects what is shown of a daemon's VMs, and of a host itself.
    fn look_at(&mut self, daemon: &mut DaemonState, moment: Moment, vms: &mut Vec<Arc<Vm>>) -> Looked {
        self.lifecycle += daemon.age(moment.instant);
        let mut looked = Looked::default();
        for domain in daemon.domains.values() {
            looked.stuck += u64::from(domain.condition.is_stuck());
            looked.busy += u64::from(domain.condition.busy_since.is_some());
            self.published = self.published.max(domain.incarnation.last_stamp());
        }
        self.lifecycle += u64::from(daemon.shown_vms(moment.instant, vms));
        if daemon.owned.is_none() {
            daemon.refresh();
        }
        looked
    }
}
