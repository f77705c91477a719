//! The running calls: each a future that owns its connection, and a record about it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, Stream as _};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::admission::WaitsFor;
use super::hypervisor::{Call, Called, Eventually};
use super::queue::ReplyTo;
use crate::model::Groups;
use crate::source::{Ask, Stats};

/// How long a read may take before it counts as waiting rather than working, and returns its permit: thirty times what
/// a whole one takes.
pub(super) const SLOW: Duration = Duration::from_millis(200);

/// How long a read in turn may take before the next starts beside it, and any call to a single-VM daemon before another
/// connection is opened: three times what a read, the longest call, takes.
pub(super) const TURN: Duration = Duration::from_millis(25);

/// The state of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Within its deadline.
    Running,
    /// Past it; whether the domain or the daemon is to blame is being checked.
    Overdue,
    /// Abandoned: its caller has been answered.
    Abandoned,
}

/// A call that has not returned.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) call: Call,
    pub(super) began: Instant,
    pub(super) stage: Stage,
    /// Its deadline, until that has passed.
    pub(super) due: Option<Instant>,
    /// The request that it answers; `None` for the endpoint's own calls.
    pub(super) question: Option<Question>,
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) ask: Ask,
    pub(super) reach: WaitsFor,
    /// `None` once it was answered.
    pub(super) reply: Option<ReplyTo>,
    /// The statistics, while the job is asked for.
    pub(super) stats: Option<Box<Stats>>,
    /// Its permit, of those that all daemons share.
    pub(super) place: Option<OwnedSemaphorePermit>,
}

impl Question {
    /// The requested groups.
    pub(super) const fn groups(&self) -> Groups {
        match self.ask {
            Ask::Read(_, groups) => groups,
            _ => Groups::NONE,
        }
    }
}

/// A call that has returned.
pub(super) struct Returned<C> {
    pub(super) id: u64,
    pub(super) called: Called<C>,
}

/// A running call.
struct Out<C> {
    id: u64,
    call: Eventually<Called<C>>,
}

impl<C> Future for Out<C> {
    type Output = Returned<C>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Returned<C>> {
        let id = self.id;
        self.call.as_mut().poll(context).map(|called| Returned { id, called })
    }
}

/// See the module.
pub(super) struct Calls<C> {
    out: FuturesUnordered<Out<C>>,
    pub(super) records: HashMap<u64, Record>,
    last: u64,
}

impl<C> Calls<C> {
    pub(super) fn new() -> Self {
        Self { out: FuturesUnordered::new(), records: HashMap::new(), last: 0 }
    }

    /// Adds a call.
    pub(super) fn begin(&mut self, record: Record, call: Eventually<Called<C>>) {
        self.last += 1;
        self.records.insert(self.last, record);
        self.out.push(Out { id: self.last, call });
    }

    /// The next call that returns, with its record.
    pub(super) fn poll_returned(&mut self, context: &mut Context<'_>) -> Poll<(Record, Called<C>)> {
        while !self.out.is_empty() {
            let Some(Returned { id, called }) = std::task::ready!(Pin::new(&mut self.out).poll_next(context)) else {
                break;
            };
            if let Some(record) = self.records.remove(&id) {
                return Poll::Ready((record, called));
            }
        }
        Poll::Pending
    }

    /// Drops all calls, and with them their connections. Returns their records.
    pub(super) fn drop_all(&mut self) -> Vec<Record> {
        self.out = FuturesUnordered::new();
        std::mem::take(&mut self.records).into_values().collect()
    }

    /// Whether any call may still return in time, and its connection with it.
    pub(super) fn expects_a_connection(&self) -> bool {
        self.records.values().any(|record| record.stage != Stage::Abandoned)
    }

    /// Until when a call younger than `TURN` is expected to return its connection.
    pub(super) fn expected_until(&self) -> Option<Instant> {
        let running = self.records.values().filter(|record| record.stage == Stage::Running);
        running.map(|record| record.began + TURN).max()
    }

    /// Whether a read younger than `TURN` is running.
    pub(super) fn reads_young(&self, now: Instant) -> bool {
        self.young_until().any(|until| now < until)
    }

    /// When each running read reaches `TURN`.
    pub(super) fn young_until(&self) -> impl Iterator<Item = Instant> {
        let reads =
            self.records.values().filter(|record| matches!(record.call, Call::Ask(Ask::Read(..)) | Call::Job(_)));
        reads.filter(|record| record.stage == Stage::Running).map(|record| record.began + TURN)
    }

    /// Returns the permits of slow reads.
    pub(super) fn give_places_back(&mut self, now: Instant) {
        for record in self.records.values_mut().filter(|record| record.began + SLOW <= now) {
            if let Some(question) = &mut record.question {
                question.place = None;
            }
        }
    }

    /// When the next call passes its deadline, or has to return its permit.
    pub(super) fn wake(&self) -> Option<Instant> {
        let slow = |record: &Record| {
            let holds = record.question.as_ref().is_some_and(|question| question.place.is_some());
            holds.then_some(record.began + SLOW)
        };
        self.records.values().flat_map(|record| [record.due, slow(record)]).flatten().min()
    }
}
