//! What is called when, and what becomes of what returns.

use std::time::Duration;

use tokio::time::Instant;

use super::actor::{Actor, Done, Idle, Read, Record, Stage};
use super::budget::{Admission, Reach};
use super::control::ControlAccess;
use super::counters::CallKind;
use super::hypervisor::{Call, Called, Hypervisor, OpenError, Opened, Reply};
use super::link::OPEN_DEADLINE;
use super::quarantine::Access;
use super::request::{Ask, Request};
use super::socket::PREFLIGHT_DEADLINE;
use crate::libvirt::raw::Failure;
use crate::model::{Group, Groups};
use crate::source::{Monitor, ReadError, SourceEvent, Stats};

/// Requests that may wait for their turn: every domain of a full node once.
pub(super) const WAITING_MAX: usize = 1024;

/// How long a request may wait for its turn. With a call of three seconds at a time, as when four have been left
/// behind, ten others go first; whoever waited longer asks again.
const WAITING_DEADLINE: Duration = Duration::from_secs(30);

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
        self.waiting.front().map(|request| request.since + WAITING_DEADLINE)
    }

    pub(super) fn tick_waiting(&mut self, now: Instant) {
        while self.waiting.front().is_some_and(|request| request.since + WAITING_DEADLINE <= now) {
            let Some(request) = self.waiting.pop_front() else { break };
            let error = self.overloaded();
            request.answer(Err(error));
        }
        if self.opening_due.is_some_and(|due| due <= now) {
            self.opening_due = Some(now + OPEN_DEADLINE);
            self.refuse_waiting();
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
    fn refuse_waiting(&mut self) {
        if !self.expects_a_connection() {
            while let Some(request) = self.waiting.pop_front() {
                let error = self.overloaded();
                request.answer(Err(error));
            }
        }
    }

    /// Starts everything that may start now.
    pub(super) fn dispatch(&mut self) {
        let mut index = 0;
        while self.link.is_up()
            && let Some(request) = self.waiting.get(index)
        {
            let turn = if request.reply.is_closed() { Turn::Forget } else { self.turn(request.ask) };
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
    fn turn(&self, ask: Ask) -> Turn {
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
                    self.refuse_waiting();
                }
            }
        }
    }

    fn keep(&mut self, connection: H::Connection) {
        self.idle.push_back(Idle { connection, since: Instant::now() });
    }

    fn start(&mut self, request: Request, reach: Reach, connection: H::Connection) {
        let (call, read) = match request.ask {
            Ask::List => (Call::List, None),
            Ask::Status(domain) => (Call::Status(domain), None),
            Ask::Describe(domain) => (Call::Describe(domain), None),
            Ask::Read(domain, groups) => {
                self.budget.start();
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

    /// A call returned.
    pub(super) fn returned(&mut self, id: u64, called: Called<H::Connection>, took: Duration) {
        let Some(record) = self.records.remove(&id) else { return };
        let Called { mut connection, result } = called;
        self.counters.count_call(record.call.kind(), took, result.is_ok());
        if record.generation != self.generation {
            connection = None;
        }
        let connection = match record.call {
            Call::Ping => {
                self.pinged(id, result.is_ok());
                connection
            }
            Call::Stats(..) | Call::Job(_) => self.read_returned(record, result, connection),
            _ => {
                self.control_returned(record, result, connection.is_some());
                connection
            }
        };
        if let Some(connection) = connection {
            self.keep(connection);
        }
    }

    fn control_returned(&mut self, mut record: Record, result: Result<Reply, Failure>, connected: bool) {
        let (kind, domain) = (record.call.kind(), record.call.domain());
        if record.stage.is_behind() {
            self.control.recover(kind, domain);
        } else {
            self.control.finish(kind);
        }
        if let (Ok(Reply::Listed(domains)), true) = (&result, record.generation == self.generation) {
            self.names.clear();
            for listed in domains {
                self.name(listed.uuid, &listed.name);
            }
        }
        if let Some(reply) = record.reply.take() {
            let _ = reply.send(result.map_err(|failure| self.failed(record.call, failure, connected)));
        }
    }

    /// A call for statistics or for the job returned. Gives the connection back unless the job is asked for next.
    fn read_returned(
        &mut self,
        mut record: Record,
        result: Result<Reply, Failure>,
        connection: Option<H::Connection>,
    ) -> Option<H::Connection> {
        let Some(mut read) = record.read.take() else { return connection };
        let said = self.said(&mut read, result);
        let behind = record.stage.is_behind();
        if !behind
            && let (Call::Stats(..), Ok(Some(stats))) = (record.call, &said)
            && wants_job(read.groups, stats)
            && let Some(through) = connection
        {
            read.stats = said.ok().flatten();
            self.call(through, Call::Job(read.domain), record.reply, Some(read));
            return None;
        }
        if behind {
            self.budget.recover(read.reach);
            if self.quarantine.recover(read.domain) {
                tracing::info!(domain = %self.label(Some(read.domain)), "the call that hung has returned; the VM is read again");
                // What an earlier connection said may be of an earlier incarnation.
                let current = record.generation == self.generation;
                let stats = said.ok().flatten().filter(|_| current);
                self.tell(SourceEvent::Late { uuid: read.domain, stats });
            }
            return connection;
        }
        self.budget.finish();
        self.quarantine.finish(read.domain);
        let answer = match said {
            Ok(mut stats) => {
                if let Some(stats) = &mut stats {
                    self.mark(&read, stats);
                }
                Ok(Reply::Stats(stats))
            }
            Err(failure) => Err(self.failed(record.call, failure, connection.is_some())),
        };
        if let Some(reply) = record.reply.take() {
            let _ = reply.send(answer);
        }
        connection
    }

    /// What a read has said so far.
    fn said(&self, read: &mut Read, result: Result<Reply, Failure>) -> Result<Option<Box<Stats>>, Failure> {
        match result {
            Ok(Reply::Stats(mut stats)) => {
                if let Some(stats) = &mut stats {
                    self.counters.count_unknown_parameters(stats.unknown_parameters);
                    if !read.groups.contains(Group::Balloon) {
                        // It was asked for to tell whether the QEMU answers.
                        stats.memory = None;
                    }
                }
                Ok(stats)
            }
            Ok(Reply::Job(said)) => {
                let mut stats = read.stats.take();
                if let (Some(stats), Some((job, unknown))) = (&mut stats, said) {
                    self.counters.count_unknown_parameters(unknown);
                    stats.unknown_parameters = stats.unknown_parameters.saturating_add(unknown);
                    stats.job = Some(job);
                }
                Ok(stats)
            }
            Ok(_) => Err(Failure::ours("the answer belongs to another question")),
            // Without the job the statistics stand.
            Err(failure) => read.stats.take().map_or(Err(failure), |stats| Ok(Some(stats))),
        }
    }

    /// Tells a VM in which a call of ours hangs from one that somebody else keeps busy.
    pub(super) fn mark(&self, read: &Read, stats: &mut Stats) {
        if stats.monitor != Monitor::Answered && self.quarantine.is_stuck(read.domain) {
            stats.monitor = Monitor::Stuck;
        }
    }

    fn failed(&self, call: Call, failure: Failure, connected: bool) -> ReadError {
        if connected {
            let domain = self.label(call.domain());
            ReadError::Libvirt { call: call.kind().function(), domain, message: failure.message }
        } else {
            self.disconnected()
        }
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

/// Whether the job is asked for now. Its call waits for whoever else has the VM's job: only right after the QEMU has
/// taken part in an answer is it known that nobody has. A domain that does not run has none.
fn wants_job(groups: Groups, stats: &Stats) -> bool {
    groups.contains(Group::Job)
        && stats.monitor == Monitor::Answered
        && stats.id.is_some()
        && stats.status.is_none_or(|status| status.state.is_active())
}
