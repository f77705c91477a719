//! Too few file descriptors for all VMs: those that fit are read, and the log says why the others are not.

use std::time::{Duration, Instant};

use super::support::cluster::hypervisor;
use super::support::hostile::{Hostile, Manner};
use super::support::libvirtd::VIRTQEMUD_SOCKET;
use super::support::{Agent, Cluster, Domain, Metrics, Node, Vmi, http};

const CPU: &str = "kubevirt_vmi_cpu_usage_seconds_total";
const CONNECTED: &str = "kubevirt_vmi_collection_connected";
const AGE: &str = "kubevirt_vmi_collection_age_seconds";

/// The interval, in seconds.
const INTERVAL: f64 = 1.0;

/// How long everything may take to settle, and how long it is watched then.
const SETTLED: Duration = Duration::from_secs(20);
const WATCHED: Duration = Duration::from_secs(10);

/// How long a probe may take.
const PROBE_WITHIN: Duration = Duration::from_secs(1);

/// Files that are open before any VM is read: standard streams, the runtime's own, the listener, and the API.
const BESIDES: u64 = 14;

/// The warning about a VM for which no file is left.
const TOO_FEW: &str = "too few of the";

fn read(page: &Metrics, name: &str) -> bool {
    page.has(CPU, &[("name", name)])
}

/// A node with more VMs than `files` files allow; at least `fit` must be read.
fn with_files(files: u64, vms: usize, fit: u64) {
    let (node, cluster) = (Node::new("node-a"), Cluster::start());
    let real = node.launcher();
    let guest = Domain::quick("shop_real");
    real.create_paused(&guest.like_kubevirt());
    let fakes: Vec<(String, Hostile)> = (0..vms)
        .map(|number| {
            let (place, name) = (node.place(), format!("fake-{number:03}"));
            let socket = node.make_pod(&place.pod_uid).join(VIRTQEMUD_SOCKET);
            let daemon = Hostile::start(&socket, place.user, Manner::Honest, &format!("shop_{name}"));
            Vmi::create_running(&cluster.api, "shop", &name, &place);
            (name, daemon)
        })
        .collect();
    Vmi::create_running(&cluster.api, "shop", "real", real.place());

    let kubeconfig = cluster.kubeconfig.display().to_string();
    let pods = node.pods_dir().display().to_string();
    let arguments =
        ["--mode", "kubevirt", "--node-name", node.name(), "--kubeconfig", &kubeconfig, "--pods-dir", &pods];
    let more = ["--interval", "1s", "--exporters", "prometheus"];
    let mut agent = Agent::with_files(files, &[&arguments[..], &more].concat(), &[]);
    assert_eq!(agent.open_files(), (files, files));
    let names: Vec<&str> = fakes.iter().map(|(name, _)| name.as_str()).chain(["real"]).collect();

    let started = Instant::now();
    let (mut slowest, mut oldest, mut before) = (Duration::ZERO, 0.0_f64, Vec::new());
    while started.elapsed() < SETTLED + WATCHED {
        for probe in ["/livez", "/readyz"] {
            let probed = Instant::now();
            let answer = http::get(agent.port(), probe, &[]).unwrap();
            let due = probe == "/livez" || started.elapsed() > SETTLED;
            assert!(
                answer.status == 200 || !due,
                "{probe}: {} {}; the log:\n{}",
                answer.status,
                answer.text(),
                agent.log()
            );
            slowest = slowest.max(probed.elapsed());
        }
        let page = agent.metrics();
        if started.elapsed() > SETTLED {
            let now: Vec<&str> = names.iter().copied().filter(|name| read(&page, name)).collect();
            for name in &before {
                assert!(now.contains(name), "{name} is not read any more: {}", agent.log());
            }
            let ages =
                |name: &&str| page.all(AGE, &[("name", name)]).iter().map(|sample| sample.value).fold(0.0, f64::max);
            oldest = now.iter().map(ages).fold(oldest, f64::max);
            before = now;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let (page, log) = (agent.metrics(), agent.log());
    assert!(agent.running() && !log.contains("panicked"), "{log}");
    eprintln!(
        "{files} files: {} of {} VMs are read, {oldest:.1} s old at most; a probe took {slowest:?} at most, {} files are open",
        before.len(),
        names.len(),
        agent.descriptors()
    );
    assert!(slowest < PROBE_WITHIN, "{slowest:?}");
    assert!(before.len() as u64 >= fit && before.len() < names.len(), "{} are read, {fit} fit", before.len());
    assert!(oldest < 3.0 * INTERVAL, "{oldest} s");
    for name in names {
        let about = format!("shop/{name} in pod");
        let warned: Vec<&str> = log.lines().filter(|line| line.contains("WARN") && line.contains(&about)).collect();
        if read(&page, name) {
            continue;
        }
        assert_eq!(hypervisor(&page, "shop", name).as_deref().unwrap_or("unknown"), "unknown", "{name}");
        // No connection is made if no file would be left for calls.
        assert_eq!(page.get(CONNECTED, &[("name", name)]).unwrap_or(0.0), 0.0, "{name}");
        assert!(warned.len() == 1 && warned[0].contains(TOO_FEW), "{name}: {warned:#?}");
    }
    assert!(log.contains("the limit of open files (RLIMIT_NOFILE) is low"), "{log}");
}

/// How many VMs fit, with two files each, into three quarters of the limit less other files.
fn fitting(files: u64) -> u64 {
    (files - files / 4).saturating_sub(BESIDES) / 2
}

#[test]
fn with_sixteen_files_the_agent_lives_and_says_what_is_wrong() {
    with_files(16, 12, fitting(16));
}

#[test]
fn with_sixty_four_files_those_are_read_that_fit() {
    with_files(64, 40, fitting(64));
}

#[test]
fn with_two_hundred_and_fifty_six_files_those_are_read_that_fit() {
    with_files(256, 140, fitting(256));
}
