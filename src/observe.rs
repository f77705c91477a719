//! Schedules reads, timestamps them, and is the only writer of snapshots.
//!
//! One loop ([`run`]) owns all state. It queries the sources and waits for none of them: answers and events come back
//! to the loop, which alone changes the state. It publishes that state as an immutable [`Snapshot`]: at once when
//! something happened, at most ten times a second while readings come in, and at least every second, because ages grow
//! even while nothing is read.
//!
//! # Phases of a domain
//!
//! ```text
//!  listed, or named by an event
//!      │
//!      ▼         state: does not run
//!   Unknown ──┬─────────────────────────────────► Inactive ◄──┐
//!      ▲      │                                       │       │ STOPPED, or the
//!      │      │ state: paused for a                   │       │ state says so
//!      │      │ migration or a start                  │       │
//!      │      ├──────────────────► Arriving           │       │
//!      │      │ STARTED by a          │               │       │
//!      │      │ migration             │ RESUMED/      │       │
//!      │      │                       │ MIGRATED      │       │
//!      │      │ STARTED               ▼               ▼       │
//!      │      └─────────────────────────────────► Active ─────┘
//!      │                                            │
//!      └────────────────────────────────────────────┘
//!         the daemon is unreachable: readings stay until they are too old
//! ```
//!
//! In any phase, STARTED (not by a migration) or an active state other than those two leads to Active. A domain that
//! its daemon does not know is removed.
//!
//! | phase | state | hypervisor type, XML | statistics | queried on schedule |
//! |---|---|---|---|---|
//! | Unknown (new) | – | – | – | the state, if its first query failed |
//! | Unknown (daemon unreachable) | – | `unknown`; the XML stays, for the labels | until three intervals old, then the VM is removed | nothing |
//! | Inactive | yes | – | – | the state |
//! | Arriving | yes | – | – | the state |
//! | Active | yes | yes | yes | every due group, in one call |
//!
//! # Incarnations
//!
//! An incarnation is one run of a domain. Entering Active begins one, unless the daemon was only unreachable. So do
//! STARTED, a reading with another id and, after a reconnect or lost events, a host-side counter that went back. A new
//! incarnation is shown once its first detection has succeeded or failed; its identity then stays the same. Until then
//! the domain is shown as it was, without statistics. Answers to queries sent before the incarnation began, or over an
//! earlier connection, are discarded.
//!
//! # Detections
//!
//! A detection is one XML query: when an incarnation begins (a RESUMED and a STARTED within a second are one boot),
//! when a pause ends, after a reconnect, when devices changed (at most one a second), and when a statistic names a
//! device missing from the XML (at most one a minute). A failed query is retried with doubling waits. A query that is
//! late keeps the known type; any other failure makes it `unknown`. An unrecognised domain type is `unknown` too, and
//! not queried again: the XML of a running domain does not change its type.
//!
//! # Event floods
//!
//! Lifecycle events trigger queries at once, up to a burst that no honest VM exceeds. After that, queries go out at
//! most eight times a second for each VM, for everything that the waiting events need. Events that name unknown domains
//! are limited likewise, by daemon; a list soon finds the domains beyond the limit.
//!
//! # Stuck, busy, late
//!
//! A reading past its deadline makes its VM stuck; a whole answer, or the late one, clears that. A late answer is used
//! only for groups that were not read since and that libvirt gathered after it began to wait. A VM kept busy by a job
//! that libvirt does not report is stuck after three intervals. Of a busy VM's memory libvirt knows only the balloon's
//! size, which never replaces a whole reading that is still young enough to be shown.

mod arrival;
mod calls;
mod condition;
mod context;
mod counters;
mod daemon;
mod describe;
mod detection;
mod domain;
mod due;
mod engine;
mod event_pacing;
mod feeds;
mod figures;
mod first;
mod first_readings;
mod incarnation;
mod labels;
mod lines;
mod members;
mod metrics;
mod monotonic;
mod owned;
mod ownership;
mod pace;
mod publish;
mod queries;
mod reading;
pub mod room;
mod roster;
mod roster_changes;
mod schedule;
mod settings;
mod share;
mod starts;
mod told;
mod transitions;
mod turns;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use counters::{Counter, Durations, ObserveCounters};
pub use metrics::METRICS;
pub use roster::{Feed, Owner, Roster, Who};
pub use settings::{DEFAULT_INTERVAL, Intervals, LEAST_INTERVAL, MOST_INTERVAL, NOT_YET, Settings};

use crate::clock::Clock;
use crate::model::{Group, Groups};
use crate::snapshot::Snapshot;

/// Observes these daemons, and those that `roster` adds, until `shutdown` is cancelled: reads their VMs, and publishes
/// what is known to `snapshots`.
///
/// It never fails: what cannot be read is shown as such, counted in `health` and retried. When it returns, it has
/// abandoned every running call and published a last snapshot.
pub async fn run(
    settings: Settings,
    sources: Vec<Feed>,
    roster: Option<mpsc::Receiver<Roster>>,
    clock: Arc<dyn Clock>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    counters: Arc<ObserveCounters>,
    shutdown: CancellationToken,
) {
    engine::Engine::new(&settings, sources, roster, clock, snapshots, counters).run(shutdown).await;
}

/// Adds the groups that are always read: the state, on which everything else depends, and the job, which tells a busy
/// VM from a stuck one.
fn with_needed(mut groups: Groups) -> Groups {
    groups.insert(Group::State);
    groups.insert(Group::Job);
    groups
}
