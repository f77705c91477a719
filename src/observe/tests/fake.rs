//! A scripted libvirt daemon.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::clock::Clock;
use crate::model::{
    Bytes, Cpu, DaemonFacts, DaemonId, Description, Disk, DiskDescription, Group, Groups, Memory, Nic, NicDescription,
    Status, Timestamp, Vcpu,
};
use crate::source::{
    Answer, Ask, DomainEvent, Listed, Monitor, Order, ReadError, Said, Source, SourceEvent, Stats, VcpuStats,
};

pub(crate) const DEADLINE: Duration = Duration::from_secs(3);
pub(crate) const READ_TAKES: Duration = Duration::from_millis(6);

/// How the fake answers an XML query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Xml {
    Says(Description),
    Hangs,
    Broken,
    Fails,
}

#[derive(Debug, Clone)]
pub(crate) struct FakeDomain {
    pub(crate) name: Arc<str>,
    pub(crate) id: Option<u32>,
    pub(crate) status: Status,
    pub(crate) stats: Stats,
    pub(crate) xml: Xml,
    /// Its QEMU does not answer: a read goes past its deadline.
    pub(crate) hangs: bool,
    /// A read fails.
    pub(crate) fails: bool,
    pub(crate) read_takes: Duration,
    pub(crate) xml_takes: Duration,
    pub(crate) status_takes: Duration,
}

#[derive(Debug, Default)]
struct World {
    domains: BTreeMap<Uuid, FakeDomain>,
    calls: Vec<(Instant, Ask)>,
    /// The readings sent with `Order::InTurn`.
    in_turn: usize,
    in_flight: BTreeMap<Uuid, u32>,
    most_in_flight: usize,
    most_of_one: u32,
    disconnected: bool,
    list_fails: bool,
}

/// A scripted libvirt daemon.
pub(crate) struct FakeSource {
    id: DaemonId,
    world: Arc<Mutex<World>>,
    events: mpsc::Sender<SourceEvent>,
}

impl FakeSource {
    pub(crate) fn new(uri: &str) -> (Arc<Self>, mpsc::Receiver<SourceEvent>) {
        let (events, feed) = mpsc::channel(4_096);
        let fake = Self { id: DaemonId(uri.into()), world: Arc::default(), events };
        (Arc::new(fake), feed)
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// A running domain with a disk, an interface and a vCPU.
    pub(crate) fn runs(&self, number: u128) -> Uuid {
        let uuid = Uuid::from_u128(number);
        self.world().domains.insert(uuid, running(number));
        uuid
    }

    pub(crate) fn shut_off(&self, number: u128) -> Uuid {
        let uuid = self.runs(number);
        self.edit(uuid, |domain| {
            domain.id = None;
            domain.status = destroyed();
        });
        uuid
    }

    pub(crate) fn edit(&self, uuid: Uuid, change: impl FnOnce(&mut FakeDomain)) {
        change(self.world().domains.get_mut(&uuid).expect("the fake has this domain"));
    }

    pub(crate) fn put(&self, uuid: Uuid, domain: FakeDomain) {
        self.world().domains.insert(uuid, domain);
    }

    pub(crate) fn vanish(&self, uuid: Uuid) {
        self.world().domains.remove(&uuid);
    }

    pub(crate) fn list_fails(&self, fails: bool) {
        self.world().list_fails = fails;
    }

    pub(crate) fn send(&self, event: SourceEvent) {
        self.events.try_send(event).unwrap();
    }

    pub(crate) fn connect(&self) {
        self.world().disconnected = false;
        self.send(SourceEvent::Connected(Arc::new(DaemonFacts {
            host_name: "host".into(),
            driver: "QEMU".into(),
            libvirt: None,
            hypervisor: None,
        })));
    }

    pub(crate) fn is_not_there(&self) {
        self.world().disconnected = true;
        self.send(SourceEvent::Disconnected { reason: "there is no socket".to_owned(), absent: true });
    }

    pub(crate) fn disconnect(&self) {
        self.world().disconnected = true;
        self.send(SourceEvent::Disconnected { reason: "the socket was closed".to_owned(), absent: false });
    }

    pub(crate) fn happens(&self, uuid: Uuid, event: DomainEvent) {
        let name = self.world().domains.get(&uuid).map_or_else(|| "gone".into(), |domain| Arc::clone(&domain.name));
        self.send(SourceEvent::Domain { uuid, name, event });
    }

    pub(crate) fn calls(&self) -> Vec<(Instant, Ask)> {
        self.world().calls.clone()
    }

    pub(crate) fn forget_calls(&self) {
        let mut world = self.world();
        world.calls.clear();
        (world.most_in_flight, world.most_of_one) = (0, 0);
    }

    pub(crate) fn reads_of(&self, uuid: Uuid) -> Vec<Instant> {
        let calls = self.calls();
        calls.iter().filter(|(_, ask)| matches!(ask, Ask::Read(of, _) if *of == uuid)).map(|(at, _)| *at).collect()
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Ask) -> bool) -> usize {
        self.world().calls.iter().filter(|(_, ask)| wanted(ask)).count()
    }

