//! When to read what; stamps the time; the one writer of snapshots.
//!
//! One loop ([`run`]) owns everything that is known. It asks the sources and waits for none of them: their answers and
//! events come back to the loop, which alone changes anything.
//! What it knows it publishes as an immutable [`Snapshot`]: at once when something happened, at most ten times a second
//! while readings come in, and every second in any case, since ages go on while nothing is read.
//!
//! # What a domain is to us
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
//!         the daemon is away: what was read stays until it is too old
//! ```
//!
//! Wherever it is: STARTED, or a state that says it runs, makes it Active (for Arriving: a state other than the two); a
//! daemon that does not know it makes it go.
//!
//! | | state | hypervisor type, XML | figures | asked by the schedule |
//! |---|---|---|---|---|
//! | Unknown (new) | – | – | – | the state, once a failed answer is overdue |
//! | Unknown (daemon away) | – | `unknown`; the XML stays, for the labels | until three intervals old, then the VM goes | nothing |
//! | Inactive | yes | – | – | the state |
//! | Arriving | yes | – | – | the state |
//! | Active | yes | yes | yes | every due group, in one call |
//!
//! # Incarnations
//!
//! Entering Active begins an incarnation, unless the daemon was only away. So do STARTED, a reading with another id, and
//! after a reconnect (or lost events) a counter of the host's that went back. An incarnation is shown once its first
//! detection has succeeded or failed, by an identity that does not change until the next; in between the domain is shown
//! as it was, without figures. An answer to a question that was asked before the incarnation began, or over an earlier
//! connection, is thrown away.
//!
//! # Detections
//!
//! One XML query when an incarnation begins (a RESUMED and a STARTED within a second are one boot), when a pause ends,
//! after a reconnect, when devices changed (at most one a second), and when a statistic names a device that the XML did
//! not have (at most one a minute). A query that fails is made again with doubling waits. A query that is late leaves the
//! type as it is known; any other failure makes it `unknown`. A domain type that is well read and none of those we know
//! is `unknown` too, and not asked again: the XML of a running domain does not change its type.
//!
//! # Events without end
//!
//! What an event asks for is asked at once, until events have asked for more than any honest VM's do; from then on once a
//! second for each VM, with what the last of them asked for. A domain that an event names and nobody knows has its turn
//! likewise, by daemon; those that have none are found by a list soon after.
//!
//! # Stuck, busy, late
//!
//! A reading past its deadline makes its VM stuck; a whole answer, or the late one, heals it. Of the late answer only
//! groups are used that were not read since and that libvirt had not gathered before it began to wait. A VM that is kept
//! busy by a job that libvirt does not name is stuck after three intervals. What libvirt knows of a busy VM's memory, its
//! balloon's size, never takes the place of a whole reading that is still young enough to be shown.

mod calls;
mod counters;
mod daemon;
mod detection;
mod engine;
mod figures;
mod first;
mod health;
mod labels;
mod lines;
mod members;
mod owned;
mod pace;
mod publish;
mod reading;
pub mod room;
mod roster;
mod schedule;
mod settings;
mod share;
mod starts;
mod told;
mod track;
mod transitions;
mod turns;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use health::{Counter, Durations, Health};
pub use roster::{Feed, Owner, Roster, Who};
pub use settings::{DEFAULT_INTERVAL, Intervals, LEAST_INTERVAL, MOST_INTERVAL, Settings};

use crate::clock::Clock;
use crate::model::{Group, Groups};
use crate::snapshot::Snapshot;

/// Observes these daemons, and those that `roster` names, until `shutdown` is cancelled: reads their VMs, and publishes
/// what is known to `snapshots`.
///
/// It never fails: what cannot be read is shown as such, counted in `health` and tried again. When it returns, every
/// call that was still running has been given up and a last snapshot has been published.
pub async fn run(
    settings: Settings,
    sources: Vec<Feed>,
    roster: Option<mpsc::Receiver<Roster>>,
    clock: Arc<dyn Clock>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    health: Arc<Health>,
    shutdown: CancellationToken,
) {
    engine::Engine::new(&settings, sources, roster, clock, snapshots, health).run(shutdown).await;
}

/// What is read whatever is exported: the state, on which everything else depends, and the job, which tells a VM that is
/// busy from one that is stuck.
fn with_needed(mut groups: Groups) -> Groups {
    groups.insert(Group::State);
    groups.insert(Group::Job);
    groups
}
