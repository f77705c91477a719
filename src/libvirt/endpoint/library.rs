//! Access to a driver in libvirt's own library, which blocks its caller.
//!
//! Each connection has a thread of its own and carries one call at a time there: a call that does not return blocks
//! that thread and nothing else. Its caller goes on when the endpoint's deadline is over; the thread ends when the call
//! has returned and its connection is closed. The number of threads is limited.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::hypervisor::{
    Call, Called, Connection, Ending, Eventually, Failure, Hypervisor, Met, Notice, OpenError, Reply,
};
use crate::libvirt::library::{self, Mailbox, Told};
use crate::model::DaemonFacts;
use crate::source::{Ask, Said};

/// Threads of one daemon, each with a connection: those of running and abandoned calls, which the budget bounds (17),
/// the one for events, one that is being opened, and room for those that are being closed. There are never more,
/// however many calls hang.
pub(super) const THREADS_MAX: usize = 24;

/// How long opening may take, including all connection setup: a driver in the library usually speaks to another host.
/// The thread goes on until the library itself gives up.
const OPEN_DEADLINE: Duration = Duration::from_secs(15);

/// How long a clean close may take. The thread that closes a connection goes on after that.
const CLOSE_DEADLINE: Duration = Duration::from_millis(100);

/// Commands that a thread has not taken yet: one call, or one liveness check.
const COMMANDS_MAX: usize = 1;

/// A driver in the library, by its URI.
#[derive(Debug)]
pub(super) struct Library {
    uri: Arc<str>,
    threads: Arc<Semaphore>,
}

/// What a thread is asked to do with its connection.
enum Command {
    /// Make a call, and report whether the connection is still usable.
    Call(Call, oneshot::Sender<(Result<Reply, Failure>, Result<(), Ending>)>),
    /// Check liveness.
    Sign(oneshot::Sender<Result<(), Ending>>),
}

/// What a thread reports once its connection is open: on the events connection, facts about the driver and the number
/// of event types that it does not support.
type Opened = Result<Option<DaemonFacts>, String>;

/// A connection, as seen from outside its thread. The thread ends when this is dropped.
pub(super) struct LibraryConnection {
    commands: SyncSender<Command>,
    /// Closes when the thread ends; nothing is ever sent.
    ended: oneshot::Receiver<()>,
    events: Option<Events>,
    sign: Option<oneshot::Receiver<Result<(), Ending>>>,
}

/// The events of a connection.
struct Events {
    told: mpsc::Receiver<Told>,
    lost: Arc<AtomicU64>,
}

impl Library {
    /// The driver of a URI.
    pub(super) fn new(uri: &Arc<str>) -> Self {
        Self { uri: Arc::clone(uri), threads: Arc::new(Semaphore::new(THREADS_MAX)) }
    }

    /// How many more threads there may be.
    #[cfg(test)]
    pub(super) fn free_threads(&self) -> usize {
        self.threads.available_permits()
    }

    /// Opens a connection on its own thread, with events if wanted.
    fn connect(
        &self,
        with_events: bool,
    ) -> impl Future<Output = Result<(LibraryConnection, Option<DaemonFacts>), OpenError>> + Send + 'static {
        let (uri, threads) = (Arc::clone(&self.uri), Arc::clone(&self.threads));
        async move {
            let Ok(place) = threads.try_acquire_owned() else {
                return Err(OpenError::Failed(format!(
                    "libvirt's library hangs in {THREADS_MAX} calls, and no more are made: if they do not end when what it \
                     speaks to is well again, restart the agent"
                )));
            };
            let slow = |_| OpenError::Mute(format!("libvirt's library has not opened it within {OPEN_DEADLINE:?}"));
            timeout(OPEN_DEADLINE, begin(uri, place, with_events)).await.map_err(slow)?
        }
    }
}

/// Starts a thread, which opens a connection.
async fn begin(
    uri: Arc<str>,
    place: OwnedSemaphorePermit,
    with_events: bool,
) -> Result<(LibraryConnection, Option<DaemonFacts>), OpenError> {
    let (mailbox, events) = if with_events {
        let (mailbox, told, lost) = Mailbox::new();
        (Some(mailbox), Some(Events { told, lost }))
    } else {
        (None, None)
    };
    let (commands, to_do) = sync_channel(COMMANDS_MAX);
    let (opened, opening) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let thread = thread::Builder::new().name("libvirt".to_owned()).spawn(move || {
        serve(&uri, mailbox, opened, &to_do);
        // Not before the connection is closed.
        drop((place, end));
    });
    thread.map_err(|error| OpenError::Failed(format!("no thread for it: {error}")))?;
    match opening.await {
        Ok(Ok(met)) => Ok((LibraryConnection { commands, ended, events, sign: None }, met)),
        Ok(Err(reason)) => Err(OpenError::Failed(advised(reason))),
        Err(_) => Err(OpenError::Failed(gone().reason)),
    }
}

/// libvirt's error when it cannot ask for a user and a password.
const NO_CREDENTIALS: &str = "Missing authentication credentials";

/// libvirt's message, with advice where it is known and not in the message.
fn advised(reason: String) -> String {
    if reason.contains(NO_CREDENTIALS) {
        return reason + ": give them in libvirt's auth.conf, or in the file that LIBVIRT_AUTH_FILE names";
    }
    reason
}

