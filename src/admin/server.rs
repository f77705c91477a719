//! The server: accepts connections, and ends them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, HttpBody};
use hyper::body::{Bytes, Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::content::Content;
use super::counters::ScrapeCounters;
use super::paths::Paths;
use super::room::Room;
use super::slot::Slot;
use super::write_timeout::{Bounds, WriteTimeout};
use super::{limits, routes};
use crate::heartbeat::Pulse;

/// The answer to a client if no connection is left.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\
    Connection: close\r\n\r\n";

/// How long to wait after the system refused a connection: it is out of file descriptors, and retrying at once would
/// not help.
const AFTER_REFUSAL: std::time::Duration = std::time::Duration::from_millis(100);

/// How long a client may take to read.
const BOUNDS: Bounds = Bounds { each: limits::STALL_TIME, all: limits::LEAVE_TIME };

/// Serves these paths until told to stop, then lets running responses finish, for two seconds at most.
pub async fn serve(
    listeners: Vec<TcpListener>,
    paths: Paths,
    content: Arc<dyn Content>,
    counters: Arc<ScrapeCounters>,
    pulse: Pulse,
    stop: CancellationToken,
) {
    serve_at_once(paths.connections(), listeners, routes::router(paths, content, counters), pulse, stop).await;
}

/// The same for `most` concurrent connections over all listeners.
async fn serve_at_once(
    most: usize,
    listeners: Vec<TcpListener>,
    router: Router,
    pulse: Pulse,
    stop: CancellationToken,
) {
    let origin = Instant::now();
    let mut room = Room::new(most);
    let mut connections = JoinSet::new();
    let mut turn = 0_usize;
    loop {
        turn = turn.wrapping_add(1);
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listeners, turn) => accepted,
            // Removes ended connections, so that the set does not grow.
            Some(ended) = connections.join_next_with_id() => {
                room.leave(ended.map_or_else(|error: JoinError| error.id(), |(id, ())| id));
                continue;
            }
            () = pulse.idle() => continue,
        };
        match accepted {
            Ok(stream) if room.make() => {
                let slot = Arc::new(Slot::new(origin));
                let task = connections.spawn(connection(stream, router.clone(), Arc::clone(&slot), stop.clone()));
                room.enter(slot, task);
            }
            Ok(stream) => {
                // Best effort: a new connection's buffer takes this line.
                let _ = stream.try_write(FULL);
            }
            Err(error) => {
                tracing::debug!(%error, "a connection to the admin server could not be accepted");
                tokio::time::sleep(AFTER_REFUSAL).await;
            }
        }
    }
    drop(listeners);
    pulse.promise(Instant::now() + limits::DRAIN_TIME);
    let _ = tokio::time::timeout(limits::DRAIN_TIME, async { while connections.join_next().await.is_some() {} }).await;
}

/// The next connection. Each time another listener is polled first, so that none starves.
async fn accept(listeners: &[TcpListener], turn: usize) -> io::Result<TcpStream> {
    let first = turn.checked_rem(listeners.len()).unwrap_or_default();
    let (later, sooner) = listeners.split_at(first);
    std::future::poll_fn(|context| {
        for listener in sooner.iter().chain(later) {
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                return Poll::Ready(accepted.map(|(stream, _)| stream));
            }
        }
        Poll::Pending
    })
    .await
}

/// A response on its way to a client: it is dropped when all of it was handed over.
struct Leaving {
    body: Body,
    slot: Arc<Slot>,
}

impl HttpBody for Leaving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.slot.answered();
    }
}

async fn connection(stream: TcpStream, router: Router, slot: Arc<Slot>, stop: CancellationToken) {
    let stream = TokioIo::new(WriteTimeout::new(stream, BOUNDS, Arc::clone(&slot)));
    let service = TowerToHyperService::new(router);
    let noting = service_fn(move |request| {
        slot.asked();
        let (slot, answer) = (Arc::clone(&slot), service.call(request));
        async move { answer.await.map(|response| response.map(|body| Leaving { body, slot })) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEAD_TIME)
        .max_headers(limits::HEADERS)
        .max_buf_size(limits::HEAD_BYTES)
        .serve_connection(stream, noting);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        // A client that disconnects or sends nonsense is not the agent's problem.
        tracing::debug!(%error, "a connection to the admin server ended early");
    }
}

#[cfg(test)]
mod tests;
