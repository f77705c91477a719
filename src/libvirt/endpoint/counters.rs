//! What an endpoint counts of its own doing, for the agent's own metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The kinds of calls, by libvirt's function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// `virConnectOpenReadOnly`, with the look at the socket before it.
    Open,
    /// `virConnectGetCapabilities` and the facts of a daemon, after connecting.
    Prepare,
    /// `virConnectListAllDomains`
    List,
    /// `virDomainGetState`
    Status,
    /// `virDomainGetXMLDesc`
    Describe,
    /// `virDomainListGetStats`
    Stats,
    /// `virDomainGetJobStats`
    Job,
    /// `virConnectGetLibVersion`: whether the daemon answers at all.
    Ping,
}

impl CallKind {
    /// Every kind.
    pub const ALL: [Self; 8] =
        [Self::Open, Self::Prepare, Self::List, Self::Status, Self::Describe, Self::Stats, Self::Job, Self::Ping];

    /// Its name in labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Prepare => "prepare",
            Self::List => "list",
            Self::Status => "status",
            Self::Describe => "describe",
            Self::Stats => "stats",
            Self::Job => "job",
            Self::Ping => "ping",
        }
    }

    /// The libvirt function, for messages.
    #[must_use]
    pub const fn function(self) -> &'static str {
        match self {
            Self::Open => "virConnectOpenReadOnly",
            Self::Prepare => "virConnectGetCapabilities",
            Self::List => "virConnectListAllDomains",
            Self::Status => "virDomainGetState",
            Self::Describe => "virDomainGetXMLDesc",
            Self::Stats => "virDomainListGetStats",
            Self::Job => "virDomainGetJobStats",
            Self::Ping => "virConnectGetLibVersion",
        }
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
    /// Calls that have returned, well or not, in time or not.
    #[must_use]
    pub fn returned(&self) -> u64 {
        self.returned.load(Relaxed)
    }

    /// Those of them that libvirt failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Calls that went past their deadline and were left behind, returned meanwhile or not.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.late.load(Relaxed)
    }

    /// How long the calls that have returned took, all together.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Relaxed))
    }
}

/// What endpoints count: one, or several together. Written by them, read by whoever likes; nothing here is ever waited
/// for.
#[derive(Debug, Default)]
pub struct EndpointCounters {
    calls: [CallCounters; CallKind::ALL.len()],
    in_flight: AtomicU64,
    abandoned: AtomicU64,
    stuck: AtomicU64,
    connections: AtomicU64,
    connects: AtomicU64,
    disconnects: AtomicU64,
    unknown_parameters: AtomicU64,
    events_received: AtomicU64,
    events_dropped: AtomicU64,
    events_refused: AtomicU64,
    requests_refused: AtomicU64,
}

impl EndpointCounters {
    /// The counts of one kind of call.
    #[must_use]
    pub fn calls(&self, kind: CallKind) -> &CallCounters {
        &self.calls[kind as usize]
    }

    /// Statistics calls within their deadline now.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// Statistics calls past their deadline that have not returned now.
    #[must_use]
    pub fn abandoned(&self) -> u64 {
        self.abandoned.load(Relaxed)
    }

    /// Domains that are stuck now.
    #[must_use]
    pub fn stuck(&self) -> u64 {
        self.stuck.load(Relaxed)
    }

    /// Connections to the daemon now: idle, in a call, and the one for events.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// How often the daemon was connected, the first time included.
    #[must_use]
    pub fn connects(&self) -> u64 {
        self.connects.load(Relaxed)
    }

    /// How often a connection was lost. Attempts that failed are `calls(Open).failed()`.
    #[must_use]
    pub fn disconnects(&self) -> u64 {
        self.disconnects.load(Relaxed)
    }

    /// Typed parameters that this version does not know: skipped.
    #[must_use]
    pub fn unknown_parameters(&self) -> u64 {
        self.unknown_parameters.load(Relaxed)
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

    /// Kinds of events that daemons did not know, all connections together.
    #[must_use]
    pub fn events_refused(&self) -> u64 {
        self.events_refused.load(Relaxed)
    }

    /// Requests that were refused because too many calls waited or had been left behind.
    #[must_use]
    pub fn requests_refused(&self) -> u64 {
        self.requests_refused.load(Relaxed)
    }

    pub(super) fn count_call(&self, kind: CallKind, took: Duration, ok: bool) {
        let counters = self.calls(kind);
        counters.returned.fetch_add(1, Relaxed);
        counters.failed.fetch_add(u64::from(!ok), Relaxed);
        counters.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn count_late(&self, kind: CallKind) {
        self.calls(kind).late.fetch_add(1, Relaxed);
    }

    pub(super) fn count_connect(&self) {
        self.connects.fetch_add(1, Relaxed);
    }

    pub(super) fn count_disconnect(&self) {
        self.disconnects.fetch_add(1, Relaxed);
    }

    pub(super) fn count_unknown_parameters(&self, count: u32) {
        self.unknown_parameters.fetch_add(u64::from(count), Relaxed);
    }

    pub(super) fn count_event(&self) {
        self.events_received.fetch_add(1, Relaxed);
    }

    pub(super) fn count_dropped_events(&self, count: usize) {
        self.events_dropped.fetch_add(wide(count), Relaxed);
    }

    pub(super) fn count_refused_events(&self, count: u32) {
        self.events_refused.fetch_add(u64::from(count), Relaxed);
    }

    pub(super) fn count_refused_request(&self) {
        self.requests_refused.fetch_add(1, Relaxed);
    }
}

/// What one endpoint has in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Load {
    pub(super) in_flight: usize,
    pub(super) abandoned: usize,
    pub(super) stuck: usize,
    pub(super) connections: usize,
}

/// The part of the counters' load that is one endpoint's. It is taken back when the endpoint ends.
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
            (&counters.stuck, self.shown.stuck, load.stuck),
            (&counters.connections, self.shown.connections, load.connections),
        ] {
            if before != now {
                // Adding wraps around: the sum over all endpoints is right, whichever of them went down.
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
