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

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

pub use self::counters::{CallCounters, CallKind, EndpointCounters};

use self::actor::Actor;
use self::daemon::Daemon;
use self::hypervisor::{Hypervisor, Reply};
use self::request::{Ask, Request};
use self::socket::Location;
use crate::model::{DaemonId, Description, Groups, Status};
use crate::source::{Answer, Listed, ReadError, Source, SourceEvent, Stats};

/// Requests that may be on their way to the endpoint. It takes them within microseconds.
const REQUESTS_MAX: usize = 256;

/// What an endpoint needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The daemon's URI, as libvirt takes it. It is opened read-only.
    pub uri: DaemonId,
    /// How long a call may take before it is left behind. 3 s is thirty times what a slow one takes.
    pub deadline: Duration,
    /// Statistics calls at once, 1 to [`Settings::AT_ONCE`]; 1 where the daemon has one VM.
    pub calls_at_once: usize,
    /// `XDG_RUNTIME_DIR`, where session daemons have their sockets; without it these are opened unseen.
    pub runtime_dir: Option<PathBuf>,
}

impl Settings {
    /// The default deadline of a call.
    pub const DEADLINE: Duration = Duration::from_secs(3);

    /// Most statistics calls at once.
    pub const AT_ONCE: usize = budget::AT_ONCE;

    /// The defaults for a daemon.
    #[must_use]
    pub fn new(uri: DaemonId) -> Self {
        Self { uri, deadline: Self::DEADLINE, calls_at_once: Self::AT_ONCE, runtime_dir: None }
    }
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
        let location = Location::of(&settings.uri.0, settings.runtime_dir.as_deref());
        Self::start_with(Daemon::new(settings.uri.0.clone(), location), settings, events)
    }

    fn start_with<H: Hypervisor>(
        hypervisor: H,
        settings: &Settings,
        events: mpsc::Sender<SourceEvent>,
    ) -> Arc<EndpointHandle> {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let counters = Arc::new(EndpointCounters::default());
        let actor = Actor::new(hypervisor, settings, counters.clone(), requests, events);
        drop(tokio::spawn(actor.run()));
        Arc::new(EndpointHandle { id: settings.uri.clone(), requests: sender, counters })
    }
}

/// A started endpoint. It ends when the last handle is dropped.
#[derive(Debug)]
pub struct EndpointHandle {
    id: DaemonId,
    requests: mpsc::Sender<Request>,
    counters: Arc<EndpointCounters>,
}

impl EndpointHandle {
    /// What the endpoint counts of its own doing.
    #[must_use]
    pub fn counters(&self) -> &Arc<EndpointCounters> {
        &self.counters
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
