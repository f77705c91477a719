//! Ends series that were sent and no longer exist.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;

use super::super::encode::Encoder;
use super::super::resource::resource;
use super::super::resource_kind::{Key, ResourceKind};
use super::super::settings::{REQUEST_LIMIT, ResourceSettings};
use super::{STEP, Version};
use crate::catalog::{Labels, Selection};
use crate::model::Timestamp;

/// What ends are written with: the Resource's key, and what all Resources share.
pub(super) struct EndContext<'b> {
    pub(super) key: &'b Key,
    pub(super) selection: &'b Selection,
    pub(super) settings: &'b ResourceSettings,
    pub(super) hasher: &'b RandomState,
}

/// Bytes that the ends of one Resource may take in a push that also contains its values: about three thousand ends. If
/// all devices of a VM get other names, those that do not fit end at the receiver by themselves, after five minutes
/// without a point.
pub(super) const ENDS_MAX: usize = 1_024 * 1_024;

/// The same in a push without values.
pub(super) const LAST_ENDS_MAX: usize = REQUEST_LIMIT - 256 * 1_024;

/// Bytes that one end takes, without its label values: each is in a metric of its own, with its name and description.
const END_BYTES: usize = 320;

/// Bytes left for ends.
#[derive(Debug)]
pub(super) struct Room {
    bytes: usize,
    /// Ends that did not fit.
    pub(super) cut: usize,
}

impl Room {
    /// This many bytes.
    pub(super) const fn of(bytes: usize) -> Self {
        Self { bytes, cut: 0 }
    }

    fn takes(&mut self, labels: &Labels<'_>) -> bool {
        let bytes = END_BYTES + labels.iter().map(|label| label.value.len()).sum::<usize>();
        let left = self.bytes.checked_sub(bytes);
        self.cut += usize::from(left.is_none());
        self.bytes = left.unwrap_or(0);
        left.is_some()
    }
}

/// Identifies a series within its Resource. The hash key is random: nobody can choose names that collide.
pub(super) fn series(hasher: &RandomState, row: usize, labels: &Labels<'_>) -> u64 {
    let mut hash = hasher.build_hasher();
    hash.write_usize(row);
    for label in labels {
        label.value.hash(&mut hash);
    }
    hash.finish()
}

/// Messages that end every series of the versions with another Resource than `current`, one per Resource; the number of
/// series; and the last timestamp. Timestamps start at `at` and increase: receivers that keep only a part of a Resource
/// take these for one.
pub(super) fn ends(
    versions: &[Version],
    current: Option<&ResourceKind>,
    at: Timestamp,
    context: &EndContext<'_>,
    room: &mut Room,
) -> (Vec<ResourceMetrics>, usize, Timestamp) {
    let (mut messages, mut points, mut last) = (Vec::new(), 0, at);
    let is_current = |version: &Version| current.is_some_and(|current| current.same_resource(&version.kind));
    for (index, version) in versions.iter().enumerate() {
        let done = versions[..index].iter().any(|earlier| earlier.kind.same_resource(&version.kind));
        if done || is_current(version) {
            continue;
        }
        let mut encoder = Encoder::new(&[]);
        encoder.begin(resource(&version.kind, context.key, context.settings));
        let at = if messages.is_empty() { at } else { last.after(STEP) };
        end_missing(versions, &version.kind, &HashSet::new(), at, context, &mut encoder, room);
        if let Some((message, count)) = encoder.finished() {
            messages.push(message.clone());
            points += count;
            last = at;
        }
    }
    (messages, points, last)
}

/// Ends, once each, the series of the versions with the Resource of `kind` that are not in `present`.
pub(super) fn end_missing(
    versions: &[Version],
    kind: &ResourceKind,
    present: &HashSet<u64>,
    at: Timestamp,
    context: &EndContext<'_>,
    encoder: &mut Encoder,
    room: &mut Room,
) {
    let mut done = HashSet::new();
    for version in versions {
        if !kind.same_resource(&version.kind) {
            continue;
        }
        let alive: HashSet<u64> = version.series.iter().copied().collect();
        for (index, row) in version.kind.rows(context.selection).iter().enumerate() {
            version.kind.points(row, &mut |point| {
                let id = series(context.hasher, index, point.labels);
                if alive.contains(&id) && !present.contains(&id) && done.insert(id) && room.takes(point.labels) {
                    encoder.end(row, point.labels, at);
                }
            });
        }
    }
}
