//! Keepalive: our own PINGs, which detect a peer that is gone.

use std::time::Duration;

use tokio::time::Instant;

/// When to consider a silent peer gone.
///
/// Useful only on a connection without outstanding calls: a daemon that works on its maximum number of calls for a
/// client reads nothing more from it, PINGs included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// The time of silence before a PING is sent, and between PINGs.
    pub interval: Duration,
    /// How many PINGs may stay unanswered. Any received byte counts as an answer.
    pub count: u32,
}

/// The PINGs of one connection.
#[derive(Debug)]
pub(crate) struct Pings {
    settings: Keepalive,
    unanswered: u32,
    /// When the next PING is sent, or the peer is considered gone.
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

    /// What is due: `Some(true)` to send a PING, `Some(false)` to end.
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
