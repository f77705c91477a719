//! libvirt's library and our client ask the same daemon the same questions: every answer must be the same.
//!
//! Figures may change between two calls: the library asks before and after our client, and our client's figures must
//! lie between, parameter by parameter; names, types, order and everything that is not a number must be equal.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, and wait by sleeping"
)]

#[allow(dead_code, unused_imports, reason = "the lab's toolbox: not every tool is used here")]
mod support;

use std::time::Duration;

use judge::{Fault, Heard, Library, Listener, Machine, Parameter, Record};
use libvirt_remote::procedure::{
    ConnectGetCapabilities, ConnectGetHostname, ConnectGetLibVersion, ConnectGetType, ConnectGetVersion,
};
use libvirt_remote::{DomainEvent, Event, EventKind};
use support::{Client, Domain, Kind, Libvirtd, LibvirtdOptions, Pace};

/// `virDomainStatsTypes`: all at once, each group alone, and one that no libvirt knows.
const GROUPS: [u32; 13] =
    [0, 1, 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7, 1 << 8, 1 << 9, 1 << 10, 1 << 30];

const NOWAIT: u32 = 1 << 29;
const BACKING: u32 = 1 << 30;
const ENFORCE: u32 = 1 << 31;

/// `VIR_DOMAIN_JOB_STATS_COMPLETED` and `VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED`: reading does not remove them for the
/// other.
const COMPLETED: u32 = 1 | 2;

/// How many times figures that do not lie between are read again: one may rise and fall within a round.
const ROUNDS: usize = 20;

/// How long events may take.
const PATIENCE: Duration = Duration::from_secs(20);

const MISSING: [u8; 16] = [7; 16];

/// Both, connected to the same URI.
struct Court {
    library: Library,
    client: Client,
}

impl Court {
    async fn open(uri: &str) -> Court {
        Court { library: Library::open_read_only(uri).unwrap(), client: Client::open(uri).await.unwrap() }
    }

    /// Everything that can be asked of a daemon whose domains nobody changes meanwhile.
    async fn compare_everything(&mut self) {
        self.compare_introductions().await;
        self.compare_lists().await;
        self.compare_domains().await;
        self.compare_statistics().await;
        for machine in self.library.list(0).unwrap() {
            self.compare_job_of(&machine).await;
        }
        self.compare_errors_of_the_missing().await;
    }

    /// The daemon itself.
    async fn compare_introductions(&mut self) {
        let Court { library, client } = self;
        let connect = library.connect();
        assert_eq!(client.call(&ConnectGetType {}).await.unwrap().to_string(), connect.driver_type().unwrap());
        assert_eq!(client.call(&ConnectGetHostname {}).await.unwrap().to_string(), connect.hostname().unwrap());
        assert_eq!(client.call(&ConnectGetLibVersion {}).await, Ok(u64::from(connect.lib_version().unwrap())));
        assert_eq!(client.call(&ConnectGetVersion {}).await, Ok(u64::from(connect.hyp_version().unwrap())));
        assert_eq!(client.call(&ConnectGetCapabilities {}).await.unwrap().to_string(), connect.capabilities().unwrap());
    }

    /// The lists: all, active, inactive, persistent, transient, running, paused, shut off, and an unknown flag.
    async fn compare_lists(&mut self) {
        for flags in [0, 1, 2, 4, 8, 16, 32, 64, 1 << 30] {
            let (theirs, ours) = (self.library.list(flags), self.client.list(flags).await);
            assert_eq!(ours, theirs, "flags {flags}");
        }
    }

