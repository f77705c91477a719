//! What becomes of calls that return, in time or late.

use std::time::Duration;

use super::actor::{Actor, Read, Record};
use super::hypervisor::{Call, Called, Hypervisor, Reply};
use crate::libvirt::raw::Failure;
use crate::model::{Group, Groups};
use crate::source::{Monitor, ReadError, SourceEvent, Stats};

impl<H: Hypervisor> Actor<H> {
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
                let domain = self.label(Some(read.domain));
                tracing::debug!(daemon = %self.id, %domain, "healed: the call that hung has returned, the VM is read again");
                // What an earlier connection said may be of an earlier incarnation.
                let current = record.generation == self.generation;
                let stats = said.ok().flatten().filter(|_| current);
                self.tell(SourceEvent::Late { uuid: read.domain, stats });
            }
            return connection;
        }
        self.budget.finish(read.reach);
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
    fn mark(&self, read: &Read, stats: &mut Stats) {
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

/// Whether the job is asked for now. Its call waits for whoever else has the VM's job: only right after the QEMU has
/// taken part in an answer is it known that nobody has. A domain that does not run has none.
fn wants_job(groups: Groups, stats: &Stats) -> bool {
    groups.contains(Group::Job)
        && stats.monitor == Monitor::Answered
        && stats.id.is_some()
        && stats.status.is_none_or(|status| status.state.is_active())
}
