//! How the actor is connected: one connection that reports events and the daemon's end, and carries no calls.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::actor::{Actor, Done, Stage};
use super::counters::CallKind;
use super::hypervisor::{Call, Called, Hypervisor, OpenError, Opened, Reply};
use super::sink::Closed;
use super::socket::PREFLIGHT_DEADLINE;
use super::turnstile::Pass;
use crate::model::DaemonFacts;
use crate::source::SourceEvent;

/// How long opening a connection may take, after the look at its socket. It takes 1 to 4 ms (measured).
pub(super) const OPEN_DEADLINE: Duration = Duration::from_secs(5);

/// How long a daemon may take to say what it can. A fresh one probes every QEMU binary for it: 3.7 s for one.
pub(super) const PREPARE_DEADLINE: Duration = Duration::from_secs(30);

/// How long a connection must have held for the next attempt to come soon after its loss. A daemon that takes
/// connections and drops them again is tried as rarely as one that is not there.
const STEADY: Duration = Duration::from_secs(10);

/// Reasons that are told while there is no connection. A daemon with more of them is not told of any more.
const TOLD_MAX: usize = 8;

/// What the reader has been told of there being no connection.
#[derive(Default)]
pub(super) struct Down {
    /// How many reasons were told since there was one.
    told: usize,
    /// Whether nobody was there when it was last told.
    absent: Option<bool>,
    /// The last reason that the reader was given.
    reason: String,
}

/// The connection for events.
pub(super) enum Link<C> {
    /// There is none; the next attempt is made then.
    Down { retry_at: Instant },
    /// It is not yet this daemon's turn to be connected to.
    Queued,
    /// It is being made: opened, and the daemon asked what it can. `late` once the deadline has passed: it cannot be
    /// ended and no other may be made beside it.
    Rising {
        until: Instant,
        late: bool,
        /// Kept, not used: the next daemon's turn comes when it is dropped.
        pass: Option<Pass>,
    },
    /// It is there, and the daemon has answered through it.
    Up {
        /// Kept, not used: it is closed when it is dropped.
        _connection: C,
        since: Instant,
    },
}

impl<C> Link<C> {
    pub(super) const fn is_up(&self) -> bool {
        matches!(self, Self::Up { .. })
    }

    pub(super) const fn has_connection(&self) -> bool {
        matches!(self, Self::Up { .. } | Self::Rising { .. })
    }
}

impl<H: Hypervisor> Actor<H> {
    pub(super) fn link_wake(&self) -> Option<Instant> {
        match &self.link {
            // While an earlier attempt has not ended there is nothing to wake up for but its end.
            Link::Down { retry_at } if !self.opening => Some(*retry_at),
            Link::Rising { until, late: false, .. } => Some(*until),
            _ => None,
        }
    }

    pub(super) fn tick_link(&mut self, now: Instant) {
        match &mut self.link {
            Link::Down { retry_at } if !self.opening && *retry_at <= now => {
                self.opening = true;
                match self.turnstile.clone() {
                    Some(turnstile) => {
                        self.link = Link::Queued;
                        self.spawn(turnstile.pass(), |pass, _| Done::Admitted(pass));
                    }
                    None => self.rise(None),
                }
            }
            Link::Rising { until, late, .. } if !*late && *until <= now => {
                *late = true;
                self.report_down("the daemon has not answered in time, and is still being waited for", false);
            }
            _ => {}
        }
    }

    /// It is this daemon's turn.
    pub(super) fn admitted(&mut self, pass: Pass) {
        if matches!(self.link, Link::Queued) {
            self.rise(Some(pass));
        }
    }

    fn rise(&mut self, pass: Option<Pass>) {
        self.generation += 1;
        let until = Instant::now() + PREFLIGHT_DEADLINE + OPEN_DEADLINE;
        self.link = Link::Rising { until, late: false, pass };
        let sink = self.inbox.sink(self.generation);
        self.spawn(self.hypervisor.open(Some(sink)), Done::Linked);
    }

    /// Somebody has reason to believe that the daemon is there.
    pub(super) fn hurry(&mut self) {
        if let Link::Down { retry_at } = &mut self.link {
            *retry_at = Instant::now();
            self.backoff.reset();
        }
        // Whoever asks wants to know how it ends, though it be as before.
        self.down = Down::default();
    }

    /// The connection for events was opened, or not.
    pub(super) fn linked(&mut self, result: Result<Opened<H::Connection>, OpenError>, took: Duration) {
        self.counters.count_call(CallKind::Open, took, result.is_ok());
        match result {
            Err(error) => self.attempt_failed(&error.to_string(), matches!(error, OpenError::Absent(_))),
            Ok(opened) => {
                self.counters.count_refused_events(opened.refused_events);
                let pass = match &mut self.link {
                    Link::Rising { pass, .. } => pass.take(),
                    _ => None,
                };
                self.link = Link::Rising { until: Instant::now() + PREPARE_DEADLINE, late: false, pass };
                self.spawn(self.hypervisor.call(opened.connection, Call::Prepare), Done::Prepared);
            }
        }
    }

