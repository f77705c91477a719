//! Handles calls that do not return in time.
//!
//! A call may hang because of its VM, or because the whole daemon is unresponsive. A liveness check decides that before
//! anything is reported: if the daemon answers it, the call is abandoned and, for statistics, its VM counts as stuck;
//! if not, the daemon counts as lost and no VM is blamed.

use tokio::time::Instant;

use super::actor::Actor;
use super::calls::Stage;
use super::counters::CallName;
use super::hypervisor::{Ending, Hypervisor};
use super::probe::{Probe, SIGN_DEADLINE};
use crate::source::{Ask, Monitor, ReadError, Said, Stats};

impl<H: Hypervisor> Actor<H> {
    pub(super) fn tick_calls(&mut self, now: Instant) {
        if let Some(probe) = self.probe.filter(|probe| probe.until <= now) {
            self.voice.counters.count_call(CallName::PING, probe.since.elapsed(), false);
            self.lose(&Ending { reason: "it accepts calls and does not answer any".to_owned(), hung_up: false });
        }
        let due: Vec<u64> = self
            .calls
            .records
            .iter()
            .filter(|(_, record)| record.due.is_some_and(|due| due <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.overdue(id);
        }
    }

    fn overdue(&mut self, id: u64) {
        let Some(record) = self.calls.records.get_mut(&id) else { return };
        record.due = None;
        record.stage = Stage::Overdue;
        self.voice.counters.count_late(CallName::of(record.call));
        self.ask_for_a_sign();
    }

    /// Checks whether the daemon as a whole answers.
    pub(super) fn ask_for_a_sign(&mut self) {
        if self.probe.is_some() {
            return;
        }
        let since = Instant::now();
        self.link.ask_for_a_sign();
        self.probe = Some(Probe { since, until: since + SIGN_DEADLINE });
    }

    /// The daemon answers: its overdue calls are abandoned.
    pub(super) fn alive(&mut self) {
        let Some(probe) = self.probe.take() else { return };
        self.voice.counters.count_call(CallName::PING, probe.since.elapsed(), true);
        let overdue = |stage: Stage| stage == Stage::Overdue;
        let overdue: Vec<u64> =
            self.calls.records.iter().filter(|(_, record)| overdue(record.stage)).map(|(id, _)| *id).collect();
        for id in overdue {
            self.abandon(id);
        }
    }

    fn abandon(&mut self, id: u64) {
        let Some(record) = self.calls.records.get_mut(&id) else { return };
        record.stage = Stage::Abandoned;
        let call = record.call;
        let Some(question) = &mut record.question else { return };
        let (ask, reach) = (question.ask, question.reach);
        let reply = question.reply.take();
        let answer = match question.stats.take() {
            Some(stats) => {
                // Only the job is late. The id ties its later answer to the right incarnation.
                let rest = Stats { id: stats.id, monitor: Monitor::Answered, ..Stats::default() };
                question.stats = Some(Box::new(rest));
                Ok(Said::Stats(Some(stats)))
            }
            None => {
                let domain = self.voice.label(call.domain());
                Err(ReadError::Deadline { call: call.function(), domain, deadline: self.deadline })
            }
        };
        self.admission.abandon(ask, reach);
        if let Ask::Read(domain, _) = ask {
            self.condemn(domain);
        } else {
            tracing::debug!(domain = %self.voice.label(call.domain()), call = call.function(), "left behind");
        }
        if let Some(reply) = reply {
            let _ = reply.send(answer);
        }
    }

    pub(super) fn condemn(&mut self, domain: uuid::Uuid) {
        if self.admission.condemn(domain) {
            // `observe` reports this to operators; this is for debugging calls.
            tracing::debug!(
                daemon = %self.voice.id,
                domain = %self.voice.label(Some(domain)),
                deadline = ?self.deadline,
                "stuck: a call into this VM does not return; it is read without its QEMU until the call does"
            );
        }
    }
}
