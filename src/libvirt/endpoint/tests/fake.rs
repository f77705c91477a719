//! An in-memory daemon that can be frozen, muted and killed, and that counts what is done to it. As in a real one, its
//! workers hang on after their calls' connections have ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use crate::libvirt::endpoint::hypervisor::{
    Call, Called, Connection, Ending, Eventually, Failure, Hypervisor, Met, Notice, OpenError, ProcessId, Reply,
};
use crate::model::{DaemonFacts, Description, Group, Job, JobKind, JobOperation, Memory, Status, Version};
use crate::source::{Ask, DomainEvent, Listed, Monitor, Said, Stats};

/// Notices that may wait: more than any test sends at once.
const NOTICES_MAX: usize = 16_384;

/// How long a call takes.
const LATENCY: Duration = Duration::from_millis(5);

/// One domain of the fake.
#[derive(Debug, Clone, Default)]
pub(super) struct FakeDomain {
    /// Its QEMU does not answer.
    pub(super) frozen: bool,
    /// Somebody holds its lock: nothing about it is answered.
    pub(super) locked: bool,
    /// Another client's job keeps us out.
    pub(super) busy: bool,
    /// A call for its job loses its connection.
    pub(super) job_lost: bool,
    /// A call for its job does not return.
    pub(super) job_frozen: bool,
    /// Its XML waits for the holder of its job, as from libvirt 11 on.
    pub(super) xml_waits: bool,
    /// Our call that holds its job.
    holder: Option<u64>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) domains: HashMap<Uuid, FakeDomain>,
    /// Accepts and does not answer.
    pub(super) mute: bool,
    /// Does not exist.
    pub(super) dead: bool,
    /// Opening does not return.
    pub(super) open_hangs: bool,
    /// Calls make the actor panic.
    pub(super) falls_over: bool,
    /// How long a fresh daemon takes to probe its emulators.
    pub(super) prepare_takes: Duration,
    /// Its process id.
    process: u32,
    /// Whether its process is known: with socket activation it is not.
    pub(super) tells_process: bool,
    reporter: Option<mpsc::Sender<Notice>>,
    /// Calls that have not returned, and whether their client is still there.
    outstanding: HashMap<u64, (Call, bool)>,
    /// It is on another host.
    pub(super) remote: bool,
    /// The next connection that a call returns ends while idle.
    pub(super) idle_ends: bool,
    last: u64,
    pub(super) connections: usize,
    pub(super) opens: usize,
    pub(super) opening: usize,
    /// Connections that were closed cleanly.
    pub(super) closed: usize,
    /// Calls up to this one are no longer waited for.
    left: u64,
    /// All calls, in order.
    pub(super) asked: Vec<Call>,
    /// The most at any one time.
    pub(super) peak: Peak,
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Peak {
    /// Calls that may wait for a QEMU.
    pub(super) monitor: usize,
    /// Those that hang in QEMUs, XML included.
    pub(super) hung: usize,
    /// Those in one domain.
    pub(super) in_one_domain: usize,
    pub(super) connections: usize,
    pub(super) opening: usize,
    pub(super) jobs: usize,
    pub(super) xml_of_one: usize,
}

fn may_wait(call: Call) -> bool {
    match call {
        Call::Ask(Ask::Read(_, groups)) => groups.needs_monitor(),
        Call::Job(_) => true,
        _ => false,
    }
}

impl State {
    fn note(&mut self) {
        let calls = || self.outstanding.values().map(|(call, _)| *call);
        let monitor = || calls().filter(|call| may_wait(*call));
        let of = |call: Call| monitor().filter(|other| other.domain() == call.domain()).count();
        let in_one_domain = monitor().map(of).max().unwrap_or(0);
        let xml = |call: &Call| matches!(call, Call::Ask(Ask::Describe(_)));
        let xml_of = |call: Call| calls().filter(|other| *other == call).count();
        let xml_of_one = calls().filter(xml).map(xml_of).max().unwrap_or(0);
        let frozen = |call: &Call| {
            let domain = call.domain().and_then(|uuid| self.domains.get(&uuid));
            domain.is_some_and(|domain| domain.frozen && (may_wait(*call) || (xml(call) && domain.xml_waits)))
        };
        let hung = calls().filter(frozen).count();
        let count = monitor().count();
        self.peak.monitor = self.peak.monitor.max(count);
        self.peak.hung = self.peak.hung.max(hung);
        self.peak.in_one_domain = self.peak.in_one_domain.max(in_one_domain);
        self.peak.xml_of_one = self.peak.xml_of_one.max(xml_of_one);
        self.peak.connections = self.peak.connections.max(self.connections);
        self.peak.opening = self.peak.opening.max(self.opening);
    }

    /// Workers that have not finished.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Finishes calls whose client is gone.
    fn sweep(&mut self) {
        let orphans: Vec<(u64, Call)> =
            self.outstanding.iter().filter(|(_, (_, there))| !there).map(|(id, (call, _))| (*id, *call)).collect();
        for (id, call) in orphans {
            if self.dead || self.answer(id, call).is_some() {
                self.finish(id, call);
            }
        }
    }