    /// State and XML of each domain.
    async fn compare_domains(&mut self) {
        for machine in self.library.list(0).unwrap() {
            let handle = self.library.look_up(machine.uuid).unwrap();
            assert_eq!(
                self.client.state(&machine, 0).await.unwrap(),
                Library::state(&handle, 0).unwrap(),
                "{machine:?}"
            );
            assert!(self.client.xml(&machine, 0).await.unwrap().starts_with("<domain "));
            // The running, the inactive and the migratable configuration.
            for flags in [0, 2, 8] {
                assert_eq!(self.client.xml(&machine, flags).await, Library::xml(&handle, flags), "{machine:?} {flags}");
            }
            // A read-only client is refused secrets, by the daemon or by the library itself.
            let (ours, theirs) = (self.client.xml(&machine, 1).await, Library::xml(&handle, 1));
            assert_eq!(ours.unwrap_err().code, theirs.unwrap_err().code, "{machine:?}");
            // Unknown flags.
            assert_eq!(self.client.xml(&machine, 1 << 30).await, Library::xml(&handle, 1 << 30));
            assert_eq!(self.client.state(&machine, 1 << 30).await, Library::state(&handle, 1 << 30));
        }
    }

    /// Every group of statistics, of each domain alone and of all together.
    async fn compare_statistics(&mut self) {
        let machines = self.library.list(0).unwrap();
        for stats in GROUPS {
            for flags in [0, NOWAIT, BACKING, NOWAIT | BACKING, ENFORCE] {
                for machine in &machines {
                    self.compare_statistics_of(&[machine], stats, flags).await;
                }
                self.compare_statistics_of(&machines.iter().collect::<Vec<_>>(), stats, flags).await;
                self.compare_statistics_of(&[], stats, flags).await;
            }
        }
    }

    async fn compare_statistics_of(&mut self, machines: &[&Machine], stats: u32, flags: u32) {
        let handles: Vec<_> = machines.iter().map(|machine| self.library.look_up(machine.uuid).unwrap()).collect();
        let handles: Vec<_> = handles.iter().collect();
        let mut wrong = String::new();
        for _ in 0..ROUNDS {
            let before = self.library.stats(&handles, stats, flags);
            let ours = self.client.stats(machines, stats, flags).await;
            let after = self.library.stats(&handles, stats, flags);
            match compare_records(&before, &ours, &after) {
                Ok(()) => return,
                Err(why) => wrong = why,
            }
        }
        panic!("stats {stats:#x}, flags {flags:#x} of {machines:?}: {wrong}");
    }

    /// The current job of a domain, and its last one.
    async fn compare_job_of(&mut self, machine: &Machine) {
        for flags in [0, COMPLETED, 1 << 30] {
            let kind = self.compare_job(machine, flags).await;
            assert!(flags != 0 || kind.is_none_or(|kind| kind == 0), "there is no job");
        }
    }

    /// The job's type, if libvirt tells.
    async fn compare_job(&mut self, machine: &Machine, flags: u32) -> Option<i32> {
        let handle = self.library.look_up(machine.uuid).unwrap();
        let mut wrong = String::new();
        for _ in 0..ROUNDS {
            let before = Library::job(&handle, flags);
            let ours = self.client.job(machine, flags).await;
            let after = Library::job(&handle, flags);
            let compared = match (&before, &ours, &after) {
                (Ok((one, before)), Ok((kind, ours)), Ok((other, after))) if one == kind && kind == other => {
                    compare_parameters(before, ours, after)
                }
                (Err(before), Err(ours), Err(_)) if before == ours => Ok(()),
                _ => Err(format!("{before:?}\n{ours:?}\n{after:?}")),
            };
            match compared {
                Ok(()) => return ours.ok().map(|(kind, _)| kind),
                Err(why) => wrong = why,
            }
        }
        panic!("the job of {machine:?}, flags {flags:#x}: {wrong}");
    }

    /// Domains that never existed: both get the same code. (The library looks a domain up first; our client need not.)
    async fn compare_errors_of_the_missing(&mut self) {
        let missing = Machine { name: "missing".to_owned(), uuid: MISSING, id: None };
        let theirs = self.library.look_up(MISSING).map(drop).unwrap_err();
        let ours = [self.client.state(&missing, 0).await.unwrap_err(), self.client.xml(&missing, 0).await.unwrap_err()];
        for ours in ours {
            assert_eq!((ours.code, ours.domain, ours.level), (theirs.code, theirs.domain, theirs.level));
        }
        assert_eq!(theirs.code, 42, "VIR_ERR_NO_DOMAIN");
    }
}

