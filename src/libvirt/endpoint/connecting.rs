//! How the actor connects, and what arrives on the events connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::actor::Actor;
use super::calls::{Record, Stage};
use super::counters::CallName;
use super::hypervisor::{Call, Ending, Hypervisor, Met, Notice, OpenError};
use super::link::Daemon;
use crate::source::{DomainEvent, SourceEvent};

/// How long a daemon may take to probe its emulators. A fresh one takes 3.7 s for one emulator.
pub(super) const PREPARE_DEADLINE: Duration = Duration::from_secs(30);

impl<H: Hypervisor> Actor<H> {
    pub(super) fn tick_link(&mut self, now: Instant) {
        if self.link.is_due(now) {
            self.link.rise(self.hypervisor.meet());
        }
        if self.blame_at.is_some_and(|at| at <= now) {
            self.blame_at = None;
            for domain in self.admission.orphaned() {
                self.condemn(domain);
            }
        }
    }

    /// Connecting succeeded, or failed.
    pub(super) fn met(&mut self, met: Result<Met<H::Connection>, OpenError>, took: Duration) {
        self.voice.counters.count_call(CallName::OPEN, took, met.is_ok());
        match met {
            Ok(met) => self.up(met),
            Err(error) => {
                let absent = matches!(error, OpenError::Absent(_));
                self.down(&error.to_string(), absent, false);
            }
        }
    }

    fn up(&mut self, met: Met<H::Connection>) {
        let Met { connection, facts, process } = met;
        self.voice.counters.count_connect();
        if self.link.up(connection, process) == Daemon::Another {
            self.admission.freed_all();
        }
        self.pool.reset();
        self.voice.tell(SourceEvent::Connected(Arc::new(facts)));
        // Calls that were lost with an earlier connection may still hang in this same daemon: they get their deadline
        // again, now that it answers.
        self.blame_at = Some(Instant::now() + self.deadline);
        self.prepared = false;
    }

    /// Lets the daemon probe its emulators, over a connection for calls.
    pub(super) fn prepare(&mut self, connection: H::Connection) {
        self.prepared = true;
        self.call(connection, Call::Prepare, None);
    }

    /// Something arrived on the events connection.
    pub(super) fn noticed(&mut self, notice: Notice) {
        match notice {
            Notice::Event { domain, name, event } => {
                self.voice.counters.count_event();
                self.voice.name(domain, &name);
                if event == DomainEvent::Stopped {
                    // Its QEMU has ended, and with it any hung call.
                    self.admission.freed(domain);
                }
                self.voice.tell(SourceEvent::Domain { uuid: domain, name, event });
            }
            Notice::Lost(count) => {
                self.voice.counters.count_lost_events(count);
                self.voice.tell(SourceEvent::EventsLost);
            }
            Notice::Sign => self.alive(),
            Notice::Ended(ending) => self.lose(&ending),
        }
    }

    /// An idle connection has ended. Unless the daemon just closed it, the daemon counts as lost.
    pub(super) fn idle_ended(&mut self, ending: &Ending) {
        tracing::debug!(daemon = %self.voice.id, reason = ending.reason, "a connection that was idle has ended");
        if !ending.hung_up {
            self.lose(ending);
        }
    }

    /// The daemon is gone, unresponsive, or broke the protocol. Drops every connection to it and answers every caller;
    /// the daemon's workers may still hang in unanswered calls.
    pub(super) fn lose(&mut self, ending: &Ending) {
        if !self.link.is_up() {
            return;
        }
        self.voice.counters.count_disconnect();
        self.probe = None;
        self.blame_at = None;
        self.pool.clear();
        self.places.give_back();
        let (error, now) = (self.voice.disconnected(), Instant::now());
        for request in self.queue.drain() {
            request.answer(Err(error.clone()));
        }
        for Record { question, stage, .. } in self.calls.drop_all() {
            let Some(question) = question else { continue };
            if let Some(reply) = question.reply {
                let _ = reply.send(Err(error.clone()));
            }
            self.admission.orphan(question.ask, question.reach, stage == Stage::Abandoned, now);
        }
        self.admission.disconnected();
        // Over ssh or a network, not only the daemon ends connections.
        self.down(&ending.reason, false, ending.hung_up && self.hypervisor.is_local());
    }

    /// There is no connection (any more).
    fn down(&mut self, reason: &str, absent: bool, ended: bool) {
        let what = if self.link.is_up() { "lost" } else { "connecting to" };
        tracing::debug!(daemon = %self.voice.id, what, reason, "not connected to libvirt; trying again until it answers");
        let told = self.link.fail(reason, absent, ended);
        if told {
            let reason = match what {
                "lost" => format!("lost {}: {reason}", self.voice.id),
                _ => format!("connecting to {} failed: {reason}", self.voice.id),
            };
            self.voice.tell(SourceEvent::Disconnected { reason, absent });
        }
    }
}
