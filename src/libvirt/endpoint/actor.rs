//! The task that owns a daemon's connections. It decides and never blocks, and there is no other task or thread: calls are
//! futures of its own, so that dropping the endpoint ends all of them then and there.
//!
//! Its work is told in five files: here how it is woken; [`connecting`](super::connecting) how it is connected;
//! [`dispatch`](super::dispatch) what is called when; [`returned`](super::returned) what becomes of calls that return;
//! [`deadline`](super::deadline) of those that do not.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use uuid::Uuid;

use super::Settings;
use super::admission::Admission;
use super::backoff::{LONGEST_LOCAL, LONGEST_REMOTE};
use super::bounds;
use super::calls::{Calls, Record};
use super::counters::{EndpointCounters, Load, ShownLoad};
use super::deadline::Probe;
use super::hypervisor::{Called, Connection, Eventually, Hypervisor};
use super::link::{self, Link};
use super::outbox::Outbox;
use super::pool::{self, Pool};
use super::queue::{Queue, Request};
use crate::heartbeat::Pulse;
use crate::model::DaemonId;
use crate::source::{ReadError, SourceEvent};

/// How long the actor sleeps when nothing is due.
const LONG: Duration = Duration::from_secs(3600);

/// Things that happened which are taken in before the actor looks what is to be done: enough for a burst of events, few
/// enough that its turn stays below a millisecond.
const TURN: usize = 64;

/// How long the connections may take to be closed in order when the endpoint ends. Each has a tenth of a second, and all
/// of them have it at once.
const CLOSE: Duration = Duration::from_millis(100);

/// How long of that calls may take to return. Most do in a moment, and until then their VMs are busy to whoever reads them
/// next.
const RETURN: Duration = Duration::from_millis(50);

/// Something that happened.
enum Happened<C> {
    Request(Box<Request>),
    /// Nobody can ask any more.
    Over,
    Link(link::Change<C>),
    Pool(pool::Change<C>),
    Returned(Record, Called<C>),
    /// A place among the readings that run at once is ours.
    Place(OwnedSemaphorePermit),
}

/// What the endpoint knows by name, and whom it tells.
pub(super) struct Voice {
    pub(super) id: DaemonId,
    pub(super) counters: Arc<EndpointCounters>,
    pub(super) outbox: Outbox,
    names: HashMap<Uuid, Arc<str>>,
    /// How many of them are remembered.
    most_names: usize,
}

impl Voice {
    /// Puts an event on its way to the reader.
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

    /// These are all domains that there are.
    pub(super) fn forget_names(&mut self) {
        self.names.clear();
    }

    /// The name that a call gives a domain.
    pub(super) fn name_of(&self, domain: Option<Uuid>) -> Arc<str> {
        let known = domain.and_then(|uuid| self.names.get(&uuid).cloned());
        known.unwrap_or_else(|| domain.map(|uuid| uuid.to_string()).unwrap_or_default().into())
    }

    /// What a message calls a domain, or the daemon.
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

/// How long a reading may wait for its place before it goes without one: daemons that hold theirs on purpose must not hold
/// up the others. Twice what all of a node with a thousand VMs take that are read at once, so that this burst stays spread.
pub(super) const PLACE_PATIENCE: Duration = Duration::from_secs(2);

/// The places for readings that run at once over all daemons, as one of them sees it. They spare the machine; nobody
/// depends on them.
pub(super) struct Places {
    all: Option<Arc<Semaphore>>,
    waiting: Option<Eventually<Option<OwnedSemaphorePermit>>>,
    /// Since when one is waited for.
    since: Option<Instant>,
    got: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(super) const fn new(all: Option<Arc<Semaphore>>) -> Self {
        Self { all, waiting: None, since: None, got: None }
    }

    /// A place, if one is free, or none if it has been waited for long enough; else one is waited for. `Err`: not yet.
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

    /// When a reading goes without one.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.since.map(|since| since + PLACE_PATIENCE)
    }

    /// One was waited for and nobody needs it any more.
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

    // Boxed: tokio reserves 32 places at once, and there may be a thousand actors.
    requests: mpsc::Receiver<Box<Request>>,
    hurry: Arc<Notify>,
    events: mpsc::Sender<SourceEvent>,

    pub(super) link: Link<H::Connection>,
    pub(super) pool: Pool<H::Connection>,
    pub(super) queue: Queue,
    pub(super) calls: Calls<H::Connection>,
    pub(super) admission: Admission,
    pub(super) places: Places,
    pub(super) probe: Option<Probe>,
    /// Whether the daemon was asked to probe its emulators, and has answered or had its time: statistics wait for that.
    pub(super) prepared: bool,
    /// When those count as stuck again who hung before the daemon was connected to.
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
        let longest = if hypervisor.is_local() { LONGEST_LOCAL } else { LONGEST_REMOTE };
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
            link: Link::new(longest),
            // Beside the events, what a daemon of one VM is asked is asked over one connection: there may be a thousand.
            pool: Pool::new(longest, if of_one { 1 } else { usize::MAX }),
            queue: Queue::default(),
            calls: Calls::new(),
            admission: Admission::new(settings.calls_at_once),
            places: Places::new(settings.places.clone()),
            probe: None,
            prepared: false,
            blame_at: None,
        }
    }

    /// Runs until nobody can ask any more.
    ///
    /// Boxed, as a future has room for what it is given twice, and there may be a thousand actors.
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
                // What has happened counts as having happened, however late the actor comes to hear of it: before the
                // time is looked at.
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

    /// Takes in what has happened; waits for something to happen. `false` when nobody can ask any more.
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
            return Poll::Ready(Happened::Link(change));
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
            Happened::Link(link::Change::Met(met, took)) => self.met(met, took),
            Happened::Link(link::Change::Notice(notice)) => self.noticed(notice),
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
        // One that has waited long enough lacks something else, which says so itself.
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
            stuck: self.admission.stuck(),
            connections: calls + usize::from(self.link.has_connection()),
        });
    }

    /// Ends the connections in order, so that the daemon takes their end for no error: those that carry a call when it
    /// returns, or in the midst of it, and one that is being made once it is. What takes longer than that may is dropped.
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
