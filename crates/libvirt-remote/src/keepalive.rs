//! Keepalive: PINGs of the peer that are answered, and PINGs of our own that notice a peer which is gone.

use std::time::Duration;

use tokio::time::Instant;

/// When to take a peer for gone that says nothing.
///
/// Only useful on a connection that has no call out: a daemon that works on as many calls of one client as it takes
/// reads nothing more of it, PINGs included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// A PING is sent when nothing has come for so long, and again as often.
    pub interval: Duration,
    /// So many PINGs may stay without an answer. Anything that comes is one.
    pub count: u32,
}

/// The PINGs of one connection.
#[derive(Debug)]
pub(crate) struct Pings {
    settings: Keepalive,
    unanswered: u32,
    /// When the next is sent, or the peer is taken for gone.
    pub(crate) due: Instant,
}

impl Pings {
    pub(crate) fn new(settings: Keepalive, now: Instant) -> Self {
        Self { settings, unanswered: 0, due: now + settings.interval }
    }

    /// Something came.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.unanswered = 0;
        self.due = now + self.settings.interval;
    }

    /// What the time demands: `Some(true)` to send a PING, `Some(false)` to end.
    pub(crate) fn demand(&mut self, now: Instant) -> Option<bool> {
        if now < self.due {
            return None;
        }
        if self.unanswered >= self.settings.count {
            return Some(false);
        }
        self.unanswered += 1;
        self.due = now + self.settings.interval;
        Some(true)
    }

    pub(crate) const fn settings(&self) -> Keepalive {
        self.settings
    }
}
