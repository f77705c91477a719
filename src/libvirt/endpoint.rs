//! One libvirt daemon behind the port [`Source`]: connections, calls with deadlines, call limits, events.
//!
//! ```text
//!  EndpointHandle ─questions─► Queue ─► Admission: whose turn is it? ─► Calls, each with its connection ─► libvirtd
//!        ▲                                                                 │
//!        └─────────────────────────── answers ◄────────────────────────────┘
//!                                  SourceEvents ─► reader
//! ```
//!
//! One task, the `actor`, owns everything and never blocks. One connection reports events and the end of the daemon and
//! carries no calls. The others are opened when needed, carry one call at a time, and stay idle in between. A call past
//! its deadline keeps its connection until it returns.
//!
//! `admission` alone decides which call may start; `backoff` decides how long to wait before the next attempt to
//! connect.
//!
//! Each launcher pod has a daemon of its own, with one VM, so there may be a thousand endpoints. None of these daemons
//! can delay another: they share no connection, no task, no lock and no thread. They do share the permits of
//! [`Settings::places`], which limit concurrent reads only to spare the machine: a slow read returns its permit, and
//! one that has waited too long for a permit runs without.

mod actor;
mod address;
mod admission;
mod bounds;
mod calls;
mod connecting;
mod counters;
mod deadline;
mod dispatch;
mod hypervisor;
#[cfg(feature = "virt")]
mod library;
mod link;
mod meeting;
mod metrics;
mod outbox;
mod pool;
mod probe;
mod queue;
mod reader;
mod returned;
mod socket;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use libvirt_remote::Bounds;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

pub use self::address::{Address, LauncherSocket};
pub use self::bounds::{ROOM, Room, room};
pub use self::counters::{CallCounters, CallName, EndpointCounters};
pub use self::meeting::{NotMet, answers, meet, walk};
pub use self::metrics::{Daemons, METRICS};
pub use self::reader::Reader;
pub use self::socket::has_container;

use self::actor::Actor;
use self::hypervisor::Hypervisor;
use self::queue::{Request, WAITING_MAX};
use self::socket::Route;
use self::wire::Wire;
use crate::heartbeat::{Heartbeats, Pulse};
use crate::libvirt::limits::STOCK;
use crate::model::DaemonId;
use crate::source::{Answer, Ask, Order, ReadError, Source, SourceEvent};

/// The name of an endpoint's task in reports of missing heartbeats.
const PART: &str = "libvirt::endpoint";

/// The settings of an endpoint.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The daemon's name in logs and in the keys of its VMs.
    pub id: DaemonId,
    /// Where it is. It is opened read-only.
    pub address: Address,
    /// How long a call may take before it is abandoned. 3 s is thirty times what a slow one takes.
    pub deadline: Duration,
    /// Who reads it, which decides how many calls it may have there.
    pub reader: Reader,
    /// Concurrent statistics calls, 1 to [`Settings::AT_ONCE`], if the reader may have as many; 1 means that the daemon
    /// has one VM, and fewer of its names and events are kept.
    pub calls_at_once: usize,
    /// Permits that limit concurrent reads over all endpoints that share them; `None` if there is no such limit.
    pub places: Option<Arc<Semaphore>>,
    /// The limit on memory for long messages of all endpoints that share it; `None` for no limit.
    pub room: Option<Arc<Room>>,
    /// The endpoint's counters. Endpoints that are given the same ones count together; a clone of the settings shares
    /// them.
    pub counters: Arc<EndpointCounters>,
    /// Where the endpoint reports its heartbeat.
    pub heartbeats: Heartbeats,
    /// Tracks the endpoint's task, so that its end can be waited for.
    pub tasks: TaskTracker,
}

impl Settings {
    /// The default deadline of a call.
    pub const DEADLINE: Duration = Duration::from_secs(3);

    /// The most concurrent statistics calls.
    pub const AT_ONCE: usize = admission::AT_ONCE;

    /// The defaults for a daemon at this address, with counters of its own. A daemon at a URI is assumed to have many
    /// VMs, a launcher's one.
    #[must_use]
    pub fn new(id: DaemonId, address: Address) -> Self {
        let calls_at_once = match &address {
            Address::Uri(_) => Self::AT_ONCE,
            Address::Launcher(_) | Address::Socket(_) => 1,
            #[cfg(feature = "virt")]
            Address::Library(_) => Self::AT_ONCE,
        };
        let deadline = Self::DEADLINE;
        let heartbeats = Heartbeats::default();
        let (counters, tasks) = (Arc::default(), TaskTracker::new());
        let reader = Reader::default();
        Self { id, address, deadline, reader, calls_at_once, places: None, room: None, counters, heartbeats, tasks }
    }
}

