//! What is called when.

use std::time::Duration;

use tokio::time::Instant;

use super::actor::{Actor, Done, Idle, Read, Record, Stage};
use super::budget::{Admission, Reach};
use super::control::ControlAccess;
use super::counters::CallKind;
use super::hypervisor::{Call, Hypervisor, OpenError, Opened};
use super::link::OPEN_DEADLINE;
use super::quarantine::Access;
use super::request::{Ask, Request};
use super::socket::PREFLIGHT_DEADLINE;
use crate::model::{Group, Groups};
use crate::source::ReadError;

/// Requests that may wait for their turn: every domain of a full node once.
pub(super) const WAITING_MAX: usize = 1024;

/// How long a request may wait for its turn. With a call of three seconds at a time, as when four have been left
/// behind, ten others go first; whoever waited longer asks again.
const WAITING_DEADLINE: Duration = Duration::from_secs(30);

/// How long a read waits for its QEMU's turn before it goes on without its monitor groups, while calls hang. Healthy
/// VMs have their turn within a fraction of this; behind a call that hangs, each would wait three seconds more. Four
/// reads of a daemon wait at once, so that a hundred VMs are through within a few seconds.
const PATIENCE: Duration = Duration::from_millis(200);

/// Connections that have been idle for longer than this are closed: they were needed in a storm that is over. Each
/// costs the daemon a ping every five seconds.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// What may be done with a request now.
enum Turn {
    Start(Reach),
    Wait,
    Refuse(ReadError),
    /// Nobody waits for the answer any more.
    Forget,
}

impl<H: Hypervisor> Actor<H> {
    /// Takes a request in.
    pub(super) fn accept(&mut self, request: Request) {
        if !self.link.is_up() {
            request.answer(Err(self.disconnected()));
        } else if self.waiting.len() >= WAITING_MAX {
            let error = self.overloaded();
            request.answer(Err(error));
        } else {
            self.waiting.push_back(request);
        }
    }

    pub(super) fn waiting_wake(&self) -> Option<Instant> {
        let now = Instant::now();
        let patience = self.waiting.iter().map(|request| request.since + PATIENCE).find(|until| *until > now);
        let deadline = self.waiting.front().map(|request| request.since + WAITING_DEADLINE);
        patience.into_iter().chain(deadline).min()
    }

    pub(super) fn tick_waiting(&mut self, now: Instant) {
        while self.waiting.front().is_some_and(|request| request.since + WAITING_DEADLINE <= now) {
            let Some(request) = self.waiting.pop_front() else { break };
            let error = self.overloaded();
            request.answer(Err(error));
        }
        if self.opening_due.is_some_and(|due| due <= now) {
            self.opening_due = Some(now + OPEN_DEADLINE);
            self.refuse_waiting("a further connection is still being opened");
        }
        if self.open_after.is_some_and(|after| after <= now) {
            self.open_after = None;
        }
        while self.idle.front().is_some_and(|idle| idle.since + IDLE_MAX <= now) {
            self.idle.pop_front();
        }
    }

    fn overloaded(&self) -> ReadError {
        self.counters.count_refused_request();
        ReadError::Overloaded { daemon: self.id.clone() }
    }

    /// Whether a call is expected to return, and its connection with it.
    fn expects_a_connection(&self) -> bool {
        self.records.values().any(|record| !record.stage.is_behind())
    }

    /// Answers those that wait when no connection can be expected to become free for them.
    fn refuse_waiting(&mut self, reason: &str) {
        if self.expects_a_connection() {
            return;
        }
        let (call, domain) = (CallKind::Open.function(), self.label(None));
        let error = ReadError::Libvirt { call, domain, message: reason.to_owned() };
        for request in self.waiting.drain(..) {
            self.counters.count_refused_request();
            request.answer(Err(error.clone()));
        }
    }

    /// Starts everything that may start now.
    pub(super) fn dispatch(&mut self) {
        let mut index = 0;
        while self.link.is_up()
            && let Some(request) = self.waiting.get(index)
        {
            let turn = if request.reply.is_closed() { Turn::Forget } else { self.turn(request.ask, request.since) };
            if let Turn::Wait = turn {
                index += 1;
                continue;
            }
            if matches!(turn, Turn::Start(_)) && self.idle.is_empty() {
                self.open_one();
                return;
            }
            let Some(request) = self.waiting.remove(index) else { return };
            match turn {
                Turn::Start(reach) => {
                    if let Some(idle) = self.idle.pop_back() {
                        self.start(request, reach, idle.connection);
                    }
                }
                Turn::Refuse(error) => request.answer(Err(error)),
                Turn::Wait | Turn::Forget => {}
            }
        }
    }

