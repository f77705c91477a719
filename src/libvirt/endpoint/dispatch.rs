//! Starts calls.

use std::time::Duration;

use tokio::time::Instant;

use super::actor::Actor;
use super::admission::{PATIENCE, Turn, WaitsFor};
use super::calls::{Question, Record, Stage};
use super::connecting::PREPARE_DEADLINE;
use super::counters::CallName;
use super::hypervisor::{Call, Hypervisor, OpenError};
use super::queue::{Queue, Request, WAITING_DEADLINE};
use crate::model::{Group, Groups};
use crate::source::{Ask, Order, ReadError};

/// What to do with a request now.
enum Next {
    Start(WaitsFor),
    /// This one waits.
    Wait,
    /// The rest of its lane waits.
    WaitAll,
    Refuse(ReadError),
    /// The caller is gone.
    Forget,
}

impl<H: Hypervisor> Actor<H> {
    /// Queues or refuses a request.
    pub(super) fn accept(&mut self, request: Request) {
        if !self.link.is_up() {
            let error = self.voice.disconnected();
            request.answer(Err(error));
        } else if let Err(request) = self.queue.push(request) {
            let error = self.voice.overloaded();
            request.answer(Err(error));
        }
    }

    /// When a request may proceed although no call returns.
    pub(super) fn waiting_wake(&self) -> Option<Instant> {
        if self.queue.len() == 0 {
            return None;
        }
        let now = Instant::now();
        let patience = self.queue.next_to_wait(PATIENCE, now);
        let xml = self.admission.slow_xml_at().filter(|until| *until > now).min();
        // Requests that are already late are answered first.
        let deadline = self.queue.next_to_wait(WAITING_DEADLINE, now);
        let turn = self.calls.young_until().filter(|until| *until > now).min();
        [patience, xml, deadline, turn, self.connection_expected(now)].into_iter().flatten().min()
    }

    pub(super) fn tick_waiting(&mut self, now: Instant) {
        while let Some(request) = self.queue.take_late(now) {
            let error = self.voice.overloaded();
            request.answer(Err(error));
        }
        self.pool.tick(now);
        self.calls.give_places_back(now);
    }

    /// Refuses all waiting requests if no connection can be expected to become free.
    fn refuse_waiting(&mut self, reason: &str) {
        if self.calls.expects_a_connection() {
            return;
        }
        let (call, domain) = (CallName::OPEN.function, self.voice.label(None));
        let error = ReadError::Libvirt { call, domain, message: reason.to_owned() };
        for request in self.queue.drain() {
            self.voice.counters.count_refused_request();
            request.answer(Err(error.clone()));
        }
    }

    /// Starts everything that may start now.
    pub(super) fn dispatch(&mut self) {
        if !self.link.is_up() {
            return;
        }
        let now = Instant::now();
        self.admission.expire(now);
        let mut place = self.queue.first();
        let mut waits_for_place = false;
        while let Some(request) = self.queue.look(&mut place) {
            let ask = request.ask;
            let next = if request.reply.is_closed() { Next::Forget } else { self.next(request, now) };
            match next {
                Next::Wait => place = Queue::behind(place),
                Next::WaitAll => place = Queue::behind_lane(place),
                Next::Refuse(error) => {
                    if let Some(request) = self.queue.take(place) {
                        request.answer(Err(error));
                    }
                }
                Next::Forget => drop(self.queue.take(place)),
                Next::Start(reach) => {
                    // No permit, which others wait for, is held while a connection is opened.
                    if self.pool.len() == 0 {
                        self.open_one(now);
                        break;
                    }
                    let slot = match reach {
                        WaitsFor::Monitor => match self.places.take(now) {
                            Ok(slot) => slot,
                            Err(()) => {
                                place = Queue::behind_lane(place);
                                waits_for_place = true;
                                continue;
                            }
                        },
                        _ => None,
                    };
                    let (Some(connection), Some(request)) = (self.pool.take(), self.queue.take(place)) else { break };
                    let Request { reply, .. } = request;
                    self.admission.start(ask, reach, now);
                    let call = match ask {
                        Ask::Read(domain, groups) => Call::stats(domain, asked(groups, reach)),
                        _ => Call::Ask(ask),
                    };
                    let question = Question { ask, reach, reply: Some(reply), stats: None, place: slot };
                    self.call(connection, call, Some(question));
                }
            }
        }
        // A permit that could not be used at once is left to the others.
        if !waits_for_place {
            self.places.give_back();
        }
        self.prepare_beside(now);
    }