/// The body of a thread: opens a connection, executes commands, and closes it.
fn serve(uri: &str, mailbox: Option<Mailbox>, opened: oneshot::Sender<Opened>, to_do: &Receiver<Command>) {
    let mut connection = match library::Connection::open(uri) {
        Ok(connection) => connection,
        Err(failure) => {
            let _ = opened.send(Err(failure.to_string()));
            return;
        }
    };
    let met = mailbox.map(|mailbox| {
        // First, so that no event is missed while the facts are queried.
        connection.watch(mailbox);
        connection.facts()
    });
    if opened.send(met.transpose().map_err(|failure| failure.to_string())).is_err() {
        return;
    }
    while let Ok(command) = to_do.recv() {
        match command {
            Command::Call(call, reply) => {
                let result = answer(&connection, call);
                // A refusal may be about the domain, or about a host that has gone.
                let alive = match &result {
                    Err(library::Failure::Refused(_)) => sign(&connection),
                    _ => Ok(()),
                };
                let _ = reply.send((result.map_err(failed), alive));
            }
            Command::Sign(reply) => {
                let _ = reply.send(sign(&connection));
            }
        }
    }
}

/// Whether the driver's host is there. If not, none of its connections is usable: each would have to find that out for
/// itself, since no daemon hangs up.
fn sign(connection: &library::Connection) -> Result<(), Ending> {
    connection.sign().map_err(|failure| Ending { reason: failure.to_string(), hung_up: false })
}

fn failed(failure: library::Failure) -> Failure {
    match failure {
        library::Failure::Xml(cause) => Failure::Xml(cause),
        failure => Failure::Libvirt(failure.to_string()),
    }
}

/// Makes a call.
fn answer(connection: &library::Connection, call: Call) -> Result<Reply, library::Failure> {
    match call {
        Call::Ask(Ask::List) => connection.list().map(|listed| Reply::Said(Said::Listed(listed))),
        Call::Ask(Ask::Status(uuid)) => connection.status(uuid).map(|status| Reply::Said(Said::Status(status))),
        Call::Ask(Ask::Describe(uuid)) => {
            connection.describe(uuid).map(|described| Reply::Said(Said::Described(described.map(Box::new))))
        }
        Call::Ask(Ask::Read(uuid, groups)) => {
            connection.stats(uuid, groups).map(|stats| Reply::Said(Said::Stats(stats.map(Box::new))))
        }
        Call::Job(uuid) => {
            let boxed = connection.job(uuid).map(|job| job.map(|(job, unknown)| (job.map(Box::new), unknown)));
            boxed.map(Reply::Job)
        }
        Call::Prepare => connection.prepare().map(Reply::Prepared),
    }
}

/// The thread has ended, although its connection is needed.
fn gone() -> Ending {
    Ending { reason: "the thread of this connection has ended".to_owned(), hung_up: false }
}

impl Connection for LibraryConnection {
    fn poll_notice(&mut self, context: &mut Context<'_>) -> Poll<Notice> {
        if let Some(sign) = &mut self.sign
            && let Poll::Ready(said) = std::pin::Pin::new(sign).poll(context)
        {
            self.sign = None;
            return Poll::Ready(match said {
                Ok(Ok(())) => Notice::Sign,
                Ok(Err(ending)) => Notice::Ended(ending),
                Err(_) => Notice::Ended(gone()),
            });
        }
        if let Some(Events { told, lost }) = &mut self.events {
            let next = told.poll_recv(context);
            // Waiting events are older than the lost ones, and everything is read again anyway.
            let lost = lost.swap(0, Relaxed);
            if lost > 0 {
                let taken = u64::from(matches!(next, Poll::Ready(Some(_))));
                return Poll::Ready(Notice::Lost(lost.saturating_add(taken)));
            }
            if let Poll::Ready(Some(Told { domain, name, event })) = next {
                return Poll::Ready(Notice::Event { domain, name, event });
            }
        }
        match std::pin::Pin::new(&mut self.ended).poll(context) {
            Poll::Ready(_) => Poll::Ready(Notice::Ended(gone())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn ask_for_a_sign(&mut self) {
        let (reply, sign) = oneshot::channel();
        // A pending check answers both, and an ended thread is reported.
        if self.commands.try_send(Command::Sign(reply)).is_ok() {
            self.sign = Some(sign);
        }
    }

    fn close(self) -> Eventually<()> {
        let Self { commands, ended, .. } = self;
        drop(commands);
        Box::pin(async move {
            // The thread closes it, however long that takes.
            let _ = timeout(CLOSE_DEADLINE, ended).await;
        })
    }
}

impl Hypervisor for Library {
    type Connection = LibraryConnection;

    /// Whether the URI names no host, as `test:///default` does.
    fn is_local(&self) -> bool {
        self.uri.split_once("://").is_none_or(|(_, rest)| rest.is_empty() || rest.starts_with('/'))
    }

    fn open(&self) -> Eventually<Result<LibraryConnection, OpenError>> {
        let connect = self.connect(false);
        Box::pin(async move { connect.await.map(|(connection, _)| connection) })
    }

    fn meet(&self) -> Eventually<Result<Met<LibraryConnection>, OpenError>> {
        let connect = self.connect(true);
        Box::pin(async move {
            let (connection, met) = connect.await?;
            let facts = met.ok_or_else(|| OpenError::Failed(gone().reason))?;
            Ok(Met { connection, facts, process: None })
        })
    }

    fn call(&self, connection: LibraryConnection, call: Call, _: Arc<str>) -> Eventually<Called<LibraryConnection>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            // The channel cannot be full: only an idle connection comes here.
            if connection.commands.try_send(Command::Call(call, reply)).is_err() {
                return Called { connection: Err(gone()), result: Err(Failure::Lost) };
            }
            match answer.await {
                // It has returned, so nothing hangs.
                Ok((result, alive)) => Called { connection: alive.map(|()| connection), result },
                Err(_) => Called { connection: Err(gone()), result: Err(Failure::Lost) },
            }
        })
    }

    /// A thread cannot close its connection before its call has returned.
    fn leave(&self) {}
}
