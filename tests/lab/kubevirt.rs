//! The contract: what `kubevirt_vmi_hypervisor_info` shows for everything that can happen to a VMI. Each row runs
//! against a real API server with roles, a real libvirtd in a launcher pod, and a real QEMU.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::support::cluster::hypervisor;
use super::support::collector::{Received, attributes};
use super::support::proxy::GET_XML;
use super::support::{
    Agent, Cluster, Collector, CollectorOptions, Domain, Launcher, Libvirtd, Node, Place, Vmi, kvm_or_skip, wait_until,
};

/// The namespace of all VMIs.
const SHOP: &str = "shop";
/// How long a change may take to show on the page, on a busy machine.
const SOON: Duration = Duration::from_secs(10);
/// How long until it is warned of a launcher that does not come, on a busy machine: 30 s for the agent.
const OVERDUE: Duration = Duration::from_secs(45);
/// How long a value that must not change is watched: several readings.
const AWHILE: Duration = Duration::from_secs(3);

/// The attributes of a Resource.
type Attributes = BTreeMap<String, String>;

/// One node with its agent, which pushes to a Collector.
struct Bench {
    cluster: Cluster,
    node: Node,
    collector: Collector,
    agent: Agent,
}

impl Bench {
    fn start() -> Bench {
        let cluster = Cluster::start();
        let node = Node::new("node-a");
        let collector = Collector::start(CollectorOptions::file());
        let agent = cluster.agent(&node, Some(&collector));
        Bench { cluster, node, collector, agent }
    }

    fn running(&self, name: &str, place: &Place) -> Vmi {
        let vmi = Vmi::create(&self.cluster.api, SHOP, name);
        vmi.schedule_and_run(place);
        vmi
    }

    /// A launcher with an emulated guest, and its VMI, once both are known.
    #[track_caller]
    fn known(&self, name: &str) -> (Launcher, Vmi) {
        let launcher = self.node.launcher();
        launcher.start_tcg(SHOP, name);
        let vmi = self.running(name, launcher.place());
        self.shows(name, Some("qemu-tcg"));
        wait_until(SOON, "a point of it", || (!self.points(launcher.place()).is_empty()).then_some(()));
        (launcher, vmi)
    }

    /// The pushed points of the type of the VMI in a pod.
    fn points(&self, place: &Place) -> Vec<Received> {
        self.collector.points_of_pod("kubevirt.vmi.hypervisor.info", &place.pod_uid)
    }

    /// The different Resources that were pushed of each pod, by its UID.
    fn resources(&self) -> BTreeMap<String, BTreeSet<Attributes>> {
        let mut pods: BTreeMap<String, BTreeSet<Attributes>> = BTreeMap::new();
        for resource in self.collector.resource_metrics() {
            let attributes: Attributes = attributes(&resource["resource"]["attributes"]).into_iter().collect();
            let Some(pod) = attributes.get("k8s.pod.uid").cloned() else { continue };
            pods.entry(pod).or_default().insert(attributes);
        }
        pods
    }

    fn now(&self, name: &str) -> Option<String> {
        hypervisor(&self.agent.metrics(), SHOP, name)
    }

