//! One libvirt daemon behind the port [`Source`]: connect, call under a deadline, quarantine, events.
//!
//! ```text
//!  EndpointHandle ─requests─► Actor ─calls, each with its connection─► blocking pool ─► libvirtd
//!        ▲                      │ ▲                                          │
//!        └──────answers─────────┘ └──────────────what returned───────────────┘
//!                               └─SourceEvent─► reader
//! ```
//!
//! One task, the `actor`, owns all connections and decides; it never blocks. One connection reports events and the
//! end of the daemon and carries no calls. The others are made when one is needed, carry one call at a time, and wait
//! idle in between. A call that goes past its deadline keeps its thread and its connection until it returns.
//!
//! What may be called when is decided by `budget`, `quarantine` and `control`; how long to wait before the next
//! attempt to connect by `backoff`.
//!
//! A call that hangs cannot be ended, only outlived: whoever ends the tokio runtime must do so without waiting for its
//! blocking threads (`shutdown_background` or `shutdown_timeout`).

mod actor;
mod address;
mod backoff;
mod budget;
mod control;
mod counters;
mod daemon;
mod deadline;
mod dispatch;
mod hypervisor;
mod link;
mod outbox;
mod quarantine;
mod request;
mod returned;
mod sink;
mod socket;
mod turnstile;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

pub use self::address::{Address, LauncherSocket};
pub use self::counters::{CallCounters, CallKind, EndpointCounters};
pub use self::turnstile::Turnstile;

use self::actor::Actor;
use self::daemon::Daemon;
use self::hypervisor::{Hypervisor, Reply};
use self::request::{Ask, Request};
use crate::model::{DaemonId, Description, Groups, Status};
use crate::source::{Answer, Listed, ReadError, Source, SourceEvent, Stats};

/// Requests that may be on their way to the endpoint. It takes them within microseconds.
const REQUESTS_MAX: usize = 256;

/// Connections to a daemon with many VMs, and so blocking threads, that an endpoint may hold at most: eight calls left
/// behind, four in flight, one for events, one each for a list, a state and XML with one of these late, and three that
/// are being opened or closed.
const CONNECTIONS_MAX: usize = 20;

/// The same for a daemon with one VM: a call that hangs in it and one beside it, one for events, one each for a list, a
/// state and XML, and two that are being opened or closed. A launcher that lets everything hang takes no more.
const CONNECTIONS_MAX_OF_ONE: usize = 8;

/// What an endpoint needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the daemon is called, in logs and in the keys of its VMs.
    pub id: DaemonId,
    /// Where it is. It is opened read-only.
    pub address: Address,
    /// How long a call may take before it is left behind. 3 s is thirty times what a slow one takes.
    pub deadline: Duration,
    /// Statistics calls at once, 1 to [`Settings::AT_ONCE`]; 1 where the daemon has one VM.
    pub calls_at_once: usize,
    /// Connections that may exist at a time, those that hang included. Each holds a thread of tokio's blocking pool
    /// while it is opened, closed or called through, so this is what the pool must have for the endpoint at most.
    pub connections: usize,
    /// `XDG_RUNTIME_DIR`, where session daemons have their sockets; without it these are opened unseen. Only for URIs.
    pub runtime_dir: Option<PathBuf>,
    /// Where the endpoint waits for its turn before it connects; `None` if it need not.
    pub turnstile: Option<Turnstile>,
    /// Where the endpoint counts. Endpoints that are given the same count together; a clone of settings shares it too.
    pub counters: Arc<EndpointCounters>,
}

impl Settings {
    /// The default deadline of a call.
    pub const DEADLINE: Duration = Duration::from_secs(3);

    /// Most statistics calls at once.
    pub const AT_ONCE: usize = budget::AT_ONCE;

    /// The defaults for a daemon at this address, with counters of its own. The daemon at a URI is taken to have many
    /// VMs, those in launcher pods one.
    #[must_use]
    pub fn new(id: DaemonId, address: Address) -> Self {
        let (calls_at_once, connections) = match &address {
            Address::Uri(_) => (Self::AT_ONCE, CONNECTIONS_MAX),
            Address::Launcher(_) | Address::Socket(_) => (1, CONNECTIONS_MAX_OF_ONE),
        };
        Self {
            id,
            address,
            deadline: Self::DEADLINE,
            calls_at_once,
            connections,
            runtime_dir: None,
            turnstile: None,
            counters: Arc::default(),
        }
    }

    /// The defaults for a daemon at a URI, which is what it is called, too.
    #[must_use]
    pub fn of_uri(uri: &str) -> Self {
        let uri: Arc<str> = uri.into();
        Self::new(DaemonId(uri.clone()), Address::Uri(uri))
    }
}

