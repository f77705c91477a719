//! When a domain is queried next.

use tokio::time::Instant;
use uuid::Uuid;

use super::context::DaemonContext;
use super::pace::{Bucket, Owed};
use super::schedule::Schedule;
use super::settings::EVENT_PACE;

/// When a domain is read, and what its events have asked for.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) schedule: Schedule,
    /// When its timer goes off.
    pub(super) wake: Option<Instant>,
    /// Limits the queries that lifecycle events trigger; `owed` holds those that must wait.
    pub(super) pace: Bucket,
    pub(super) owed: Option<Owed>,
    /// When other events last triggered a reading, and when they do next.
    pub(super) event_read: Option<Instant>,
    pub(super) event_due: Option<Instant>,
    pub(super) event_describe: bool,
    /// When the shown VM was last brought up to date; `None` after a change.
    pub(super) refreshed: Option<Instant>,
}

impl Due {
    /// For a domain that has just become known.
    pub(super) fn new(uuid: Uuid, context: &DaemonContext, now: Instant) -> Self {
        Self {
            schedule: Schedule::new(uuid, context.epoch, now, &context.intervals),
            wake: None,
            pace: Bucket::new(EVENT_PACE, now),
            owed: None,
            event_read: None,
            event_due: None,
            event_describe: false,
            refreshed: None,
        }
    }
}
