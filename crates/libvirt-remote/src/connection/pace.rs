//! The rate at which unsolicited frames are taken.

use tokio::time::Instant;

use crate::limits::{PAUSE, UNASKED_BURST, UNASKED_BYTES, UNASKED_PER_SECOND};

/// A token bucket for unsolicited frames. It holds [`UNASKED_BURST`] and is refilled at [`UNASKED_PER_SECOND`].
///
/// When it is empty, the connection pauses and reads nothing more: what the peer sends then waits in its own socket.
#[derive(Debug)]
pub(super) struct Pace {
    left: u32,
    filled: Instant,
    paused: Option<Instant>,
}

impl Pace {
    pub(super) const fn new(now: Instant) -> Self {
        Self { left: UNASKED_BURST, filled: now, paused: None }
    }

    /// Whether a frame may be taken now.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        if self.paused.is_some_and(|until| now < until) {
            return false;
        }
        self.paused = None;
        true
    }

    /// Counts an unsolicited frame with a body of so many bytes.
    pub(super) fn took(&mut self, body: usize, now: Instant) {
        let gained = (now - self.filled).as_secs_f64() * f64::from(UNASKED_PER_SECOND);
        if gained >= 1.0 {
            let gained = gained.min(f64::from(UNASKED_BURST));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to UNASKED_BURST")]
            let gained = gained as u32;
            self.left = self.left.saturating_add(gained).min(UNASKED_BURST);
            self.filled = now;
        }
        // A long one counts for several.
        let cost = 1 + u32::try_from(body / UNASKED_BYTES).unwrap_or(u32::MAX - 1);
        self.left = self.left.saturating_sub(cost);
        if self.left == 0 {
            self.paused = Some(now + PAUSE);
        }
    }

    /// Until when the connection pauses.
    pub(super) const fn until(&self) -> Option<Instant> {
        self.paused
    }
}