    pub(crate) fn descriptions_of(&self, uuid: Uuid) -> usize {
        self.count(|ask| *ask == Ask::Describe(uuid))
    }

    /// The most reads that ran at once, and of one domain.
    pub(crate) fn most_in_flight(&self) -> (usize, u32) {
        let world = self.world();
        (world.most_in_flight, world.most_of_one)
    }

    /// How many readings were sent with `Order::InTurn`.
    pub(crate) fn in_turn(&self) -> usize {
        self.world().in_turn
    }

    pub(crate) fn domain(&self, uuid: Uuid) -> Option<FakeDomain> {
        self.world().domains.get(&uuid).cloned()
    }
}

/// Counts a read as running while it lives.
struct Running(Arc<Mutex<World>>, Uuid);

impl Running {
    fn new(shared: &Arc<Mutex<World>>, uuid: Uuid) -> Self {
        let mut world = shared.lock().unwrap();
        *world.in_flight.entry(uuid).or_default() += 1;
        let all: u32 = world.in_flight.values().sum();
        let one = world.in_flight.values().copied().max().unwrap_or(0);
        world.most_in_flight = world.most_in_flight.max(usize::try_from(all).unwrap());
        world.most_of_one = world.most_of_one.max(one);
        Self(Arc::clone(shared), uuid)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.lock().unwrap().in_flight.get_mut(&self.1).unwrap() -= 1;
    }
}

impl Source for FakeSource {
    fn id(&self) -> &DaemonId {
        &self.id
    }

    fn ask(&self, ask: Ask, order: Order) -> Answer {
        let refused = {
            let mut world = self.world();
            world.calls.push((Instant::now(), ask));
            world.in_turn += usize::from(order == Order::InTurn);
            world.disconnected.then(|| ReadError::Disconnected { daemon: self.id.clone() })
        };
        let world = Arc::clone(&self.world);
        Box::pin(async move {
            match refused {
                Some(error) => Err(error),
                None => answer(&world, ask).await,
            }
        })
    }
}

async fn answer(world: &Arc<Mutex<World>>, ask: Ask) -> Result<Said, ReadError> {
    let domain = |uuid: Uuid| world.lock().unwrap().domains.get(&uuid).cloned();
    match ask {
        Ask::List => {
            sleep(Duration::from_millis(2)).await;
            let world = world.lock().unwrap();
            if world.list_fails {
                return Err(deadline("virConnectListAllDomains"));
            }
            let listed = |(uuid, domain): (&Uuid, &FakeDomain)| Listed {
                uuid: *uuid,
                name: Arc::clone(&domain.name),
                id: domain.id,
            };
            Ok(Said::Listed(world.domains.iter().map(listed).collect()))
        }
        Ask::Status(uuid) => {
            let takes = domain(uuid).map_or(Duration::from_micros(100), |domain| domain.status_takes);
            sleep(takes).await;
            Ok(Said::Status(domain(uuid).map(|domain| domain.status)))
        }
        Ask::Read(uuid, groups) => {
            let _running = Running::new(world, uuid);
            let Some(asked) = domain(uuid) else { return Ok(Said::Stats(None)) };
            if asked.hangs {
                sleep(DEADLINE).await;
                return Err(deadline("virDomainListGetStats"));
            }
            sleep(asked.read_takes).await;
            if asked.fails {
                let (call, domain) = ("virDomainListGetStats", uuid.to_string());
                return Err(ReadError::Libvirt { call, domain, message: "internal error".to_owned() });
            }
            // libvirt gathers the state first, before it waits for the QEMU.
            let (status, took) = (Some(asked.status), asked.read_takes);
            let stats = domain(uuid).map(|domain| Stats { status, took, ..only(&domain, groups) });
            Ok(Said::Stats(stats.map(Box::new)))
        }
        Ask::Describe(uuid) => {
            let Some(asked) = domain(uuid) else { return Ok(Said::Described(None)) };
            sleep(asked.xml_takes).await;
            let (call, name) = ("virDomainGetXMLDesc", uuid.to_string());
            match asked.xml {
                Xml::Says(description) => Ok(Said::Described(domain(uuid).map(|_| Box::new(description)))),
                Xml::Hangs => {
                    sleep(DEADLINE).await;
                    Err(deadline(call))
                }
                Xml::Broken => Err(ReadError::Xml { domain: name, message: "it ends too early".to_owned() }),
                Xml::Fails => Err(ReadError::Libvirt { call, domain: name, message: "internal error".to_owned() }),
            }
        }
    }
}

