//! The agent in one launcher's pod, which asks only that pod's libvirt.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::time::{Duration, Instant};

use virt_otel::catalog::{Read, Selection, Vocabulary};
use virt_otel::export::naming;

use super::support::cluster::{self, HYPERVISOR};
use super::support::libvirtd::VIRTQEMUD_SOCKET;
use super::support::proxy::{GET_STATS, GET_XML, Proxy};
use super::support::{
    Agent, Cluster, Collector, CollectorOptions, Container, Domain, Launcher, Metrics, Node, Pace, Vmi, process,
    wait_until,
};

const STATE: &str = "kubevirt_vmi_state";
const CPU: &str = "kubevirt_vmi_cpu_usage_seconds_total";
/// The only metric of a named VMI while its domain is not here.
const CONNECTED: &str = "kubevirt_vmi_collection_connected";

/// The reason for a missing socket.
const NOT_THERE: &str = "is not there yet";

/// How long something that takes the agent a second or two may take on a busy machine.
const SOON: Duration = Duration::from_secs(15);

/// How long until it is warned of a launcher that does not come, on a busy machine: 30 s for the agent.
const OVERDUE: Duration = Duration::from_secs(45);

/// How long an agent may take to see that its pod has ended: when libvirt goes after its domain, it waits ten seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// The metrics that the Kubernetes API alone knows, and whether a VMI that never migrated has them.
fn of_the_api() -> BTreeMap<String, bool> {
    let rows = Selection::everything(Vocabulary::Kubevirt).vm.into_iter();
    let of_the_api = rows.filter(|row| matches!(row.metric.read, Read::Vmi(_) | Read::VmiEach(..)));
    of_the_api.map(|row| (naming::of_row(&row.name, row.metric), !row.metric.name.starts_with("migration."))).collect()
}

type Labels = BTreeMap<String, String>;

/// Labels that come from the Kubernetes API on series that do not.
const LABELS_OF_THE_API: [&str; 2] = ["persistentvolumeclaim", "datavolume"];

/// The VMs' series, except what only the Kubernetes API knows.
fn figures<'a>(page: &'a Metrics, of_the_api: &BTreeMap<String, bool>) -> BTreeMap<(&'a str, Labels), f64> {
    let ours = |name: &str| name.starts_with("kubevirt_vmi_") && !of_the_api.contains_key(name);
    let samples = page.samples.iter().filter(|sample| ours(&sample.name));
    let known = |labels: &Labels| {
        let of_libvirt = labels.iter().filter(|(label, _)| !LABELS_OF_THE_API.contains(&label.as_str()));
        of_libvirt.map(|(label, value)| (label.clone(), value.clone())).collect()
    };
    samples.map(|sample| ((sample.name.as_str(), known(&sample.labels)), sample.value)).collect()
}

fn names(page: &Metrics) -> BTreeSet<&str> {
    page.samples.iter().map(|sample| sample.name.as_str()).filter(|name| name.starts_with("kubevirt_vmi_")).collect()
}

/// The type of the one VM on the page; none when there is none.
#[track_caller]
fn hypervisor(page: &Metrics) -> Option<String> {
    let found = page.all(HYPERVISOR, &[]).len();
    assert!(found < 2, "{found} VMs in one pod");
    cluster::hypervisor(page, "shop", "web")
}

fn is(page: &Metrics, wanted: &str) -> bool {
    hypervisor(page).as_deref() == Some(wanted)
}

fn state(page: &Metrics) -> Option<&str> {
    page.all(STATE, &[]).into_iter().find(|sample| sample.value == 1.0).and_then(|sample| sample.label("state"))
}

#[track_caller]
fn wait_tcg(agent: &Agent) -> Metrics {
    agent.wait_for(SOON, "the emulated guest", |page| is(page, "qemu-tcg") && page.has(CPU, &[]))
}

/// An agent's warnings.
/// What an agent has warned of. At an interval of a second it warns of a domain that has been busy for three, which the end
/// of a migration is on a busy machine.
fn warnings(agent: &Agent) -> Vec<String> {
    let warnings = |line: &&str| line.contains("WARN") && !line.contains("has kept the domain busy");
    agent.log().lines().filter(warnings).map(str::to_owned).collect()
}

/// A launcher with a paused emulated guest.
fn launcher() -> Launcher {
    let launcher = Node::new("node-a").launcher();
    launcher.create_paused(&Domain::tcg("shop_web").like_kubevirt());
    launcher
}

/// Whether a value fits between another agent's earlier and later values: in the range if it is a counter or unchanged,
/// near one of them if it moves.
fn fits(counter: bool, before: f64, between: f64, after: f64) -> bool {
    let near = |one: f64, other: f64| (one - other).abs() <= 0.2 * one.abs().max(other.abs());
    match (counter, before == after) {
        (true, _) => before <= between && between <= after,
        (false, true) => before == between,
        (false, false) => near(before, between) || near(after, between),
    }
}

