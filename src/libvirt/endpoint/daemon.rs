//! The real way to a daemon: libvirt's blocking calls, each on a thread of tokio's blocking pool.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::address::Address;
use super::hypervisor::{Call, Called, Eventually, Hypervisor, OpenError, Opened, Reply};
use super::socket::{Route, SocketError};
use crate::libvirt::raw::{Failure, Sink};
use crate::libvirt::{decode, domain_xml, ffi};
use crate::model::{Group, Status};

/// Seconds between pings on the connection for events, and how many may stay unanswered: a mute daemon is noticed
/// after 19 s even if nobody asks it anything. Only there: with a second call on a connection a keepalive time-out
/// crashes the client library of libvirt 9, and there is never a call on that one once it is in use.
const KEEPALIVE: (i32, u32) = (5, 3);

/// A daemon by its address.
#[derive(Debug)]
pub(super) struct Daemon {
    route: Route,
    /// One permit for each connection that is being opened, exists, or is being closed.
    permits: Arc<Semaphore>,
}

impl Daemon {
    /// The daemon at an address, with at most so many connections at a time.
    pub(super) fn new(address: &Address, runtime_dir: Option<&Path>, connections: usize) -> Self {
        Self { route: Route::to(address, runtime_dir), permits: Arc::new(Semaphore::new(connections)) }
    }
}

/// A connection that is closed on the blocking pool: closing asks the daemon, and so blocks on a mute one.
pub(super) struct PooledConnection(Option<Owned>);

/// The connection, and what it may be one of: given back when the close has returned, so that a daemon which answers
/// new connections and lets old ones hang cannot take one thread after the other.
struct Owned {
    connection: ffi::Connection,
    _permit: OwnedSemaphorePermit,
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let Some(owned) = self.0.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn_blocking(move || drop(owned)));
        }
    }
}

impl Hypervisor for Daemon {
    type Connection = PooledConnection;

    fn is_local(&self) -> bool {
        self.route.is_local()
    }

    fn open(&self, sink: Option<Arc<dyn Sink>>) -> Eventually<Result<Opened<PooledConnection>, OpenError>> {
        let route = self.route.clone();
        let permit = self.permits.clone().try_acquire_owned();
        Box::pin(async move {
            let permit = permit.map_err(|_| OpenError::Failed(TOO_MANY.to_owned()))?;
            let target = route.target().map_err(refused)?;
            target.preflight().await.unwrap_or(Ok(())).map_err(refused)?;
            let run = move || {
                let opened = open(&target.uri(), sink);
                // Only now: until libvirt has connected, the URI may speak of a descriptor of the target's.
                drop(target);
                opened.map(|(connection, refused_events)| {
                    let connection = PooledConnection(Some(Owned { connection, _permit: permit }));
                    Opened { connection, refused_events }
                })
            };
            let opened = tokio::task::spawn_blocking(run).await;
            opened.unwrap_or_else(|_| Err(crashed())).map_err(|failure| OpenError::Failed(advised(failure.message)))
        })
    }

    fn call(&self, connection: PooledConnection, call: Call) -> Eventually<Called<PooledConnection>> {
        Box::pin(async move {
            let run = move || {
                let mut pooled = connection;
                let Some(Owned { connection, .. }) = &mut pooled.0 else {
                    return Called { connection: None, result: Err(crashed()) };
                };
                let result = answer(connection, call);
                let usable = result.is_ok() || connection.is_alive();
                Called { connection: usable.then_some(pooled), result }
            };
            let called = tokio::task::spawn_blocking(run).await;
            called.unwrap_or_else(|_| Called { connection: None, result: Err(crashed()) })
        })
    }

    fn preflight(&self) -> Eventually<Option<Result<(), String>>> {
        let route = self.route.clone();
        Box::pin(async move {
            let sign = match route.target() {
                Ok(target) => target.preflight().await,
                Err(error) => Some(Err(error)),
            };
            sign.map(|sign| sign.map_err(|error| error.to_string()))
        })
    }
}

/// What is said when there is no permit for one more connection.
const TOO_MANY: &str = "too many connections to it hang: they are waited for before another is opened";

fn refused(error: SocketError) -> OpenError {
    let text = error.to_string();
    if error.is_mute() {
        OpenError::Mute(text)
    } else if error.is_absent() {
        OpenError::Absent(text)
    } else {
        OpenError::Failed(text)
    }
}

/// What libvirt says, with what to do about it where that is known and not in the message.
fn advised(message: String) -> String {
    if message.contains(NO_USER_RECORD) {
        format!("{message}: libvirt needs a line for that uid in /etc/passwd; add one to the container image")
    } else {
        message
    }
}

/// What libvirt says when the uid of the process has no name.
const NO_USER_RECORD: &str = "Failed to find user record for uid";

fn crashed() -> Failure {
    Failure::ours("the call ended without an answer")
}

fn open(uri: &str, sink: Option<Arc<dyn Sink>>) -> Result<(ffi::Connection, u32), Failure> {
    let mut connection = ffi::Connection::open(uri)?;
    let mut refused_events = 0;
    if let Some(sink) = sink {
        refused_events = connection.watch(sink)?;
        // Drivers without a daemon (test:///) have no keepalive and need none.
        let (interval, count) = KEEPALIVE;
        if let Err(failure) = connection.keep_alive(interval, count) {
            tracing::debug!(uri, %failure, "no keepalive on this connection");
        }
    }
    Ok((connection, refused_events))
}

fn answer(connection: &mut ffi::Connection, call: Call) -> Result<Reply, Failure> {
    Ok(match call {
        Call::Prepare => {
            connection.capabilities()?;
            Reply::Prepared(connection.facts()?)
        }
        Call::List => Reply::Listed(connection.list()?),
        Call::Status(uuid) => Reply::Status(
            connection.state(uuid)?.map(|(state, reason)| Status::from_libvirt(i64::from(state), i64::from(reason))),
        ),
        Call::Describe(uuid) => Reply::Described(connection.xml(uuid)?.map(|xml| domain_xml::parse(&xml))),
        Call::Stats(uuid, groups) => {
            let mut asked = groups;
            // The state is always in the answer, and without it the other figures cannot be trusted.
            asked.insert(Group::State);
            let raw = connection.stats(uuid, asked)?;
            Reply::Stats(raw.map(|raw| Box::new(decode::stats(raw.id, &raw.parameters, asked))))
        }
        Call::Job(uuid) => Reply::Job(connection.job(uuid)?.map(|(kind, parameters)| decode::job(kind, &parameters))),
        Call::Ping => {
            connection.ping()?;
            Reply::Pong
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_without_a_name_is_told_with_what_to_do() {
        let said = advised("Failed to find user record for uid '65532'".to_owned());
        assert!(said.contains("uid '65532'") && said.contains("/etc/passwd"), "{said}");
        assert_eq!(advised("authentication failed".to_owned()), "authentication failed");
    }

    #[tokio::test]
    async fn a_connection_counts_until_its_close_has_returned() {
        let daemon = Daemon::new(&Address::Uri("test:///default".into()), None, 2);
        let first = daemon.open(None).await.ok();
        let second = daemon.open(None).await.ok();
        assert!(first.is_some() && second.is_some());
        assert_eq!(daemon.open(None).await.err(), Some(OpenError::Failed(TOO_MANY.to_owned())));
        drop(first);
        let permit = daemon.permits.acquire().await.unwrap();
        drop(permit);
        assert!(daemon.open(None).await.is_ok(), "closed, and its place is free");
    }
}
