//! What comes in: bytes, and frames out of them.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use crate::error::{End, Violation};
use crate::frame::{self, Header};
use crate::limits::{FRAME_MIN, LONG, READ_MAX};
use crate::room::{Room, Share};

/// Bytes that came and were not taken yet. While there are none, it holds no memory; and an announced length reserves
/// none, only what has come does.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    buffer: BytesMut,
    /// Since when a frame has been incomplete.
    since: Option<Instant>,
    /// What the frame that has begun has of the room for long ones.
    share: Share,
}

impl Inbound {
    /// Long frames need room in there from now on.
    pub(super) fn share(&mut self, room: Option<Arc<Room>>) {
        self.share = Share::of(room);
    }

    /// The header of the next frame, if it is there and `expect` has nothing against it. Until then nothing is read for
    /// its body.
    pub(super) fn header(
        &self,
        expect: impl FnOnce(&Header) -> Result<(), Violation>,
    ) -> Result<Option<Header>, Violation> {
        let header = frame::header(&self.buffer)?;
        if let Some(header) = &header {
            expect(header)?;
        }
        Ok(header)
    }

    /// The body of the frame with this header, if it is there: the frame is then taken.
    pub(super) fn body(&mut self, header: Header, now: Instant) -> Option<Bytes> {
        let length = FRAME_MIN + header.body;
        if self.buffer.len() < length {
            return None;
        }
        let mut frame = if self.buffer.len() == length {
            self.since = None;
            std::mem::take(&mut self.buffer).freeze()
        } else {
            self.since = Some(now);
            self.buffer.split_to(length).freeze()
        };
        Some(self.share.keep(frame.split_off(FRAME_MIN)))
    }

    /// Since when a frame has been incomplete; `None` if none has begun.
    pub(super) const fn since(&self) -> Option<Instant> {
        self.since
    }

    /// The same if what there is of it is long already.
    pub(super) fn long_since(&self) -> Option<Instant> {
        self.since.filter(|_| self.buffer.len() > LONG)
    }

    /// Reads what is there, [`READ_MAX`] bytes at most.
    pub(super) fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
        now: Instant,
    ) -> Poll<Result<(), End>> {
        // On the stack: to look whether there is anything takes no memory.
        let mut bytes = [const { MaybeUninit::uninit() }; READ_MAX];
        let mut room = ReadBuf::uninit(&mut bytes);
        std::task::ready!(Pin::new(stream).poll_read(context, &mut room))?;
        if room.filled().is_empty() {
            return Poll::Ready(Err(End::Closed));
        }
        self.buffer.extend_from_slice(room.filled());
        self.since.get_or_insert(now);
        Poll::Ready(self.share.reach(self.buffer.len()))
    }
}
