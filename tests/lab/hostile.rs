//! Daemons that behave like a compromised launcher: beside each, honest ones are read undisturbed.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::support::cluster::hypervisor;
use super::support::hostile::{Hostile, Manner};
use super::support::layout::qemu_user;
use super::support::libvirtd::VIRTQEMUD_SOCKET;
use super::support::{Agent, Cluster, Collector, CollectorOptions, Domain, Libvirtd, Metrics, Node, Vmi};
use super::support::{http, kvm, wait_until};

const AGE: &str = "libvirt_domain_collection_age_seconds";
const CPU: &str = "libvirt_domain_cpu_usage_seconds_total";
const STATE: &str = "libvirt_domain_state";
const TYPE: &str = "libvirt_domain_hypervisor_info";
const UP: &str = "libvirt_up";

/// The interval of these tests, in seconds. The agent is built without optimisation here, and four run at a time.
const INTERVAL: f64 = 2.0;

/// Agents at a time, each with a hostile daemon of its own.
const AT_ONCE: usize = 4;

/// How long a new or lost daemon, or an event, may take to show on the page on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// How long a thread that has read a file or a long document may take to end.
const THREAD_ENDS: Duration = Duration::from_secs(20);

/// How long a hostile daemon is watched.
const WATCHED: Duration = Duration::from_secs(8);

/// The same where only time tells: a message that never ends (30 s), unanswered PINGs (20 s), and thousands of domains
/// with very long answers.
const WATCHED_LONG: Duration = Duration::from_secs(45);

/// The most memory that one hostile daemon costs: its longest answer of 8 MiB twice while it is parsed, the result, and
/// the largest page that one VM may have.
const MOST_MEMORY: u64 = 56 * 1_024 * 1_024;

/// The same for a host that names thousands of domains and gives the longest possible answer to every question: four
/// such answers at a time, what is known of 4,096 domains, and the largest page that one daemon's domains may have.
const MOST_MEMORY_OF_A_HOST: u64 = 256 * 1_024 * 1_024;

/// How long a scrape may take: Prometheus' default timeout.
const SCRAPED_WITHIN: Duration = Duration::from_secs(10);

/// The most lines of the log: one for each of a thousand domains of a host with the same problem, then one a minute.
const MOST_LINES: usize = 1_100;

/// Descriptors that come and go: a connection to the honest daemon on which a call was late, and a connection attempt.
const SLACK: usize = 2;

/// The most threads that the agent has.
const MOST_THREADS: usize = 4;

/// The most of one core that a flood may cost an agent that was built without optimisation.
const MOST_CPU: f64 = 0.8;

fn guest(name: &str) -> Domain {
    Domain::quick(name)
}

/// How old the oldest group of a domain is.
fn age(page: &Metrics, domain: &str) -> f64 {
    page.all(AGE, &[("domain", domain)]).iter().map(|sample| sample.value).fold(0.0, f64::max)
}

/// The log's warnings about a daemon or its domains.
fn warnings(log: &str, of: &str) -> Vec<String> {
    let warns = |line: &&str| (line.contains("WARN") || line.contains("ERROR")) && line.contains(of);
    log.lines().filter(warns).map(str::to_owned).collect()
}

/// What one hostile daemon has cost.
struct Cost {
    manner: Manner,
    oldest: f64,
    memory: u64,
    cpu: f64,
    connections: usize,
    /// The longest page, in bytes, and how long the slowest took.
    page: usize,
    scrape: Duration,
}

