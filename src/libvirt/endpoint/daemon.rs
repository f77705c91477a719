//! The real way to a daemon: libvirt's blocking calls, each on a thread of tokio's blocking pool.

use std::error::Error;
use std::sync::Arc;

use super::hypervisor::{Call, Called, Eventually, Hypervisor, OpenError, Opened, Reply};
use super::socket::{self, Location, SocketError};
use crate::libvirt::raw::{Failure, Sink};
use crate::libvirt::{decode, domain_xml, ffi};
use crate::model::{Group, Status};

/// Seconds between pings on the connection for events, and how many may stay unanswered: a mute daemon is noticed
/// after 19 s even if nobody asks it anything. Only there: with a second call on a connection a keepalive time-out
/// crashes the client library of libvirt 9, and there is never a call on that one once it is in use.
const KEEPALIVE: (i32, u32) = (5, 3);

/// A daemon by its URI.
#[derive(Debug)]
pub(super) struct Daemon {
    uri: Arc<str>,
    location: Location,
}

impl Daemon {
    pub(super) fn new(uri: Arc<str>, location: Location) -> Self {
        Self { uri, location }
    }
}

/// A connection that is closed on the blocking pool: closing asks the daemon, and so blocks on a mute one.
pub(super) struct PooledConnection(Option<ffi::Connection>);

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let Some(connection) = self.0.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn_blocking(move || drop(connection)));
        }
    }
}

impl Hypervisor for Daemon {
    type Connection = PooledConnection;

    fn is_local(&self) -> bool {
        self.location != Location::Elsewhere
    }

    fn open(&self, sink: Option<Arc<dyn Sink>>) -> Eventually<Result<Opened<PooledConnection>, OpenError>> {
        let (uri, preflight) = (self.uri.clone(), self.look());
        Box::pin(async move {
            preflight.await.map_or(Ok(()), |sign| {
                sign.map_err(|error| match &error {
                    SocketError::Mute { .. } => OpenError::Mute(chain(&error)),
                    _ => OpenError::Failed(chain(&error)),
                })
            })?;
            let opened = tokio::task::spawn_blocking(move || open(&uri, sink)).await;
            opened.unwrap_or_else(|_| Err(crashed())).map_err(|failure| OpenError::Failed(failure.to_string()))
        })
    }

    fn call(&self, connection: PooledConnection, call: Call) -> Eventually<Called<PooledConnection>> {
        Box::pin(async move {
            let run = move || {
                let mut pooled = connection;
                let Some(connection) = &mut pooled.0 else {
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
        let look = self.look();
        Box::pin(async move { look.await.map(|sign| sign.map_err(|error| chain(&error))) })
    }
}

impl Daemon {
    fn look(&self) -> impl Future<Output = Option<Result<(), SocketError>>> + Send + 'static {
        let path = self.location.socket().map(ToOwned::to_owned);
        async move {
            match path {
                Some(path) => Some(socket::preflight(&path).await),
                None => None,
            }
        }
    }
}

fn crashed() -> Failure {
    Failure::ours("the call ended without an answer")
}

/// An error with its causes, as one sentence: reasons are logged and shown, not handled.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text} ({error})");
        cause = error.source();
    }
    text
}

fn open(uri: &str, sink: Option<Arc<dyn Sink>>) -> Result<Opened<PooledConnection>, Failure> {
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
    Ok(Opened { connection: PooledConnection(Some(connection)), refused_events })
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
