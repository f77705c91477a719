//! A connection that ends when its client does not read, or reads too slowly.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::slot::Slot;

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// To read anything.
    pub(super) each: Duration,
    /// To read everything.
    pub(super) all: Duration,
}

/// A stream whose writes fail when the other side has left them unread for too long. Without that, a client could hold
/// the memory of its page indefinitely. It notes when everything has left.
#[derive(Debug)]
pub(super) struct WriteTimeout<S> {
    stream: S,
    bounds: Bounds,
    // Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
    // Runs from the first write that waits until everything has left.
    leaving: Option<Pin<Box<Sleep>>>,
    slot: Arc<Slot>,
}

impl<S> WriteTimeout<S> {
    pub(super) const fn new(stream: S, bounds: Bounds, slot: Arc<Slot>) -> Self {
        Self { stream, bounds, waiting: None, leaving: None, slot }
    }

    fn bounded<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let Bounds { each, all } = self.bounds;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(each)));
        let mute = waiting.as_mut().poll(context).is_ready();
        let leaving = self.leaving.get_or_insert_with(|| Box::pin(tokio::time::sleep(all)));
        if leaving.as_mut().poll(context).is_ready() || mute {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.bounded(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            self.leaving = None;
            self.slot.flushed();
        }
        self.bounded(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    use super::*;

    const BOUNDS: Bounds = Bounds { each: Duration::from_secs(10), all: Duration::from_secs(60) };

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_let_go() {
        let (_client, server) = tokio::io::duplex(16);
        let mut server = WriteTimeout::new(server, BOUNDS, Arc::new(Slot::new(Instant::now())));
        let began = Instant::now();
        let error = server.write_all(&[0; 64]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_that_reads_is_served() {
        let (mut client, server) = tokio::io::duplex(16);
        let mut server = WriteTimeout::new(server, BOUNDS, Arc::new(Slot::new(Instant::now())));
        let reading = tokio::spawn(async move {
            let mut bytes = [0; 16];
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_secs(9)).await;
                client.read_exact(&mut bytes).await.expect("the server writes");
            }
        });
        server.write_all(&[0; 64]).await.expect("each wait is below the bound");
        reading.await.expect("it read everything");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_a_little_now_and_then_is_let_go() {
        let (mut client, server) = tokio::io::duplex(16);
        let mut server = WriteTimeout::new(server, BOUNDS, Arc::new(Slot::new(Instant::now())));
        let reading = tokio::spawn(async move {
            while client.read_u8().await.is_ok() {
                tokio::time::sleep(Duration::from_secs(9)).await;
            }
        });
        for _ in 0..10 {
            // Each response has its own minute, however slow the client is.
            server.write_all(&[0; 4]).await.expect("in time");
            server.flush().await.expect("in time");
        }
        let began = Instant::now();
        let error = server.write_all(&[0; 64]).await.expect_err("it would take ten minutes");
        assert_eq!((error.kind(), began.elapsed().as_secs()), (io::ErrorKind::TimedOut, 60));
        drop(server);
        reading.await.expect("no panic");
    }
}