#[test]
fn a_sidecar_gives_what_the_agent_of_the_node_gives_but_for_what_the_api_knows() {
    let cluster = Cluster::start();
    let node = Node::new("node-a");
    let launcher = node.launcher();
    launcher.start_linux("shop", "web");
    Vmi::create_running(&cluster.api, "shop", "web", launcher.place());
    let of_node = cluster.agent(&node, None);
    // One is given the VMI's name, the other takes it from the domain.
    let sidecars = [&["--vmi-name", "web"][..], &[]].map(|more| Agent::in_pod(&launcher, "shop", more, None));
    for agent in sidecars.iter().chain([&of_node]) {
        agent.wait_for(SOON, "figures of the balloon", |page| page.has("kubevirt_vmi_memory_usable_bytes", &[]));
    }

    let of_the_api = of_the_api();
    let always: BTreeSet<&str> =
        of_the_api.iter().filter(|(_, always)| **always).map(|(name, _)| name.as_str()).collect();
    assert_eq!(always.len(), 14, "{always:?}");
    // A value that differs only once, such as a state, changed between the readings.
    let mut different = Vec::new();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(40) {
        different.clear();
        let before = of_node.metrics();
        std::thread::sleep(Duration::from_millis(2_500));
        let between = sidecars.each_ref().map(Agent::metrics);
        std::thread::sleep(Duration::from_millis(2_500));
        let after = of_node.metrics();
        assert!(always.is_subset(&names(&before)), "{:?}", names(&before));
        let (first, last) = (figures(&before, &of_the_api), figures(&after, &of_the_api));
        for (index, page) in between.iter().enumerate() {
            let figures = figures(page, &of_the_api);
            let ours: BTreeSet<_> = figures.keys().collect();
            let theirs: BTreeSet<_> = first.keys().collect();
            different.extend(ours.symmetric_difference(&theirs).map(|series| format!("{index}: {series:?}")));
            for (series, value) in &figures {
                let (Some(before), Some(after)) = (first.get(series), last.get(series)) else { continue };
                let counter = page.types.get(series.0).map(String::as_str) == Some("counter");
                // Ages depend on the moment of reading.
                if !series.0.ends_with("age_seconds") && !fits(counter, *before, *value, *after) {
                    different.push(format!("{index}: {series:?} is {value} between {before} and {after}"));
                }
            }
            assert!(names(page).iter().all(|name| !of_the_api.contains_key(*name)), "{:?}", names(page));
        }
        if different.is_empty() {
            println!("{} series of {} metrics are the same", first.len(), names(&between[0]).len());
            assert!(first.len() > 60, "{}", first.len());
            return;
        }
    }
    panic!("the sidecars differ from the node's agent:\n{}", different.join("\n"));
}

/// One XML query when the domain is first seen, one when it is resumed, one when libvirt is back; none in between.
#[test]
fn a_sidecar_follows_its_guest_and_goes_on_when_libvirt_is_started_anew() {
    let mut launcher = launcher();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join(VIRTQEMUD_SOCKET);
    let proxy = Proxy::at(&socket, &launcher.socket(), None);
    // The socket's owner determines the driver.
    chown(&socket, Some(launcher.place().user), None).unwrap();
    let mut agent = Agent::start(&arguments(&socket.display().to_string(), launcher.pod_uid()), &[]);
    wait_tcg(&agent);
    let read_on = || {
        let before = proxy.calls(GET_STATS);
        wait_until(SOON, "three more readings", || (proxy.calls(GET_STATS) > before + 3).then_some(()));
    };
    let queries = |wanted: usize, what: &str| {
        read_on();
        assert_eq!(proxy.calls(GET_XML), wanted, "{what}");
    };
    queries(1, "when it is first seen");
    for (round, expected) in [(1, 2), (2, 3)] {
        launcher.virsh(&["resume", "shop_web"]);
        agent.wait_for(SOON, "the guest to run", |page| state(page) == Some("running"));
        queries(expected, &format!("resume {round} is one detection"));
        launcher.virsh(&["suspend", "shop_web"]);
        let page = agent.wait_for(SOON, "the guest to be paused", |page| state(page) == Some("paused"));
        assert!(is(&page, "qemu-tcg"));
        queries(expected, "a pause is none");
    }

    launcher.kill();
    agent.wait_for(SOON, "the type to be unknown", |page| is(page, "unknown"));
    launcher.start_again();
    wait_tcg(&agent);
    queries(4, "a libvirt that is back is one detection");
    assert!(agent.running());
    assert_eq!(agent.terminate().code, Some(0), "told to stop:\n{}", agent.log());
}

