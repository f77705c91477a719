//! What was sent about each Resource, and so what the next push must contain.
//!
//! Receivers refuse a whole request, with every VM in it, for one point that is older than the last of its Resource.
//! [`DeliveryState`] keeps the newest timestamp ever offered for each Resource, which only grows:
//!
//! * a reading is sent once, if it is newer than that; states and info have the timestamp of the push;
//! * the timestamp of a push is before any reading that may still be unpublished (see [`Cycle::taken`]);
//! * a VM that a sidecar pushes is neither sent nor ended;
//! * a series that was sent and no longer exists is ended in the first push delivered after that. A request of unknown
//!   outcome may have arrived, so its series are ended too; an end that may not have arrived is repeated.

mod ends;
mod known;
mod row;

use std::collections::{HashMap, HashSet};
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;

use super::encode::{self, Encoder};
use super::resource::resource;
use super::resource_kind::{Key, ResourceKind};
use super::settings::ResourceSettings;
use crate::catalog::Selection;
use crate::model::Timestamp;
use crate::snapshot::Snapshot;

use self::ends::{ENDS_MAX, EndContext, LAST_ENDS_MAX, Room, end_missing, ends, series};
use self::known::Known;
use self::row::Row;

/// The smallest step between two timestamps of a Resource: receivers keep milliseconds.
const STEP: Duration = Duration::from_millis(1);

/// How long an ended Resource is remembered. Receivers forget a series after five minutes by themselves (Prometheus'
/// lookback, the `metric_expiration` of the Collector's exporter): an end that could not be delivered by then is not
/// missed. This bounds the memory if VMs come and go while the Collector is down.
const REMEMBERED: Duration = Duration::from_secs(300);

/// How many different sets of series are remembered for a Resource while no push of it is confirmed. Each is a device
/// that came or went in the meantime; beyond that, the oldest is left to expire at the receiver.
const VERSIONS: usize = 8;

/// A push: what is known at one moment, and how much of it to send.
#[derive(Debug, Clone)]
pub(super) struct Cycle {
    /// What is known.
    pub(super) snapshot: Arc<Snapshot>,
    /// The timestamp of states and info. Every older reading is in the snapshot, so that none arrives out of order
    /// later.
    pub(super) taken: Timestamp,
    /// How much to send.
    pub(super) extent: Extent,
}

/// How much of a snapshot to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Every Resource.
    Everything,
    /// Those whose lifecycle changed since they were last sent, with all their new readings.
    Changes,
}

/// What to remember about a Resource once the outcome of its request is known.
#[derive(Debug)]
pub(super) struct DeliveryRecord {
    key: Key,
    version: Option<Version>,
}

/// Points that are left out of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct LeftOut {
    /// Readings that are older than the last push but were not in it.
    pub(super) late: usize,
    /// Points of Resources that exceed a size limit.
    pub(super) too_large: usize,
    /// Points of VMs or series that occur twice.
    pub(super) duplicate: usize,
}

/// What does not fit into a request on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge {
    /// Its size, in bytes.
    pub(super) bytes: usize,
}

/// Takes the messages of one Resource, which must stay in one request.
pub(super) type Sink<'s> = &'s mut dyn FnMut(&[&ResourceMetrics], usize, DeliveryRecord) -> Result<(), TooLarge>;

/// What was sent.
#[derive(Debug)]
pub(super) struct DeliveryState {
    selection: Selection,
    settings: ResourceSettings,
    hasher: RandomState,
    vm_encoder: Encoder,
    daemon_encoder: Encoder,
    sent: HashMap<Key, Sent>,
    generation: u64,
}

/// What was sent about one Resource.
#[derive(Debug, Default)]
struct Sent {
    /// The build that last saw it.
    generation: u64,
    /// The newest timestamp ever offered.
    newest: Timestamp,
    /// The timestamp of the newest reading considered.
    newest_reading: Option<Timestamp>,
    /// As it was last offered.
    offered: Option<ResourceKind>,
    /// What may be alive at the receiver; more than one while the outcome of pushes is unknown.
    versions: Vec<Version>,
    /// When it was found to be gone.
    gone: Option<Timestamp>,
    /// Whether it was logged that it is too large.
    too_large: bool,
    /// Whether it was logged that it occurs twice.
    duplicate: bool,
}

/// A Resource as it was sent, with the series that were alive then.
#[derive(Debug)]
struct Version {
    kind: ResourceKind,
    series: Vec<u64>,
}

impl DeliveryState {
    /// Nothing was sent yet.
    pub(super) fn new(selection: Selection, settings: ResourceSettings) -> Self {
        Self {
            vm_encoder: Encoder::new(&selection.vm),
            daemon_encoder: Encoder::new(&selection.daemon),
            selection,
            settings,
            hasher: RandomState::new(),
            sent: HashMap::new(),
            generation: 0,
        }
    }

