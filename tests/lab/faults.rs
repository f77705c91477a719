//! What goes wrong on a host, and how the agent handles it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::support::proxy::{GET_STATS, GET_XML, Proxy};
use super::support::{Agent, Domain, Kind, Libvirtd, LibvirtdOptions, Metrics, http, virsh, wait_until};

const STUCK: &str = "libvirt_domain_collection_stuck";
const AGE: &str = "libvirt_domain_collection_age_seconds";
const STATE: &str = "libvirt_domain_state";
const CPU: &str = "libvirt_domain_cpu_usage_seconds_total";
const WRITES: &str = "libvirt_domain_storage_iops_write_total";

/// The most threads that the agent has: the first, the runtime's worker, and those for work that blocks, such as
/// reading files and resolving names.
const MOST_THREADS: usize = 4;

/// The interval of these tests, in seconds.
const INTERVAL: f64 = 2.0;
/// Calls that may wait for QEMUs while fewer than three are abandoned: four, including those.
const MOST_AT_ONCE: usize = 4;
/// Calls that may wait for QEMUs: at most four run concurrently, one fewer for each abandoned call, and none beside
/// eight abandoned ones.
const MOST_WAITING: usize = 8;
/// Including calls that no QEMU has to answer: one at a time runs beside the others while calls hang.
const MOST_READING: usize = MOST_WAITING + 1;

/// Tracks how many of a daemon's workers are busy.
#[derive(Default)]
struct Workers {
    least: Option<usize>,
    most: usize,
}

impl Workers {
    fn look(&mut self, libvirtd: &Libvirtd) {
        let busy = libvirtd.busy_workers();
        self.most = self.most.max(busy);
        self.least = Some(self.least.map_or(busy, |least| least.min(busy)));
    }

    /// Never more than the agent's budget allows, which includes abandoned calls, because those still hang.
    #[track_caller]
    fn check(&self, budget: usize, hanging: usize) {
        println!("of the daemon's workers {:?} to {} were busy", self.least, self.most);
        assert!(self.most <= budget, "{} busy workers where {budget} are allowed", self.most);
        assert_eq!(self.least, Some(hanging), "busy workers while nothing but the frozen guests takes long");
    }
}

fn guest(name: &str) -> Domain {
    Domain::quick(name).disks(1)
}

fn agent(uri: &str) -> Agent {
    Agent::start(&["--libvirt-uri", uri, "--interval", "2s", "--exporters", "prometheus"], &[])
}

fn stuck(page: &Metrics, domain: &str) -> bool {
    page.get(STUCK, &[("domain", domain)]) == Some(1.0)
}

/// How old the oldest group of a domain is.
fn age(page: &Metrics, domain: &str) -> f64 {
    page.all(AGE, &[("domain", domain)]).iter().map(|sample| sample.value).fold(0.0, f64::max)
}

fn wait_all_read(agent: &Agent, names: &[String]) {
    agent.wait_for(Duration::from_secs(30), "every guest to be read", |page| {
        names.iter().all(|name| page.has(WRITES, &[("domain", name)]))
    });
}

