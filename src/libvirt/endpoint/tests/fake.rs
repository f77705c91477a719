//! A daemon in memory that can be frozen, muted and killed, and that counts what is done to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use crate::libvirt::endpoint::hypervisor::{Call, Called, Eventually, Hypervisor, OpenError, Opened, Reply};
use crate::libvirt::event::RawEvent;
use crate::libvirt::raw::{Failure, Sink};
use crate::model::{DaemonFacts, Description, Group, Job, JobKind, JobOperation, Memory, Status};
use crate::source::{Listed, Monitor, Stats};

/// How long a call takes.
const LATENCY: Duration = Duration::from_millis(5);

/// One domain of the fake.
#[derive(Debug, Clone, Default)]
pub(super) struct FakeDomain {
    /// Its QEMU does not answer.
    pub(super) frozen: bool,
    /// Somebody holds its lock: nothing about it is answered.
    pub(super) locked: bool,
    /// Somebody else's job keeps us out.
    pub(super) busy: bool,
    /// Its job's call does not return.
    pub(super) job_frozen: bool,
    /// The call of ours that holds its job.
    holder: Option<u64>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) domains: HashMap<Uuid, FakeDomain>,
    /// Accepts and does not answer.
    pub(super) mute: bool,
    /// Does not exist.
    pub(super) dead: bool,
    /// Opening does not return, though the socket answers.
    pub(super) open_hangs: bool,
    /// How long a fresh daemon takes to say what it can.
    pub(super) prepare_takes: Duration,
    sink: Option<Arc<dyn Sink>>,
    /// Calls that have not returned.
    outstanding: HashMap<u64, Call>,
    last: u64,
    pub(super) connections: usize,
    pub(super) opens: usize,
    pub(super) opening: usize,
    /// The most that there ever were at once.
    pub(super) peak: Peak,
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Peak {
    /// Calls that may wait for a QEMU.
    pub(super) monitor: usize,
    /// Those in one domain.
    pub(super) in_one_domain: usize,
    /// Those in one domain that really waited for its QEMU.
    pub(super) waiting_in_one_domain: usize,
    pub(super) connections: usize,
    pub(super) opening: usize,
    pub(super) jobs: usize,
}

impl State {
    fn note(&mut self) {
        let monitor = |call: &&Call| {
            matches!(call, Call::Stats(_, groups) if groups.needs_monitor()) || matches!(call, Call::Job(_))
        };
        let calls: Vec<&Call> = self.outstanding.values().filter(monitor).collect();
        let in_one_domain = calls
            .iter()
            .map(|call| calls.iter().filter(|other| other.domain() == call.domain()).count())
            .max()
            .unwrap_or(0);
        self.peak.monitor = self.peak.monitor.max(calls.len());
        self.peak.in_one_domain = self.peak.in_one_domain.max(in_one_domain);
        self.peak.connections = self.peak.connections.max(self.connections);
        self.peak.opening = self.peak.opening.max(self.opening);
    }

    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    fn answer(&mut self, id: u64, call: Call) -> Option<Result<Reply, Failure>> {
        if self.dead {
            return Some(Err(Failure { code: 38, message: "End of file while reading data".to_owned() }));
        }
        if self.mute {
            return None;
        }
        let any_locked = self.domains.values().any(|domain| domain.locked);
        let running = Status::from_libvirt(1, 1);
        let known = call.domain().and_then(|uuid| self.domains.get_mut(&uuid));
        if known.as_ref().is_some_and(|domain| domain.locked) {
            return None;
        }
        Some(Ok(match (call, known) {
            (Call::Prepare, _) => Reply::Prepared(DaemonFacts {
                host_name: "host".into(),
                driver: "Fake".into(),
                libvirt: None,
                hypervisor: None,
            }),
            (Call::Ping, _) => Reply::Pong,
            (Call::List, _) if any_locked => return None,
            (Call::List, _) => Reply::Listed(
                self.domains.keys().map(|uuid| Listed { uuid: *uuid, name: "vm".into(), id: Some(1) }).collect(),
            ),
            (Call::Status(_), known) => Reply::Status(known.map(|_| running)),
            (Call::Describe(_), known) => {
                Reply::Described(known.map(|_| Ok(Description { domain_type: "kvm".into(), ..Description::default() })))
            }
            (Call::Job(_), Some(domain)) if domain.job_frozen => {
                domain.holder = Some(id);
                return None;
            }
            (Call::Job(_), known) => {
                if let Some(domain) = known {
                    domain.holder = domain.holder.filter(|holder| *holder != id);
                }
                self.peak.jobs += 1;
                Reply::Job(Some((Some(Job::new(JobKind::Unbounded, JobOperation::MigrationOut)), 1)))
            }
            (Call::Stats(..), None) => Reply::Stats(None),
            (Call::Stats(_, groups), Some(domain)) => {
                let monitor = if !groups.needs_monitor() {
                    Monitor::NotAsked
                } else if domain.busy || domain.holder.is_some_and(|holder| holder != id) {
                    Monitor::Busy
                } else if domain.frozen {
                    domain.holder = Some(id);
                    return None;
                } else {
                    domain.holder = None;
                    Monitor::Answered
                };
                let memory = groups.contains(Group::Balloon).then(Memory::default);
                let stats = Stats { id: Some(1), status: Some(running), memory, monitor, ..Stats::default() };
                Reply::Stats(Some(Box::new(stats)))
            }
        }))
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
        let state = State { domains, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), changed: watch::Sender::new(()) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something; calls that hang look again.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.send_replace(());
    }