fn compare_records(
    before: &Result<Vec<Record>, Fault>,
    ours: &Result<Vec<Record>, Fault>,
    after: &Result<Vec<Record>, Fault>,
) -> Result<(), String> {
    match (before, ours, after) {
        (Ok(before), Ok(ours), Ok(after)) => {
            let machines = |records: &[Record]| records.iter().map(|record| record.machine.clone()).collect::<Vec<_>>();
            if machines(before) != machines(ours) || machines(ours) != machines(after) {
                return Err(format!("{:?}\n{:?}\n{:?}", machines(before), machines(ours), machines(after)));
            }
            let mut records = before.iter().zip(ours).zip(after);
            records.try_for_each(|((before, ours), after)| {
                compare_parameters(&before.parameters, &ours.parameters, &after.parameters)
            })
        }
        (Err(before), Err(ours), Err(_)) if before == ours => Ok(()),
        _ => Err(format!("{before:?}\n{ours:?}\n{after:?}")),
    }
}

fn compare_parameters(before: &[Parameter], ours: &[Parameter], after: &[Parameter]) -> Result<(), String> {
    let names = |parameters: &[Parameter]| parameters.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
    if names(before) != names(ours) || names(ours) != names(after) {
        return Err(format!("names: {:?}\n{:?}\n{:?}", names(before), names(ours), names(after)));
    }
    for ((before, ours), after) in before.iter().zip(ours).zip(after) {
        if !ours.value.is_between(&before.value, &after.value) {
            return Err(format!("{}: {:?}, {:?}, {:?}", ours.name, before.value, ours.value, after.value));
        }
    }
    Ok(())
}

/// Both, listening for events.
struct Hearing {
    // Dropped before the connection that it uses.
    theirs: Listener,
    _library: Library,
    ours: Client,
}

impl Hearing {
    async fn open(uri: &str) -> Hearing {
        let library = Library::open_read_only(uri).unwrap();
        let theirs = Listener::new(&library).unwrap();
        let mut ours = Client::open(uri).await.unwrap();
        let refused = ours.connection.register_all(&EventKind::ALL).await.unwrap();
        assert_eq!(refused, theirs.refused);
        Hearing { theirs, _library: library, ours }
    }

    /// The events that both received until this domain was undefined.
    async fn until_gone(mut self, last: &str) -> Vec<Heard> {
        let is_last =
            |(machine, event): &Heard| machine.name == last && matches!(event, DomainEvent::Lifecycle { event: 1, .. });
        let mut ours: Vec<Heard> = Vec::new();
        while !ours.last().is_some_and(is_last) {
            let next = tokio::time::timeout(PATIENCE, self.ours.connection.next_event()).await;
            match next.unwrap_or_else(|_| panic!("no end after {ours:?}")).unwrap() {
                Event::Domain { domain, what } => ours.push((domain.into(), what)),
                Event::Lost(count) => panic!("{count} events were lost"),
            }
        }
        let mut theirs: Vec<Heard> = Vec::new();
        while !theirs.last().is_some_and(is_last) {
            theirs.push(self.theirs.next(PATIENCE).unwrap_or_else(|| panic!("no end after {theirs:?}")));
        }
        assert_eq!(ours, theirs);
        assert_eq!(self.ours.connection.dropped_events(), 0);
        ours
    }
}

fn lifecycle(heard: &[Heard]) -> Vec<i32> {
    let of = |(_, what): &Heard| match what {
        DomainEvent::Lifecycle { event, .. } => Some(*event),
        _ => None,
    };
    heard.iter().filter_map(of).collect()
}

fn has(heard: &[Heard], event: DomainEvent) -> bool {
    heard.iter().any(|(_, what)| *what == event)
}

fn daemon() -> Libvirtd {
    Libvirtd::start(LibvirtdOptions { host_name: Some("judge.test".to_owned()), ..LibvirtdOptions::new(Kind::System) })
}