/// The whole life of a VM that migrates: the target pod is silent until the VM is there; the source pod ends its
/// series, and its agent ends with its libvirt.
#[test]
fn a_migration_ends_one_sidecar_and_begins_another() {
    let [mut source, target] = ["node-a", "node-b"].map(|name| Node::new(name).launcher());
    let collector = Collector::start(CollectorOptions::file());
    let mut leaving = Agent::in_pod(&source, "shop", &[], Some(&collector));
    let arriving = [&["--vmi-name", "web"][..], &[]].map(|more| Agent::in_pod(&target, "shop", more, None));
    arriving[0].wait_for(SOON, "the empty launcher", |page| page.get(CONNECTED, &[]) == Some(1.0));
    source.start_tcg("shop", "web");
    wait_tcg(&leaving);

    let mut migration =
        source.begin_migration("shop_web", &target, Pace { mebibytes_a_second: Some(1), post_copy: false });
    let mut silent = 0;
    while migration.running() {
        let pages = arriving.each_ref().map(Agent::metrics);
        let left = leaving.metrics();
        assert!(!is(&left, "unknown"), "the source;\n{}", leaving.log());
        // If the guest is still paused, it had not arrived when the pages were made.
        if target.try_virsh(&["domstate", "shop_web"]).is_ok_and(|state| state.starts_with("paused")) {
            silent += 1;
            assert_eq!(names(&pages[0]), BTreeSet::from([CONNECTED]), "the named one;\n{}", arriving[0].log());
            assert_eq!(names(&pages[1]), BTreeSet::new(), "the other one;\n{}", arriving[1].log());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    migration.finish();
    println!("silent at {silent} scrapes while the guest came in");
    assert!(silent >= 3, "the migration was over too soon to be looked at");
    for agent in &arriving {
        let page = wait_tcg(agent);
        assert_eq!(page.all(CPU, &[("namespace", "shop"), ("name", "web"), ("node", "node-b")]).len(), 1);
    }
    leaving.wait_for(SOON, "the source's series to be gone", |page| !page.has(CPU, &[]) && hypervisor(page).is_none());

    source.terminate();
    let ends = Instant::now();
    while ends.elapsed() < PATIENCE && leaving.running() {
        // Its endpoint goes before it does.
        if let Ok(page) = leaving.get("/metrics", &[]) {
            assert!(!page.text().contains("unknown\"} 1"), "a VM that has left is unknown:\n{}", page.text());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let took = ends.elapsed();
    println!("ended {took:?} after its libvirt");
    assert_eq!(leaving.wait_end(Duration::ZERO).code, Some(0), "the log:\n{}", leaving.log());
    assert!(took > Duration::from_secs(8), "a libvirt that is restarted would not have been waited for");
    assert!(leaving.log().contains("the launcher of this pod has ended"), "{}", leaving.log());
    for agent in arriving.iter().chain([&leaving]) {
        assert_eq!(warnings(agent), [""; 0], "an ordinary life is nothing to warn of");
    }

    // The Collector's series ended too, once, and nothing came after.
    let points = collector.points("kubevirt.vmi.cpu.usage");
    assert!(points.iter().all(|point| point.of_resource("service.instance.id") == Some(source.pod_uid())));
    assert_eq!(points.iter().filter(|point| point.ended()).count(), 1, "one end");
    assert!(points.last().is_some_and(|point| point.ended()), "nothing after it");
}

#[test]
fn told_to_stop_a_sidecar_pushes_once_more_and_ends() {
    let launcher = launcher();
    let collector = Collector::start(CollectorOptions::file());
    let socket = launcher.pod_socket().display().to_string();
    let arguments = arguments(&socket, launcher.pod_uid());
    // Its next push would be minutes away.
    let environment =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()), ("OTEL_METRIC_EXPORT_INTERVAL", "290000".to_owned())];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut agent = Agent::start(&arguments[..arguments.len() - 2], &environment);
    wait_tcg(&agent);
    // Events are pushed at once, with everything read before. The first ones may have been pushed before anything was
    // read.
    for (command, wanted) in [("resume", "running"), ("suspend", "paused")] {
        launcher.virsh(&[command, "shop_web"]);
        agent.wait_for(SOON, command, |page| state(page) == Some(wanted));
    }
    let points = || collector.points("kubevirt.vmi.cpu.usage");
    // Readings, which are a second apart, are kept for the next push.
    let first = wait_until(Duration::from_secs(30), "a pause between pushes", || {
        let before = points();
        std::thread::sleep(Duration::from_millis(2_500));
        (!before.is_empty() && points().len() == before.len()).then_some(before)
    });
    let exit = agent.terminate();
    assert_eq!(exit.code, Some(0), "the log:\n{}", agent.log());
    assert!(exit.took < Duration::from_secs(8), "{:?}", exit.took);
    // The Collector writes to its file some time after it has answered.
    let points = wait_until(SOON, "the last push", || Some(points()).filter(|points| points.len() > first.len()));
    assert_eq!(points.len(), first.len() + 1, "{points:?}");
    // The VM goes on, so its series do not end with the agent: the next agent continues them.
    let (before, last) = (&points[points.len() - 2], &points[points.len() - 1]);
    assert!(last.value().is_some() && last.time() > before.time(), "{last:?} after {before:?}");
    assert_eq!(warnings(&agent), [""; 0], "an end in order is nothing to warn of");
}

/// As deploy/sidecar asks for it: the launcher's own user, no capability, the volume read-only.
#[test]
fn the_launchers_own_user_needs_no_capability() {
    let launcher = launcher();
    let mounted = tempfile::tempdir().unwrap();
    fs::set_permissions(mounted.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let runtime = launcher.pod_socket().parent().unwrap().to_owned();
    let container = Container::of_user(launcher.place().user).read_only(&runtime, mounted.path());
    let socket = mounted.path().join(VIRTQEMUD_SOCKET).display().to_string();
    let mut agent = Agent::contained(&container, &arguments(&socket, launcher.pod_uid()));
    assert_eq!(process::status_field(agent.pid(), "CapEff").as_deref(), Some("0000000000000000"));
    wait_tcg(&agent);
    assert_eq!(agent.terminate().code, Some(0));
}

/// A sidecar's arguments.
fn arguments<'a>(socket: &'a str, pod_uid: &'a str) -> Vec<&'a str> {
    let mut arguments = vec!["--mode", "sidecar", "--node-name", "node-a", "--namespace", "shop", "--pod-uid", pod_uid];
    arguments.extend(["--socket", socket, "--interval", "1s", "--exporters", "prometheus"]);
    arguments
}

#[test]
fn a_wrong_socket_is_told_and_waited_for() {
    let launcher = launcher();
    let other = Node::new("node-b").launcher();
    other.create_paused(&Domain::tcg("stranger_web").like_kubevirt());
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    fs::write(place("file"), "").unwrap();
    symlink(launcher.pod_socket(), place("link")).unwrap();
    fs::hard_link(other.pod_socket(), place("stranger")).unwrap();
    let cases = [
        ("absent", NOT_THERE),
        ("file", "is a regular file, not a socket"),
        ("link", "is a symbolic link"),
        ("stranger", "domain=\"stranger_web\" expected=\"shop_web\""),
    ];
    let mut agents = cases.map(|(name, reason)| {
        let socket = place(name).display().to_string();
        let mut arguments = arguments(&socket, launcher.pod_uid());
        arguments.extend(["--vmi-name", "web"]);
        (reason, Agent::start(&arguments, &[]), socket)
    });
    for (reason, agent, socket) in &mut agents {
        // A missing socket may still appear.
        let wanted = |page: &Metrics| is(page, "unknown") || (*reason == NOT_THERE && names(page).contains(CONNECTED));
        agent.wait_for(SOON, reason, wanted);
        let told = wait_until(OVERDUE, reason, || Some(warnings(agent)).filter(|told| !told.is_empty()));
        assert!(told.len() == 1 && told[0].contains(*reason) && told[0].contains(socket.as_str()), "{told:#?}");
        assert!(agent.running(), "it waits for a launcher that is slow to start:\n{}", agent.log());
    }
    // It appears at last.
    let (_, agent, socket) = &agents[0];
    fs::hard_link(launcher.pod_socket(), socket).unwrap();
    wait_tcg(agent);

    // `snapshot` gets a sentence and an exit code.
    for (case, vmi) in [(1, None), (1, Some("web")), (3, None), (3, Some("web"))] {
        let (reason, _, socket) = &agents[case];
        let mut asked = vec!["snapshot"];
        asked.extend(&arguments(socket, launcher.pod_uid())[..10]);
        asked.extend(vmi.iter().flat_map(|name| ["--vmi-name", name]));
        let output = Agent::output(&asked, &[]);
        let log: Vec<&str> = output.stderr.lines().filter(|line| line.contains("WARN")).collect();
        assert!(output.code == Some(1) && log.len() == 1, "{output:?}");
        assert!(vmi.is_none() && case == 3 || log[0].contains(*reason), "{output:?}");
        let sentence = output.stderr.lines().last().unwrap_or_default();
        assert!(sentence.starts_with("virt-otel: ") && sentence.contains("the log before this says why"), "{output:?}");
    }
    let output = Agent::output(&["run", "--mode", "sidecar", "--socket", "relative/sock"], &[]);
    assert_eq!(output.code, Some(64), "{output:?}");
}