    #[track_caller]
    fn shows(&self, name: &str, wanted: Option<&str>) {
        let mut last = None;
        let started = Instant::now();
        while started.elapsed() < SOON {
            last = self.now(name);
            if last.as_deref() == wanted {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{name} is {last:?} and not {wanted:?}; the agent's log:\n{}", self.agent.log());
    }

    /// Keeps this type for several scrapes.
    #[track_caller]
    fn keeps(&self, name: &str, wanted: Option<&str>) {
        let started = Instant::now();
        while started.elapsed() < AWHILE {
            let now = self.now(name);
            assert_eq!(
                now.as_deref(),
                wanted,
                "{name}, {:?} later; the agent's log:\n{}",
                started.elapsed(),
                self.agent.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// No series at all, and exactly one end over OTLP.
    #[track_caller]
    fn ended(&self, name: &str, place: &Place) {
        self.agent.wait_for(SOON, &format!("nothing of {name} to be left"), |page| {
            !page.samples.iter().any(|sample| sample.has(&[("namespace", SHOP), ("name", name)]))
        });
        self.type_ended(name, place);
    }

    /// No series of the type, and exactly one end over OTLP.
    #[track_caller]
    fn type_ended(&self, name: &str, place: &Place) {
        self.shows(name, None);
        wait_until(SOON, "the end of the series", || self.points(place).iter().any(Received::ended).then_some(()));
        self.keeps(name, None);
        let points = self.points(place);
        assert_eq!(points.iter().filter(|point| point.ended()).count(), 1, "{points:?}");
        assert!(points.last().is_some_and(|point| point.ended()), "something after the end: {points:?}");
    }

    /// XML queries that went past their deadline.
    fn late_queries(&self) -> f64 {
        let page = self.agent.metrics();
        page.get("virt_otel_libvirt_calls_late_total", &[("libvirt_call", "describe")]).unwrap_or(0.0)
    }

    /// The agent's warnings about a VMI.
    fn warnings(&self, name: &str) -> Vec<String> {
        let log = self.agent.log();
        log.lines().filter(|line| line.contains(name) && line.contains("WARN")).map(str::to_owned).collect()
    }
}

type Row = (&'static str, fn(&mut Bench));

const ROWS: &[Row] = &[
    ("<domain type='kvm'> is kvm", |bench| {
        if !kvm_or_skip() {
            return;
        }
        let launcher = bench.node.launcher();
        launcher.start_kvm(SHOP, "kvm");
        bench.running("kvm", launcher.place());
        bench.shows("kvm", Some("kvm"));
    }),
    ("<domain type='qemu'> is qemu-tcg", |bench| {
        let (_launcher, _) = bench.known("tcg");
        bench.keeps("tcg", Some("qemu-tcg"));
    }),
    ("<domain type='hyperv'> is hyperv", |bench| {
        let launcher = bench.node.launcher();
        launcher.start_tcg(SHOP, "hyperv");
        let _proxy = launcher.intercept(Some(("type='qemu' id='1'>\n  <name>", "type='hyperv' id='1'>\n<name>")));
        bench.running("hyperv", launcher.place());
        bench.shows("hyperv", Some("hyperv"));
    }),
    ("any other type is unknown, said once", |bench| {
        let launcher = bench.node.launcher();
        launcher.start_tcg(SHOP, "foreign");
        let _proxy = launcher.intercept(Some(("<domain type='qemu'", "<domain type='bhyv'")));
        bench.running("foreign", launcher.place());
        bench.shows("foreign", Some("unknown"));
        bench.keeps("foreign", Some("unknown"));
        let said = bench.warnings("foreign");
        assert_eq!(said.len(), 1, "{said:?}");
    }),
    ("XML that does not parse is unknown, said once", |bench| {
        let launcher = bench.node.launcher();
        launcher.start_tcg(SHOP, "garbled");
        let _proxy = launcher.intercept(Some(("<domain type='qemu'", "<domain type=<qemu'")));
        bench.running("garbled", launcher.place());
        bench.shows("garbled", Some("unknown"));
        bench.keeps("garbled", Some("unknown"));
        let said = bench.warnings("garbled");
        assert_eq!(said.len(), 1, "{said:?}");
    }),
    ("a dead socket is unknown, said once, and detected as soon as libvirt is back", |bench| {
        let mut launcher = bench.node.launcher();
        launcher.start_tcg(SHOP, "dead");
        launcher.kill();
        bench.running("dead", launcher.place());
        bench.shows("dead", Some("unknown"));
        bench.keeps("dead", Some("unknown"));
        // A pod that has just ended looks the same, until the API says so.
        let said = wait_until(OVERDUE, "a warning", || Some(bench.warnings("dead")).filter(|said| !said.is_empty()));
        assert_eq!(said.len(), 1, "{said:?}");
        launcher.start_again();
        bench.shows("dead", Some("qemu-tcg"));
    }),
    ("a mute daemon is unknown, and detected as soon as it answers", |bench| {
        let launcher = bench.node.launcher();
        launcher.start_tcg(SHOP, "mute");
        launcher.freeze_daemon();
        bench.running("mute", launcher.place());
        bench.shows("mute", Some("unknown"));
        launcher.thaw_daemon();
        bench.shows("mute", Some("qemu-tcg"));
    }),
    ("an XML query that is merely late keeps the known type", |bench| {
        let launcher = bench.node.launcher();
        launcher.start_tcg(SHOP, "late");
        let proxy = launcher.intercept(None);
        bench.running("late", launcher.place());
        bench.shows("late", Some("qemu-tcg"));
        launcher.virsh(&["suspend", "shop_late"]);
        proxy.hold(GET_XML);
        let (asked, late) = (proxy.calls(GET_XML), bench.late_queries());
        launcher.virsh(&["resume", "shop_late"]);
        bench.keeps("late", Some("qemu-tcg"));
        assert_eq!(proxy.calls(GET_XML), asked + 1, "the resume made it ask");
        wait_until(SOON, "the deadline of the query", || (bench.late_queries() > late).then_some(()));
        bench.keeps("late", Some("qemu-tcg"));
        proxy.release();
        bench.keeps("late", Some("qemu-tcg"));
    }),
    ("a domain that is not found has no series", |bench| {
        let launcher = bench.node.launcher();
        bench.running("absent", launcher.place());
        bench.keeps("absent", None);
        launcher.start_tcg(SHOP, "absent");
        bench.shows("absent", Some("qemu-tcg"));
        launcher.destroy("shop_absent");
        bench.shows("absent", None);
    }),
    ("a domain that is listed with id -1 has no series", |bench| {
        let launcher = bench.node.launcher();
        launcher.define(&Domain::tcg("shop_defined").like_kubevirt());
        bench.running("defined", launcher.place());
        bench.keeps("defined", None);
    }),
    ("a domain of another name is refused, and said so", |bench| {
        let launcher = bench.node.launcher();
        launcher.start_tcg(SHOP, "of-somebody-else");
        bench.running("misplaced", launcher.place());
        bench.keeps("of-somebody-else", None);
        assert_ne!(bench.now("misplaced").as_deref(), Some("qemu-tcg"));
        assert!(!bench.warnings("misplaced").is_empty(), "{}", bench.agent.log());
    }),
    ("a VMI that is not in phase Running has no series", |bench| {
        let launcher = bench.node.launcher();
        launcher.start_tcg(SHOP, "scheduled");
        let vmi = Vmi::create(&bench.cluster.api, SHOP, "scheduled");
        vmi.schedule(launcher.place());
        bench.keeps("scheduled", None);
        vmi.run();
        bench.shows("scheduled", Some("qemu-tcg"));
    }),
    ("a VMI that is not on this node has no series", |bench| {
        let launcher = bench.node.launcher();
        launcher.start_tcg(SHOP, "elsewhere");
        let elsewhere = Place { node: "node-z".to_owned(), ..launcher.place().clone() };
        bench.running("elsewhere", &elsewhere);
        bench.keeps("elsewhere", None);
    }),
    ("a launcher that runs as root is read through libvirt's system driver", |bench| {
        let libvirtd = Libvirtd::system();
        libvirtd.create(&Domain::tcg("shop_root").like_kubevirt());
        let place = Place { user: 0, ..bench.node.place() };
        let socket = bench.node.make_pod(&place.pod_uid).join("virtqemud-sock");
        std::fs::hard_link(libvirtd.socket(), socket).expect("its socket in the pod");
        bench.running("root", &place);
        bench.shows("root", Some("qemu-tcg"));
    }),
    ("becoming Running is one XML query, and none while nothing changes", |bench| {
        let launcher = bench.node.launcher();
        launcher.start_tcg(SHOP, "becomes");
        let proxy = launcher.intercept(None);
        bench.running("becomes", launcher.place());
        bench.shows("becomes", Some("qemu-tcg"));
        bench.keeps("becomes", Some("qemu-tcg"));
        assert_eq!(proxy.calls(GET_XML), 1);
    }),
    ("pause and resume are exactly one new XML query", |bench| {
        let launcher = bench.node.launcher();
        launcher.start_tcg(SHOP, "paused");
        let proxy = launcher.intercept(None);
        let vmi = bench.running("paused", launcher.place());
        bench.shows("paused", Some("qemu-tcg"));
        bench.keeps("paused", Some("qemu-tcg"));
        let before = proxy.calls(GET_XML);
        launcher.virsh(&["suspend", "shop_paused"]);
        vmi.pause("PausedByUser");
        bench.keeps("paused", Some("qemu-tcg"));
        assert_eq!(proxy.calls(GET_XML), before, "a pause is no reason to ask");
        launcher.virsh(&["resume", "shop_paused"]);
        vmi.resume();
        bench.keeps("paused", Some("qemu-tcg"));
        assert_eq!(proxy.calls(GET_XML), before + 1);
    }),
    ("a libvirtd that is killed and comes back is detected afresh", |bench| {
        let (mut launcher, _) = bench.known("reborn");
        launcher.kill();
        bench.shows("reborn", Some("unknown"));
        launcher.start_again();
        bench.shows("reborn", Some("qemu-tcg"));
    }),
    ("a VMI that stops has no series, and its end is told once", |bench| {
        let (launcher, vmi) = bench.known("stops");
        launcher.destroy("shop_stops");
        vmi.succeed();
        bench.type_ended("stops", launcher.place());
        // The object's data stays as long as the object, as in KubeVirt; nothing is measured any more.
        let page = bench.agent.metrics();
        assert!(page.has("kubevirt_vmi_info", &[("name", "stops"), ("phase", "succeeded")]));
        for measured in
            ["kubevirt_vmi_cpu_usage_", "kubevirt_vmi_vcpu_", "kubevirt_vmi_storage_", "kubevirt_vmi_network_"]
        {
            let left = page
                .samples
                .iter()
                .find(|sample| sample.name.starts_with(measured) && sample.has(&[("name", "stops")]));
            assert!(left.is_none(), "{left:?}");
        }
        vmi.delete();
        bench.ended("stops", launcher.place());
        let mut of_libvirt = bench.warnings("stops");
        of_libvirt.retain(|line| line.contains("reach libvirt") || line.contains("lost libvirt"));
        assert_eq!(of_libvirt, [""; 0], "a VM that stops is nothing to warn of");
    }),
    ("a VMI that is deleted has no series, and one of the same name is another", |bench| {
        let (launcher, vmi) = bench.known("deleted");
        vmi.delete();
        bench.ended("deleted", launcher.place());
        let old = launcher.place().clone();
        launcher.remove();
        let (launcher, vmi) = bench.known("deleted");
        let points = bench.points(launcher.place());
        assert_eq!(points[0].of_resource("kubevirt.vmi.uid"), Some(vmi.uid().as_str()));
        assert_ne!(launcher.place(), &old);
    }),
    ("a VMI that leaves the node has no series, and its end is told once", |bench| {
        let (launcher, vmi) = bench.known("leaves");
        let target = Node::new("node-z").place();
        vmi.begin_migration(launcher.place(), &target);
        bench.keeps("leaves", Some("qemu-tcg"));
        vmi.flip(&target);
        bench.ended("leaves", launcher.place());
    }),
    // Covers everything pushed by the rows above.
    ("the Resource of a launcher pod never changes", |bench| {
        let pods = bench.resources();
        for resources in pods.values() {
            assert_eq!(resources.len(), 1, "a Resource has changed: {resources:#?}");
        }
        let told = |resource: &Attributes| resource.get("os.name").is_some_and(|name| name == "Debian GNU/Linux");
        assert!(pods.values().flatten().any(told), "no guest's operating system: {pods:?}");
    }),
    ("an agent that is restarted shows the same", |bench| {
        let (launcher, _) = bench.known("stays");
        assert_eq!(bench.agent.terminate().code, Some(0), "{}", bench.agent.log());
        let before = bench.points(launcher.place()).len();
        bench.agent = bench.cluster.agent(&bench.node, Some(&bench.collector));
        bench.shows("stays", Some("qemu-tcg"));
        let more = || (bench.points(launcher.place()).len() > before).then_some(());
        wait_until(SOON, "a point by the new agent", more);
        let resources = bench.resources().remove(&launcher.place().pod_uid);
        assert_eq!(resources.map(|resources| resources.len()), Some(1), "a Resource has changed");
    }),
];

#[test]
fn every_row_of_the_contract_holds() {
    let mut bench = Bench::start();
    let mut broken = Vec::new();
    for (row, holds) in ROWS {
        let started = Instant::now();
        // A row that fails says why; the others still run.
        match catch_unwind(AssertUnwindSafe(|| holds(&mut bench))) {
            Ok(()) => println!("{row}: holds, {:?}", started.elapsed()),
            Err(_) => broken.push(*row),
        }
        assert!(bench.agent.running(), "the agent has ended in \"{row}\": {}", bench.agent.log());
    }
    assert!(broken.is_empty(), "{} of {} rows do not hold: {broken:#?}", broken.len(), ROWS.len());
}
