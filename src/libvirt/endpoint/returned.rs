//! Handles calls that return, in time or late.

use std::time::Duration;

use tokio::time::Instant;

use super::actor::Actor;
use super::calls::{Question, Record, Stage};
use super::counters::CallName;
use super::hypervisor::{Call, Called, Ending, Failure, Hypervisor, Reply};
use crate::model::{Group, Groups};
use crate::source::{Ask, Listed, Monitor, ReadError, Said, SourceEvent, Stats};

impl<H: Hypervisor> Actor<H> {
    /// A call returned.
    pub(super) fn returned(&mut self, record: Record, called: Called<H::Connection>) {
        let Called { connection, result } = called;
        self.voice.counters.count_call(CallName::of(record.call), record.began.elapsed(), result.is_ok());
        match (record.call, record.question) {
            (Call::Prepare, _) => self.was_prepared(&result),
            (_, None) => {}
            (call, Some(question)) => {
                return self.answered(call, (record.stage, record.began), question, connection, result);
            }
        }
        self.settle(connection);
    }

    /// Keeps the connection that a call returned. If the protocol was broken, the daemon counts as lost.
    fn settle(&mut self, connection: Result<H::Connection, Ending>) {
        match connection {
            Ok(connection) => self.pool.keep(connection),
            Err(ending) if ending.hung_up => {
                tracing::debug!(daemon = %self.voice.id, reason = ending.reason, "a connection has ended");
            }
            Err(ending) => self.lose(&ending),
        }
    }

    fn was_prepared(&mut self, result: &Result<Reply, Failure>) {
        match result {
            Ok(Reply::Prepared(Some(version))) => self.voice.tell(SourceEvent::Hypervisor(*version)),
            Ok(_) => {}
            Err(failure) => {
                tracing::debug!(daemon = %self.voice.id, ?failure, "the daemon did not probe its emulators")
            }
        }
    }

    /// The call for a request returned.
    fn answered(
        &mut self,
        call: Call,
        (stage, began): (Stage, Instant),
        mut question: Question,
        connection: Result<H::Connection, Ending>,
        result: Result<Reply, Failure>,
    ) {
        let behind = stage == Stage::Abandoned;
        if result == Err(Failure::Lost) {
            // Its worker may still hang.
            self.admission.orphan(question.ask, question.reach, behind, Instant::now());
            // Statistics that came before their job are valid without it.
            let answer = match question.stats.take() {
                Some(stats) => Ok(self.mark(question.ask, Said::Stats(Some(stats)))),
                None => Err(self.voice.disconnected()),
            };
            if let Some(reply) = question.reply.take() {
                let _ = reply.send(answer);
            }
            return self.settle(connection);
        }
        let said = self.said(call, &mut question, result, began.elapsed());
        if let (Call::Ask(Ask::Read(domain, _)), Ok(Said::Stats(Some(stats)))) = (call, &said)
            && !behind
            && wants_job(question.groups(), stats)
            && let Ok(through) = connection
        {
            if let Ok(Said::Stats(stats)) = said {
                question.stats = stats;
            }
            self.call(through, Call::Job(domain), Some(question));
            return;
        }
        let whole = self.note(question.ask, &said);
        if behind {
            self.late(question, said.ok());
        } else {
            self.admission.finish(question.ask, question.reach, whole);
            if let Some(reply) = question.reply.take() {
                let answer = said.map(|said| self.mark(question.ask, said));
                let _ = reply.send(answer.map_err(|failure| self.failed(call, failure)));
            }
        }
        self.settle(connection);
    }

    /// Notes what an answer says. Returns whether the domain's QEMU took part, if asked.
    fn note(&mut self, ask: Ask, said: &Result<Said, Failure>) -> Option<bool> {
        match said {
            Ok(Said::Listed(domains)) => {
                self.listed(domains);
                None
            }
            Ok(Said::Stats(Some(stats))) if stats.id.is_some() => match stats.monitor {
                Monitor::Answered => Some(true),
                Monitor::Busy | Monitor::Stuck => Some(false),
                Monitor::NotAsked => None,
            },
            // It does not run, or is not there.
            Ok(Said::Stats(_) | Said::Status(None) | Said::Described(None)) => {
                if let Some(domain) = ask.domain() {
                    self.admission.freed(domain);
                }
                None
            }
            _ => None,
        }
    }

