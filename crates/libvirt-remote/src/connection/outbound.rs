//! What goes out: calls, and keepalive.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::AsyncWrite;
use tokio::time::Instant;
use tokio_util::io::poll_write_buf;

use crate::error::End;
use crate::frame::{self, PING, PONG};
use crate::xdr::{Encode, Writer};

/// Bytes that wait to be written. They are bounded by the calls that may be out, and by one PING and one PONG.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    buffer: BytesMut,
    /// Since when nothing of it could be written, or the stream has kept back what was.
    since: Option<Instant>,
    /// Whether the stream keeps back what it took, as one does that encrypts: that it takes more is then no sign that
    /// the peer reads.
    kept_back: bool,
    /// The peer is to be asked for a sign of life once everything else is written.
    ping: bool,
    /// The peer has asked for a sign of life. One is the answer to as many as came.
    pong: bool,
}

impl Outbound {
    /// A call.
    pub(super) fn call(&mut self, procedure: u32, serial: u32, call: &impl Encode) {
        frame::write_call(&mut self.buffer, procedure, serial, |body| call.encode(&mut Writer::new(body)));
    }

    pub(super) const fn ping(&mut self) {
        self.ping = true;
    }

    pub(super) const fn pong(&mut self) {
        self.pong = true;
    }

    /// Since when nothing could be sent of what waits.
    pub(super) const fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Writes as much as the stream takes.
    pub(super) fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
        now: Instant,
    ) -> Result<(), End> {
        loop {
            if self.buffer.is_empty() {
                for (wanted, procedure) in [(&mut self.pong, PONG), (&mut self.ping, PING)] {
                    if std::mem::take(wanted) {
                        frame::write_keepalive(&mut self.buffer, procedure);
                    }
                }
            }
            if self.buffer.is_empty() {
                // What is idle keeps nothing.
                self.buffer = BytesMut::new();
                // Streams that collect what is written (TLS) send it now.
                self.kept_back = Pin::new(stream).poll_flush(context)?.is_pending();
                if self.kept_back {
                    self.since.get_or_insert(now);
                } else {
                    self.since = None;
                }
                return Ok(());
            }
            match poll_write_buf(Pin::new(stream), context, &mut self.buffer)? {
                Poll::Ready(0) => return Err(End::Closed),
                Poll::Ready(_) if self.kept_back => {}
                Poll::Ready(_) => self.since = None,
                Poll::Pending => {
                    self.since.get_or_insert(now);
                    return Ok(());
                }
            }
        }
    }
}
