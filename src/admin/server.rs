//! The server: connections, and their end.

use std::sync::Arc;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::content::Content;
use super::counters::ScrapeCounters;
use super::stall::Stalling;
use super::{limits, routes};

/// What a client is told for which there is no connection left.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\
    Connection: close\r\n\r\n";

/// How long to wait after the system refused a connection: it is out of file descriptors, and asking again at once
/// would not give it any.
const AFTER_REFUSAL: std::time::Duration = std::time::Duration::from_millis(100);

/// Serves until told to stop, then lets the responses under way finish, for two seconds at most.
pub async fn serve(
    listeners: Vec<TcpListener>,
    content: Arc<dyn Content>,
    counters: Arc<ScrapeCounters>,
    stop: CancellationToken,
) {
    let router = routes::router(content, counters);
    let room = Arc::new(Semaphore::new(limits::CONNECTIONS));
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(listener, router.clone(), Arc::clone(&room), stop.clone()));
    }
    while accepting.join_next().await.is_some() {}
}

async fn accept(listener: TcpListener, router: Router, room: Arc<Semaphore>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
            // What has ended is taken out, so that the set does not grow.
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => match Arc::clone(&room).try_acquire_owned() {
                Ok(permit) => {
                    connections.spawn(connection(stream, router.clone(), permit, stop.clone()));
                }
                Err(_) => {
                    // Best effort: a new connection's buffer takes this line.
                    let _ = stream.try_write(FULL);
                }
            },
            Err(error) => {
                tracing::debug!(%error, "a connection to the admin server could not be accepted");
                tokio::time::sleep(AFTER_REFUSAL).await;
            }
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(limits::DRAIN_TIME, async { while connections.join_next().await.is_some() {} }).await;
}

async fn connection(stream: TcpStream, router: Router, permit: OwnedSemaphorePermit, stop: CancellationToken) {
    let stream = TokioIo::new(Stalling::new(stream, limits::STALL_TIME));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEAD_TIME)
        .max_headers(limits::HEADERS)
        .max_buf_size(limits::HEAD_BYTES)
        .serve_connection(stream, TowerToHyperService::new(router));
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        // A client that goes away or says nonsense is its own matter.
        tracing::debug!(%error, "a connection to the admin server ended early");
    }
    drop(permit);
}

#[cfg(test)]
mod tests;