/// A daemon's test driver, which makes domains up.
fn test_driver(daemon: &Libvirtd) -> (String, Library) {
    let writer = Library::open(&format!("test+unix:///default?socket={}", daemon.socket().display())).unwrap();
    (daemon.test_driver_uri().expect("a libvirtd"), writer)
}

/// A domain for the test driver.
fn made_up(name: &str) -> String {
    format!("<domain type='test'><name>{name}</name><memory>8192</memory><os><type>hvm</type></os></domain>")
}

#[tokio::test]
async fn the_test_driver_says_the_same_to_both() {
    let daemon = daemon();
    let (uri, writer) = test_driver(&daemon);
    for name in ["shut-off", "paused"] {
        writer.connect().define_domain_xml(&made_up(name)).unwrap();
    }
    let paused = writer.connect().lookup_domain_by_name("paused").unwrap();
    paused.create().unwrap();
    paused.suspend().unwrap();

    let mut court = Court::open(&uri).await;
    court.compare_everything().await;
}

#[tokio::test]
async fn the_test_drivers_events_come_to_both_in_the_same_order() {
    let daemon = daemon();
    let (uri, writer) = test_driver(&daemon);
    let hearing = Hearing::open(&uri).await;
    let there = writer.connect().lookup_domain_by_name("test").unwrap();
    for _ in 0..50 {
        there.suspend().unwrap();
        there.resume().unwrap();
    }
    there.set_metadata(1, Some("a title"), None, None, 0).unwrap();
    let new = writer.connect().define_domain_xml(&made_up("new")).unwrap();
    new.create().unwrap();
    new.destroy().unwrap();
    there.destroy().unwrap();
    there.create().unwrap();
    new.undefine().unwrap();

    let heard = hearing.until_gone("new").await;
    let expected: Vec<i32> = [3, 4].repeat(50).into_iter().chain([0, 2, 5, 5, 2, 1]).collect();
    assert_eq!(lifecycle(&heard), expected);
}

#[tokio::test]
async fn what_is_refused_is_refused_to_both_with_the_same_error() {
    let daemon = daemon();
    let (uri, writer) = test_driver(&daemon);
    let mut court = Court::open(&uri).await;

    // A driver that the daemon does not have.
    let strange = format!("nonsense+unix:///x?socket={}-ro", daemon.socket().display());
    assert_eq!(Client::open(&strange).await.err().unwrap(), Library::open_read_only(&strange).unwrap_err());

    // A domain that was there at first, and is gone.
    let gone = writer.connect().define_domain_xml(&made_up("gone")).unwrap();
    let machine = Library::machine(&gone).unwrap();
    let handle = court.library.look_up(machine.uuid).unwrap();
    gone.undefine().unwrap();
    court.compare_errors_of_the_gone(&machine, &handle).await;
}

impl Court {
    /// Every call about a domain that is gone: code, part of libvirt, level and message.
    async fn compare_errors_of_the_gone(&mut self, machine: &Machine, handle: &virt::domain::Domain) {
        let Court { library, client } = self;
        let state = (client.state(machine, 0).await, Library::state(handle, 0));
        assert_eq!(state.0, state.1);
        assert_eq!(state.0.unwrap_err().code, 42, "VIR_ERR_NO_DOMAIN");
        assert_eq!(client.xml(machine, 0).await, Library::xml(handle, 0));
        assert_eq!(client.job(machine, 0).await, Library::job(handle, 0));
        for flags in [0, NOWAIT] {
            assert_eq!(client.stats(&[machine], 0, flags).await, library.stats(&[handle], 0, flags));
        }
    }
}

/// A guest with some of every device, under KVM if this machine has it.
fn guest(name: &str) -> Domain {
    let guest = Domain::quick(name);
    guest.disks(2).nics(2).vcpus(2, 3).iothreads(2).iotune(1_000_000, 100)
}

fn qemu(daemon: &Libvirtd) -> String {
    format!("qemu+unix:///system?socket={}-ro", daemon.socket().display())
}

