//! One run of a domain, from its start to its end.

use super::context::Moment;
use super::settings::STAMP_STEP;
use crate::model::Timestamp;

/// A domain's phase. The diagram is in the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DomainPhase {
    /// Its state is not known yet (on this connection).
    Unknown,
    /// It does not run: only its state is known.
    Inactive,
    /// It is migrating in, or still being set up: its statistics are not its own yet.
    Arriving,
    /// It runs here.
    Active,
}

/// The current run of a domain, or its last.
#[derive(Debug)]
pub(super) struct Incarnation {
    pub(super) phase: DomainPhase,
    /// Whether it goes on; it does while the daemon is unreachable.
    pub(super) goes_on: bool,
    /// The domain's id, once a reading gave it.
    pub(super) id: Option<u32>,
    /// When it began, if that was seen.
    pub(super) seen: Option<Timestamp>,
    /// Whether a counter that went back means another incarnation: after a reconnect or lost events.
    pub(super) verify: bool,
    last_stamp: Timestamp,
}

impl Incarnation {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        Self {
            phase: DomainPhase::Unknown,
            goes_on: false,
            id: None,
            seen: None,
            verify: false,
            last_stamp: Timestamp::default(),
        }
    }

    /// A timestamp for what arrives now: after every earlier one of this VM, whatever the wall clock does.
    pub(super) fn stamp(&mut self, moment: Moment) -> Timestamp {
        self.last_stamp = moment.stamp.max(self.last_stamp.after(STAMP_STEP));
        self.last_stamp
    }

    /// The newest timestamp it was given.
    pub(super) const fn last_stamp(&self) -> Timestamp {
        self.last_stamp
    }
}
