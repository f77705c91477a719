//! A shared memory budget for long messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::error::End;
use crate::limits::{EVENTS_MAX, FRAME_DEADLINE, LONG, ROOM_PART};

/// Bounds of a connection beyond the fixed [`limits`](crate::limits), for a program with many connections. What they
/// restrict is harmless in one connection, but not in a thousand connections to hostile peers.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The room for messages longer than [`LONG`], shared by all connections that are given it; `None` sets no shared
    /// bound.
    pub room: Option<Arc<Room>>,
    /// How long a message longer than [`LONG`] may take from its first byte to its last, at most [`FRAME_DEADLINE`]. A
    /// caller that has stopped waiting for an answer need not keep room for it.
    pub long_within: Duration,
    /// How many events may wait for the caller, at most [`EVENTS_MAX`].
    pub events: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { room: None, long_within: FRAME_DEADLINE, events: EVENTS_MAX }
    }
}

/// A memory budget for messages longer than [`LONG`]: how many bytes of such messages all connections that share it may
/// hold together. A message counts until nothing uses its memory any more.
///
/// A message takes room as its bytes arrive. [`ROOM_PART`] times its length, itself included, must be free, so long
/// messages never use up the room, and shorter ones still fit when longer ones do not. A message that does not fit ends
/// its connection with [`End::NoRoom`].
#[derive(Debug)]
pub struct Room {
    most: usize,
    held: AtomicUsize,
}

impl Room {
    /// A room of `most` bytes.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self { most, held: AtomicUsize::new(0) }
    }

    /// The bytes in use now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// One message's share of the room, given back on drop.
#[derive(Debug, Default)]
pub(crate) struct Share {
    room: Option<Arc<Room>>,
    bytes: usize,
}

impl Share {
    pub(crate) const fn of(room: Option<Arc<Room>>) -> Self {
        Self { room, bytes: 0 }
    }

    /// Sets the message's size so far.
    pub(crate) fn reach(&mut self, bytes: usize) -> Result<(), End> {
        let Some(room) = &self.room else { return Ok(()) };
        let bytes = if bytes > LONG { bytes } else { 0 };
        let before = self.bytes;
        if bytes <= before {
            room.held.fetch_sub(before - bytes, Ordering::Relaxed);
        } else {
            let grown = room.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                let others = held.saturating_sub(before);
                let fits = others.saturating_add(bytes.saturating_mul(ROOM_PART)) <= room.most;
                fits.then_some(others + bytes)
            });
            grown.map_err(|_| End::NoRoom { most: room.most })?;
        }
        self.bytes = bytes;
        Ok(())
    }

    /// The message is complete: its bytes hold its share until they are dropped. The next message begins with none.
    pub(crate) fn keep(&mut self, bytes: Bytes) -> Bytes {
        if self.bytes == 0 {
            return bytes;
        }
        let next = Self::of(self.room.clone());
        Bytes::from_owner(Held { bytes, _share: std::mem::replace(self, next) })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(room) = &self.room {
            room.held.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// Bytes with their share of the room.
struct Held {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    const MIB: usize = 1_048_576;

    fn shares(room: &Arc<Room>, count: usize) -> Vec<Share> {
        (0..count).map(|_| Share::of(Some(Arc::clone(room)))).collect()
    }

    #[test]
    fn short_messages_take_no_room_and_what_is_taken_is_given_back() {
        let room = Arc::new(Room::new(8 * MIB));
        let mut share = Share::of(Some(Arc::clone(&room)));
        share.reach(LONG).unwrap();
        assert_eq!(room.held(), 0);
        share.reach(MIB).unwrap();
        assert_eq!(room.held(), MIB);
        share.reach(0).unwrap();
        assert_eq!(room.held(), 0);
        share.reach(MIB).unwrap();
        let kept = share.keep(Bytes::from_static(b"an answer"));
        let slice = kept.slice(3..);
        drop((kept, share));
        assert_eq!(room.held(), MIB, "as long as anybody has a part of it");
        assert_eq!(&*slice, b"answer");
        drop(slice);
        assert_eq!(room.held(), 0);
    }

    #[test]
    fn long_messages_never_take_all_and_shorter_ones_still_fit() {
        let room = Arc::new(Room::new(96 * MIB));
        let mut long = shares(&room, 100);
        let fit = long.iter_mut().filter_map(|share| share.reach(8 * MIB).ok()).count();
        assert_eq!(fit, 9);
        assert!(room.held() <= 96 * MIB - (ROOM_PART - 1) * 8 * MIB);
        let refused = long[50].reach(8 * MIB).unwrap_err();
        assert!(matches!(refused, End::NoRoom { .. }), "{refused}");
        // The longest answer of an honest domain.
        let mut honest = shares(&room, 3);
        for share in &mut honest {
            share.reach(3 * MIB / 2).unwrap();
        }
        drop((long, honest));
        assert_eq!(room.held(), 0);
    }

    #[test]
    fn what_did_not_fit_is_counted_as_before() {
        let room = Arc::new(Room::new(4 * MIB));
        let [mut one, mut other] = [Share::of(Some(Arc::clone(&room))), Share::of(Some(Arc::clone(&room)))];
        one.reach(MIB).unwrap();
        assert!(one.reach(2 * MIB).is_err());
        assert_eq!(room.held(), MIB);
        assert!(other.reach(MIB).is_err());
        drop(one);
        other.reach(MIB).unwrap();
        assert_eq!(room.held(), MIB);
    }
}
