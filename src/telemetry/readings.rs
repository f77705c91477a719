//! What the stages counted, as plain numbers: the agent fills it in, the table of metrics reads it.

use std::time::Duration;

/// What the stages counted until now. What is not known, or belongs to a stage that does not run, is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Readings {
    /// Each daemon that is read.
    pub daemons: Vec<Daemon>,
    /// Each group of statistics.
    pub groups: Vec<Group>,
    /// The reading loop.
    pub observe: Observe,
    /// The watch of the Kubernetes API.
    pub watch: Option<Watch>,
    /// The push of VMs' metrics.
    pub otlp: Option<Otlp>,
    /// The endpoint.
    pub scrapes: Option<Scrapes>,
    /// How old the latest snapshot is; `None` before the first.
    pub snapshot_age: Option<Duration>,
}

/// One libvirt daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Daemon {
    /// Its URI, as configured.
    pub uri: String,
    /// The calls of each kind.
    pub calls: Vec<Calls>,
    /// Statistics calls within their deadline at present.
    pub in_flight: u64,
    /// Calls that hang at present, left behind on their connections.
    pub abandoned: u64,
    /// Connections at present.
    pub connections: u64,
    /// Times the daemon was connected, the first one included.
    pub connects: u64,
    /// Times a connection was lost.
    pub disconnects: u64,
    /// Requests refused because too many calls waited or hung.
    pub refused: u64,
    /// Events received.
    pub events: u64,
    /// Events dropped because the queue was full.
    pub events_dropped: u64,
}

/// The calls of one kind into one daemon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// The kind.
    pub kind: &'static str,
    /// Those that have returned.
    pub returned: u64,
    /// Those of them that libvirt failed.
    pub failed: u64,
    /// Those that went past their deadline.
    pub late: u64,
    /// How long those that have returned took together.
    pub duration: Duration,
}

/// One group of statistics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: &'static str,
    /// How many calls asked for it and were answered.
    pub readings: u64,
    /// How long all of these took together.
    pub duration: Duration,
}

/// The reading loop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observe {
    /// Turns of the loop.
    pub turns: u64,
    /// Readings of a VM that were answered.
    pub readings: u64,
    /// Readings of a VM that failed.
    pub failures: u64,
    /// VMs that are stuck at present.
    pub stuck: u64,
    /// VMs that somebody else's job keeps busy at present.
    pub busy: u64,
    /// XML queries made.
    pub descriptions: u64,
    /// XML queries that failed.
    pub description_failures: u64,
    /// Parameters that this version does not know, counted each time.
    pub unknown_parameters: u64,
    /// vCPUs, devices and parameters of such that were left out because one VM may not have so many, counted each time.
    pub left_out: u64,
    /// Domains left out because one daemon may not have so many.
    pub domains_left_out: u64,
    /// Snapshots published.
    pub snapshots: u64,
}

/// The watch of the Kubernetes API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watch {
    /// Whether the API answered when it was last asked.
    pub connected: bool,
    /// For how long it has not; `None` while it does.
    pub away: Option<Duration>,
    /// Events, by kind.
    pub events: Vec<(&'static str, u64)>,
    /// Requests that failed, by reason.
    pub errors: Vec<(&'static str, u64)>,
    /// Objects that could not be used.
    pub objects_dropped: u64,
    /// Values of objects that could not be used.
    pub fields_dropped: u64,
    /// Allowed labels that were not taken.
    pub labels_dropped: u64,
}

/// The push of VMs' metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Otlp {
    /// Points that the Collector accepted.
    pub sent: u64,
    /// Points that it said it rejected.
    pub rejected: u64,
    /// Points that were sent again, counted each time.
    pub retried: u64,
    /// Points that were never delivered, by reason.
    pub dropped: Vec<(&'static str, u64)>,
    /// Requests made.
    pub requests: u64,
    /// Requests that failed.
    pub failed_requests: u64,
    /// Bytes sent, before compression.
    pub bytes: u64,
    /// Pushes that wait at present.
    pub queued: u64,
}

/// The endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scrapes {
    /// Scrapes answered.
    pub answered: u64,
    /// Scrapes refused because too many ran at once.
    pub refused: u64,
    /// How long rendering took, all answered ones together.
    pub duration: Duration,
    /// Bytes rendered, before compression.
    pub bytes: u64,
}
