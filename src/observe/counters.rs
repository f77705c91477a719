//! What `observe` counts about itself, for the agent's own metrics, and its heartbeat, for `/livez`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::heartbeat::Pulse;
use crate::model::{Group, Groups};

/// A number that one task writes and any task may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Its present value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub(super) fn one(&self) {
        self.add(1);
    }

    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// How long the calls that read a group took.
#[derive(Debug, Default)]
pub struct Durations {
    /// How many calls asked for the group and were answered.
    pub count: Counter,
    nanos: Counter,
}

impl Durations {
    /// The total time of these calls.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanos.get())
    }
}

/// What `observe` counts about itself. Counters only grow, except those described as "at present".
#[derive(Debug)]
pub struct ObserveCounters {
    /// The loop's heartbeat.
    pub pulse: Pulse,
    /// Iterations of the loop.
    pub turns: Counter,
    /// Readings of a VM that were answered.
    pub readings: Counter,
    /// Readings of a VM that failed, including those past their deadline.
    pub reading_failures: Counter,
    /// Parameters that this version does not know.
    pub unknown_parameters: Counter,
    /// XML queries sent.
    pub describe_queries: Counter,
    /// XML queries that failed.
    pub describe_failures: Counter,
    /// vCPUs, devices and their parameters left out because of the limits on one VM, or on all VMs of a daemon, counted
    /// each time.
    pub left_out: Counter,
    /// Domains left out because of the limits on one daemon, counted each time.
    pub domains_left_out: Counter,
    /// Snapshots that were published.
    pub snapshots: Counter,
    /// VMs that are stuck, at present.
    pub stuck: Counter,
    /// VMs that another client's job keeps busy, at present.
    pub busy: Counter,
    groups: [Durations; Group::ALL.len()],
}

impl ObserveCounters {
    /// Zero counters and an unwatched heartbeat.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Pulse::default())
    }

    /// Zero counters with this heartbeat.
    #[must_use]
    pub fn of(pulse: Pulse) -> Self {
        Self {
            pulse,
            turns: Counter::default(),
            readings: Counter::default(),
            reading_failures: Counter::default(),
            unknown_parameters: Counter::default(),
            describe_queries: Counter::default(),
            describe_failures: Counter::default(),
            left_out: Counter::default(),
            domains_left_out: Counter::default(),
            snapshots: Counter::default(),
            stuck: Counter::default(),
            busy: Counter::default(),
            groups: Default::default(),
        }
    }

    /// How long the calls that read this group took. All groups of a VM come in one call, whose whole time counts for
    /// each of them.
    #[must_use]
    pub const fn durations(&self, group: Group) -> &Durations {
        &self.groups[group as usize]
    }

    pub(super) fn answered(&self, groups: Groups, took: Duration) {
        self.readings.one();
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        for group in groups.iter() {
            let durations = self.durations(group);
            durations.count.one();
            durations.nanos.add(nanos);
        }
    }
}

impl Default for ObserveCounters {
    fn default() -> Self {
        Self::new()
    }
}
