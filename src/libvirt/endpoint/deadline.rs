//! What becomes of calls that do not return in time.
//!
//! A call that hangs may hang because of its VM, or because the whole daemon is mute. That is found out before anybody
//! is told: the daemon is asked for a sign of life. If it gives one, the call is left behind and its VM is stuck; if
//! not, the daemon counts as lost and no VM is blamed.

use std::time::Duration;

use tokio::time::Instant;

use super::actor::{Actor, Done, Stage};
use super::hypervisor::{Call, Hypervisor};
use crate::model::DaemonId;
use crate::source::{Monitor, ReadError, Stats};

use super::hypervisor::Reply;

/// How long a daemon may take to give a sign of life. It takes 0.1 to 0.5 ms, also with as many calls hanging in it as
/// there may be: the answer comes from workers that no hung call can hold.
pub(super) const SIGN_DEADLINE: Duration = Duration::from_secs(1);

/// A question for a sign of life that has not been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probe {
    /// By when.
    pub(super) until: Instant,
    /// The call that asks, or the number of the look at the socket.
    pub(super) number: u64,
}

impl<H: Hypervisor> Actor<H> {
    pub(super) fn tick_calls(&mut self, now: Instant) {
        if self.probe.is_some_and(|probe| probe.until <= now) {
            self.lose("it accepts calls and does not answer any");
        }
        let due: Vec<u64> = self
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
        let Some(record) = self.records.get_mut(&id) else { return };
        record.due = None;
        if record.stage == Stage::Leftover {
            // It hung under an earlier connection, and does still, while the daemon answers.
            let domain = record.read.as_ref().map(|read| read.domain);
            record.stage = Stage::Abandoned;
            if let Some(domain) = domain {
                self.condemn(domain);
            }
            return;
        }
        record.stage = Stage::Overdue;
        self.counters.count_late(record.call.kind());
        if self.probe.is_none() {
            self.ask_for_a_sign();
        }
    }

    fn ask_for_a_sign(&mut self) {
        let number = match self.idle.pop_back() {
            Some(idle) => self.call(idle.connection, Call::Ping, None, None),
            None => self.look_at_socket(),
        };
        self.probe = Some(Probe { until: Instant::now() + SIGN_DEADLINE, number });
    }

    fn look_at_socket(&mut self) -> u64 {
        self.last_id += 1;
        let number = self.last_id;
        self.spawn(self.hypervisor.preflight(), move |sign, _| Done::Sign(number, sign));
        number
    }

    /// A ping returned.
    pub(super) fn pinged(&mut self, id: u64, answered: bool) {
        let Some(probe) = self.probe.filter(|probe| probe.number == id) else { return };
        if answered {
            self.alive();
        } else {
            // That one connection is broken. Whether the daemon is, its socket tells.
            let number = self.look_at_socket();
            self.probe = Some(Probe { number, ..probe });
        }
    }

    /// The daemon was asked for a sign of life without a connection.
    pub(super) fn sign(&mut self, number: u64, sign: Option<Result<(), String>>) {
        if self.probe.is_none_or(|probe| probe.number != number) {
            return;
        }
        match sign {
            // Where there is no way to ask, keepalives will tell; until then the VM is taken to be to blame.
            None | Some(Ok(())) => self.alive(),
            Some(Err(reason)) => self.lose(&reason),
        }
    }

    /// The daemon answers: whoever does not is to blame.
    fn alive(&mut self) {
        self.probe = None;
        let overdue: Vec<u64> =
            self.records.iter().filter(|(_, record)| record.stage == Stage::Overdue).map(|(id, _)| *id).collect();
        for id in overdue {
            self.abandon(id);
        }
    }

    fn abandon(&mut self, id: u64) {
        let Some(record) = self.records.get_mut(&id) else { return };
        record.stage = Stage::Abandoned;
        let call = record.call;
        let reply = record.reply.take();
        let mut answer =
            Err(ReadError::Deadline { call: call.kind().function(), domain: String::new(), deadline: self.deadline });
        if let Some(read) = &mut record.read {
            let (domain, reach) = (read.domain, read.reach);
            if let Some(stats) = read.stats.take() {
                // Only the job is late. What it says later is told with the incarnation that it belongs to.
                let rest = Stats { id: stats.id, monitor: Monitor::Answered, ..Stats::default() };
                read.stats = Some(Box::new(rest));
                answer = Ok(Reply::Stats(Some(stats)));
            }
            self.budget.abandon(reach);
            self.quarantine.abandon(domain);
            self.condemn(domain);
        } else {
            self.control.abandon(call.kind(), call.domain());
            tracing::debug!(domain = %self.label(call.domain()), call = call.kind().function(), "left behind");
        }
        if let Err(ReadError::Deadline { domain, .. }) = &mut answer {
            *domain = self.label(call.domain());
        }
        if let Some(reply) = reply {
            let _ = reply.send(answer);
        }
    }

    fn condemn(&mut self, domain: uuid::Uuid) {
        if self.quarantine.condemn(domain) {
            let daemon: &DaemonId = &self.id;
            // Told to people by who observes the VM; this is for who looks at the calls.
            tracing::debug!(
                %daemon,
                domain = %self.label(Some(domain)),
                deadline = ?self.deadline,
                "stuck: a call into this VM does not return; it is read without its QEMU until the call does"
            );
        }
    }
}