fn deadline(call: &'static str) -> ReadError {
    ReadError::Deadline { call, domain: "fake".to_owned(), deadline: DEADLINE }
}

/// What libvirt would answer when asked for these groups.
fn only(domain: &FakeDomain, groups: Groups) -> Stats {
    let mut stats = domain.stats.clone();
    stats.id = domain.id;
    stats.status = Some(domain.status);
    if !groups.contains(Group::Cpu) {
        stats.cpu = None;
    }
    if !groups.contains(Group::Balloon) {
        stats.memory = None;
    }
    if !groups.contains(Group::Vcpu) {
        stats.vcpus = None;
    }
    if !groups.contains(Group::Interface) {
        stats.nics = None;
    }
    if !groups.contains(Group::Block) {
        stats.disks = None;
    }
    if !groups.contains(Group::Job) {
        stats.job = None;
    }
    if !groups.needs_monitor() {
        stats.monitor = Monitor::NotAsked;
    }
    stats
}

pub(crate) fn booted() -> Status {
    Status::from_libvirt(1, 1)
}

pub(crate) fn paused() -> Status {
    Status::from_libvirt(3, 1)
}

pub(crate) fn destroyed() -> Status {
    Status::from_libvirt(5, 2)
}

pub(crate) fn starting_up() -> Status {
    Status::from_libvirt(3, 11)
}

pub(crate) fn migrating() -> Status {
    Status::from_libvirt(3, 2)
}

pub(crate) fn running(number: u128) -> FakeDomain {
    FakeDomain {
        name: format!("vm-{number}").into(),
        id: Some(u32::try_from(number).unwrap()),
        status: booted(),
        stats: full(1_000),
        xml: Xml::Says(xml(&["vda"], &["vnet0"])),
        hangs: false,
        fails: false,
        read_takes: READ_TAKES,
        xml_takes: Duration::from_micros(200),
        status_takes: Duration::from_micros(100),
    }
}

/// A whole reading whose counters all show `count`.
pub(crate) fn full(count: u64) -> Stats {
    let time = Some(Duration::from_millis(count));
    Stats {
        cpu: Some(Cpu { time, user: time, system: time }),
        memory: Some(Memory {
            current: Some(Bytes(1 << 30)),
            maximum: Some(Bytes(1 << 30)),
            major_faults: Some(count),
            resident: Some(Bytes(1 << 20)),
            ..Memory::default()
        }),
        vcpus: Some(VcpuStats {
            current: Some(1),
            maximum: Some(2),
            each: vec![Vcpu { number: 0, time, wait: time, ..Vcpu::default() }],
        }),
        disks: Some(vec![disk("vda", count)]),
        nics: Some(vec![nic("vnet0", count)]),
        job: Some(None),
        monitor: Monitor::Answered,
        ..Stats::default()
    }
}

/// What libvirt answers without the QEMU: the balloon's size, processor times, network.
pub(crate) fn partial(count: u64, monitor: Monitor) -> Stats {
    let mut stats = full(count);
    stats.memory = Some(Memory { current: Some(Bytes(1 << 30)), maximum: Some(Bytes(1 << 30)), ..Memory::default() });
    stats.disks = None;
    stats.monitor = monitor;
    stats
}

pub(crate) fn disk(target: &str, count: u64) -> Disk {
    Disk { target: target.into(), read_requests: Some(count), read_bytes: Some(Bytes(count * 512)), ..Disk::default() }
}

pub(crate) fn nic(target: &str, count: u64) -> Nic {
    Nic { target: target.into(), receive_bytes: Some(Bytes(count)), ..Nic::default() }
}

pub(crate) fn xml(disks: &[&str], nics: &[&str]) -> Description {
    let disk = |target: &&str| Arc::new(DiskDescription { target: (*target).into(), ..DiskDescription::default() });
    let nic = |target: &&str| Arc::new(NicDescription { target: Some((*target).into()), ..NicDescription::default() });
    Description {
        domain_type: "kvm".into(),
        arch: Some("x86_64".into()),
        disks: disks.iter().map(disk).collect(),
        nics: nics.iter().map(nic).collect(),
        ..Description::default()
    }
}

/// A wall clock that runs with tokio's time and can be set.
pub(crate) struct FakeClock {
    origin: Instant,
    set: AtomicI64,
}

impl FakeClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { origin: Instant::now(), set: AtomicI64::new(0) })
    }

    /// Sets it forwards or backwards.
    pub(crate) fn step(&self, seconds: i64) {
        self.set.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        let seconds = 1_700_000_000 + self.set.load(Ordering::Relaxed);
        Timestamp::from_unix(Duration::from_secs(u64::try_from(seconds).unwrap()) + (Instant::now() - self.origin))
    }
}