    fn finish(&mut self, id: u64, call: Call) {
        self.outstanding.remove(&id);
        if let Some(domain) = call.domain().and_then(|uuid| self.domains.get_mut(&uuid)) {
            domain.holder = domain.holder.filter(|holder| *holder != id);
        }
    }

    fn answer(&mut self, id: u64, call: Call) -> Option<Result<Reply, Failure>> {
        if self.dead {
            return Some(Err(Failure::Lost));
        }
        if self.mute {
            return None;
        }
        if call == Call::Ask(Ask::List) && self.domains.values().any(|domain| domain.locked) {
            return None;
        }
        let running = Status::from_libvirt(1, 1);
        let known = call.domain().and_then(|uuid| self.domains.get_mut(&uuid));
        if known.as_ref().is_some_and(|domain| domain.locked) {
            return None;
        }
        let said = match (call, known) {
            (Call::Prepare, _) => return Some(Ok(Reply::Prepared(Some(Version(7_002_000))))),
            (Call::Ask(Ask::List), _) => {
                let listed = |uuid: &Uuid| Listed { uuid: *uuid, name: "vm".into(), id: Some(1) };
                Said::Listed(self.domains.keys().map(listed).collect())
            }
            (Call::Ask(Ask::Status(_)), known) => Said::Status(known.map(|_| running)),
            (Call::Ask(Ask::Describe(_)), Some(domain))
                if domain.xml_waits && (domain.busy || domain.holder.is_some()) =>
            {
                return None;
            }
            (Call::Ask(Ask::Describe(_)), known) => {
                let description = Description { domain_type: "kvm".into(), ..Description::default() };
                Said::Described(known.map(|_| Box::new(description)))
            }
            (Call::Job(_), Some(domain)) if domain.job_lost => return Some(Err(Failure::Lost)),
            (Call::Job(_), Some(domain)) if domain.job_frozen => {
                domain.holder = Some(id);
                return None;
            }
            (Call::Job(_), _) => {
                self.peak.jobs += 1;
                return Some(Ok(Reply::Job(Some((
                    Some(Box::new(Job::new(JobKind::Unbounded, JobOperation::MigrationOut))),
                    1,
                )))));
            }
            (Call::Ask(Ask::Read(..)), None) => Said::Stats(None),
            (Call::Ask(Ask::Read(_, groups)), Some(domain)) => {
                let monitor = if !groups.needs_monitor() {
                    Monitor::NotAsked
                } else if domain.busy || domain.holder.is_some_and(|holder| holder != id) {
                    Monitor::Busy
                } else if domain.frozen {
                    domain.holder = Some(id);
                    return None;
                } else {
                    Monitor::Answered
                };
                let memory = groups.contains(Group::Balloon).then(Memory::default);
                let stats = Stats { id: Some(1), status: Some(running), memory, monitor, ..Stats::default() };
                Said::Stats(Some(Box::new(stats)))
            }
        };
        Some(Ok(Reply::Said(said)))
    }
}

/// See the module.
#[derive(Clone)]
pub(super) struct FakeHypervisor {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<()>,
}

impl FakeHypervisor {
    /// A daemon with domains 1 to `domains`.
    pub(super) fn with(domains: u128) -> Self {
        let domains = (1..=domains).map(|number| (Uuid::from_u128(number), FakeDomain::default())).collect();
        let state = State { domains, process: 100, tells_process: true, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), changed: watch::Sender::new(()) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something; hung calls check again.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        state.sweep();
        drop(state);
        self.changed.send_replace(());
    }

    pub(super) fn domain(&self, number: u128, change: impl FnOnce(&mut FakeDomain)) {
        self.change(|state| change(state.domains.get_mut(&Uuid::from_u128(number)).unwrap()));
    }

    /// Ends the daemon: all connections end.
    pub(super) fn kill(&self) {
        self.change(|state| {
            state.dead = true;
            state.process += 1;
        });
        self.hang_up();
    }

    /// Ends the connection for events, as a daemon does when it ends.
    pub(super) fn hang_up(&self) {
        self.end_with(Ending { reason: "the daemon closed the connection".to_owned(), hung_up: true });
    }

    /// Ends the connection for events for this reason.
    pub(super) fn end_with(&self, ending: Ending) {
        let reporter = self.state().reporter.take();
        if let Some(reporter) = reporter {
            let _ = reporter.try_send(Notice::Ended(ending));
        }
    }

    pub(super) fn emit(&self, number: u128, event: DomainEvent) {
        self.notice(Notice::Event { domain: Uuid::from_u128(number), name: "vm".into(), event });
    }

    pub(super) fn notice(&self, notice: Notice) {
        let reporter = self.state().reporter.clone().unwrap();
        let _ = reporter.try_send(notice);
    }