    /// Lets a newly connected daemon probe its emulators, once no more urgent request waits for a connection. The
    /// hypervisor's version is not needed from a single-VM daemon, and only reads need the probe: an agent that starts
    /// on a node with a thousand of them asks for the types first.
    fn prepare_beside(&mut self, now: Instant) {
        if self.prepared || (self.of_one && !self.queue.has_reading_of_monitor()) {
            return;
        }
        match self.pool.take() {
            Some(connection) => self.prepare(connection),
            None => self.open_one(now),
        }
    }

    /// What to do with a request.
    fn next(&self, request: &Request, now: Instant) -> Next {
        let Request { ask, order, since, .. } = request;
        if let Ask::Read(_, groups) = ask {
            // If statistics trigger the probe of its emulators, the daemon holds a VM's lock meanwhile.
            if !self.is_prepared() && groups.needs_monitor() {
                return Next::WaitAll;
            }
            if *order == Order::InTurn && self.calls.reads_young(now) {
                return Next::WaitAll;
            }
        }
        let waited = now.saturating_duration_since(*since);
        let xml_waits = ask.domain().is_some_and(|domain| self.queue.has_xml_of(domain));
        match self.admission.turn(*ask, waited, xml_waits, now) {
            Turn::Start(reach) => Next::Start(reach),
            Turn::Wait => Next::Wait,
            Turn::Crowded => Next::WaitAll,
            Turn::Late => Next::Refuse(ReadError::Deadline {
                call: ask.function(),
                domain: self.voice.label(ask.domain()),
                deadline: self.deadline,
            }),
            Turn::Full => Next::Refuse(self.voice.overloaded()),
        }
    }

    /// Whether the daemon has probed its emulators, or has run out of time to.
    fn is_prepared(&self) -> bool {
        let preparing = |record: &Record| record.call == Call::Prepare && record.stage == Stage::Running;
        self.prepared && !self.calls.records.values().any(preparing)
    }

    /// Until when to wait for a call to return its connection, rather than open another: a single-VM daemon uses one,
    /// and most of its calls come in threes. Opening one costs as much as they do.
    fn connection_expected(&self, now: Instant) -> Option<Instant> {
        self.calls.expected_until().filter(|until| self.of_one && *until > now)
    }

    /// Opens another connection, unless one is expected to become free or is being opened, or the last attempt has just
    /// failed.
    fn open_one(&mut self, now: Instant) {
        if self.pool.may_open() && self.connection_expected(now).is_none() {
            self.pool.open(self.hypervisor.open());
        }
    }

    /// Opening a connection succeeded, or failed.
    pub(super) fn opened(&mut self, opened: Result<H::Connection, OpenError>, took: Duration) {
        self.voice.counters.count_call(CallName::OPEN, took, opened.is_ok());
        self.pool.opened(opened.is_ok());
        match opened {
            Ok(connection) => self.pool.keep(connection),
            Err(error) => {
                tracing::debug!(daemon = %self.voice.id, %error, "no further connection to libvirt");
                if matches!(error, OpenError::Mute(_)) {
                    // It may accept no more clients, or be unresponsive.
                    self.ask_for_a_sign();
                }
                self.refuse_waiting(&error.to_string());
            }
        }
    }

    /// Makes a call over a connection, which it returns at its end.
    pub(super) fn call(&mut self, connection: H::Connection, call: Call, question: Option<Question>) {
        let began = Instant::now();
        let due = match call {
            Call::Prepare => PREPARE_DEADLINE,
            Call::Ask(_) | Call::Job(_) => self.deadline,
        };
        let name = self.voice.name_of(call.domain());
        let record = Record { call, began, stage: Stage::Running, due: Some(began + due), question };
        self.calls.begin(record, self.hypervisor.call(connection, call, name));
    }
}

/// The groups that a call requests. With monitor groups it always requests the balloon's, which shows whether QEMU took
/// part in the answer, and so whether the job may be requested.
fn asked(groups: Groups, reach: WaitsFor) -> Groups {
    match reach {
        WaitsFor::Monitor => groups.union([Group::Balloon].into_iter().collect()),
        WaitsFor::NoMonitor | WaitsFor::Xml => groups.without_monitor(),
    }
}