/// Whether a daemon answers at this address: its socket is there, may be used, and speaks libvirt. Decides within a second
/// and changes nothing. An address without a socket that can be looked at does not.
pub async fn answers(address: &Address) -> bool {
    let Ok(target) = socket::Route::to(address, None).target() else { return false };
    matches!(target.preflight().await, Some(Ok(())))
}

/// One daemon.
#[derive(Debug)]
pub struct Endpoint;

impl Endpoint {
    /// Starts the endpoint of a daemon on the current tokio runtime and begins to connect. It goes on trying for as
    /// long as the handle lives, and ends with it.
    ///
    /// `events` gets what the daemon reports of its own accord. A reader that does not read them holds up nothing: it
    /// gets [`SourceEvent::EventsLost`] in the end.
    #[must_use]
    pub fn start(settings: &Settings, events: mpsc::Sender<SourceEvent>) -> Arc<EndpointHandle> {
        let daemon = Daemon::new(&settings.address, settings.runtime_dir.as_deref(), settings.connections);
        Self::start_with(daemon, settings, events)
    }

    fn start_with<H: Hypervisor>(
        hypervisor: H,
        settings: &Settings,
        events: mpsc::Sender<SourceEvent>,
    ) -> Arc<EndpointHandle> {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let hurry = Arc::new(Notify::new());
        let actor = Actor::new(hypervisor, settings, requests, hurry.clone(), events);
        drop(tokio::spawn(actor.run()));
        let counters = settings.counters.clone();
        Arc::new(EndpointHandle { id: settings.id.clone(), requests: sender, hurry, counters })
    }
}

/// A started endpoint. It ends when the last handle is dropped.
#[derive(Debug)]
pub struct EndpointHandle {
    id: DaemonId,
    requests: mpsc::Sender<Request>,
    hurry: Arc<Notify>,
    counters: Arc<EndpointCounters>,
}

impl EndpointHandle {
    /// What the endpoint counts of its own doing, together with those that were given the same counters.
    #[must_use]
    pub fn counters(&self) -> &Arc<EndpointCounters> {
        &self.counters
    }

    /// Tries to connect now instead of at the end of the present wait, and begins with short waits again. For whoever
    /// has heard that the daemon should be there: its VM is said to run. Does nothing while it is connected or an
    /// attempt is under way.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// Asks and waits for the answer, which always comes: the endpoint holds the deadlines.
    async fn ask(&self, ask: Ask) -> Result<Reply, ReadError> {
        let disconnected = || ReadError::Disconnected { daemon: self.id.clone() };
        let (reply, answer) = oneshot::channel();
        let request = Request { ask, reply, since: Instant::now() };
        self.requests.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.counters.count_refused_request();
                ReadError::Overloaded { daemon: self.id.clone() }
            }
            mpsc::error::TrySendError::Closed(_) => disconnected(),
        })?;
        answer.await.unwrap_or_else(|_| Err(disconnected()))
    }

    /// For an answer to another question than was asked, which does not happen.
    fn confused<T>(&self, ask: Ask) -> Result<T, ReadError> {
        let domain = ask.domain().map_or_else(|| self.id.to_string(), |uuid| uuid.to_string());
        let message = "the answer belongs to another question".to_owned();
        Err(ReadError::Libvirt { call: ask.kind().function(), domain, message })
    }
}

impl Source for EndpointHandle {
    fn id(&self) -> &DaemonId {
        &self.id
    }

    fn list(&self) -> Answer<'_, Vec<Listed>> {
        Box::pin(async move {
            match self.ask(Ask::List).await? {
                Reply::Listed(domains) => Ok(domains),
                _ => self.confused(Ask::List),
            }
        })
    }

    fn status(&self, uuid: Uuid) -> Answer<'_, Option<Status>> {
        Box::pin(async move {
            match self.ask(Ask::Status(uuid)).await? {
                Reply::Status(status) => Ok(status),
                _ => self.confused(Ask::Status(uuid)),
            }
        })
    }

    fn read(&self, uuid: Uuid, groups: Groups) -> Answer<'_, Option<Stats>> {
        Box::pin(async move {
            match self.ask(Ask::Read(uuid, groups)).await? {
                Reply::Stats(stats) => Ok(stats.map(|stats| *stats)),
                _ => self.confused(Ask::Read(uuid, groups)),
            }
        })
    }

    fn describe(&self, uuid: Uuid) -> Answer<'_, Option<Description>> {
        Box::pin(async move {
            match self.ask(Ask::Describe(uuid)).await? {
                Reply::Described(None) => Ok(None),
                Reply::Described(Some(Ok(description))) => Ok(Some(description)),
                Reply::Described(Some(Err(error))) => {
                    Err(ReadError::Xml { domain: uuid.to_string(), message: error.to_string() })
                }
                _ => self.confused(Ask::Describe(uuid)),
            }
        })
    }
}

#[cfg(test)]
mod tests;
