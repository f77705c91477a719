//! The sending side: calls, and keepalive.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BytesMut};
use tokio::io::AsyncWrite;
use tokio::time::Instant;
use tokio_util::io::poll_write_buf;

use crate::error::End;
use crate::frame::{self, PING, PONG};
use crate::xdr::{Encode, Writer};

/// Bytes that wait to be written. They are bounded by the calls that may be outstanding, one PING and one PONG.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    buffer: BytesMut,
    /// How many bytes of the begun frame it still has.
    begun: usize,
    /// Since when nothing could be written, or the stream has held back what was.
    since: Option<Instant>,
    /// Whether the stream holds back what it accepted, as an encrypting one may: that it accepts more is then no sign
    /// that the peer reads.
    kept_back: bool,
    /// Send a PING once everything else is written.
    ping: bool,
    /// Send a PONG. One answers all PINGs that came.
    pong: bool,
}

impl Outbound {
    /// Queues a call.
    pub(super) fn call(&mut self, procedure: u32, serial: u32, call: &impl Encode) {
        frame::write_call(&mut self.buffer, procedure, serial, |body| call.encode(&mut Writer::new(body)));
    }

    pub(super) const fn ping(&mut self) {
        self.ping = true;
    }

    pub(super) const fn pong(&mut self) {
        self.pong = true;
    }

    /// Since when nothing could be sent.
    pub(super) const fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Writes as much as the stream accepts, but never two frames at once: over TLS, one write is a record, and a
    /// daemon does not notice a second frame in a record until more comes.
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
                // Idle connections keep no buffer.
                self.buffer = BytesMut::new();
                // Streams that buffer writes (TLS) send them now.
                self.kept_back = Pin::new(stream).poll_flush(context)?.is_pending();
                if self.kept_back {
                    self.since.get_or_insert(now);
                } else {
                    self.since = None;
                }
                return Ok(());
            }
            if self.begun == 0 {
                self.begun = frame::length(&self.buffer);
            }
            let mut rest = (&mut self.buffer).take(self.begun);
            match poll_write_buf(Pin::new(stream), context, &mut rest)? {
                Poll::Ready(0) => return Err(End::Closed),
                Poll::Ready(_) => {
                    self.begun = rest.limit();
                    if !self.kept_back {
                        self.since = None;
                    }
                }
                Poll::Pending => {
                    self.since.get_or_insert(now);
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::limits::FRAME_MIN;
    use crate::procedure::{ConnectFlags, ConnectGetHostname, ConnectOpen};

    /// Accepts at most `most` bytes per write, and records each write separately, as TLS does.
    struct Records {
        most: usize,
        records: Vec<Vec<u8>>,
    }

    impl AsyncWrite for Records {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let taken = &bytes[..bytes.len().min(self.most)];
            self.records.push(taken.to_vec());
            Poll::Ready(Ok(taken.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_is_written_at_once_is_of_one_frame() {
        for most in [1, 3, FRAME_MIN, 1_000] {
            let mut stream = Records { most, records: Vec::new() };
            let mut outbound = Outbound::default();
            outbound.call(1, 1, &ConnectOpen { uri: Some("qemu:///system".to_owned()), flags: ConnectFlags });
            outbound.call(59, 2, &ConnectGetHostname {});
            outbound.ping();
            outbound.pong();
            let mut context = Context::from_waker(std::task::Waker::noop());
            outbound.poll_flush(&mut stream, &mut context, Instant::now()).unwrap();
            let bytes = stream.records.concat();
            let (mut ends, mut at) = (Vec::new(), 0);
            while at < bytes.len() {
                at += frame::length(&bytes[at..]);
                ends.push(at);
            }
            assert_eq!(ends.len(), 4, "two calls, a PONG and a PING: {bytes:?}");
            let mut end = 0;
            for record in &stream.records {
                let begin = end;
                end += record.len();
                assert!(
                    !ends.iter().any(|&other| begin < other && other < end),
                    "{most}: {begin} to {end} of {ends:?}"
                );
            }
        }
    }
}
