//! What may be in place of a launcher's socket, and beside it, and how the node's agent handles it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::support::cluster::hypervisor;
use super::support::impostor::{Impostor, Manner, listen};
use super::support::libvirtd::VIRTQEMUD_SOCKET;
use super::support::{
    Agent, Cluster, Collector, CollectorOptions, Container, Domain, Kind, Launcher, LibvirtdOptions, Metrics, Node,
    Place, Vmi, kvm, process, wait_until,
};

const AGE: &str = "kubevirt_vmi_collection_age_seconds";
const CPU: &str = "kubevirt_vmi_cpu_usage_seconds_total";
const VCPU: &str = "kubevirt_vmi_vcpu_seconds_total";
const LEFT_TO_SIDECARS: &str = "virt_otel_otlp_vms_left_to_sidecars";

/// The interval of these tests, in seconds.
const INTERVAL: f64 = 1.0;

/// How long it may take to find a new daemon: the agent looks at least every two and a quarter seconds, and this
/// machine may be busy.
const FOUND: Duration = Duration::from_secs(15);

/// How long the slowest of them, which answers only once, may take to be shown as unknown: the agent waits for it as
/// long as for any daemon that opens slowly.
const SLOWEST: Duration = Duration::from_secs(40);

/// A user who is neither root nor the launchers', and has no entry in /etc/passwd.
const NOBODY_KNOWN: u32 = 65_532;

/// The steps from a pod's directory to its socket.
const WAY: [&str; 4] = ["volumes", "kubernetes.io~empty-dir", "libvirt-runtime", VIRTQEMUD_SOCKET];

fn guest(name: &str) -> Domain {
    let name = format!("shop_{name}");
    let domain = Domain::quick(&name);
    domain.like_kubevirt()
}

/// A guest without NICs: a launcher has two tap devices.
fn decoy(name: &str) -> Domain {
    let name = format!("shop_{name}");
    Domain::quick(&name)
}

/// A launcher with a paused guest.
fn launcher_of(node: &Node, vmi: &str) -> Launcher {
    let launcher = node.launcher();
    launcher.create_paused(&guest(vmi));
    launcher
}

fn true_type() -> &'static str {
    if kvm() { "kvm" } else { "qemu-tcg" }
}

#[track_caller]
fn kind(page: &Metrics, vmi: &str) -> Option<String> {
    hypervisor(page, "shop", vmi)
}

#[track_caller]
fn wait_type(agent: &Agent, vmi: &str, wanted: &str) -> Metrics {
    let what = format!("{vmi} to be {wanted}");
    agent.wait_for(FOUND, &what, |page| kind(page, vmi).as_deref() == Some(wanted))
}

/// How many vCPUs of a VMI have metrics.
fn vcpus(page: &Metrics, vmi: &str) -> usize {
    let ids = page.all(VCPU, &[("name", vmi)]);
    ids.iter().filter_map(|sample| sample.label("id")).collect::<std::collections::BTreeSet<_>>().len()
}

/// The log's lines about a VMI.
fn lines(log: &str, vmi: &str) -> Vec<String> {
    let (daemon, domain) = (format!("shop/{vmi} in pod "), format!("shop_{vmi} "));
    log.lines().filter(|line| line.contains(&daemon) || line.contains(&domain)).map(str::to_owned).collect()
}

/// Its warnings among them.
fn warnings(log: &str, vmi: &str) -> Vec<String> {
    lines(log, vmi).into_iter().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect()
}

/// A VMI without a proper socket, and what the log must say about it.
struct Bad {
    name: String,
    reason: String,
    impostor: Option<Impostor>,
}

/// A node with a decoy: a launcher with domains of the right names, which the agent would read if it followed links.
struct Stage<'a> {
    cluster: &'a Cluster,
    node: &'a Node,
    decoy: &'a Launcher,
    bad: Vec<Bad>,
}

