//! The receiving side: bytes, and their frames.

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

/// Received bytes that were not taken yet. It holds memory only for bytes that have come: none while it is empty, and
/// none for an announced length.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    buffer: BytesMut,
    /// Since when a frame has been incomplete.
    since: Option<Instant>,
    /// The share that the begun frame has of the room for long ones.
    share: Share,
}

impl Inbound {
    /// Makes long frames take a share of this room.
    pub(super) fn share(&mut self, room: Option<Arc<Room>>) {
        self.share = Share::of(room);
    }

    /// The header of the next frame, if it is there and `expect` accepts it. A refused frame's body is not waited for.
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

    /// Takes the frame with this header and returns its body, if it is complete.
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

    /// The same if its bytes already exceed `LONG`.
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
        // On the stack: looking for input allocates nothing.
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
