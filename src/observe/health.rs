//! What `observe` counts of itself, for the agent's own metrics, and its heartbeat, for `/livez`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::heartbeat::Pulse;
use crate::model::{Group, Groups};

/// A number that one task writes and any may read.
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

/// How long the calls took that read a group.
#[derive(Debug, Default)]
pub struct Durations {
    /// How many calls asked for the group and were answered.
    pub count: Counter,
    nanos: Counter,
}

impl Durations {
    /// The time of all of them together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanos.get())
    }
}

/// What `observe` counts of itself. Counters only grow; those that say so are the present amount.
#[derive(Debug)]
pub struct Health {
    /// Whether the loop turns.
    pub pulse: Pulse,
    /// Turns of the loop.
    pub turns: Counter,
    /// Readings of a VM that were answered.
    pub readings: Counter,
    /// Readings of a VM that failed, those past their deadline included.
    pub reading_failures: Counter,
    /// Calls of any kind that went past their deadline.
    pub deadlines: Counter,
    /// Readings that libvirt answered without the QEMU because of somebody else's job.
    pub busy_readings: Counter,
    /// Answers that came after their deadline.
    pub late_answers: Counter,
    /// Readings that belonged to an incarnation that had ended meanwhile, and were thrown away.
    pub discarded: Counter,
    /// Parameters that this version does not know.
    pub unknown_parameters: Counter,
    /// Lists of domains that were asked for.
    pub lists: Counter,
    /// States that were asked for on their own.
    pub status_queries: Counter,
    /// XML queries that were made.
    pub describe_queries: Counter,
    /// XML queries that failed.
    pub describe_failures: Counter,
    /// Devices that were left out because another one of their VM has the same name.
    pub dropped_devices: Counter,
    /// vCPUs, devices and parameters of such that were left out because one VM, or those of a daemon together, may not have
    /// so many, counted each time.
    pub left_out: Counter,
    /// Domains that were left out because one daemon may not have so many, counted each time.
    pub domains_left_out: Counter,
    /// Snapshots that were published.
    pub snapshots: Counter,
    /// VMs that are stuck, at present.
    pub stuck: Counter,
    /// VMs that somebody else's job keeps busy, at present.
    pub busy: Counter,
    /// Reads that are running, at present.
    pub in_flight: Counter,
    groups: [Durations; Group::ALL.len()],
}

impl Health {
    /// Nothing counted yet; nobody looks at the heartbeat.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Pulse::default())
    }

    /// Nothing counted yet, with this heartbeat.
    #[must_use]
    pub fn of(pulse: Pulse) -> Self {
        Self {
            pulse,
            turns: Counter::default(),
            readings: Counter::default(),
            reading_failures: Counter::default(),
            deadlines: Counter::default(),
            busy_readings: Counter::default(),
            late_answers: Counter::default(),
            discarded: Counter::default(),
            unknown_parameters: Counter::default(),
            lists: Counter::default(),
            status_queries: Counter::default(),
            describe_queries: Counter::default(),
            describe_failures: Counter::default(),
            dropped_devices: Counter::default(),
            left_out: Counter::default(),
            domains_left_out: Counter::default(),
            snapshots: Counter::default(),
            stuck: Counter::default(),
            busy: Counter::default(),
            in_flight: Counter::default(),
            groups: Default::default(),
        }
    }

    /// How long the calls took that read this group. All groups of a VM come in one call, whose whole time counts for
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

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}