#[tokio::test]
async fn real_guests_are_the_same_to_both() {
    let daemon = daemon();
    daemon.create_paused(&guest("paused"));
    daemon.create_paused(&Domain::tcg("emulated"));
    daemon.define(&guest("shut-off"));

    let mut court = Court::open(&qemu(&daemon)).await;
    court.compare_everything().await;

    // The compared answers were not empty.
    let paused = court.library.list(1).unwrap().into_iter().find(|machine| machine.name == "paused").unwrap();
    let record = court.client.stats(&[&paused], 0, 0).await.unwrap().pop().unwrap();
    for group in ["state", "cpu", "balloon", "vcpu", "net", "block", "iothread"] {
        let of_group = |one: &Parameter| one.name.split('.').next() == Some(group);
        assert!(record.parameters.iter().any(of_group), "{group}");
    }

    // A running one: figures that change lie between.
    daemon.virsh(&["resume", "emulated"]);
    court.compare_domains().await;
    court.compare_statistics().await;

    let emulated = court.library.list(1).unwrap().into_iter().find(|machine| machine.name == "emulated").unwrap();
    let handle = court.library.look_up(emulated.uuid).unwrap();
    daemon.destroy("emulated");
    court.compare_errors_of_the_gone(&emulated, &handle).await;
}

#[tokio::test]
async fn jobs_of_real_guests_are_the_same_to_both() {
    let (daemon, target) = (daemon(), Libvirtd::system());
    // An untouched page takes nine bytes in a migration: a few seconds at this pace, and no memory here.
    daemon.create_paused(&Domain::tcg("moving").memory_mib(2_048));
    let hearing = Hearing::open(&qemu(&daemon)).await;
    let mut court = Court::open(&qemu(&daemon)).await;
    let machine = court.library.list(1).unwrap().pop().unwrap();

    court.compare_job_of(&machine).await;

    let moving = daemon.begin_migration("moving", &target, Pace { mebibytes_a_second: Some(1), ..Pace::default() });
    // VIR_DOMAIN_JOB_UNBOUNDED, once it is on its way.
    let mut kinds = Vec::new();
    while !kinds.contains(&2) {
        assert!(kinds.len() < 1_000, "no running job was seen: {kinds:?}");
        kinds.extend(court.compare_job(&machine, 0).await);
    }
    moving.hurry();
    moving.finish();
    daemon.define(&Domain::tcg("last"));
    daemon.virsh(&["undefine", "last"]);
    let heard = hearing.until_gone("last").await;
    assert!(has(&heard, DomainEvent::JobCompleted), "{heard:?}");
    assert!(has(&heard, DomainEvent::MigrationIteration { iteration: 1 }), "{heard:?}");

    // The target remembers the job: VIR_DOMAIN_JOB_COMPLETED.
    let mut court = Court::open(&qemu(&target)).await;
    let machine = court.library.list(1).unwrap().pop().unwrap();
    assert_eq!(court.compare_job(&machine, COMPLETED).await, Some(3));
}

#[tokio::test]
async fn events_of_real_guests_come_to_both_in_the_same_order() {
    let daemon = daemon();
    let hearing = Hearing::open(&qemu(&daemon)).await;
    let guest = guest("guest");
    daemon.create_paused(&guest);
    for _ in 0..10 {
        daemon.virsh(&["resume", "guest"]);
        daemon.virsh(&["suspend", "guest"]);
    }
    daemon.plug_disk(&guest, "vdx");
    daemon.virsh(&["blkdeviotune", "guest", "vda", "--total-iops-sec", "50", "--live"]);
    daemon.virsh(&["desc", "guest", "--live", "--title", "a title"]);
    daemon.virsh(&["reset", "guest"]);
    daemon.destroy("guest");
    daemon.define(&Domain::tcg("last"));
    daemon.virsh(&["undefine", "last"]);

    let heard = hearing.until_gone("last").await;
    for event in [DomainEvent::DeviceAdded, DomainEvent::Tunable, DomainEvent::MetadataChange, DomainEvent::Reboot] {
        assert!(has(&heard, event), "{event:?} is not among {heard:?}");
    }
    assert!(lifecycle(&heard).len() > 20);
}