    async fn opened(self) -> Result<Self, OpenError> {
        if self.state().dead {
            return Err(OpenError::Failed("nobody listens".to_owned()));
        }
        if self.state().mute {
            tokio::time::sleep(Duration::from_secs(1)).await;
            return Err(OpenError::Mute("mute".to_owned()));
        }
        {
            let mut state = self.state();
            state.opens += 1;
            state.opening += 1;
            state.note();
        }
        let opening = Opening(self.clone());
        tokio::time::sleep(Duration::from_millis(1)).await;
        if self.state().open_hangs {
            tokio::time::sleep(Duration::from_secs(5)).await;
            return Err(OpenError::Mute("it has not opened its driver".to_owned()));
        }
        drop(opening);
        let mut state = self.state();
        state.connections += 1;
        state.note();
        drop(state);
        Ok(self)
    }
}

/// Counts an attempt for as long as it lasts.
struct Opening(FakeHypervisor);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.state().opening -= 1;
    }
}

/// A connection of the fake.
pub(super) struct FakeConnection {
    fake: FakeHypervisor,
    notices: Option<mpsc::Receiver<Notice>>,
}

impl Drop for FakeConnection {
    fn drop(&mut self) {
        self.fake.state().connections -= 1;
    }
}

impl Connection for FakeConnection {
    fn poll_notice(&mut self, context: &mut Context<'_>) -> Poll<Notice> {
        let Some(notices) = &mut self.notices else { return Poll::Pending };
        notices.poll_recv(context).map(|notice| {
            notice.unwrap_or(Notice::Ended(Ending { reason: "another was made".to_owned(), hung_up: true }))
        })
    }

    fn ask_for_a_sign(&mut self) {
        let fake = self.fake.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let reporter = fake.state().reporter.clone();
            if let (Some(reporter), false) = (reporter, fake.state().mute) {
                let _ = reporter.try_send(Notice::Sign);
            }
        });
    }

    fn close(self) -> Eventually<()> {
        self.fake.state().closed += 1;
        Box::pin(async move { drop(self) })
    }
}

/// A running call: when it is dropped, the daemon's worker goes on.
struct Worker {
    fake: FakeHypervisor,
    id: u64,
}

impl Drop for Worker {
    fn drop(&mut self) {
        let mut state = self.fake.state();
        if let Some((_, there)) = state.outstanding.get_mut(&self.id) {
            *there = false;
        }
        state.sweep();
    }
}

impl Hypervisor for FakeHypervisor {
    type Connection = FakeConnection;

    fn is_local(&self) -> bool {
        !self.state().remote
    }

    fn open(&self) -> Eventually<Result<FakeConnection, OpenError>> {
        let fake = self.clone();
        Box::pin(async move { fake.opened().await.map(|fake| FakeConnection { fake, notices: None }) })
    }

    fn meet(&self) -> Eventually<Result<Met<FakeConnection>, OpenError>> {
        let fake = self.clone();
        Box::pin(async move {
            let fake = fake.opened().await?;
            let (reporter, notices) = mpsc::channel(NOTICES_MAX);
            let process = {
                let mut state = fake.state();
                state.reporter = Some(reporter);
                state.tells_process.then_some(ProcessId(state.process))
            };
            Ok(Met {
                connection: FakeConnection { fake, notices: Some(notices) },
                facts: DaemonFacts { host_name: "host".into(), driver: "Fake".into(), libvirt: None, hypervisor: None },
                process,
            })
        })
    }

    fn call(&self, connection: FakeConnection, call: Call, _: Arc<str>) -> Eventually<Called<FakeConnection>> {
        let fake = self.clone();
        assert!(!fake.state().falls_over, "for the test");
        let id = {
            let mut state = fake.state();
            state.last += 1;
            let id = state.last;
            state.outstanding.insert(id, (call, true));
            state.asked.push(call);
            state.note();
            id
        };
        let worker = Worker { fake: self.clone(), id };
        Box::pin(async move {
            let _worker = worker;
            let mut changed = fake.changed.subscribe();
            let takes = if call == Call::Prepare { fake.state().prepare_takes } else { LATENCY };
            tokio::time::sleep(takes).await;
            loop {
                let result = {
                    let mut state = fake.state();
                    let result = state.answer(id, call);
                    if result.is_some() {
                        state.finish(id, call);
                    }
                    result
                };
                if result.is_some() {
                    // Calls that waited for its job check again.
                    fake.changed.send_replace(());
                }
                if id <= fake.state().left {
                    connection.close().await;
                    let ending = Ending { reason: "the agent is ending".to_owned(), hung_up: false };
                    return Called { connection: Err(ending), result: Err(Failure::Lost) };
                }
                match result {
                    Some(Err(Failure::Lost)) => {
                        let ending = Ending { reason: "the daemon closed the connection".to_owned(), hung_up: true };
                        return Called { connection: Err(ending), result: Err(Failure::Lost) };
                    }
                    Some(result) => {
                        let idle_ends = std::mem::take(&mut fake.state().idle_ends);
                        let mut connection = connection;
                        if idle_ends {
                            // Its closed channel reports the end when polled.
                            connection.notices = Some(mpsc::channel(1).1);
                        }
                        return Called { connection: Ok(connection), result };
                    }
                    None => changed.changed().await.unwrap(),
                }
            }
        })
    }

    fn leave(&self) {
        self.change(|state| state.left = state.last);
    }
}