    /// Passes the messages of a push to `sink`. Ends come first: a VM may be back under another Resource.
    pub(super) fn build(&mut self, cycle: &Cycle, sink: Sink<'_>) -> LeftOut {
        self.generation += 1;
        let mut left_out = LeftOut::default();
        let live = self.enter(&cycle.snapshot, &mut left_out);
        self.end_gone(cycle.taken, sink, &mut left_out);
        for (key, kind) in live {
            self.offer(key, &kind, cycle, sink, &mut left_out);
        }
        left_out
    }

    /// A request was delivered.
    pub(super) fn delivered(&mut self, records: Vec<DeliveryRecord>) {
        for record in records {
            if let Some(sent) = self.sent.get_mut(&record.key) {
                sent.versions.clear();
                sent.versions.extend(record.version);
            }
        }
    }

    /// A request failed: what was in it may or may not have arrived.
    pub(super) fn failed(&mut self, records: Vec<DeliveryRecord>) {
        for record in records {
            let (Some(sent), Some(version)) = (self.sent.get_mut(&record.key), record.version) else { continue };
            // The same series: the newer version stands for both.
            if sent
                .versions
                .last()
                .is_some_and(|last| last.series == version.series && last.kind.same_resource(&version.kind))
            {
                sent.versions.pop();
            }
            if sent.versions.len() == VERSIONS {
                sent.versions.remove(0);
            }
            sent.versions.push(version);
        }
    }

    /// How many points are lost when a waiting push is dropped in favour of `next`.
    pub(super) fn superseded(&self, dropped: &Cycle, next: &Snapshot) -> usize {
        let mut points = 0;
        for kind in subjects(&dropped.snapshot).filter(|kind| self.is_told_of(kind)) {
            let newest = self.sent.get(&self.key(&kind)).and_then(|sent| sent.newest_reading);
            let after = match &kind {
                ResourceKind::Vm(vm) => next.vm(&vm.key).cloned().map(ResourceKind::Vm),
                ResourceKind::Daemon(_) => None,
            };
            for row in kind.rows(&self.selection) {
                let lost = match row.metric.read.group() {
                    None => dropped.extent == Extent::Everything,
                    Some(group) => {
                        let at = kind.read_at(group);
                        at > newest && after.as_ref().and_then(|after| after.read_at(group)) != at
                    }
                };
                if lost {
                    kind.points(row, &mut |_| points += 1);
                }
            }
        }
        points
    }

    /// Whether a Resource is pushed: once its attributes are complete, and from then on.
    ///
    /// A VMI's Resource gains attributes when its domain is first seen. If pushed before, Prometheus would have two
    /// `target_info` of it for five minutes after each start, which no query can join with. So it is pushed before only
    /// if nobody can tell when its domain will be seen. A VM that a sidecar pushes is left to it.
    fn is_told_of(&self, kind: &ResourceKind) -> bool {
        let ResourceKind::Vm(vm) = kind else { return true };
        if vm.has_sidecar {
            return false;
        }
        let is_whole = vm.identity.uuid.is_some() || vm.hypervisor.is_some();
        is_whole || self.sent.get(&self.key(kind)).is_some_and(|sent| sent.offered.is_some())
    }

    fn key(&self, kind: &ResourceKind) -> Key {
        kind.key(self.settings.host_name.as_ref())
    }

    /// Notes which Resources exist, each once.
    fn enter(&mut self, snapshot: &Snapshot, left_out: &mut LeftOut) -> Vec<(Key, ResourceKind)> {
        let mut live = Vec::with_capacity(snapshot.daemons.len() + snapshot.vms.len());
        for kind in subjects(snapshot) {
            if !self.is_told_of(&kind) {
                // For receivers that follow Prometheus, the sidecar continues the series that were sent before it came:
                // an end of them would be one of its own.
                if matches!(&kind, ResourceKind::Vm(vm) if vm.has_sidecar) {
                    self.sent.remove(&self.key(&kind));
                }
                continue;
            }
            let key = self.key(&kind);
            let sent = self.sent.entry(key.clone()).or_default();
            if sent.generation == self.generation {
                for row in kind.rows(&self.selection) {
                    kind.points(row, &mut |_| left_out.duplicate += 1);
                }
                if !std::mem::replace(&mut sent.duplicate, true) {
                    tracing::error!(
                        vm = kind.name(),
                        "two of the libvirt URIs lead to the same VM, which is pushed once; configure each daemon once"
                    );
                }
                continue;
            }
            sent.generation = self.generation;
            sent.gone = None;
            live.push((key, kind));
        }
        live
    }