    /// Whose turn it is.
    fn turn(&self, ask: Ask, since: Instant) -> Turn {
        let late = || ReadError::Deadline {
            call: ask.kind().function(),
            domain: self.label(ask.domain()),
            deadline: self.deadline,
        };
        if let Ask::Read(domain, groups) = ask {
            let wanted = if groups.needs_monitor() { Reach::Monitor } else { Reach::NoMonitor };
            return match self.quarantine.access(domain) {
                Access::Wait => Turn::Wait,
                Access::Closed => Turn::Refuse(late()),
                Access::Open => match self.budget.admit(wanted) {
                    Admission::Start(reach) => Turn::Start(reach),
                    Admission::Wait if self.budget.admits_aside() && since.elapsed() >= PATIENCE => {
                        Turn::Start(Reach::NoMonitor)
                    }
                    Admission::Wait => Turn::Wait,
                    Admission::Refuse => Turn::Refuse(self.overloaded()),
                },
            };
        }
        match self.control.access(ask.kind(), ask.domain()) {
            ControlAccess::Open => Turn::Start(Reach::NoMonitor),
            ControlAccess::Wait => Turn::Wait,
            ControlAccess::Late => Turn::Refuse(late()),
            ControlAccess::Full => Turn::Refuse(self.overloaded()),
        }
    }

    /// Opens one more connection, unless one is being opened or the last attempt has just failed.
    fn open_one(&mut self) {
        if self.opening || self.open_after.is_some() {
            return;
        }
        self.opening = true;
        self.opening_due = Some(Instant::now() + PREFLIGHT_DEADLINE + OPEN_DEADLINE);
        let generation = self.generation;
        self.spawn(self.hypervisor.open(None), move |result, took| Done::Opened(generation, result, took));
    }

    /// A connection for calls was opened, or not.
    pub(super) fn opened(&mut self, generation: u64, result: Result<Opened<H::Connection>, OpenError>, took: Duration) {
        self.counters.count_call(CallKind::Open, took, result.is_ok());
        self.opening = false;
        self.opening_due = None;
        if generation != self.generation {
            return;
        }
        match result {
            Ok(opened) => {
                self.pool_backoff.reset();
                self.keep(opened.connection);
            }
            Err(error) => {
                self.open_after = Some(Instant::now() + self.pool_backoff.fail());
                tracing::debug!(daemon = %self.id, %error, "no further connection to libvirt");
                if matches!(error, OpenError::Mute(_)) && !self.expects_a_connection() {
                    self.lose(&error.to_string());
                } else {
                    self.refuse_waiting(&error.to_string());
                }
            }
        }
    }

    pub(super) fn keep(&mut self, connection: H::Connection) {
        self.idle.push_back(Idle { connection, since: Instant::now() });
    }

    fn start(&mut self, request: Request, reach: Reach, connection: H::Connection) {
        let (call, read) = match request.ask {
            Ask::List => (Call::List, None),
            Ask::Status(domain) => (Call::Status(domain), None),
            Ask::Describe(domain) => (Call::Describe(domain), None),
            Ask::Read(domain, groups) => {
                self.budget.start(reach);
                self.quarantine.start(domain);
                (Call::Stats(domain, asked(groups, reach)), Some(Read { domain, groups, reach, stats: None }))
            }
        };
        if read.is_none() {
            self.control.start(call.kind());
        }
        self.call(connection, call, Some(request.reply), read);
    }

    /// Makes a call through a connection, which comes back with it.
    pub(super) fn call(
        &mut self,
        connection: H::Connection,
        call: Call,
        reply: Option<super::request::ReplyTo>,
        read: Option<Read>,
    ) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        // A ping has no deadline of its own: the probe that it belongs to has.
        let due = (call != Call::Ping).then(|| Instant::now() + self.deadline);
        let record = Record { call, generation: self.generation, stage: Stage::Running, due, reply, read };
        self.records.insert(id, record);
        self.spawn(self.hypervisor.call(connection, call), move |called, took| Done::Called(id, called, took));
        id
    }
}

/// The groups that a call asks for. With those of the monitor always the balloon's: it tells whether the QEMU took
/// part in the answer, and so whether the job may be asked for.
fn asked(groups: Groups, reach: Reach) -> Groups {
    match reach {
        Reach::NoMonitor => groups.without_monitor(),
        Reach::Monitor => groups.union([Group::Balloon].into_iter().collect()),
    }
}
