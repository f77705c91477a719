//! The task that owns a daemon's connections. It decides and never blocks.
//!
//! Its work is told in five files: here what it knows and how it is woken; [`link`](super::link) how it is connected;
//! [`dispatch`](super::dispatch) what is called when; [`returned`](super::returned) what becomes of calls that return;
//! [`deadline`](super::deadline) of those that do not.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use uuid::Uuid;

use super::Settings;
use super::backoff::{Backoff, LONGEST_LOCAL, LONGEST_REMOTE};
use super::budget::{Budget, Reach};
use super::control::Control;
use super::counters::{EndpointCounters, Load, ShownLoad};
use super::deadline::Probe;
use super::hypervisor::{Call, Called, Hypervisor, OpenError, Opened};
use super::link::Link;
use super::outbox::Outbox;
use super::quarantine::Quarantine;
use super::request::{ReplyTo, Request};
use super::sink::{Arrived, Inbox};
use super::turnstile::{Pass, Turnstile};
use crate::model::{DaemonId, Groups};
use crate::source::{ReadError, SourceEvent, Stats};

/// Finished calls that may wait for the actor: more than there can ever be calls.
const DONE_MAX: usize = 64;

/// Names that are remembered for messages. A node has a thousand domains at most; more are told by UUID alone.
const NAMES_MAX: usize = 4096;

/// How long the actor sleeps when nothing is due.
const LONG: Duration = Duration::from_secs(3600);

/// Something that the actor had started has ended.
pub(super) enum Done<C> {
    /// It is this daemon's turn to be connected to.
    Admitted(Pass),
    /// The connection for events was opened, or not.
    Linked(Result<Opened<C>, OpenError>, Duration),
    /// The daemon has introduced itself, or not.
    Prepared(Called<C>, Duration),
    /// A connection for calls was opened, or not; under which generation it was begun.
    Opened(u64, Result<Opened<C>, OpenError>, Duration),
    /// A call returned.
    Called(u64, Called<C>, Duration),
    /// The daemon was asked for a sign of life without a connection.
    Sign(u64, Option<Result<(), String>>),
}

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Within its deadline.
    Running,
    /// Past it; whether the domain or the daemon is to blame is being found out.
    Overdue,
    /// Left behind: its caller has been answered.
    Abandoned,
    /// Left over from a connection that was lost. It says nothing about its domain until it has had its time again.
    Leftover,
}

impl Stage {
    /// Whether its caller has been answered and its place in the budget is among those left behind.
    pub(super) const fn is_behind(self) -> bool {
        matches!(self, Self::Abandoned | Self::Leftover)
    }
}

/// A call that has not returned.
pub(super) struct Record {
    pub(super) call: Call,
    pub(super) generation: u64,
    pub(super) stage: Stage,
    /// When something must be done if it has not returned.
    pub(super) due: Option<Instant>,
    pub(super) reply: Option<ReplyTo>,
    pub(super) read: Option<Read>,
}

/// What only reads of statistics have.
pub(super) struct Read {
    pub(super) domain: Uuid,
    /// The groups that the caller asked for.
    pub(super) groups: Groups,
    /// How far the call reaches.
    pub(super) reach: Reach,
    /// The statistics, while the job is asked for.
    pub(super) stats: Option<Box<Stats>>,
}

/// A connection that waits for a call.
pub(super) struct Idle<C> {
    pub(super) connection: C,
    pub(super) since: Instant,
}

/// See the module.
pub(super) struct Actor<H: Hypervisor> {
    pub(super) id: DaemonId,
    pub(super) deadline: Duration,
    pub(super) hypervisor: H,
    pub(super) counters: Arc<EndpointCounters>,
    load: ShownLoad,

    requests: mpsc::Receiver<Request>,
    hurry: Arc<Notify>,
    done_sender: mpsc::Sender<Done<H::Connection>>,
    done: mpsc::Receiver<Done<H::Connection>>,
    events: mpsc::Sender<SourceEvent>,
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,

    pub(super) turnstile: Option<Turnstile>,
    pub(super) link: Link<H::Connection>,
    /// Counts connections to the daemon: what began under an earlier one is void.
    pub(super) generation: u64,
    pub(super) backoff: Backoff,
    /// Whether a connection is being opened: one at a time per socket.
    pub(super) opening: bool,
    /// When the connection that is being opened for calls is overdue.
    pub(super) opening_due: Option<Instant>,
    /// After a failure, not before then.
    pub(super) open_after: Option<Instant>,
    pub(super) pool_backoff: Backoff,
    pub(super) idle: VecDeque<Idle<H::Connection>>,

    pub(super) waiting: VecDeque<Request>,
    pub(super) records: HashMap<u64, Record>,
    pub(super) last_id: u64,
    pub(super) budget: Budget,
    pub(super) quarantine: Quarantine,
    pub(super) control: Control,
    pub(super) probe: Option<Probe>,
    pub(super) names: HashMap<Uuid, Arc<str>>,
}

