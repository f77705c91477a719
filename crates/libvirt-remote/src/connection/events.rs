//! Received events, until they are taken.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::error::Violation;
use crate::event::{self, Event, EventKind};
use crate::limits::EVENTS_MAX;

/// The registrations of one connection, and the events that wait.
#[derive(Debug)]
pub(super) struct Events {
    /// The daemon's number for each registration.
    callbacks: Vec<(i32, EventKind)>,
    waiting: VecDeque<Event>,
    /// How many may wait.
    most: usize,
    /// Events that were dropped since the reader was last told.
    lost: u64,
    dropped: u64,
}

impl Default for Events {
    fn default() -> Self {
        Self { callbacks: Vec::new(), waiting: VecDeque::new(), most: EVENTS_MAX, lost: 0, dropped: 0 }
    }
}

impl Events {
    /// Sets how many may wait, at most [`EVENTS_MAX`].
    pub(super) fn bound(&mut self, most: usize) {
        self.most = most.min(EVENTS_MAX);
    }

    /// The daemon has accepted a registration.
    pub(super) fn register(&mut self, callback: i32, kind: EventKind) {
        self.callbacks.retain(|(_, registered)| *registered != kind);
        self.callbacks.push((callback, kind));
    }

    /// Takes an event. One without a registration is dropped. When the queue is full, all that wait are dropped, too:
    /// their reader must begin anew in any case.
    pub(super) fn take(&mut self, procedure: u32, body: &Bytes) -> Result<(), Violation> {
        let Some(kind) = EventKind::of_procedure(procedure) else {
            self.dropped += 1;
            return Ok(());
        };
        let (callback, domain, what) =
            event::read(kind, body).map_err(|cause| Violation::Event { procedure, cause })?;
        if !self.callbacks.contains(&(callback, kind)) {
            self.dropped += 1;
        } else if self.waiting.len() < self.most {
            self.waiting.push_back(Event::Domain { domain, what });
        } else {
            let lost = 1 + u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
            self.waiting = VecDeque::new();
            self.lost += lost;
            self.dropped += lost;
        }
        Ok(())
    }

    /// The next event. A loss is reported before the events after it.
    pub(super) fn next(&mut self) -> Option<Event> {
        match std::mem::take(&mut self.lost) {
            0 => self.waiting.pop_front(),
            lost => Some(Event::Lost(lost)),
        }
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }
}