impl Stage<'_> {
    fn runs(&self, name: &str, place: &Place) {
        Vmi::create_running(&self.cluster.api, "shop", name, place);
    }

    fn keep(&mut self, name: &str, reason: &str, impostor: Option<Impostor>) {
        self.bad.push(Bad { name: name.to_owned(), reason: reason.to_owned(), impostor });
    }

    /// A symbolic link in place of each step in turn, to the same step of the decoy.
    fn symbolic_links(&mut self) {
        for step in 0..=WAY.len() {
            let name = format!("link-{step}");
            self.decoy.create_paused(&decoy(&name));
            let place = self.node.place();
            let (mut link, mut real) =
                (self.node.pods_dir().join(&place.pod_uid), self.node.pods_dir().join(self.decoy.pod_uid()));
            for part in &WAY[..step] {
                fs::create_dir(&link).unwrap();
                link.push(part);
                real.push(part);
            }
            symlink(&real, &link).unwrap();
            assert!(self.node.sockets_of(&place.pod_uid).join(VIRTQEMUD_SOCKET).exists(), "a link that leads there");
            self.runs(&name, &place);
            self.keep(&name, &format!("{} is a symbolic link", link.display()), None);
        }
    }

    /// In place of the socket, whatever `make` creates there.
    fn instead(&mut self, name: &str, reason: &str, make: impl FnOnce(&Path, &Place) -> Option<Impostor>) {
        let place = self.node.place();
        let socket = self.node.make_pod(&place.pod_uid).join(VIRTQEMUD_SOCKET);
        let impostor = make(&socket, &place);
        self.runs(name, &place);
        self.keep(name, reason, impostor);
    }

    fn impostor(&mut self, name: &str, reason: &str, manner: Manner) {
        self.instead(name, reason, |socket, place| Some(Impostor::start(socket, place.user, manner)));
    }
}

