//! The task that owns a daemon's connections. It never blocks and starts no tasks for calls: they are futures that it
//! owns, so that dropping the endpoint ends all of them immediately.
//!
//! It is spread over five files: this one wakes it; [`connecting`](super::connecting) connects it;
//! [`dispatch`](super::dispatch) starts calls; [`returned`](super::returned) handles calls that return;
//! [`deadline`](super::deadline) those that do not.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use uuid::Uuid;

use super::Settings;
use super::admission::Admission;
use super::bounds;
use super::calls::{Calls, Record};
use super::counters::{EndpointCounters, Load, ShownLoad};
use super::hypervisor::{Called, Connection, Eventually, Hypervisor};
use super::link::{self, DaemonLink, LOCAL, REMOTE};
use super::outbox::Outbox;
use super::pool::{self, Pool};
use super::probe::Probe;
use super::queue::{Queue, Request};
use crate::heartbeat::Pulse;
use crate::model::DaemonId;
use crate::source::{ReadError, SourceEvent};

/// How long the actor sleeps when nothing is due.
const LONG: Duration = Duration::from_secs(3600);

/// How many inputs the actor processes before it acts on them: enough for a burst of events, few enough that its turn
/// stays below a millisecond.
const TURN: usize = 64;

/// How long closing the connections cleanly may take when the endpoint ends. Each has a tenth of a second, and all of
/// them close concurrently.
const CLOSE: Duration = Duration::from_millis(100);

/// How much of that time is left for calls to return. Most do in a moment, and until then their VMs look busy to the
/// next reader.
const RETURN: Duration = Duration::from_millis(50);

/// An input of the actor.
enum Happened<C> {
    Request(Box<Request>),
    /// All handles are dropped.
    Over,
    DaemonLink(link::Change<C>),
    Pool(pool::Change<C>),
    Returned(Record, Called<C>),
    /// A permit for a read was granted.
    Place(OwnedSemaphorePermit),
}

/// The endpoint's names, counters and outgoing events.
pub(super) struct Voice {
    pub(super) id: DaemonId,
    pub(super) counters: Arc<EndpointCounters>,
    pub(super) outbox: Outbox,
    names: HashMap<Uuid, Arc<str>>,
    /// How many of them are remembered.
    most_names: usize,
}

impl Voice {
    /// Queues an event for the reader.
    pub(super) fn tell(&mut self, event: SourceEvent) {
        let dropped = self.outbox.push(event);
        self.counters.count_dropped_events(dropped);
    }

    /// Remembers a domain's name.
    pub(super) fn name(&mut self, domain: Uuid, name: &Arc<str>) {
        if self.names.len() < self.most_names || self.names.contains_key(&domain) {
            self.names.insert(domain, name.clone());
        }
    }

    /// Forgets all names: a full list follows.
    pub(super) fn forget_names(&mut self) {
        self.names.clear();
    }

    /// The domain name that a call sends.
    pub(super) fn name_of(&self, domain: Option<Uuid>) -> Arc<str> {
        let known = domain.and_then(|uuid| self.names.get(&uuid).cloned());
        known.unwrap_or_else(|| domain.map(|uuid| uuid.to_string()).unwrap_or_default().into())
    }

    /// How messages name a domain, or the daemon.
    pub(super) fn label(&self, domain: Option<Uuid>) -> String {
        match domain {
            None => self.id.to_string(),
            Some(uuid) => self.names.get(&uuid).map_or_else(|| uuid.to_string(), |name| format!("{name} ({uuid})")),
        }
    }

    pub(super) fn disconnected(&self) -> ReadError {
        ReadError::Disconnected { daemon: self.id.clone() }
    }

    pub(super) fn overloaded(&self) -> ReadError {
        self.counters.count_refused_request();
        ReadError::Overloaded { daemon: self.id.clone() }
    }
}

/// How long a read may wait for a permit before it runs without one: daemons that hold permits on purpose must not
/// delay the others. Twice what reading a node's thousand VMs at once takes, so that this burst stays spread.
pub(super) const PLACE_PATIENCE: Duration = Duration::from_secs(2);

/// One endpoint's view of the permits for concurrent reads over all daemons. They spare the machine; nothing depends on
/// them.
pub(super) struct Places {
    all: Option<Arc<Semaphore>>,
    waiting: Option<Eventually<Option<OwnedSemaphorePermit>>>,
    /// When the wait for a permit began.
    since: Option<Instant>,
    got: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(super) const fn new(all: Option<Arc<Semaphore>>) -> Self {
        Self { all, waiting: None, since: None, got: None }
    }