impl<H: Hypervisor> Actor<H> {
    pub(super) fn new(
        hypervisor: H,
        settings: &Settings,
        requests: mpsc::Receiver<Request>,
        hurry: Arc<Notify>,
        events: mpsc::Sender<SourceEvent>,
    ) -> Self {
        let counters = settings.counters.clone();
        let (done_sender, done) = mpsc::channel(DONE_MAX);
        let longest = if hypervisor.is_local() { LONGEST_LOCAL } else { LONGEST_REMOTE };
        Self {
            id: settings.id.clone(),
            deadline: settings.deadline,
            hypervisor,
            inbox: Inbox::new(counters.clone()),
            load: ShownLoad::new(counters.clone()),
            counters,
            requests,
            hurry,
            done_sender,
            done,
            events,
            outbox: Outbox::default(),
            turnstile: settings.turnstile.clone(),
            link: Link::Down { retry_at: Instant::now() },
            generation: 0,
            backoff: Backoff::new(longest),
            opening: false,
            opening_due: None,
            open_after: None,
            pool_backoff: Backoff::new(longest),
            idle: VecDeque::new(),
            waiting: VecDeque::new(),
            records: HashMap::new(),
            last_id: 0,
            budget: Budget::new(settings.calls_at_once),
            quarantine: Quarantine::default(),
            control: Control::default(),
            probe: None,
            names: HashMap::new(),
        }
    }

    /// Runs until nobody can ask any more.
    pub(super) async fn run(mut self) {
        let events = self.events.clone();
        loop {
            // What has ended counts as ended, however late the actor comes to hear of it: the agent itself may have
            // been stopped for a while.
            while let Ok(done) = self.done.try_recv() {
                self.ended(done);
            }
            self.tick();
            self.dispatch();
            self.show_load();
            let wake = self.next_wake();
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(request) => self.accept(request),
                    None => break,
                },
                Some(done) = self.done.recv() => self.ended(done),
                Some(arrived) = self.inbox.events.recv() => self.arrived(arrived),
                Ok(()) = self.inbox.closed.changed() => {
                    let closed = *self.inbox.closed.borrow_and_update();
                    self.closed(closed);
                }
                Ok(permit) = events.reserve(), if !self.outbox.is_empty() => {
                    if let Some(event) = self.outbox.pop() {
                        permit.send(event);
                    }
                }
                () = self.hurry.notified() => self.hurry(),
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// Runs something beside the actor and hands back how it ended and how long it took.
    pub(super) fn spawn<T, F>(&self, future: F, done: impl FnOnce(T, Duration) -> Done<H::Connection> + Send + 'static)
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let sender = self.done_sender.clone();
        drop(tokio::spawn(async move {
            let began = Instant::now();
            let outcome = future.await;
            // Only fails when the actor has ended; the connection in it is then closed where it is dropped.
            let _ = sender.send(done(outcome, began.elapsed())).await;
        }));
    }

    fn ended(&mut self, done: Done<H::Connection>) {
        match done {
            Done::Admitted(pass) => self.admitted(pass),
            Done::Linked(result, took) => self.linked(result, took),
            Done::Prepared(called, took) => self.prepared(called, took),
            Done::Opened(generation, result, took) => self.opened(generation, result, took),
            Done::Called(id, called, took) => self.returned(id, called, took),
            Done::Sign(number, sign) => self.sign(number, sign),
        }
    }

    /// Does what is due.
    fn tick(&mut self) {
        let now = Instant::now();
        self.tick_link(now);
        self.tick_calls(now);
        self.tick_waiting(now);
    }

    fn next_wake(&self) -> Instant {
        let dues = self.records.values().filter_map(|record| record.due);
        let probe = self.probe.as_ref().map(|probe| probe.until);
        let opening = [self.opening_due, self.open_after];
        dues.chain(probe)
            .chain(self.link_wake())
            .chain(opening.into_iter().flatten())
            .chain(self.waiting_wake())
            .min()
            .unwrap_or_else(|| Instant::now() + LONG)
    }

    fn arrived(&mut self, arrived: Arrived) {
        if self.inbox.take_lost() {
            self.tell(SourceEvent::EventsLost);
        }
        // Before the daemon is connected everything is read afresh anyway.
        if arrived.generation == self.generation && self.link.is_up() {
            self.name(arrived.domain, &arrived.name);
            let event = arrived.event.meaning();
            self.tell(SourceEvent::Domain { uuid: arrived.domain, name: arrived.name, event });
        }
    }

    /// Puts an event on its way to the reader.
    pub(super) fn tell(&mut self, event: SourceEvent) {
        let dropped = self.outbox.push(event);
        self.counters.count_dropped_events(dropped);
    }

    pub(super) fn name(&mut self, domain: Uuid, name: &Arc<str>) {
        if self.names.len() < NAMES_MAX || self.names.contains_key(&domain) {
            self.names.insert(domain, name.clone());
        }
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

    fn show_load(&mut self) {
        let calls = self.records.len() + self.idle.len();
        self.load.show(Load {
            in_flight: self.budget.running(),
            abandoned: self.budget.abandoned(),
            stuck: self.quarantine.stuck(),
            connections: calls + usize::from(self.link.has_connection()),
        });
    }
}