/// Something may be wrong at each step to the socket, or behind it. Such a VMI's type is unknown; all others are read
/// undisturbed.
#[test]
fn a_hostile_pods_directory_harms_nobody_else() {
    let node = Node::with_paths_of(131, "node-a");
    let cluster = Cluster::start();
    let good = ["good-0", "good-1", "good-2"];
    let launchers = good.map(|name| launcher_of(&node, name));
    for (launcher, name) in launchers.iter().zip(good) {
        assert_eq!(launcher.pod_socket().as_os_str().len(), 131, "{}", launcher.pod_socket().display());
        Vmi::create_running(&cluster.api, "shop", name, launcher.place());
    }
    let decoy = node.launcher();
    let mut stage = Stage { cluster: &cluster, node: &node, decoy: &decoy, bad: Vec::new() };
    stage.symbolic_links();
    stage.instead("regular", "virtqemud-sock is a regular file, not a socket", |socket, _| {
        fs::write(socket, "not a socket").unwrap();
        None
    });
    stage.instead("fifo", "virtqemud-sock is a FIFO, not a socket", |socket, _| {
        let mut command = Command::new("mkfifo");
        command.arg(socket);
        assert_eq!(process::run(command, Duration::from_secs(10)).unwrap().code, Some(0));
        None
    });
    stage.instead("folder", "virtqemud-sock is a directory, not a socket", |socket, _| {
        fs::create_dir(socket).unwrap();
        None
    });
    // The same owner, and a libvirt that answers: only the domain's name differs.
    stage.instead("borrowed", "domain=\"shop_good-0\" expected=\"shop_borrowed\"", |socket, _| {
        fs::hard_link(launchers[0].pod_socket(), socket).unwrap();
        None
    });
    stage.instead("foreign", "belongs to uid 0, while the launcher runs as ", |socket, _| {
        Some(Impostor::start(socket, 0, Manner::Mute))
    });
    stage.instead("dead", "nobody listens on", |socket, place| {
        drop(listen(socket, place.user));
        None
    });
    stage.impostor("mute", "did not answer within 1s", Manner::Mute);
    stage.impostor("garbage", "is not libvirt", Manner::Garbage);
    stage.impostor("flood", "is not libvirt", Manner::Flood);
    stage.impostor("hung-up", "hung up: is it a libvirt socket?", Manner::HangUp);
    stage.impostor("forgetful", "the daemon has not opened its driver within 5s", Manner::Forgetful);
    stage.impostor("liar", "connecting to shop/liar", Manner::Liar);
    // An invalid pod UID is no pod.
    stage.runs("elsewhere", &Place { pod_uid: "../../../run/libvirt".to_owned(), ..node.place() });
    let bad = stage.bad;

    let agent = cluster.agent(&node, None);
    for name in good {
        wait_type(&agent, name, true_type());
    }
    // The slowest answers only once: the agent waits for it as long as opening may take.
    for Bad { name, .. } in &bad {
        let started = Instant::now();
        while kind(&agent.metrics(), name).as_deref() != Some("unknown") {
            assert!(started.elapsed() < SLOWEST, "{name} is not unknown; the log:\n{}", agent.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    wait_until(Duration::from_secs(40), "every reason to be told", || {
        let log = agent.log();
        bad.iter().all(|bad| !warnings(&log, &bad.name).is_empty()).then_some(())
    });

    let (descriptors, threads, cpu) = (agent.descriptors(), agent.threads(), agent.cpu_time());
    let (mut most_descriptors, mut most_threads, mut seen) = (0, 0, Vec::new());
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(20) {
        let page = agent.metrics();
        for name in good {
            assert_eq!(kind(&page, name).as_deref(), Some(true_type()), "{name}; the log:\n{}", agent.log());
            assert!(page.has(CPU, &[("name", name)]), "{name} has no CPU time");
            seen.extend(page.all(AGE, &[("name", name)]).iter().map(|sample| sample.value));
        }
        for Bad { name, .. } in &bad {
            assert_eq!(kind(&page, name).as_deref(), Some("unknown"), "{name}; the log:\n{}", agent.log());
            assert!(!page.has(CPU, &[("name", name)]), "{name} has somebody's CPU time");
        }
        assert!(!page.samples.iter().any(|sample| sample.label("name") == Some("elsewhere")), "{}", agent.log());
        most_descriptors = most_descriptors.max(agent.descriptors());
        most_threads = most_threads.max(agent.threads());
        std::thread::sleep(Duration::from_millis(200));
    }
    let used = agent.cpu_time() - cpu;
    let oldest = seen.iter().copied().fold(0.0_f64, f64::max);
    let average = seen.iter().sum::<f64>() / f64::from(u32::try_from(seen.len()).unwrap());
    println!(
        "beside {} bad VMIs: the oldest reading of a good one {oldest:.2} s, {average:.2} s on average, {descriptors} descriptors and then \
         {most_descriptors} at most, {threads} threads and then {most_threads} at most, {used:?} of CPU in 20 s",
        bad.len()
    );
    // A machine with other tests holds up a reading now and then; who is held up by the bad ones is so all the time.
    assert!(average < INTERVAL, "a good VMI's readings were {average} s old on average; the log:\n{}", agent.log());
    assert!(oldest < 3.0 * INTERVAL, "a good VMI's reading was {oldest} s old; the log:\n{}", agent.log());
    // Checking a socket briefly takes one or two descriptors, possibly for every bad VMI at once.
    assert!(most_descriptors <= descriptors + 2 * bad.len(), "{descriptors} descriptors became {most_descriptors}");
    assert!(most_threads <= threads + 8, "{threads} threads became {most_threads}");
    assert!(used < Duration::from_secs(2), "a tenth of a processor is not cheap: {used:?} in 20 s");

    let log = agent.log();
    for Bad { name, reason, impostor } in &bad {
        let told = warnings(&log, name);
        assert_eq!(told.len(), 1, "{name}: {told:#?}");
        assert!(told[0].contains(reason), "{name}: no {reason:?} in {}", told[0]);
        let clients = impostor.as_ref().map(Impostor::clients);
        match name.as_str() {
            "foreign" => assert_eq!(clients, Some(0), "a socket of somebody else was connected to"),
            // One attempt in about two seconds, after the first failures.
            _ => assert!(clients.is_none_or(|clients| clients < 60), "{name} was connected to {clients:?} times"),
        }
    }
    for name in good {
        assert_eq!(warnings(&log, name), [""; 0]);
    }
    assert!(!log.contains("panicked"), "{log}");
}

/// The VMI runs while there is no pod, then a socket without a listener, then its launcher, then a file.
#[test]
fn a_socket_that_comes_late_is_found_and_each_reason_before_and_after_is_told() {
    let (node, cluster) = (Node::new("node-a"), Cluster::start());
    let launcher = launcher_of(&node, "late");
    let socket = launcher.pod_socket();
    let (pod, hidden) = (node.pods_dir().join(launcher.pod_uid()), node.pods_dir().join("hidden"));
    fs::rename(&pod, &hidden).unwrap();
    let agent = cluster.agent(&node, None);
    let told = |reason: &str| {
        let what = format!("{reason:?} to be told of");
        // At first they are ordinary, and no warnings.
        let told = || lines(&agent.log(), "late").iter().any(|line| line.contains(reason)).then_some(());
        wait_until(FOUND, &what, told);
        wait_type(&agent, "late", "unknown");
    };
    let vmi = Vmi::create_running(&cluster.api, "shop", "late", launcher.place());
    told("there is no ");
    node.make_pod(launcher.pod_uid());
    drop(listen(&socket, launcher.place().user));
    told("nobody listens on ");

    node.remove_pod(launcher.pod_uid());
    fs::rename(&hidden, &pod).unwrap();
    let began = Instant::now();
    wait_type(&agent, "late", true_type());
    println!("found {:?} after it came", began.elapsed());

    launcher.remove();
    wait_type(&agent, "late", "unknown");
    fs::create_dir_all(socket.parent().unwrap()).and_then(|()| fs::write(&socket, "")).unwrap();
    told("is a regular file");
    // With the loss these are four; in between, the pod may have been seen half created or half removed.
    let log = warnings(&agent.log(), "late");
    assert!(log.len() <= 7, "a reason was told again and again: {log:#?}");
    vmi.delete();
    wait_until(FOUND, "the VMI to be gone", || kind(&agent.metrics(), "late").is_none().then_some(()));
}

/// Pods that have ended stay in `status.activePods` until they are deleted, with their sockets.
#[test]
fn of_several_pods_the_one_that_lives_is_read() {
    let (node, cluster) = (Node::new("node-a"), Cluster::start());
    let vmi_in = |name: &str, places: &[&Place]| {
        let vmi = Vmi::create_running(&cluster.api, "shop", name, places[0]);
        for place in &places[1..] {
            vmi.update(&json!({ "status": { "activePods": { &place.pod_uid: place.node } } }));
        }
        vmi
    };
    // The agent tries them in order of UID.
    let dead_place = |before: bool, live: &Place| {
        let place = std::iter::repeat_with(|| node.place())
            .find(|place| (place.pod_uid < live.pod_uid) == before)
            .expect("one of endless places");
        drop(listen(&node.make_pod(&place.pod_uid).join(VIRTQEMUD_SOCKET), place.user));
        place
    };
    let [before, after] = ["before", "after"].map(|name| launcher_of(&node, name));
    let dead = [dead_place(true, before.place()), dead_place(false, after.place())];
    let vmis = [vmi_in("before", &[&dead[0], before.place()]), vmi_in("after", &[&dead[1], after.place()])];

    let agent = cluster.agent(&node, None);
    for name in ["before", "after"] {
        wait_type(&agent, name, true_type());
        agent.wait_for(FOUND, "figures of the pod that lives", |page| vcpus(page, name) == 1);
    }

    // The pods swap roles: the live one ends and leaves its socket, and another launcher starts in the dead one. Its
    // guest has two vCPUs, which tells them apart.
    for ((launcher, dead), vmi) in [before, after].into_iter().zip(&dead).zip(&vmis) {
        let name = vmi.name();
        let ended = launcher.complete();
        let launcher = node.launcher_at(dead.clone(), LibvirtdOptions::new(Kind::Session));
        launcher.create_paused(&guest(name).vcpus(2, 2));
        agent.wait_for(FOUND, &format!("the other pod of {name}"), |page| {
            kind(page, name).as_deref() == Some(true_type()) && vcpus(page, name) == 2
        });
        // The first pod is finally deleted, and nothing changes.
        node.remove_pod(&ended.pod_uid);
        vmi.drop_pod(&ended);
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(4) {
            let page = agent.metrics();
            assert_eq!(kind(&page, name).as_deref(), Some(true_type()), "{name}:\n{}", agent.log());
            assert_eq!(vcpus(&page, name), 2);
            std::thread::sleep(Duration::from_millis(100));
        }
        drop(launcher);
    }
}

/// One VMI's sidecar is there before the agent knows the VMI, the other's comes when the agent has pushed it.
#[test]
fn a_vm_that_a_sidecar_pushes_is_served_and_left_to_it() {
    const SIDECAR: &str = "virt-otel";
    let (node, cluster) = (Node::new("node-a"), Cluster::start());
    let collector = Collector::start(CollectorOptions::file());
    let names = ["first", "later"];
    let [first, later] = names.map(|name| launcher_of(&node, name));
    node.make_container(first.pod_uid(), "compute");
    node.make_container(later.pod_uid(), "compute");
    node.make_container(first.pod_uid(), SIDECAR);
    let mut agent = cluster.agent(&node, Some(&collector));
    let vmis = [("first", &first), ("later", &later)]
        .map(|(name, launcher)| Vmi::create_running(&cluster.api, "shop", name, launcher.place()));
    let served = |agent: &Agent| {
        for name in names {
            wait_type(agent, name, true_type());
            agent.wait_for(FOUND, "figures", |page| page.has(CPU, &[("name", name)]));
        }
    };
    // How many points of every metric, and whether one of them ends a series.
    let pushed = |launcher: &Launcher| {
        let metrics = ["kubevirt.vmi.hypervisor.info", "kubevirt.vmi.cpu.usage", "kubevirt.vmi.info"];
        let points = metrics.map(|metric| collector.points_of_pod(metric, launcher.pod_uid())).concat();
        (points.len(), points.iter().any(|point| point.ended()))
    };
    served(&agent);
    wait_until(FOUND, "points of the one without a sidecar", || (pushed(&later).0 > 3).then_some(()));
    agent.wait_for(FOUND, "the other to be counted", |page| page.get(LEFT_TO_SIDECARS, &[]) == Some(1.0));

    node.make_container(later.pod_uid(), SIDECAR);
    agent.wait_for(FOUND, "both to be counted", |page| page.get(LEFT_TO_SIDECARS, &[]) == Some(2.0));
    // The Collector writes to its file some time after it has answered.
    std::thread::sleep(Duration::from_secs(3));
    let before = pushed(&later);
    served(&agent);
    vmis[1].delete();
    wait_until(FOUND, "the VMI to be gone", || kind(&agent.metrics(), "later").is_none().then_some(()));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!((pushed(&later), before.1), (before, false), "its sidecar goes on, and ends what is to be ended");
    assert_eq!(pushed(&first), (0, false));
    for launcher in [&first, &later] {
        let log = agent.log();
        let told = log.lines().filter(|line| line.contains("a sidecar in its pod pushes this VM"));
        let told: Vec<&str> = told.filter(|line| line.contains(launcher.pod_uid())).collect();
        assert!(told.len() == 1 && told[0].contains("INFO"), "{told:#?}; the log:\n{log}");
    }
    assert_eq!(agent.terminate().code, Some(0), "{}", agent.log());

    let both = Agent::on_node(&node, &cluster.kubeconfig, &["--push-beside-sidecar"], Some(&collector));
    wait_until(FOUND, "points of both", || (pushed(&first).0 > 3).then_some(()));
    assert_eq!(both.metrics().get(LEFT_TO_SIDECARS, &[]), Some(0.0));
    assert!(!both.log().contains("a sidecar in its pod"), "{}", both.log());
}

/// The DaemonSet asks for root with one capability, and mounts the pods directory read-only.
#[test]
fn the_security_context_of_the_daemon_set_is_enough_and_no_more_than_that() {
    let (node, cluster) = (Node::new("node-a"), Cluster::start());
    let launcher = launcher_of(&node, "web");
    Vmi::create_running(&cluster.api, "shop", "web", launcher.place());
    let kubeconfig = cluster.kubeconfig.display().to_string();
    let mounted = tempfile::tempdir().unwrap();
    let pods = mounted.path().display().to_string();
    let mut arguments = vec!["--mode", "kubevirt", "--node-name", node.name(), "--kubeconfig", &kubeconfig];
    arguments.extend(["--pods-dir", &pods, "--interval", "1s", "--exporters", "prometheus"]);
    let root = || Container::of_user(0).read_only(node.pods_dir(), mounted.path());

    let mut agent = Agent::contained(&root().capability("dac_override"), &arguments);
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        let bits = process::status_field(agent.pid(), set).unwrap();
        assert_eq!(u64::from_str_radix(&bits, 16), Ok(1 << 1), "{set} is not CAP_DAC_OVERRIDE alone");
    }
    wait_type(&agent, "web", true_type());
    agent.wait_for(FOUND, "figures", |page| page.has(CPU, &[("name", "web")]));
    assert_eq!(warnings(&agent.log(), "web"), [""; 0]);
    assert_eq!(agent.terminate().code, Some(0));

    // Root is not enough: the socket belongs to the launcher's user.
    drop(refused(&root(), &arguments, "CAP_DAC_OVERRIDE"));
}

/// An agent in a container where it cannot work, once it has logged this reason.
#[track_caller]
fn refused(container: &Container, arguments: &[&str], reason: &str) -> Agent {
    let agent = Agent::contained(container, arguments);
    wait_type(&agent, "web", "unknown");
    let told = wait_until(FOUND, "the reason", || Some(warnings(&agent.log(), "web")).filter(|told| !told.is_empty()));
    assert!(told.len() == 1 && told[0].contains(reason), "no {reason:?} in {told:#?}");
    agent
}

/// A daemon looks up its client's user name, and hangs up if there is none.
#[test]
fn a_user_without_a_name_is_told_what_to_do() {
    let (node, cluster) = (Node::new("node-a"), Cluster::start());
    let launcher = launcher_of(&node, "web");
    Vmi::create_running(&cluster.api, "shop", "web", launcher.place());
    let (kubeconfig, pods) = (cluster.kubeconfig.display().to_string(), node.pods_dir().display().to_string());
    let mut arguments = vec!["--mode", "kubevirt", "--node-name", node.name(), "--kubeconfig", &kubeconfig];
    arguments.extend(["--pods-dir", &pods, "--interval", "1s", "--exporters", "prometheus"]);
    let container = Container::of_user(NOBODY_KNOWN).capability("dac_override");
    let agent = refused(&container, &arguments, "a user that the daemon's /etc/passwd has");
    assert!(warnings(&agent.log(), "web")[0].contains("65532"), "{}", agent.log());
}
