//! The server: accepts connections, and ends them.

use std::io;
use std::sync::Arc;
use std::task::Poll;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::Door;
use super::room::Room;
use super::site::Site;
use super::slot::Slot;
use super::{limits, routes};
use crate::heartbeat::Pulse;

/// The answer to a client if no connection is left.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nServer: virt-otel\r\nRetry-After: 1\r\nContent-Length: 0\r\n\
    Connection: close\r\n\r\n";

/// How long to wait after the system refused a connection: it is out of file descriptors, and retrying at once would
/// not help.
const AFTER_REFUSAL: std::time::Duration = std::time::Duration::from_millis(100);

/// Serves a site until told to stop, then lets running responses finish, for two seconds at most.
pub async fn serve(listeners: Vec<TcpListener>, site: Site, pulse: Pulse, stop: CancellationToken) {
    let most = site.paths.connections();
    serve_at_once(most, listeners, site, pulse, stop).await;
}

/// The same for `most` concurrent connections over all listeners.
async fn serve_at_once(most: usize, listeners: Vec<TcpListener>, site: Site, pulse: Pulse, stop: CancellationToken) {
    let guard = site.guard.clone();
    let door = Door { router: routes::router(site), guard, stop: stop.clone() };
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
                let security = door.security();
                let begun = if security.is_some() { Slot::shaking } else { Slot::new };
                let slot = Arc::new(begun(origin));
                let task = connections.spawn(door.clone().serve(stream, security, Arc::clone(&slot)));
                room.enter(slot, task);
            }
            // Within TLS it could not be read.
            Ok(_) if door.security().is_some() => {}
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

#[cfg(test)]
mod tests;