    pub(super) fn domain(&self, number: u128, change: impl FnOnce(&mut FakeDomain)) {
        self.change(|state| change(state.domains.get_mut(&Uuid::from_u128(number)).unwrap()));
    }

    /// Ends the daemon: all calls fail and the connection for events reports its end.
    pub(super) fn kill(&self) {
        self.change(|state| state.dead = true);
        let sink = self.state().sink.take();
        if let Some(sink) = sink {
            sink.closed(1);
        }
    }

    pub(super) fn emit(&self, number: u128, event: RawEvent) {
        let sink = self.state().sink.clone().unwrap();
        sink.domain(Uuid::from_u128(number), "vm".into(), event);
    }
}

/// A connection of the fake.
pub(super) struct FakeConnection(FakeHypervisor);

impl Drop for FakeConnection {
    fn drop(&mut self) {
        self.0.state().connections -= 1;
    }
}

impl Hypervisor for FakeHypervisor {
    type Connection = FakeConnection;

    fn is_local(&self) -> bool {
        true
    }

    fn open(&self, sink: Option<Arc<dyn Sink>>) -> Eventually<Result<Opened<FakeConnection>, OpenError>> {
        let fake = self.clone();
        Box::pin(async move {
            fake.preflight().await.transpose_sign()?;
            {
                let mut state = fake.state();
                state.opens += 1;
                state.opening += 1;
                state.note();
            }
            let mut changed = fake.changed.subscribe();
            while fake.state().open_hangs {
                changed.changed().await.unwrap();
            }
            let mut state = fake.state();
            state.opening -= 1;
            state.connections += 1;
            state.note();
            if sink.is_some() {
                state.sink = sink;
            }
            drop(state);
            Ok(Opened { connection: FakeConnection(fake), refused_events: 1 })
        })
    }

    fn call(&self, connection: FakeConnection, call: Call) -> Eventually<Called<FakeConnection>> {
        let fake = self.clone();
        let id = {
            let mut state = fake.state();
            state.last += 1;
            let id = state.last;
            state.outstanding.insert(id, call);
            state.note();
            id
        };
        Box::pin(async move {
            let mut changed = fake.changed.subscribe();
            let takes = if call == Call::Prepare { fake.state().prepare_takes } else { LATENCY };
            tokio::time::sleep(takes).await;
            loop {
                let result = {
                    let mut state = fake.state();
                    let result = state.answer(id, call);
                    if let Some(uuid) = call.domain() {
                        let waiting =
                            usize::from(state.domains.get(&uuid).is_some_and(|domain| domain.holder == Some(id)));
                        state.peak.waiting_in_one_domain = state.peak.waiting_in_one_domain.max(waiting);
                        if result.is_some()
                            && let Some(domain) = state.domains.get_mut(&uuid)
                        {
                            domain.holder = domain.holder.filter(|holder| *holder != id);
                        }
                    }
                    if result.is_some() {
                        state.outstanding.remove(&id);
                    }
                    result
                };
                if let Some(result) = result {
                    let usable = !fake.state().dead;
                    return Called { connection: usable.then_some(connection), result };
                }
                changed.changed().await.unwrap();
            }
        })
    }

    fn preflight(&self) -> Eventually<Option<Result<(), String>>> {
        let fake = self.clone();
        Box::pin(async move {
            if fake.state().dead {
                return Some(Err("nobody listens".to_owned()));
            }
            if fake.state().mute {
                tokio::time::sleep(Duration::from_secs(1)).await;
                return Some(Err("mute".to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some(Ok(()))
        })
    }
}

trait TransposeSign {
    fn transpose_sign(self) -> Result<(), OpenError>;
}

impl TransposeSign for Option<Result<(), String>> {
    fn transpose_sign(self) -> Result<(), OpenError> {
        match self {
            Some(Err(reason)) if reason == "mute" => Err(OpenError::Mute(reason)),
            Some(Err(reason)) => Err(OpenError::Failed(reason)),
            _ => Ok(()),
        }
    }
}