/// Watches for a while that these domains are read in time: never later than one interval after they were due.
#[track_caller]
fn watch_in_time(agent: &Agent, names: &[&str], for_how_long: Duration, mut also: impl FnMut()) -> f64 {
    let started = Instant::now();
    let mut oldest: f64 = 0.0;
    while started.elapsed() < for_how_long {
        also();
        let page = agent.metrics();
        for name in names {
            assert!(page.has(CPU, &[("domain", name)]), "{name} has no CPU time");
            assert!(!stuck(&page, name), "{name} is called stuck; the log:\n{}", agent.log());
            oldest = oldest.max(age(&page, name));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(oldest < 2.0 * INTERVAL, "a healthy guest's reading was {oldest} s old; the log:\n{}", agent.log());
    oldest
}

#[test]
fn a_frozen_vm_is_stuck_and_harms_nobody() {
    let libvirtd = Libvirtd::system();
    let names = libvirtd.create_paused_guests(20);
    let proxy = Proxy::start(&libvirtd.socket());
    let agent = agent(&proxy.uri(&libvirtd.uri()));
    wait_all_read(&agent, &names);
    let frozen = "vm07";
    let writes = agent.metrics().get(WRITES, &[("domain", frozen)]).unwrap();
    let healthy: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != frozen).collect();
    libvirtd.freeze(frozen);
    // Its next reading hangs and is abandoned after three seconds; earlier readings are dropped after three intervals.
    let (mut most_hanging, mut workers) = (0, Workers::default());
    let began = Instant::now();
    let oldest = watch_in_time(&agent, &healthy, Duration::from_secs(18), || {
        most_hanging = most_hanging.max(proxy.traffic().hanging());
        // Until its next reading nothing hangs.
        if began.elapsed() > Duration::from_secs(4) {
            workers.look(&libvirtd);
        }
    });
    workers.check(MOST_AT_ONCE, 1);
    println!(
        "with one of 20 frozen, the oldest reading of the 19 was {oldest:.2} s old at an interval of {INTERVAL} s"
    );
    let page = agent.metrics();
    assert!(stuck(&page, frozen), "the frozen guest is not stuck; the log:\n{}", agent.log());
    assert_eq!(page.get(STATE, &[("domain", frozen), ("state", "paused")]), Some(1.0), "its state is still read");
    assert!(page.has(CPU, &[("domain", frozen)]), "its CPU time does not need its QEMU");
    for sample in page.all(WRITES, &[("domain", frozen)]) {
        assert_eq!(sample.value, writes, "a false value stands for the reading that did not come");
    }
    assert_eq!(most_hanging, 1, "calls that hung in the frozen guest at once");
    assert_eq!(proxy.traffic().hanging(), 1, "one call waits for the frozen guest");
    libvirtd.thaw(frozen);
    wait_until(Duration::from_secs(10), "the thawed guest to be healed", || {
        let page = agent.metrics();
        (!stuck(&page, frozen) && page.has(WRITES, &[("domain", frozen)])).then_some(())
    });
    let traffic = proxy.traffic();
    assert_eq!(traffic.most_on_one_connection, 1, "a connection never carries a call beside one that may be late");
    assert!(traffic.most_waiting <= 4, "{} calls waited for QEMUs", traffic.most_waiting);
    assert!(traffic.most_for_xml <= 2, "{} calls for XML at once", traffic.most_for_xml);
}

#[test]
fn twenty_frozen_vms_stay_within_the_budget() {
    let libvirtd = Libvirtd::system();
    let names = libvirtd.create_paused_guests(25);
    let (doomed, healthy) = names.split_at(20);
    let proxy = Proxy::start(&libvirtd.socket());
    let agent = agent(&proxy.uri(&libvirtd.uri()));
    wait_all_read(&agent, &names);
    let memory = agent.resident();
    let another_client_answers = |when: &str| {
        for name in healthy {
            let stats = libvirtd.virsh_within(Duration::from_secs(5), &["domstats", "--nowait", name]);
            assert!(stats.is_ok(), "{when}: virsh domstats {name}: {stats:?}");
            let xml = libvirtd.virsh_within(Duration::from_secs(5), &["dumpxml", name]);
            assert!(xml.is_ok(), "{when}: virsh dumpxml {name}: {xml:?}");
        }
    };

    for name in &doomed[..5] {
        libvirtd.freeze(name);
    }
    wait_until(Duration::from_secs(40), "five stuck guests", || {
        let page = agent.metrics();
        doomed[..5].iter().all(|name| stuck(&page, name)).then_some(())
    });
    another_client_answers("five are frozen");
    let page = agent.metrics();
    assert!(names[5..].iter().all(|name| !stuck(&page, name)), "a healthy guest is called stuck:\n{}", agent.log());

    for name in &doomed[5..] {
        libvirtd.freeze(name);
    }
    wait_until(Duration::from_secs(60), "eight abandoned calls", || (proxy.traffic().hanging() == 8).then_some(()));
    let started = Instant::now();
    let (mut oldest, mut workers) = (0.0_f64, Workers::default());
    while started.elapsed() < Duration::from_secs(15) {
        workers.look(&libvirtd);
        let page = agent.metrics();
        for name in healthy {
            assert!(page.has(STATE, &[("domain", name)]), "{name} has lost its state:\n{}", agent.log());
            // What needs no QEMU is still read, not only shown.
            let age = page.get(AGE, &[("domain", name), ("group", "state")]);
            oldest = oldest.max(age.unwrap_or(f64::INFINITY));
            assert!(!stuck(&page, name), "{name} is called stuck:\n{}", agent.log());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    workers.check(MOST_READING, MOST_WAITING);
    assert!(oldest < 3.0 * INTERVAL, "a healthy guest's state was {oldest} s old; the log:\n{}", agent.log());
    another_client_answers("twenty are frozen");
    let traffic = proxy.traffic();
    assert!(traffic.most_waiting <= MOST_WAITING, "{} calls waited for QEMUs at once", traffic.most_waiting);
    assert!(traffic.most_reading <= MOST_READING, "{} calls for statistics at once", traffic.most_reading);
    assert_eq!(traffic.most_on_one_connection, 1, "a connection never carries a call beside one that may be late");
    assert!(agent.resident() < memory + 8 * 1024 * 1024, "memory grew from {memory} to {}", agent.resident());
    assert!(agent.threads() <= MOST_THREADS, "{} threads: a call has none", agent.threads());
    println!(
        "20 frozen: at most {} calls waited, the oldest state of a healthy guest was {oldest:.2} s, {} threads, {} KiB",
        traffic.most_waiting,
        agent.threads(),
        agent.resident() / 1024
    );

    for name in doomed {
        libvirtd.thaw(name);
    }
    wait_until(Duration::from_secs(30), "all to be healed", || {
        let page = agent.metrics();
        names.iter().all(|name| !stuck(&page, name) && page.has(WRITES, &[("domain", name)])).then_some(())
    });
    assert_eq!(proxy.traffic().hanging(), 0, "nothing hangs any more");
}

/// `virsh destroy` of a frozen guest holds its lock for 12 s, which also blocks every listing of domains.
#[test]
fn the_destruction_of_a_frozen_vm_harms_nobody() {
    let libvirtd = Libvirtd::system();
    let names = libvirtd.create_paused_guests(6);
    let agent = agent(&libvirtd.uri());
    wait_all_read(&agent, &names);
    libvirtd.freeze("vm00");
    let healthy: Vec<&str> = names[1..].iter().map(String::as_str).collect();
    std::thread::scope(|scope| {
        let destroyed = scope.spawn(|| libvirtd.destroy("vm00"));
        watch_in_time(&agent, &healthy, Duration::from_secs(15), || ());
        destroyed.join().unwrap();
    });
    wait_until(Duration::from_secs(10), "the destroyed guest to be gone", || {
        (!agent.metrics().samples.iter().any(|sample| sample.label("domain") == Some("vm00"))).then_some(())
    });
}

#[test]
fn a_mute_libvirtd_is_down_and_no_vm_is_stuck() {
    let libvirtd = Libvirtd::system();
    let names = libvirtd.create_paused_guests(5);
    let agent = agent(&libvirtd.uri());
    wait_all_read(&agent, &names);
    libvirtd.freeze_daemon();
    let started = Instant::now();
    let mut down_after = None;
    while started.elapsed() < Duration::from_secs(60) {
        let page = agent.metrics();
        for name in &names {
            assert!(!stuck(&page, name), "{name} is called stuck though its daemon is mute:\n{}", agent.log());
        }
        if down_after.is_none() && page.get("libvirt_up", &[]) == Some(0.0) {
            down_after = Some(started.elapsed());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("up is 0 after {down_after:?} of silence");
    assert!(down_after.is_some(), "a daemon that was mute for a minute is up:\n{}", agent.log());
    libvirtd.thaw_daemon();
    // Twice what the daemon may take to probe its emulators before anything is read.
    agent.wait_for(Duration::from_secs(60), "everything to be back", |page| {
        let all = names.iter().all(|name| page.has(WRITES, &[("domain", name)]) && !stuck(page, name));
        all && page.get("libvirt_up", &[]) == Some(1.0)
    });
}

/// The first reading in a daemon's life makes it probe every QEMU binary: 3 to 4 s.
#[test]
fn the_first_reading_of_a_fresh_libvirtd_is_not_stuck() {
    let options = LibvirtdOptions { cold_cache: true, ..LibvirtdOptions::new(Kind::System) };
    let mut libvirtd = Libvirtd::start(options.clone());
    libvirtd.create_paused(&guest("early"));
    // A daemon that has forgotten what it learned when it started the guest.
    libvirtd.restart();
    let agent = agent(&libvirtd.uri());
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(10) {
        assert!(!stuck(&agent.metrics(), "early"), "a slow first reading is called stuck:\n{}", agent.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(agent.metrics().has(WRITES, &[("domain", "early")]));
}

#[test]
fn an_agent_that_is_there_before_libvirtd_says_so_and_recovers() {
    let mut libvirtd = Libvirtd::system();
    let names = libvirtd.create_paused_guests(2);
    libvirtd.terminate();
    let mut agent = agent(&libvirtd.uri());
    agent.wait_for(Duration::from_secs(10), "the daemon to be down", |page| page.get("libvirt_up", &[]) == Some(0.0));
    // Several tries later it still runs and has logged it once, with what it tried and why it failed.
    std::thread::sleep(Duration::from_secs(5));
    assert!(agent.running(), "the agent has given up:\n{}", agent.log());
    let log = agent.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect();
    assert_eq!(told.len(), 1, "{log}");
    for word in ["could not reach libvirt", "tried again", &libvirtd.uri(), &libvirtd.socket().display().to_string()] {
        assert!(told[0].contains(word), "{word:?} is not in: {}", told[0]);
    }
    assert!(agent.metrics().samples.iter().all(|sample| sample.label("domain").is_none()), "there are figures of VMs");
    libvirtd.start_again();
    wait_all_read(&agent, &names);
    assert_eq!(agent.metrics().get("libvirt_up", &[]), Some(1.0));
}

/// What keeps a daemon and the agent busy: other clients that ask for everything, and a scraper.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(libvirtd: &Libvirtd, agent: &Agent) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let go_on = |mut work: Box<dyn FnMut() + Send>| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    work();
                    std::thread::sleep(Duration::from_millis(10));
                }
            })
        };
        let (uri, port) = (libvirtd.uri(), agent.port());
        // Either fails while the daemon is down, which does not matter here.
        let client = go_on(Box::new(move || drop(virsh::run(&uri, Duration::from_secs(5), &["domstats"]))));
        let scraper = go_on(Box::new(move || drop(http::get(port, "/metrics", &[]))));
        Load { stop, threads: vec![client, scraper] }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[test]
fn libvirtd_may_be_killed_thirty_times() {
    let mut libvirtd = Libvirtd::system();
    let names = libvirtd.create_paused_guests(10);
    let agent = agent(&libvirtd.uri());
    wait_all_read(&agent, &names);
    let _load = Load::start(&libvirtd, &agent);
    for round in 0..30 {
        libvirtd.kill();
        wait_until(Duration::from_secs(5), "the daemon to be down", || {
            (agent.metrics().get("libvirt_up", &[]) == Some(0.0)).then_some(())
        });
        let page = agent.metrics();
        for name in &names {
            let types = page.all("libvirt_domain_hypervisor_info", &[("domain", name)]);
            assert!(
                types.iter().all(|sample| sample.label("hypervisor_type") == Some("unknown")),
                "round {round}: {name} has a type that nobody can vouch for: {types:?}"
            );
        }
        libvirtd.start_again();
        wait_until(Duration::from_secs(15), "everything to be back", || {
            let page = agent.metrics();
            let back = names.iter().all(|name| {
                page.has(CPU, &[("domain", name)])
                    && page
                        .all("libvirt_domain_hypervisor_info", &[("domain", name)])
                        .iter()
                        .any(|sample| sample.label("hypervisor_type") != Some("unknown"))
            });
            (back && page.get("libvirt_up", &[]) == Some(1.0)).then_some(())
        });
    }
    println!("after 30 kills: {} threads, {} descriptors", agent.threads(), agent.descriptors());
    assert!(agent.descriptors() < 100, "descriptors leak: {}", agent.descriptors());
}

#[test]
fn a_domain_may_vanish_in_the_middle_of_a_reading() {
    let libvirtd = Libvirtd::system();
    let steady = libvirtd.create_paused_guests(2);
    let mut agent =
        Agent::start(&["--libvirt-uri", &libvirtd.uri(), "--interval", "1s", "--exporters", "prometheus"], &[]);
    wait_all_read(&agent, &steady);
    // Each is read as soon as its start is told. More of them would only keep the machine busy.
    for _ in 0..60 {
        libvirtd.create_paused(&guest("brief"));
        libvirtd.destroy("brief");
    }
    assert!(agent.running(), "the agent is gone:\n{}", agent.log());
    wait_until(Duration::from_secs(10), "the last of them to be gone", || {
        (!agent.metrics().samples.iter().any(|sample| sample.label("domain") == Some("brief"))).then_some(())
    });
    let page = agent.metrics();
    assert!(steady.iter().all(|name| page.has(WRITES, &[("domain", name)])));
    assert!(!agent.log().contains("panicked"), "{}", agent.log());
}

/// One XML query when a domain starts and one when it is resumed; none in between.
#[test]
fn each_detection_is_one_xml_query() {
    let libvirtd = Libvirtd::system();
    libvirtd.define(&guest("counted"));
    let proxy = Proxy::start(&libvirtd.socket());
    let agent = Agent::start(
        &["--libvirt-uri", &proxy.uri(&libvirtd.uri()), "--interval", "1s", "--exporters", "prometheus"],
        &[],
    );
    agent.wait_for(Duration::from_secs(10), "the guest", |page| page.has(STATE, &[("domain", "counted")]));
    let read_on = || {
        let before = proxy.calls(GET_STATS);
        wait_until(Duration::from_secs(10), "three more readings", || {
            (proxy.calls(GET_STATS) > before + 3).then_some(())
        });
    };
    assert_eq!(proxy.calls(GET_XML), 0, "a domain that does not run has no type");
    libvirtd.virsh(&["start", "counted"]);
    read_on();
    assert_eq!(proxy.calls(GET_XML), 1, "RESUMED and STARTED of one boot are one detection");
    libvirtd.virsh(&["suspend", "counted"]);
    read_on();
    assert_eq!(proxy.calls(GET_XML), 1, "a pause is no detection");
    libvirtd.virsh(&["resume", "counted"]);
    read_on();
    assert_eq!(proxy.calls(GET_XML), 2, "a resume is one detection");
    read_on();
    assert_eq!(proxy.calls(GET_XML), 2, "nothing is queried in between");
}