    fn end_gone(&mut self, taken: Timestamp, sink: Sink<'_>, left_out: &mut LeftOut) {
        let Self { sent, generation, selection, settings, hasher, .. } = self;
        sent.retain(|key, sent| {
            if sent.generation == *generation {
                return true;
            }
            let gone = *sent.gone.get_or_insert(taken);
            if taken.since(gone) >= REMEMBERED {
                return false;
            }
            sent.offered = None;
            if sent.versions.is_empty() {
                return true;
            }
            let stamp = sent.newest.after(STEP).max(taken);
            let context = EndContext { key, selection, settings, hasher };
            let mut room = Room::of(LAST_ENDS_MAX);
            let (messages, points, last) = ends(&sent.versions, None, stamp, &context, &mut room);
            left_out.too_large += room.cut;
            sent.newest = last;
            let messages: Vec<_> = messages.iter().collect();
            if sink(&messages, points, DeliveryRecord { key: key.clone(), version: None }).is_err() {
                left_out.too_large += points;
            }
            true
        });
    }

    fn offer(&mut self, key: Key, kind: &ResourceKind, cycle: &Cycle, sink: Sink<'_>, left_out: &mut LeftOut) {
        let Self { sent, selection, settings, hasher, vm_encoder, daemon_encoder, .. } = self;
        let Some(sent) = sent.get_mut(&key) else { return };
        if cycle.extent == Extent::Changes
            && sent.offered.as_ref().is_some_and(|offered| !offered.lifecycle_differs(kind))
        {
            return;
        }
        let encoder = match kind {
            ResourceKind::Vm(_) => vm_encoder,
            ResourceKind::Daemon(_) => daemon_encoder,
        };

        // The previous Resource of this key (a renamed VM's) ends between its last point and the first new one.
        let mut floor = sent.newest;
        let context = EndContext { key: &key, selection, settings, hasher };
        let mut room = Room::of(ENDS_MAX);
        let (ended, mut points, last) = ends(&sent.versions, Some(kind), floor.after(STEP), &context, &mut room);
        if !ended.is_empty() {
            floor = last.after(STEP);
        }

        let newest_reading = kind.newest_reading();
        let stamp = floor.after(STEP).max(cycle.taken).max(newest_reading.unwrap_or_default());
        encoder.begin(resource(kind, &key, settings));
        let mut known = Known::new(&sent.versions, kind);
        let mut alive = Vec::with_capacity(known.count);
        let mut present: Vec<u64> = Vec::with_capacity(known.count);
        for (index, row) in kind.rows(selection).iter().enumerate() {
            let mut of_row = Row::after(present.len());
            encoder.row(index, |points| {
                kind.points(row, &mut |point| {
                    let Some(value) = encode::wire(row.metric.unit, point.value) else { return };
                    let id = series(hasher, index, point.labels);
                    // A series that a row yields twice would be out of order the second time.
                    if !of_row.add(id, &mut present) {
                        left_out.duplicate += 1;
                        return;
                    }
                    let was_alive = known.contains(id);
                    let considered = point.at.is_some() && point.at <= sent.newest_reading;
                    let late = !considered && point.at.is_some_and(|at| at <= floor);
                    left_out.late += usize::from(late);
                    if considered || late {
                        alive.extend(was_alive.then_some(id));
                        return;
                    }
                    alive.push(id);
                    points.push(point.labels, value, point.at.unwrap_or(stamp), point.start);
                });
            });
        }
        if !known.all_found() {
            let present: HashSet<u64> = present.into_iter().collect();
            end_missing(&sent.versions, kind, &present, stamp, &context, encoder, &mut room);
        }
        left_out.too_large += room.cut;

        let mut messages: Vec<_> = ended.iter().collect();
        if let Some((message, count)) = encoder.finished() {
            messages.push(message);
            points += count;
        }
        sent.offered = Some(kind.clone());
        sent.newest_reading = sent.newest_reading.max(newest_reading);
        if messages.is_empty() {
            return;
        }
        sent.newest = stamp;
        let version = Version { kind: kind.clone(), series: alive };
        match sink(&messages, points, DeliveryRecord { key, version: Some(version) }) {
            Ok(()) => sent.too_large = false,
            Err(TooLarge { bytes }) => {
                left_out.too_large += points;
                if !std::mem::replace(&mut sent.too_large, true) {
                    tracing::error!(
                        vm = kind.name(),
                        bytes,
                        points,
                        "the series of one VM alone are larger than a request may be and are not pushed; leave out \
                         metrics with --metrics-exclude"
                    );
                }
            }
        }
    }
}

fn subjects(snapshot: &Snapshot) -> impl Iterator<Item = ResourceKind> {
    let daemons = snapshot.daemons.iter().map(|daemon| ResourceKind::Daemon(Arc::clone(daemon)));
    daemons.chain(snapshot.vms.iter().map(|vm| ResourceKind::Vm(Arc::clone(vm))))
}

#[cfg(test)]
impl DeliveryRecord {
    /// An empty record.
    pub(super) fn of(key: Key) -> Self {
        Self { key, version: None }
    }
}

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;
