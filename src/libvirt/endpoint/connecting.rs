//! How the actor is connected, and what it hears over the connection for events.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::actor::Actor;
use super::calls::{Record, Stage};
use super::counters::CallName;
use super::hypervisor::{Call, Ending, Hypervisor, Met, Notice, OpenError};
use super::link::Daemon;
use crate::source::{DomainEvent, SourceEvent};

/// How long a daemon may take to probe its emulators. A fresh one takes 3.7 s for one.
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

    /// The daemon has introduced itself, or not.
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
        let Met { connection, facts, refused_events, process } = met;
        self.voice.counters.count_connect();
        self.voice.counters.count_refused_events(refused_events);
        if self.link.up(connection, process) == Daemon::Another {
            self.admission.freed_all();
        }
        self.pool.reset();
        self.voice.tell(SourceEvent::Connected(Arc::new(facts)));
        // Calls that were lost with an earlier connection may still hang in this same daemon: they get their time once
        // more, now that it answers.
        self.blame_at = Some(Instant::now() + self.deadline);
        self.prepared = false;
    }

    /// Lets the daemon probe its emulators, over a connection for calls.
    pub(super) fn prepare(&mut self, connection: H::Connection) {
        self.prepared = true;
        self.call(connection, Call::Prepare, None);
    }

    /// Something came over the connection for events.
    pub(super) fn noticed(&mut self, notice: Notice) {
        match notice {
            Notice::Event { domain, name, event } => {
                self.voice.counters.count_event();
                self.voice.name(domain, &name);
                if event == DomainEvent::Stopped {
                    // Its QEMU has ended, and with it whatever hung in it.
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

    /// A connection that carried no call has ended. Of a daemon that goes on, that is no news.
    pub(super) fn idle_ended(&mut self, ending: &Ending) {
        tracing::debug!(daemon = %self.voice.id, reason = ending.reason, "a connection that was idle has ended");
        if !ending.hung_up {
            self.lose(ending);
        }
    }

    /// The daemon is gone, mute, or not to be believed. Every connection to it is dropped. Whoever waits is answered; the
    /// workers of calls that have no answer may hang on.
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
        // Through ssh or a network, others than the daemon end connections as well.
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