    /// A permit, if one is free, or `None` if the wait was long enough; otherwise starts waiting. `Err`: not yet.
    pub(super) fn take(&mut self, now: Instant) -> Result<Option<OwnedSemaphorePermit>, ()> {
        let Some(all) = &self.all else { return Ok(None) };
        if let Some(place) = self.got.take() {
            self.give_back();
            return Ok(Some(place));
        }
        if self.wake().is_some_and(|until| until <= now) {
            self.give_back();
            return Ok(None);
        }
        if self.waiting.is_none() {
            if let Ok(place) = Arc::clone(all).try_acquire_owned() {
                return Ok(Some(place));
            }
            let all = Arc::clone(all);
            self.waiting = Some(Box::pin(async move { all.acquire_owned().await.ok() }));
            self.since = Some(now);
        }
        Err(())
    }

    /// When a read goes without a permit.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.since.map(|since| since + PLACE_PATIENCE)
    }

    /// Gives up a permit, or the wait for one.
    pub(super) fn give_back(&mut self) {
        self.got = None;
        self.waiting = None;
        self.since = None;
    }

    fn poll_place(&mut self, context: &mut Context<'_>) -> Poll<OwnedSemaphorePermit> {
        if let Some(waiting) = &mut self.waiting
            && let Poll::Ready(place) = waiting.as_mut().poll(context)
        {
            self.waiting = None;
            if let Some(place) = place {
                return Poll::Ready(place);
            }
        }
        Poll::Pending
    }
}

/// See the module.
pub(super) struct Actor<H: Hypervisor> {
    pub(super) hypervisor: H,
    /// Whether the daemon has one VM.
    pub(super) of_one: bool,
    pub(super) deadline: Duration,
    pub(super) voice: Voice,
    load: ShownLoad,

    // Boxed: tokio reserves 32 slots at once, and there may be a thousand actors.
    requests: mpsc::Receiver<Box<Request>>,
    hurry: Arc<Notify>,
    events: mpsc::Sender<SourceEvent>,

    pub(super) link: DaemonLink<H::Connection>,
    pub(super) pool: Pool<H::Connection>,
    pub(super) queue: Queue,
    pub(super) calls: Calls<H::Connection>,
    pub(super) admission: Admission,
    pub(super) places: Places,
    pub(super) probe: Option<Probe>,
    /// Whether the daemon was asked to probe its emulators. Statistics wait for the answer.
    pub(super) prepared: bool,
    /// When VMs whose calls hung before the reconnect count as stuck again.
    pub(super) blame_at: Option<Instant>,
}

impl<H: Hypervisor> Actor<H> {
    pub(super) fn new(
        hypervisor: H,
        settings: &Settings,
        requests: mpsc::Receiver<Box<Request>>,
        hurry: Arc<Notify>,
        events: mpsc::Sender<SourceEvent>,
    ) -> Self {
        let counters = settings.counters.clone();
        let waits = if hypervisor.is_local() { LOCAL } else { REMOTE };
        let of_one = bounds::is_of_one(settings);
        Self {
            hypervisor,
            of_one,
            deadline: settings.deadline,
            load: ShownLoad::new(counters.clone()),
            voice: Voice {
                id: settings.id.clone(),
                counters,
                outbox: Outbox::new(bounds::events(settings)),
                names: HashMap::new(),
                most_names: bounds::names(settings),
            },
            requests,
            hurry,
            events,
            link: DaemonLink::new(waits),
            // Beside the one for events, a single-VM daemon keeps one connection: there may be a thousand.
            pool: Pool::new(waits, if of_one { 1 } else { usize::MAX }),
            queue: Queue::default(),
            calls: Calls::new(),
            admission: Admission::new(settings.reader.limits().at_most(settings.calls_at_once)),
            places: Places::new(settings.places.clone()),
            probe: None,
            prepared: false,
            blame_at: None,
        }
    }

