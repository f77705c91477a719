//! What an endpoint counts about itself, for the agent's own metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::hypervisor::Call;
use crate::source::Ask;

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallName {
    /// Its name in labels.
    pub name: &'static str,
    /// The libvirt function, for messages.
    pub function: &'static str,
}

impl CallName {
    /// The names of all kinds of calls.
    pub(super) const ALL: [&'static str; 8] = ["open", "prepare", "list", "status", "describe", "stats", "job", "ping"];

    /// Connecting: `virConnectOpenReadOnly`, and the queries for the daemon's facts.
    pub(super) const OPEN: Self = Self { name: "open", function: "virConnectOpenReadOnly" };

    /// The liveness check.
    pub(super) const PING: Self = Self { name: "ping", function: "virConnectGetLibVersion" };

    /// What a call counts as.
    pub(super) const fn of(call: Call) -> Self {
        let name = match call {
            Call::Prepare => "prepare",
            Call::Ask(Ask::List) => "list",
            Call::Ask(Ask::Status(_)) => "status",
            Call::Ask(Ask::Describe(_)) => "describe",
            Call::Ask(Ask::Read(..)) => "stats",
            Call::Job(_) => "job",
        };
        Self { name, function: call.function() }
    }
}

/// The counts of one kind of call.
#[derive(Debug, Default)]
pub struct CallCounters {
    returned: AtomicU64,
    failed: AtomicU64,
    late: AtomicU64,
    nanoseconds: AtomicU64,
}

impl CallCounters {
    /// Calls that have returned, successfully or not, in time or not.
    #[must_use]
    pub fn returned(&self) -> u64 {
        self.returned.load(Relaxed)
    }

    /// Those of them that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Calls that went past their deadline, whether or not they have returned since.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.late.load(Relaxed)
    }

    /// The total duration of the calls that have returned.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Relaxed))
    }
}

/// What one endpoint counts, or several together. Endpoints write it, anyone may read it; nothing here ever blocks.
#[derive(Debug, Default)]
pub struct EndpointCounters {
    calls: [CallCounters; CallName::ALL.len()],
    in_flight: AtomicU64,
    abandoned: AtomicU64,
    #[cfg(test)]
    stuck: AtomicU64,
    connections: AtomicU64,
    connects: AtomicU64,
    disconnects: AtomicU64,
    events_received: AtomicU64,
    events_dropped: AtomicU64,
    requests_refused: AtomicU64,
}

impl EndpointCounters {
    /// The counts of each kind of call, by its name.
    pub fn calls(&self) -> impl Iterator<Item = (&'static str, &CallCounters)> {
        CallName::ALL.into_iter().zip(&self.calls)
    }

    fn calls_of(&self, call: CallName) -> Option<&CallCounters> {
        self.calls().find(|(name, _)| *name == call.name).map(|(_, counters)| counters)
    }

    /// Statistics and XML calls that are running now.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// Abandoned statistics and XML calls that have not returned.
    #[must_use]
    pub fn abandoned(&self) -> u64 {
        self.abandoned.load(Relaxed)
    }

    /// Domains that are stuck now.
    #[cfg(test)]
    pub fn stuck(&self) -> u64 {
        self.stuck.load(Relaxed)
    }

    /// Connections to the daemon now: idle, in a call, and the one for events.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// How often the daemon was connected to, including the first time.
    #[must_use]
    pub fn connects(&self) -> u64 {
        self.connects.load(Relaxed)
    }

    /// How often a connection was lost. Attempts that failed are failed calls of the kind `open`.
    #[must_use]
    pub fn disconnects(&self) -> u64 {
        self.disconnects.load(Relaxed)
    }

    /// Events that libvirt delivered.
    #[must_use]
    pub fn events_received(&self) -> u64 {
        self.events_received.load(Relaxed)
    }

    /// Events that were dropped because a queue was full; everything is then read afresh.
    #[must_use]
    pub fn events_dropped(&self) -> u64 {
        self.events_dropped.load(Relaxed)
    }

    /// Requests that were refused for overload or for lack of a connection.
    #[must_use]
    pub fn requests_refused(&self) -> u64 {
        self.requests_refused.load(Relaxed)
    }

    pub(super) fn count_call(&self, call: CallName, took: Duration, ok: bool) {
        let Some(counters) = self.calls_of(call) else { return };
        counters.returned.fetch_add(1, Relaxed);
        counters.failed.fetch_add(u64::from(!ok), Relaxed);
        counters.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn count_late(&self, call: CallName) {
        if let Some(counters) = self.calls_of(call) {
            counters.late.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn count_connect(&self) {
        self.connects.fetch_add(1, Relaxed);
    }

    pub(super) fn count_disconnect(&self) {
        self.disconnects.fetch_add(1, Relaxed);
    }

    pub(super) fn count_event(&self) {
        self.events_received.fetch_add(1, Relaxed);
    }

    pub(super) fn count_dropped_events(&self, count: usize) {
        self.events_dropped.fetch_add(wide(count), Relaxed);
    }

    /// Events that the connection received and dropped.
    pub(super) fn count_lost_events(&self, count: u64) {
        self.events_received.fetch_add(count, Relaxed);
        self.events_dropped.fetch_add(count, Relaxed);
    }

    pub(super) fn count_refused_request(&self) {
        self.requests_refused.fetch_add(1, Relaxed);
    }
}

/// The load of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Load {
    pub(super) in_flight: usize,
    pub(super) abandoned: usize,
    #[cfg(test)]
    pub(super) stuck: usize,
    pub(super) connections: usize,
}

/// One endpoint's part of the counters' load. It is subtracted when the endpoint ends.
#[derive(Debug)]
pub(super) struct ShownLoad {
    counters: Arc<EndpointCounters>,
    shown: Load,
}

impl ShownLoad {
    pub(super) fn new(counters: Arc<EndpointCounters>) -> Self {
        Self { counters, shown: Load::default() }
    }

    /// Replaces what was shown before.
    pub(super) fn show(&mut self, load: Load) {
        let counters = &self.counters;
        for (figure, before, now) in [
            (&counters.in_flight, self.shown.in_flight, load.in_flight),
            (&counters.abandoned, self.shown.abandoned, load.abandoned),
            #[cfg(test)]
            (&counters.stuck, self.shown.stuck, load.stuck),
            (&counters.connections, self.shown.connections, load.connections),
        ] {
            if before != now {
                // Wrapping: the sum over all endpoints is right, even where one went down.
                figure.fetch_add(wide(now).wrapping_sub(wide(before)), Relaxed);
            }
        }
        self.shown = load;
    }
}

impl Drop for ShownLoad {
    fn drop(&mut self) {
        self.show(Load::default());
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
