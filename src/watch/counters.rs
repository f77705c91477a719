//! The watch's counters, for the agent's own metrics and its readiness.

use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::time::Duration;

use tokio::time::Instant;

use super::fault::FaultKind;
use super::object::Tally;
use crate::model::names;

/// The kinds of events that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A list begins.
    Restarted,
    /// A VMI is new, has changed, or is in the list.
    Applied,
    /// A VMI is no longer on this node.
    Deleted,
    /// A list is complete.
    Synced,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Restarted, Self::Applied, Self::Deleted, Self::Synced];

    /// The name of every value, for a closed set of labels.
    pub(super) const NAMES: [&'static str; Self::ALL.len()] = names!(Self::ALL);

    /// Its name in labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restarted => "restarted",
            Self::Applied => "applied",
            Self::Deleted => "deleted",
            Self::Synced => "synced",
        }
    }
}

/// Instead of a time: the API is not away.
const NOT_AWAY: u64 = u64::MAX;

/// The watch's counters. The watch writes them, anyone may read them, and nothing blocks.
#[derive(Debug)]
pub struct WatchCounters {
    /// What `away_since` counts from.
    begin: Instant,
    /// Milliseconds after `begin`, or [`NOT_AWAY`].
    away_since: AtomicU64,
    synced: AtomicBool,
    events: [AtomicU64; EventKind::ALL.len()],
    faults: [AtomicU64; FaultKind::ALL.len()],
    objects_dropped: AtomicU64,
    fields_dropped: AtomicU64,
    labels_dropped: AtomicU64,
}

impl WatchCounters {
    /// All counts are zero; the API counts as away until it answers.
    #[must_use]
    pub fn new() -> Self {
        Self {
            begin: Instant::now(),
            away_since: AtomicU64::new(0),
            synced: AtomicBool::new(false),
            events: Default::default(),
            faults: Default::default(),
            objects_dropped: AtomicU64::new(0),
            fields_dropped: AtomicU64::new(0),
            labels_dropped: AtomicU64::new(0),
        }
    }

    /// Whether a list was ever complete: before, nothing is known about this node's VMIs.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.synced.load(SeqCst)
    }

    /// Whether the API answered when it was last asked.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.away().is_none()
    }

    /// How long the API has not answered; `None` while it does. What is known may be that old, plus the time until a
    /// silently dead connection is noticed (under a minute).
    #[must_use]
    pub fn away(&self) -> Option<Duration> {
        let since = self.away_since.load(SeqCst);
        (since != NOT_AWAY).then(|| self.begin.elapsed().saturating_sub(Duration::from_millis(since)))
    }

    /// Events that were sent.
    #[must_use]
    pub fn events(&self, kind: EventKind) -> u64 {
        self.events[kind as usize].load(Relaxed)
    }

    /// Requests and answers that failed.
    #[must_use]
    pub fn errors(&self, kind: FaultKind) -> u64 {
        self.faults[kind as usize].load(Relaxed)
    }

    /// Objects without namespace, name or UID, which are unusable. Counted each time they arrive.
    #[must_use]
    pub fn objects_dropped(&self) -> u64 {
        self.objects_dropped.load(Relaxed)
    }

    /// Values of objects with the wrong type, too long, out of range, or too many. Counted each time they arrive.
    #[must_use]
    pub fn fields_dropped(&self) -> u64 {
        self.fields_dropped.load(Relaxed)
    }

    /// Allowed labels that were too long, too many, or had the same Prometheus label as another. Counted each time they
    /// arrive.
    #[must_use]
    pub fn labels_dropped(&self) -> u64 {
        self.labels_dropped.load(Relaxed)
    }

    pub(super) fn sent(&self, kind: EventKind) {
        self.events[kind as usize].fetch_add(1, Relaxed);
        if kind == EventKind::Synced {
            self.synced.store(true, SeqCst);
        }
    }

    pub(super) fn failed(&self, kind: FaultKind) {
        self.faults[kind as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn object_dropped(&self) {
        self.objects_dropped.fetch_add(1, Relaxed);
    }

    pub(super) fn tally(&self, tally: Tally) {
        self.fields_dropped.fetch_add(tally.fields, Relaxed);
        self.labels_dropped.fetch_add(tally.labels, Relaxed);
    }

    /// The API is away from now on.
    pub(super) fn goes_away(&self) {
        let since = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(NOT_AWAY - 1);
        // If it is already away, the earlier time stays.
        _ = self.away_since.compare_exchange(NOT_AWAY, since, SeqCst, SeqCst);
    }

    /// The API is back; returns how long it was away.
    pub(super) fn comes_back(&self) -> Option<Duration> {
        let away = self.away();
        self.away_since.store(NOT_AWAY, SeqCst);
        away
    }
}

impl Default for WatchCounters {
    fn default() -> Self {
        Self::new()
    }
}