    /// Runs until all handles are dropped.
    ///
    /// Boxed: a future stores its arguments twice, and there may be a thousand actors.
    pub(super) async fn run(mut self: Box<Self>, pulse: Pulse) {
        let (events, hurry) = (self.events.clone(), Arc::clone(&self.hurry));
        loop {
            self.tick();
            self.dispatch();
            self.pool.trim();
            self.show_load();
            let wake = self.wake();
            pulse.promise(wake);
            tokio::select! {
                // Inputs come before the clock: what has already happened counts, however late the actor learns of it.
                biased;
                goes_on = std::future::poll_fn(|context| self.poll_turn(context)) => {
                    if !goes_on {
                        return self.end().await;
                    }
                }
                Ok(permit) = events.reserve(), if !self.voice.outbox.is_empty() => {
                    if let Some(event) = self.voice.outbox.pop() {
                        permit.send(event);
                    }
                }
                () = hurry.notified() => self.link.hurry(),
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// Processes inputs, or waits for one. `false` when all handles are dropped.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        for taken in 0..TURN {
            match self.poll_next(context) {
                Poll::Ready(Happened::Over) => return Poll::Ready(false),
                Poll::Ready(happened) => self.take_in(happened),
                Poll::Pending if taken == 0 => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(true)
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Happened<H::Connection>> {
        if let Poll::Ready((record, called)) = self.calls.poll_returned(context) {
            return Poll::Ready(Happened::Returned(record, called));
        }
        if let Poll::Ready(change) = self.link.poll_change(context) {
            return Poll::Ready(Happened::DaemonLink(change));
        }
        if let Poll::Ready(change) = self.pool.poll_change(context) {
            return Poll::Ready(Happened::Pool(change));
        }
        if let Poll::Ready(place) = self.places.poll_place(context) {
            return Poll::Ready(Happened::Place(place));
        }
        match std::task::ready!(self.requests.poll_recv(context)) {
            Some(request) => Poll::Ready(Happened::Request(request)),
            None => Poll::Ready(Happened::Over),
        }
    }

    fn take_in(&mut self, happened: Happened<H::Connection>) {
        match happened {
            Happened::Request(request) => self.accept(*request),
            Happened::Over => {}
            Happened::DaemonLink(link::Change::Met(met, took)) => self.met(met, took),
            Happened::DaemonLink(link::Change::Notice(notice)) => self.noticed(notice),
            Happened::Pool(pool::Change::Opened(opened, took)) => self.opened(opened, took),
            Happened::Pool(pool::Change::Ended(ending)) => self.idle_ended(&ending),
            Happened::Returned(record, called) => self.returned(record, called),
            Happened::Place(place) => self.places.got = Some(place),
        }
    }

    /// Does what is due.
    fn tick(&mut self) {
        let now = Instant::now();
        self.tick_link(now);
        self.tick_calls(now);
        self.tick_waiting(now);
    }

    fn wake(&self) -> Instant {
        let probe = self.probe.as_ref().map(|probe| probe.until);
        // A read past its patience waits for something else, which has its own wake-up.
        let place = self.places.wake().filter(|until| *until > Instant::now());
        let waiting = [place, self.waiting_wake()];
        [self.link.wake(), self.pool.wake(), self.calls.wake(), probe, self.blame_at]
            .into_iter()
            .chain(waiting)
            .flatten()
            .min()
            .unwrap_or_else(|| Instant::now() + LONG)
    }

    fn show_load(&mut self) {
        let calls = self.calls.records.len() + self.pool.len();
        self.load.show(Load {
            in_flight: self.admission.running(),
            abandoned: self.admission.abandoned(),
            #[cfg(test)]
            stuck: self.admission.stuck(),
            connections: calls + usize::from(self.link.has_connection()),
        });
    }

    /// Closes the connections cleanly, so that the daemon sees no error: those with a call when it returns or is cut
    /// short, and one that is being opened once it is open. Whatever exceeds the time limit is dropped.
    async fn end(mut self: Box<Self>) {
        let closing = futures_util::future::join_all(self.pool.drain().into_iter().chain(self.link.end()));
        let returning = async {
            let mut patience = std::pin::pin!(tokio::time::sleep(RETURN));
            let mut left = false;
            while !self.calls.records.is_empty() {
                tokio::select! {
                    () = &mut patience, if !left => {
                        self.hypervisor.leave();
                        left = true;
                    }
                    (_, called) = std::future::poll_fn(|context| self.calls.poll_returned(context)) => {
                        if let Ok(connection) = called.connection {
                            connection.close().await;
                        }
                    }
                }
            }
        };
        let _ = tokio::time::timeout(CLOSE, futures_util::future::join(closing, returning)).await;
    }
}