    fn listed(&mut self, domains: &[Listed]) {
        self.voice.forget_names();
        for listed in domains {
            self.voice.name(listed.uuid, &listed.name);
        }
        for domain in self.admission.orphaned() {
            let runs = domains.iter().any(|listed| listed.uuid == domain && listed.id.is_some());
            if !runs {
                self.admission.freed(domain);
            }
        }
    }

    /// An abandoned call returned.
    fn late(&mut self, question: Question, said: Option<Said>) {
        let healed = self.admission.recover(question.ask, question.reach);
        let Some(uuid) = question.ask.domain() else { return };
        match said {
            Some(Said::Described(Some(description))) => {
                self.voice.tell(SourceEvent::LateDescription { uuid, description });
            }
            said if healed => {
                let domain = self.voice.label(Some(uuid));
                tracing::debug!(daemon = %self.voice.id, %domain, "healed: the call that hung has returned, the VM is read again");
                let stats = match said {
                    Some(Said::Stats(stats)) => stats,
                    _ => None,
                };
                self.voice.tell(SourceEvent::Late { uuid, stats });
            }
            _ => {}
        }
    }

    /// The answer to a request so far.
    fn said(
        &self,
        call: Call,
        question: &mut Question,
        result: Result<Reply, Failure>,
        took: Duration,
    ) -> Result<Said, Failure> {
        match result {
            Ok(Reply::Said(Said::Stats(mut stats))) => {
                if let Some(stats) = &mut stats {
                    stats.took = took;
                    if !question.groups().contains(Group::Balloon) {
                        // It was requested to see whether QEMU answers.
                        stats.memory = None;
                    }
                }
                Ok(Said::Stats(stats))
            }
            Ok(Reply::Said(said)) => Ok(said),
            Ok(Reply::Job(said)) => {
                let mut stats = question.stats.take();
                if let (Some(stats), Some((job, unknown))) = (&mut stats, said) {
                    stats.unknown_parameters = stats.unknown_parameters.saturating_add(unknown);
                    stats.job = Some(job.map(|job| *job));
                    stats.took += took;
                }
                Ok(Said::Stats(stats))
            }
            Ok(_) => Err(Failure::Libvirt(format!("the answer to {} belongs to another question", call.function()))),
            // Without the job, the statistics are valid.
            Err(failure) => question.stats.take().map_or(Err(failure), |stats| Ok(Said::Stats(Some(stats)))),
        }
    }

    /// Distinguishes a VM in which our call hangs from one that another client keeps busy.
    fn mark(&self, ask: Ask, mut said: Said) -> Said {
        if let (Said::Stats(Some(stats)), Some(domain)) = (&mut said, ask.domain())
            && stats.monitor != Monitor::Answered
            && self.admission.is_stuck(domain)
        {
            stats.monitor = Monitor::Stuck;
        }
        said
    }

    fn failed(&self, call: Call, failure: Failure) -> ReadError {
        let domain = self.voice.label(call.domain());
        match failure {
            Failure::Libvirt(message) => ReadError::Libvirt { call: call.function(), domain, message },
            Failure::Xml(message) => ReadError::Xml { domain, message },
            Failure::Lost => self.voice.disconnected(),
        }
    }
}

/// Whether to request the job now. Its call waits for any other holder of the VM's job: only right after QEMU has taken
/// part in an answer is it known that there is none. A domain that does not run has no job.
fn wants_job(groups: Groups, stats: &Stats) -> bool {
    groups.contains(Group::Job)
        && stats.monitor == Monitor::Answered
        && stats.id.is_some()
        && stats.status.is_none_or(|status| status.state.is_active())
}
