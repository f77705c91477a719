//! Snapshots: when, and of what.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::daemon::Keeper;
use super::health::Health;
use super::settings::{HEARTBEAT, PUBLISH_GAP, URGENT_GAP};
use super::track::Moment;
use crate::model::{DaemonId, Timestamp, Vm};
use crate::snapshot::Snapshot;

/// The one writer of snapshots.
pub(super) struct Publisher {
    sender: watch::Sender<Arc<Snapshot>>,
    health: Arc<Health>,
    sequence: u64,
    lifecycle: u64,
    complete: bool,
    /// Whether it was known once of every VM what it is, or that it does not say.
    known: bool,
    published: Timestamp,
    last: Option<Instant>,
    /// Something was read.
    changed: bool,
    /// Something happened that is shown at once.
    urgent: bool,
}

impl Publisher {
    pub(super) fn new(sender: watch::Sender<Arc<Snapshot>>, health: Arc<Health>) -> Self {
        Self {
            sender,
            health,
            sequence: 0,
            lifecycle: 0,
            complete: false,
            known: false,
            published: Timestamp::default(),
            last: None,
            changed: false,
            urgent: true,
        }
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

    /// Whether it was known once of every VM what it is.
    pub(super) const fn knows_all(&self) -> bool {
        self.known
    }

    /// When the next snapshot is to be published; a moment that has passed means now.
    pub(super) fn due(&self, now: Instant) -> Instant {
        let gap = match (self.urgent, self.changed) {
            (true, _) => URGENT_GAP,
            (false, true) => PUBLISH_GAP,
            (false, false) => HEARTBEAT,
        };
        self.last.map_or(now, |last| last + gap)
    }

    /// Publishes what is known now. A domain whose last figures were dropped while its daemon is away goes with them.
    ///
    /// `places` is the daemons' order, that of their VMs' keys; `rostered` whether all of them are known.
    pub(super) fn publish(
        &mut self,
        keepers: &mut BTreeMap<usize, Keeper>,
        places: &BTreeMap<DaemonId, usize>,
        rostered: bool,
        moment: Moment,
    ) {
        let mut stuck = 0;
        let mut busy = 0;
        let mut vms: Vec<Arc<Vm>> = Vec::with_capacity(keepers.values().map(|keeper| keeper.tracks.len()).sum());
        // Nothing in a snapshot is younger than it, even a stamp that was moved on to stay in order.
        let mut published = moment.stamp.max(self.published);
        for place in places.values() {
            let Some(keeper) = keepers.get_mut(place) else { continue };
            self.lifecycle += keeper.age(moment.instant);
            for track in keeper.tracks.values() {
                stuck += u64::from(track.is_stuck());
                busy += u64::from(track.busy_since.is_some());
                published = published.max(track.last_stamp());
            }
            self.lifecycle += u64::from(keeper.shown_vms(moment.instant, &mut vms));
        }
        // A launcher's daemon is no more than a part of its VM, and is not published.
        for keeper in keepers.values_mut().filter(|keeper| keeper.owned.is_none()) {
            keeper.refresh();
        }
        self.known = self.known || (rostered && keepers.values().all(Keeper::is_known));
        self.complete = self.complete || (rostered && keepers.values_mut().all(Keeper::round_is_done));
        self.sequence += 1;
        self.published = published;
        self.last = Some(moment.instant);
        self.changed = false;
        self.urgent = false;
        self.health.stuck.set(stuck);
        self.health.busy.set(busy);
        self.health.snapshots.one();
        self.sender.send_replace(Arc::new(Snapshot {
            published,
            sequence: self.sequence,
            complete: self.complete,
            daemons: keepers
                .values()
                .filter(|keeper| keeper.owned.is_none())
                .map(|keeper| Arc::clone(&keeper.shown))
                .collect(),
            vms,
            lifecycle: self.lifecycle,
        }));
    }
}
