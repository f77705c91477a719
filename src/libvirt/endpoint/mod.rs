//! One libvirt daemon behind the port [`Source`]: connect, call under a deadline, budget, events.
//!
//! ```text
//!  EndpointHandle ─questions─► Queue ─► Admission: whose turn is it? ─► Calls, each with its connection ─► libvirtd
//!        ▲                                                                 │
//!        └─────────────────────────── answers ◄────────────────────────────┘
//!                                  SourceEvents ─► reader
//! ```
//!
//! One task, the `actor`, owns everything and never blocks. One connection reports events and the end of the daemon and
//! carries no calls. The others are made when one is needed, carry one call at a time, and wait idle in between. A call
//! that goes past its deadline keeps its connection until it returns.
//!
//! What may be called when is decided by `admission` alone; how long to wait before the next attempt to connect by
//! `backoff`.
//!
//! A launcher pod has a daemon of its own, with one VM: there may be a thousand endpoints. Nothing that one of these
//! daemons does can hold up another: they share no connection, no task, no lock and no thread. What they share are the places
//! of [`Settings::places`], a number of readings that work at the same time, which spares the machine and nothing else: a
//! reading that is slow gives its place to the next, and one that has waited for a place goes without.

mod actor;
mod address;
mod admission;
mod backoff;
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
mod outbox;
mod pool;
mod queue;
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

use self::actor::Actor;
use self::hypervisor::Hypervisor;
use self::queue::{Request, WAITING_MAX};
use self::socket::Route;
use self::wire::Wire;
use crate::heartbeat::{Heartbeats, Pulse};
use crate::libvirt::limits::STOCK;
use crate::model::DaemonId;
use crate::source::{Answer, Ask, Order, ReadError, Source, SourceEvent};

/// What an endpoint's task is called where it stands still.
const PART: &str = "libvirt::endpoint";

/// What an endpoint needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the daemon is called, in logs and in the keys of its VMs.
    pub id: DaemonId,
    /// Where it is. It is opened read-only.
    pub address: Address,
    /// How long a call may take before it is left behind. 3 s is thirty times what a slow one takes.
    pub deadline: Duration,
    /// Statistics calls at once, 1 to [`Settings::AT_ONCE`]; 1 where the daemon has one VM. Fewer names and events of such a
    /// daemon are kept.
    pub calls_at_once: usize,
    /// Places for readings that run at once over all endpoints that share them; `None` if there is no such limit.
    pub places: Option<Arc<Semaphore>>,
    /// The room for long messages of all endpoints that share it; `None` if there is no such limit.
    pub room: Option<Arc<Room>>,
    /// Where the endpoint counts. Endpoints that are given the same count together; a clone of settings shares it too.
    pub counters: Arc<EndpointCounters>,
    /// Where the endpoint shows that it turns.
    pub heartbeats: Heartbeats,
    /// The endpoint's task is one of these, so that its end can be waited for.
    pub tasks: TaskTracker,
}

impl Settings {
    /// The default deadline of a call.
    pub const DEADLINE: Duration = Duration::from_secs(3);

    /// Most statistics calls at once.
    pub const AT_ONCE: usize = admission::AT_ONCE;

    /// The defaults for a daemon at this address, with counters of its own. The daemon at a URI is taken to have many
    /// VMs, those in launcher pods one.
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
        Self { id, address, deadline, calls_at_once, places: None, room: None, counters, heartbeats, tasks }
    }
}

/// How long a look at a daemon may take, from the first step to its opened driver. A living one on this host takes
/// milliseconds; and others wait until it is over.
const LOOK: Duration = Duration::from_secs(1);

/// Whether a daemon answers at this address: its socket is there, may be used, and speaks libvirt. Decides within a second
/// and changes nothing.
pub async fn answers(address: &Address) -> bool {
    let opened = async {
        match Way::to(address, Bounds::default()) {
            Way::Protocol(wire) => wire.open().await.is_ok(),
            #[cfg(feature = "virt")]
            Way::Library(library) => library.open().await.is_ok(),
        }
    };
    tokio::time::timeout(LOOK, opened).await.unwrap_or(false)
}

/// What leads to an address.
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
    /// Starts the endpoint of a daemon on the current tokio runtime and begins to connect. It goes on trying for as
    /// long as the handle lives, and ends with it.
    ///
    /// `events` gets what the daemon reports of its own accord. A reader that does not read them holds up nothing: it
    /// gets [`SourceEvent::EventsLost`] in the end.
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
    /// What the endpoint counts of its own doing, together with those that were given the same counters.
    #[must_use]
    pub fn counters(&self) -> &Arc<EndpointCounters> {
        &self.counters
    }

    /// Tries to connect now instead of at the end of the present wait, and begins with short waits again. For whoever
    /// has heard that the daemon should be there: its VM is said to run. An attempt that is under way goes on. However
    /// it ends is reported, though it be as before.
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
        // The actor may have promised nothing for an hour, but a question wakes it.
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
                // The endpoint holds the deadlines, and answers as long as it is there.
                None => answer.await.unwrap_or(Err(ReadError::Disconnected { daemon })),
            }
        })
    }
}

#[cfg(test)]
mod tests;