    /// The daemon has introduced itself, or not.
    pub(super) fn prepared(&mut self, called: Called<H::Connection>, took: Duration) {
        self.counters.count_call(CallKind::Prepare, took, called.result.is_ok());
        match (called.result, called.connection) {
            (Ok(Reply::Prepared(facts)), Some(connection)) => self.up(connection, facts),
            (Err(failure), _) => {
                self.attempt_failed(&format!("{} failed: {failure}", CallKind::Prepare.function()), false);
            }
            _ => self.attempt_failed("the connection was lost again at once", false),
        }
    }

    fn up(&mut self, connection: H::Connection, facts: DaemonFacts) {
        self.opening = false;
        self.pool_backoff.reset();
        self.open_after = None;
        self.link = Link::Up { _connection: connection, since: Instant::now() };
        self.down = Down::default();
        self.counters.count_connect();
        tracing::info!(
            daemon = %self.id,
            host = %facts.host_name,
            driver = %facts.driver,
            libvirt = facts.libvirt.map(tracing::field::display),
            hypervisor = facts.hypervisor.map(tracing::field::display),
            "connected to libvirt"
        );
        self.tell(SourceEvent::Connected(Arc::new(facts)));
        // Calls that were lost with an earlier connection and still hang do so in this same daemon: they get their
        // time once more, now that it answers.
        let due = Instant::now() + self.deadline;
        for record in self.records.values_mut().filter(|record| record.call.kind() != CallKind::Ping) {
            record.due = Some(due);
        }
    }

    fn attempt_failed(&mut self, reason: &str, absent: bool) {
        self.opening = false;
        self.link = Link::Down { retry_at: Instant::now() + self.backoff.fail() };
        self.report_down(reason, absent);
    }

    /// Tells that there is no connection, once for each reason. `absent`: because nobody is there.
    fn report_down(&mut self, reason: &str, absent: bool) {
        tracing::debug!(daemon = %self.id, reason, "not connected to libvirt; trying again until it answers");
        let down = &mut self.down;
        // Whether anybody is there decides more than a line in the log.
        let flips = down.absent != Some(absent);
        if !flips && (down.reason == reason || down.told >= TOLD_MAX) {
            return;
        }
        down.absent = Some(absent);
        down.told = down.told.saturating_add(1);
        reason.clone_into(&mut down.reason);
        let reason = format!("connecting to {} failed: {reason}", self.id);
        self.tell(SourceEvent::Disconnected { reason, absent });
    }

    /// A connection for events has ended.
    pub(super) fn closed(&mut self, closed: Closed) {
        if closed.generation != self.generation || !self.link.is_up() {
            // While it is being made, the call on it fails too and says more.
            return;
        }
        self.lose(match closed.reason {
            1 => "the daemon closed the connection: it was stopped or restarted",
            2 => "the daemon does not answer keepalives any more",
            _ => "the connection broke",
        });
    }

    /// The daemon is gone or mute. Whoever waits is answered; calls that have not returned are left over.
    pub(super) fn lose(&mut self, reason: &str) {
        tracing::debug!(daemon = %self.id, reason, "lost libvirt; connecting again until it answers");
        reason.clone_into(&mut self.down.reason);
        self.down.absent = Some(false);
        if matches!(&self.link, Link::Up { since, .. } if since.elapsed() >= STEADY) {
            self.backoff.reset();
        }
        self.counters.count_disconnect();
        // What began before this moment is void, whenever it returns.
        self.generation += 1;
        self.link = Link::Down { retry_at: Instant::now() + self.backoff.fail() };
        self.probe = None;
        self.idle.clear();
        self.opening_due = None;
        let error = self.disconnected();
        for request in self.waiting.drain(..) {
            request.answer(Err(error.clone()));
        }
        for record in self.records.values_mut() {
            if let Some(reply) = record.reply.take() {
                let _ = reply.send(Err(error.clone()));
            }
            if !record.stage.is_behind() {
                match (&record.read, record.call) {
                    (_, Call::Ping) => {}
                    (Some(read), _) => {
                        self.budget.abandon(read.reach);
                        self.quarantine.abandon(read.domain);
                    }
                    (None, call) => self.control.abandon(call.kind(), call.domain()),
                }
            }
            record.stage = Stage::Leftover;
            record.due = None;
        }
        self.quarantine.acquit_all();
        self.tell(SourceEvent::Disconnected { reason: format!("lost {}: {reason}", self.id), absent: false });
    }
}