/// One agent with an honest daemon and a hostile one.
fn beside(honest: &Libvirtd, well: &str, manner: Manner) -> Cost {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("sock");
    let path = socket.display().to_string();
    let uri = format!("qemu+unix:///session?socket={path}");
    let arguments = ["--libvirt-uri", &honest.read_only_uri(), "--libvirt-uri", &uri, "--interval", "2s"];
    let agent = Agent::start(&[&arguments[..], &["--exporters", "prometheus"]].concat(), &[]);
    agent.wait_for(SOON, "the honest daemon", |page| page.has(CPU, &[("domain", well)]));
    let (memory, cpu, descriptors) = (agent.resident(), agent.cpu_time(), agent.descriptors());

    let hostile = Hostile::start(&socket, 0, manner, "hostile");
    let watched = if manner.lasts() || manner == Manner::Fullest { WATCHED_LONG } else { WATCHED };
    let (started, mut oldest, mut longest, mut scrape) = (Instant::now(), 0.0_f64, 0, Duration::ZERO);
    while started.elapsed() < watched {
        let asked = Instant::now();
        let text = agent.metrics_raw("text/plain;version=0.0.4").text();
        (longest, scrape) = (longest.max(text.len()), scrape.max(asked.elapsed()));
        let page = Metrics::parse(&text);
        assert!(page.has(CPU, &[("domain", well)]), "{manner:?}: {well} has lost its figures:\n{}", agent.log());
        oldest = oldest.max(age(&page, well));
        let up = page.get(UP, &[("uri", &uri)]);
        if up == Some(0.0) && page.has(TYPE, &[("domain", "hostile")]) {
            let kind = page.has(TYPE, &[("domain", "hostile"), ("hypervisor_type", "unknown")]);
            assert!(kind, "{manner:?}: nobody vouches for its type");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let used = (agent.cpu_time() - cpu).as_secs_f64() / started.elapsed().as_secs_f64();

    // An event of the honest one arrives.
    honest.virsh(&["resume", well]);
    agent.wait_for(SOON, "an event of the honest daemon", |page| {
        page.get(STATE, &[("domain", well), ("state", "running")]) == Some(1.0)
    });
    honest.virsh(&["suspend", well]);

    let log = agent.log();
    let mut told = warnings(&log, &path);
    // It did not exist at first.
    told.retain(|line| !line.contains("is not there"));
    let lost = told.iter().filter(|line| line.contains("lost libvirt") || line.contains("could not reach")).count();
    match manner.ends_with() {
        Some(reason) => {
            assert_eq!(lost, 1, "{manner:?}: {told:#?}");
            assert!(log.contains(reason), "{manner:?}: no {reason:?} in {log}");
        }
        None => assert_eq!(lost, 0, "{manner:?}: {told:#?}"),
    }
    assert!(log.lines().count() < MOST_LINES, "{manner:?}: a log of {} lines", log.lines().count());
    assert!(!log.contains("panicked"), "{log}");

    let connections = hostile.connections();
    drop(hostile);
    std::fs::remove_file(&socket).unwrap();
    wait_until(THREAD_ENDS, &format!("{manner:?}: the descriptors of before"), || {
        (agent.descriptors() <= descriptors + SLACK && agent.threads() <= MOST_THREADS).then_some(())
    });
    let memory = agent.peak().saturating_sub(memory);
    Cost { manner, oldest, memory, cpu: used, connections, page: longest, scrape }
}

/// The agent reads an honest daemon beside each hostile one.
#[test]
fn no_hostile_daemon_harms_an_honest_one() {
    // One for each agent: two that ask about the same domain at once delay each other.
    let honest: Vec<Libvirtd> = (0..AT_ONCE).map(|_| Libvirtd::system()).collect();
    for daemon in &honest {
        daemon.create_paused(&guest("well"));
    }
    let left = Mutex::new(Manner::ALL.to_vec());
    let (costs, failed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for honest in &honest {
            scope.spawn(|| {
                while let Some(manner) = { left.lock().unwrap().pop() } {
                    // Go on with the others.
                    match std::panic::catch_unwind(|| beside(honest, "well", manner)) {
                        Ok(cost) => costs.lock().unwrap().push(cost),
                        Err(_) => failed.lock().unwrap().push(manner),
                    }
                }
            });
        }
    });
    let costs = costs.into_inner().unwrap();
    for Cost { manner, oldest, memory, cpu, connections, page, scrape } in &costs {
        eprintln!(
            "{manner:?}: the honest VM was {oldest:.1} s old at most, {} KiB more, {:.0} % of a core, {connections} connections, \
             a page of {} KiB within {scrape:?}",
            memory / 1_024,
            100.0 * cpu,
            page / 1_024
        );
    }
    for Cost { manner, oldest, memory, cpu, scrape, .. } in costs {
        assert!(scrape < SCRAPED_WITHIN, "{manner:?}: {scrape:?}");
        assert!(oldest < 2.0 * INTERVAL, "{manner:?}: {oldest} s");
        // Thousands of domains with the longest answers are never read to the end: the agent reads without a pause, and
        // how much of the processors that is depends on the machine. What counts is that honest VMs do not notice.
        let (most_memory, most_cpu) = match manner {
            Manner::Fullest => (MOST_MEMORY_OF_A_HOST, None),
            _ => (MOST_MEMORY, Some(MOST_CPU)),
        };
        assert!(memory < most_memory, "{manner:?}: {memory} bytes");
        assert!(most_cpu.is_none_or(|most| cpu < most), "{manner:?}: {cpu} of a core");
    }
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{failed:?}: see above");
}

/// The interval of the agent of a node here, in seconds.
const NODE_INTERVAL: f64 = 1.0;

/// How long a probe may take while everything is hostile. A kubelet allows a second.
const PROBE_WITHIN: Duration = Duration::from_secs(1);

/// The most of one core that all of them together cost an agent that was built without optimisation.
const MOST_CPU_OF_ALL: f64 = 1.2;

/// A number of MiB, in bytes.
fn mebibytes(number: &str) -> u64 {
    number.strip_suffix("Mi").expect("a number of MiB").parse::<u64>().unwrap() * 1_024 * 1_024
}

/// The memory limit in the chart.
fn memory_limit() -> u64 {
    let values = std::fs::read_to_string(super::support::helm::chart().join("values.yaml")).unwrap();
    let limits = values.split_once("limits:").expect("its limits").1;
    mebibytes(limits.lines().find_map(|line| line.trim().strip_prefix("memory: ")).expect("that of memory"))
}

/// All launchers of a node except three are compromised.
#[test]
fn a_node_full_of_hostile_launchers_is_read_where_it_is_honest() {
    let (node, cluster) = (Node::new("node-a"), Cluster::start());
    let good = ["good-0", "good-1", "good-2"];
    let launchers = good.map(|name| {
        let launcher = node.launcher();
        launcher.create_paused(&guest(&format!("shop_{name}")).like_kubevirt());
        Vmi::create_running(&cluster.api, "shop", name, launcher.place());
        launcher
    });
    let hostile = Manner::ALL.map(|manner| {
        let place = node.place();
        let name = format!("{manner:?}").to_lowercase();
        let socket = node.make_pod(&place.pod_uid).join(VIRTQEMUD_SOCKET);
        let daemon = Hostile::start(&socket, place.user, manner, &format!("shop_{name}"));
        Vmi::create_running(&cluster.api, "shop", &name, &place);
        (manner, name, daemon)
    });
    assert!(hostile.len() >= 20);

    let agent = Agent::on_node(&node, &cluster.kubeconfig, &[], None);
    let kind = |page: &Metrics, name: &str| hypervisor(page, "shop", name);
    let true_type = if kvm() { "kvm" } else { "qemu-tcg" };
    agent.wait_for(Duration::from_secs(30), "the honest ones", |page| {
        good.iter().all(|name| kind(page, name).as_deref() == Some(true_type))
            && good.iter().all(|name| page.has("kubevirt_vmi_cpu_usage_seconds_total", &[("name", name)]))
    });
    let cpu = agent.cpu_time();
    let (started, mut oldest, mut slowest) = (Instant::now(), 0.0_f64, Duration::ZERO);
    let mut unknown = vec![false; hostile.len()];
    while started.elapsed() < WATCHED_LONG {
        let probed = Instant::now();
        assert_eq!(http::get(agent.port(), "/livez", &[]).unwrap().status, 200);
        slowest = slowest.max(probed.elapsed());
        let page = agent.metrics();
        for name in good {
            assert_eq!(kind(&page, name).as_deref(), Some(true_type), "{name}; the log:\n{}", agent.log());
            let ages = page.all("kubevirt_vmi_collection_age_seconds", &[("name", name)]);
            oldest = ages.iter().map(|sample| sample.value).fold(oldest, f64::max);
        }
        for ((_, name, _), unknown) in hostile.iter().zip(&mut unknown) {
            *unknown |= kind(&page, name).as_deref() == Some("unknown");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let used = (agent.cpu_time() - cpu).as_secs_f64() / started.elapsed().as_secs_f64();
    // An event of an honest one arrives.
    launchers[0].virsh(&["resume", "shop_good-0"]);
    agent.wait_for(SOON, "an event of an honest launcher", |page| {
        page.get("kubevirt_vmi_state", &[("name", "good-0"), ("state", "running")]) == Some(1.0)
    });
    eprintln!(
        "beside {} hostile launchers: the honest VMs were {oldest:.1} s old at most, a probe took {slowest:?} at most, {} MiB, \
         {:.0} % of a core",
        hostile.len(),
        agent.peak() / 1_048_576,
        100.0 * used
    );
    assert!(oldest < 2.0 * NODE_INTERVAL, "{oldest} s");
    assert!(slowest < PROBE_WITHIN, "{slowest:?}");
    assert!(agent.peak() < memory_limit(), "{} bytes", agent.peak());
    assert!(agent.threads() <= MOST_THREADS + 1, "{} threads", agent.threads());
    assert!(used < MOST_CPU_OF_ALL, "{used} of a core");

    let log = agent.log();
    assert!(!log.contains("panicked"), "{log}");
    for ((manner, name, _), unknown) in hostile.iter().zip(unknown) {
        let told = warnings(&log, &format!("shop/{name} in pod"));
        assert!(told.len() <= 2, "{manner:?}: {told:#?}");
        // A silent launcher is given up after two unanswered PINGs, half a minute apart: longer than this test watches.
        let Some(reason) = manner.ends_with().filter(|reason| !reason.is_empty()) else { continue };
        assert!(unknown || manner.lasts(), "{manner:?}: nobody vouches for its type; it was told: {told:#?}");
        assert!(
            told.iter().any(|line| line.contains(reason)),
            "{manner:?}: no {reason:?} in {told:#?}; the log:\n{log}"
        );
    }
    for name in good {
        assert_eq!(warnings(&log, &format!("shop/{name} in pod")), [""; 0]);
    }
}

/// The sidecar's memory limit.
fn memory_limit_of_sidecar() -> u64 {
    let policy = std::fs::read_to_string(super::support::repository().join("deploy/sidecar/policy.yaml")).unwrap();
    let limits = policy.split_once("limits: {").and_then(|(_, rest)| rest.split_once('}')).expect("its limits").0;
    let memory = limits.split(',').find_map(|limit| limit.trim().strip_prefix("\"memory\": ")).expect("that of memory");
    mebibytes(memory.trim_matches('"'))
}

/// The peak memory of a sidecar of a launcher with this manner, while its metrics are pushed and scraped.
fn beside_a_sidecar(collector: &Collector, manner: Manner) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("virtqemud-sock");
    let hostile = Hostile::start(&socket, qemu_user().0, manner, "shop_web");
    let path = socket.display().to_string();
    let place = ["--mode", "sidecar", "--socket", &path, "--node-name", "node-a", "--namespace", "shop"];
    let more =
        ["--pod-uid", "0b5c2f6e-8a3d-4b1c-9e7f-1d2c3b4a5968", "--interval", "1s", "--exporters", "otlp,prometheus"];
    let endpoint = collector.endpoint();
    let towards = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_METRIC_EXPORT_INTERVAL", "1000")];
    let mut agent = Agent::start(&[&place[..], &more].concat(), &towards);
    let watched = if manner.lasts() { WATCHED_LONG } else { 2 * WATCHED };
    let started = Instant::now();
    while started.elapsed() < watched {
        assert_eq!(http::get(agent.port(), "/livez", &[]).unwrap().status, 200, "{manner:?}: {}", agent.log());
        agent.metrics();
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(agent.running() && !agent.log().contains("panicked"), "{manner:?}: {}", agent.log());
    assert!(hostile.connections() > 0, "{manner:?}: nobody has connected");
    agent.peak()
}

/// A sidecar shares a pod with its tenant's VM. Even with a compromised launcher it stays within its memory limit.
#[test]
fn a_hostile_launcher_stays_within_the_memory_of_its_sidecar() {
    let limit = memory_limit_of_sidecar();
    let collector = Collector::start(CollectorOptions::file());
    let mut peaks = Vec::new();
    for manner in Manner::HEAVIEST {
        let peak = beside_a_sidecar(&collector, manner);
        eprintln!("{manner:?}: a sidecar has had {} KiB at most", peak / 1_024);
        peaks.push((manner, peak));
    }
    for (manner, peak) in peaks {
        assert!(peak < limit, "{manner:?}: {peak} bytes where {limit} are allowed");
    }
}

/// Launchers whose long answers never end: their total memory is bounded, however many they are.
const HOARDERS: usize = 24;

#[test]
fn twenty_launchers_that_hoard_stay_below_the_memory_limit() {
    let (node, cluster) = (Node::new("node-a"), Cluster::start());
    let launcher = node.launcher();
    launcher.create_paused(&guest("shop_good").like_kubevirt());
    Vmi::create_running(&cluster.api, "shop", "good", launcher.place());
    let hoarders: Vec<_> = (0..HOARDERS)
        .map(|number| {
            let place = node.place();
            let name = format!("hoards-{number}");
            let socket = node.make_pod(&place.pod_uid).join(VIRTQEMUD_SOCKET);
            let daemon = Hostile::start(&socket, place.user, Manner::Hoards, &format!("shop_{name}"));
            Vmi::create_running(&cluster.api, "shop", &name, &place);
            (name, daemon)
        })
        .collect();

    let agent = Agent::on_node(&node, &cluster.kubeconfig, &[], None);
    agent.wait_for(Duration::from_secs(30), "the honest one", |page| {
        page.has("kubevirt_vmi_cpu_usage_seconds_total", &[("name", "good")])
    });
    let cpu = agent.cpu_time();
    let (started, mut oldest) = (Instant::now(), 0.0_f64);
    let mut unknown = vec![false; hoarders.len()];
    while started.elapsed() < WATCHED_LONG {
        let page = agent.metrics();
        let ages = page.all("kubevirt_vmi_collection_age_seconds", &[("name", "good")]);
        assert!(!ages.is_empty(), "the honest one has lost its figures:\n{}", agent.log());
        oldest = ages.iter().map(|sample| sample.value).fold(oldest, f64::max);
        for ((name, _), unknown) in hoarders.iter().zip(&mut unknown) {
            *unknown |= hypervisor(&page, "shop", name).as_deref() == Some("unknown");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let used = (agent.cpu_time() - cpu).as_secs_f64() / started.elapsed().as_secs_f64();
    let connections: usize = hoarders.iter().map(|(_, daemon)| daemon.connections()).sum();
    eprintln!(
        "beside {HOARDERS} launchers that hoard: the honest VM was {oldest:.1} s old at most, {} MiB, {:.0} % of a core, \
         {connections} connections",
        agent.peak() / 1_048_576,
        100.0 * used
    );
    let log = agent.log();
    assert!(agent.peak() < memory_limit(), "{} bytes", agent.peak());
    assert!(oldest < 2.0 * NODE_INTERVAL, "{oldest} s");
    assert!(unknown.iter().all(|unknown| *unknown), "nobody vouches for what hoards; the log:\n{log}");
    assert!(log.contains("has not ended a long message within"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(warnings(&log, "shop/good in pod"), [""; 0]);
}
