//! What a connection does: it decides which one makes room for another.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// Instead of a time: a request is being answered.
const BUSY: u64 = u64::MAX;

/// Instead of a time: the answer is complete, but the system has not taken all of it yet.
const LEAVING: u64 = u64::MAX - 1;

/// What one connection does. Its task writes it, the accepting task reads it.
#[derive(Debug)]
pub(super) struct Slot {
    origin: Instant,
    /// Whether its TLS handshake is not done yet.
    shaking: AtomicBool,
    /// Since when no request is in flight, in milliseconds after `origin`; or a constant above.
    idle_since: AtomicU64,
}

impl Slot {
    /// A new connection, without a request yet. Slots that are compared have one origin.
    pub(super) fn new(origin: Instant) -> Self {
        let slot = Self { origin, shaking: AtomicBool::new(false), idle_since: AtomicU64::new(BUSY) };
        slot.idle_since.store(slot.now(), Relaxed);
        slot
    }

    /// A new connection that begins with a handshake.
    pub(super) fn shaking(origin: Instant) -> Self {
        let slot = Self::new(origin);
        slot.shaking.store(true, Relaxed);
        slot
    }

    /// The handshake is done.
    pub(super) fn shaken(&self) {
        self.shaking.store(false, Relaxed);
    }

    /// Whether the handshake is done, or there is none.
    pub(super) fn is_open(&self) -> bool {
        !self.shaking.load(Relaxed)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(LEAVING).min(LEAVING - 1)
    }

    /// A request has arrived.
    pub(super) fn asked(&self) {
        self.idle_since.store(BUSY, Relaxed);
    }

    /// Its answer is complete, and on its way out.
    pub(super) fn answered(&self) {
        self.idle_since.store(LEAVING, Relaxed);
    }

    /// Everything on its way out has left.
    pub(super) fn flushed(&self) {
        // Usually there was nothing.
        if self.idle_since.load(Relaxed) == LEAVING {
            self.idle_since.store(self.now(), Relaxed);
        }
    }

    /// Since when no request has been in flight, counted from the origin; `None` while one is.
    pub(super) fn idle_since(&self) -> Option<Duration> {
        let since = self.idle_since.load(Relaxed);
        (since < LEAVING).then(|| Duration::from_millis(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_idle_from_its_beginning_and_from_when_the_last_byte_has_left() {
        let slot = Slot::new(Instant::now());
        let step = Duration::from_secs(1);
        assert_eq!(slot.idle_since(), Some(Duration::ZERO));
        slot.flushed();
        for (act, idle) in [
            (Slot::asked as fn(&Slot), None),
            (Slot::flushed, None),
            (Slot::answered, None),
            (Slot::flushed, Some(4 * step)),
            (Slot::flushed, Some(4 * step)),
        ] {
            tokio::time::sleep(step).await;
            act(&slot);
            assert_eq!(slot.idle_since(), idle);
        }
    }
}