/// How an address is reached.
enum Way {
    /// libvirt's protocol.
    Protocol(Wire),
    /// libvirt's own library.
    #[cfg(feature = "virt")]
    Library(library::Library),
}

impl Way {
    fn to(address: &Address, bounds: Bounds) -> Self {
        let route = match address {
            Address::Uri(address) => Route::Uri(address.clone()),
            Address::Launcher(launcher) => Route::Launcher(launcher.clone()),
            Address::Socket(path) => Route::Socket(path.clone()),
            #[cfg(feature = "virt")]
            Address::Library(uri) => return Self::Library(library::Library::new(uri)),
        };
        Self::Protocol(Wire::new(route, bounds, &STOCK))
    }
}

/// One daemon.
#[derive(Debug)]
pub struct Endpoint;

impl Endpoint {
    /// Starts the endpoint of a daemon on the current tokio runtime and begins to connect. It keeps trying for as long
    /// as the handle lives, and ends with it.
    ///
    /// `events` gets what the daemon reports unasked. A reader that does not read them blocks nothing: it eventually
    /// gets [`SourceEvent::EventsLost`].
    #[must_use]
    pub fn start(settings: &Settings, events: mpsc::Sender<SourceEvent>) -> Arc<EndpointHandle> {
        match Way::to(&settings.address, bounds::of_connections(settings)) {
            Way::Protocol(wire) => Self::start_with(wire, settings, events),
            #[cfg(feature = "virt")]
            Way::Library(library) => Self::start_with(library, settings, events),
        }
    }

    fn start_with<H: Hypervisor>(
        hypervisor: H,
        settings: &Settings,
        events: mpsc::Sender<SourceEvent>,
    ) -> Arc<EndpointHandle> {
        let (sender, requests) = mpsc::channel(WAITING_MAX);
        let hurry = Arc::new(Notify::new());
        let pulse = settings.heartbeats.part_of(PART, Arc::clone(&settings.id.0));
        let actor = Box::new(Actor::new(hypervisor, settings, requests, hurry.clone(), events));
        drop(settings.tasks.spawn(pulse.over(actor.run(pulse.clone()))));
        let counters = settings.counters.clone();
        Arc::new(EndpointHandle { id: settings.id.clone(), requests: sender, hurry, counters, pulse })
    }
}

/// A started endpoint. It ends when the last handle is dropped.
#[derive(Debug)]
pub struct EndpointHandle {
    id: DaemonId,
    requests: mpsc::Sender<Box<Request>>,
    hurry: Arc<Notify>,
    counters: Arc<EndpointCounters>,
    pulse: Pulse,
}

impl EndpointHandle {
    /// The endpoint's counters, together with those of all endpoints that were given the same ones.
    #[must_use]
    pub fn counters(&self) -> &Arc<EndpointCounters> {
        &self.counters
    }

    /// Connects now instead of at the end of the present wait, and resets the backoff. For callers with reason to
    /// expect the daemon, such as news that its VM runs. An attempt that is under way goes on. The result is reported
    /// even if it is the same as before.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }
}

impl Source for EndpointHandle {
    fn id(&self) -> &DaemonId {
        &self.id
    }

    fn ask(&self, ask: Ask, order: Order) -> Answer {
        let (reply, answer) = oneshot::channel();
        let now = Instant::now();
        let request = Request { ask, order, reply, since: now };
        // The actor's next heartbeat may be an hour away, but a request wakes it.
        self.pulse.knock(now);
        let daemon = self.id.clone();
        let refused = match self.requests.try_send(Box::new(request)) {
            Ok(()) => None,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.counters.count_refused_request();
                Some(ReadError::Overloaded { daemon: daemon.clone() })
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Some(ReadError::Disconnected { daemon: daemon.clone() }),
        };
        Box::pin(async move {
            match refused {
                Some(error) => Err(error),
                // The endpoint enforces the deadlines, and answers as long as it runs.
                None => answer.await.unwrap_or(Err(ReadError::Disconnected { daemon })),
            }
        })
    }
}

#[cfg(test)]
mod tests;
