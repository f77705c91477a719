//! A Kubernetes API that is gone, silent or cut off, has lost its history, or refuses access. The agent keeps what it
//! knows, goes on reading the VMs, and soon after shows what has changed meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::support::cluster::hypervisor;
use super::support::collector::attributes;
use super::support::kube_client::vmis_of;
use super::support::{
    Agent, ApiServer, Cluster, Collector, CollectorOptions, Launcher, Metrics, Node, User, Vmi, Wire, kvm, repository,
    uuid, wait_until,
};

pub(super) const SHOP: &str = "shop";
const CPU: &str = "kubevirt_vmi_cpu_usage_seconds_total";
const AGE: &str = "kubevirt_vmi_collection_age_seconds";
const CONNECTED: &str = "virt_otel_kubernetes_connected";
const AWAY: &str = "virt_otel_kubernetes_away_seconds";

/// How long it may take until something shows on the page, on a busy machine.
pub(super) const SOON: Duration = Duration::from_secs(15);
/// How long the API server is gone.
const GONE: Duration = Duration::from_secs(30);
/// A dead connection is noticed within a minute; the rest is for a busy machine.
const NOTICED: Duration = Duration::from_secs(65);
/// How long changes may take to show once the API is back: the agent asks every five seconds, and an API server that
/// has just started refuses once. The rest is for a busy machine.
const RIGHT: Duration = Duration::from_secs(20);
/// Readings come each second; a busy machine may take this long for one.
const FRESH: Duration = Duration::from_secs(10);

/// A launcher with a guest of this name.
#[track_caller]
pub(super) fn guest(node: &Node, name: &str) -> Launcher {
    let launcher = node.launcher();
    if kvm() {
        launcher.start_kvm(SHOP, name);
    } else {
        launcher.start_tcg(SHOP, name);
    }
    launcher
}

/// [`guest`]'s type.
pub(super) fn kind() -> &'static str {
    if kvm() { "kvm" } else { "qemu-tcg" }
}

/// [`guest`] with its VMI.
#[track_caller]
fn vm(api: &ApiServer, node: &Node, name: &str) -> (Launcher, Vmi) {
    let launcher = guest(node, name);
    let vmi = Vmi::create_running(api, SHOP, name, launcher.place());
    (launcher, vmi)
}

/// The type shown for a VM, if any.
fn shown(page: &Metrics, name: &str) -> Option<&'static str> {
    let kind = hypervisor(page, SHOP, name)?;
    ["kvm", "qemu-tcg", "hyperv", "unknown"].into_iter().find(|known| **known == *kind)
}

/// Waits until each VM has the wanted type, and returns how long that took.
#[track_caller]
fn right(agent: &Agent, within: Duration, wanted: &[(&str, Option<&str>)]) -> Duration {
    let began = Instant::now();
    loop {
        let page = agent.metrics();
        let wrong: Vec<_> = wanted.iter().filter(|(name, kind)| shown(&page, name) != *kind).collect();
        if wrong.is_empty() {
            return began.elapsed();
        }
        assert!(began.elapsed() < within, "after {within:?} not yet {wrong:?}; the agent's log:\n{}", agent.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A metric of the agent itself; 0 if it was never counted.
pub(super) fn own(page: &Metrics, name: &str, labels: &[(&str, &str)]) -> f64 {
    page.get(name, labels).unwrap_or(0.0)
}

fn errors(agent: &Agent, reason: &str) -> f64 {
    own(&agent.metrics(), "virt_otel_kubernetes_errors_total", &[("reason", reason)])
}

fn events(agent: &Agent, kind: &str) -> f64 {
    own(&agent.metrics(), "virt_otel_kubernetes_events_total", &[("kind", kind)])
}

/// The lines of the agent's log that say this.
fn said(agent: &Agent, what: &str) -> Vec<String> {
    agent.log().lines().filter(|line| line.contains(what)).map(str::to_owned).collect()
}

/// Asserts that everything is well.
#[track_caller]
fn well(agent: &Agent) {
    wait_until(SOON, "the API to count as there", || (own(&agent.metrics(), CONNECTED, &[]) == 1.0).then_some(()));
    assert_eq!(own(&agent.metrics(), AWAY, &[]), 0.0);
    let done = (200, "The first round over every daemon is done.\n".to_owned());
    wait_until(SOON, "the agent to be ready", || (readiness(agent) == done).then_some(()));
}

/// The API has been away for longer than this. The agent stays ready, because what it knows of its VMs is still true.
#[track_caller]
fn away(agent: &Agent, longer_than: f64) {
    wait_until(SOON, "the absence to grow", || (own(&agent.metrics(), AWAY, &[]) > longer_than).then_some(()));
    assert_eq!(own(&agent.metrics(), CONNECTED, &[]), 0.0);
    let (status, text) = readiness(agent);
    assert!(status == 200 && text.contains("The Kubernetes API has not answered for "), "{status} {text}");
    let alive = agent.get("/livez", &[]).expect("an answer of the agent");
    assert_eq!(alive.status, 200, "{}", alive.text());
}

fn readiness(agent: &Agent) -> (u16, String) {
    let answer = agent.get("/readyz", &[]).expect("an answer of the agent");
    (answer.status, answer.text())
}

/// Watches a VM while something else happens: it keeps its type, is read in time, and its CPU time grows.
#[track_caller]
pub(super) fn read_on<T>(agent: &Agent, name: &str, meanwhile: impl FnOnce() -> T) -> T {
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let over = AtomicBool::new(false);
    let look = || {
        let (labels, began) = ([("name", name)], Instant::now());
        let (mut fresh, mut longest, mut looks, mut values) = (began, Duration::ZERO, 0, Vec::new());
        let mut last = false;
        while !last {
            // Once more when it is over.
            last = over.load(Ordering::SeqCst);
            let page = agent.metrics();
            assert_eq!(shown(&page, name), Some(kind()), "{name} after {:?}: {}", began.elapsed(), agent.log());
            let age = page.get(AGE, &[("name", name), ("group", "cpu")]).unwrap_or(f64::INFINITY);
            if let Some(cpu) = page.get(CPU, &labels).filter(|_| age < 3.0) {
                fresh = Instant::now();
                if values.last() != Some(&cpu) {
                    values.push(cpu);
                }
            }
            longest = longest.max(fresh.elapsed());
            looks += 1;
            std::thread::sleep(Duration::from_millis(100));
        }
        eprintln!(
            "{name} for {:?}: {looks} looks, {} values of the CPU time, at most {longest:?} without a fresh one",
            began.elapsed(),
            values.len()
        );
        assert!(longest < FRESH, "{name} was not read for {longest:?}; the agent's log:\n{}", agent.log());
        assert!(values.is_sorted(), "the CPU time of {name} went back: {values:?}");
        values.len()
    };
    std::thread::scope(|scope| {
        let witness = scope.spawn(look);
        let result = {
            let _over = Over(&over);
            meanwhile()
        };
        let values = witness.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert!(values > 1, "the CPU time of {name} stood still");
        result
    })
}

#[test]
fn while_the_api_server_is_gone_vms_are_read_on_and_what_changed_meanwhile_is_right_after() {
    let mut cluster = Cluster::start();
    let node = Node::new("node-a");
    let (_stays, _) = vm(&cluster.api, &node, "stays");
    let (_goes, goes) = vm(&cluster.api, &node, "goes");
    let (_halts, halts) = vm(&cluster.api, &node, "halts");
    let comes = guest(&node, "comes");
    let agent = cluster.agent(&node, None);
    let known = [("stays", Some(kind())), ("goes", Some(kind())), ("halts", Some(kind())), ("comes", None)];
    right(&agent, SOON, &known);
    well(&agent);

    let gone = Instant::now();
    read_on(&agent, "stays", || {
        cluster.api.outage(|elsewhere| {
            elsewhere.admin().delete(&goes.path());
            elsewhere.admin().patch(&halts.path(), &json!({ "status": { "phase": "Succeeded" } }));
            Vmi::create_running(elsewhere, SHOP, "comes", comes.place());
            away(&agent, 0.5);
            let mut before = 0.0;
            while gone.elapsed() < GONE {
                let page = agent.metrics();
                for (name, kind) in known {
                    assert_eq!(shown(&page, name), kind, "{name}, of which nobody has said otherwise");
                }
                assert_eq!(own(&page, CONNECTED, &[]), 0.0);
                let now = own(&page, AWAY, &[]);
                assert!(now > before && now <= gone.elapsed().as_secs_f64(), "{before} s, then {now} s");
                before = now;
                std::thread::sleep(Duration::from_millis(250));
            }
            away(&agent, GONE.as_secs_f64() - 10.0);
        });
        let wanted = [("goes", None), ("halts", None), ("comes", Some(kind()))];
        eprintln!("right {:?} after the API server was ready again", right(&agent, RIGHT, &wanted));
    });
    let page = agent.metrics();
    assert!(!page.samples.iter().any(|sample| sample.has(&[("namespace", SHOP), ("name", "goes")])));
    assert_eq!(page.get("kubevirt_vmi_phase", &[("name", "halts"), ("phase", "succeeded")]), Some(1.0));
    well(&agent);
    assert!(errors(&agent, "unreachable") >= 2.0);
    let lost = said(&agent, "is the API server up");
    assert!(lost.len() == 1 && lost[0].contains("WARN") && lost[0].contains("is kept and read on"), "{lost:?}");
    assert_eq!(said(&agent, "the Kubernetes API answers again").len(), 1, "{}", agent.log());
}

#[test]
fn an_api_server_that_has_gone_mute_is_noticed_within_a_minute_and_missed_by_no_vm() {
    let cluster = Cluster::start();
    let node = Node::new("node-a");
    let (_stays, _) = vm(&cluster.api, &node, "stays");
    let (_goes, goes) = vm(&cluster.api, &node, "goes");
    let comes = guest(&node, "comes");
    let agent = cluster.agent(&node, None);
    right(&agent, SOON, &[("stays", Some(kind())), ("goes", Some(kind()))]);
    well(&agent);

    let mute = Instant::now();
    cluster.api.freeze();
    read_on(&agent, "stays", || {
        wait_until(NOTICED, "the silence to be noticed", || {
            (own(&agent.metrics(), CONNECTED, &[]) == 0.0).then_some(())
        });
        eprintln!("noticed {:?} after the API server had gone mute", mute.elapsed());
        away(&agent, 1.0);
        right(&agent, SOON, &[("stays", Some(kind())), ("goes", Some(kind()))]);
        cluster.api.thaw();
        wait_until(SOON, "the API server to answer", || {
            cluster.api.admin().request("GET", &goes.path(), None).ok().filter(|answer| answer.status == 200)
        });
        goes.delete();
        Vmi::create_running(&cluster.api, SHOP, "comes", comes.place());
        eprintln!("right {:?} after that", right(&agent, RIGHT, &[("goes", None), ("comes", Some(kind()))]));
    });
    well(&agent);
    assert_eq!(said(&agent, "is the API server up").len(), 1, "{}", agent.log());
    assert_eq!(said(&agent, "the Kubernetes API answers again").len(), 1, "{}", agent.log());
}

#[test]
fn a_watch_that_is_cut_goes_on_where_it_was() {
    let cluster = Cluster::start();
    let (api, node) = (&cluster.api, Node::new("node-a"));
    let wire = Wire::to(api.port());
    let (_stays, stays) = vm(api, &node, "stays");
    let other = guest(&node, "other");
    let agent = Agent::on_node(&node, &api.kubeconfig_through(User::Agent, wire.port()), &[], None);
    right(&agent, SOON, &[("stays", Some(kind()))]);
    well(&agent);

    let ways: [(&str, &dyn Fn()); 3] = [
        ("cut", &|| wire.cut()),
        ("kept apart for a while", &|| wire.part()),
        ("cut in the midst of an object", &|| {
            wire.cut_after(20_000);
            // A new one each time: an unchanged object causes no event.
            let large = uuid() + &"x".repeat(60_000);
            stays.update(&json!({ "metadata": { "annotations": { "note": large } } }));
        }),
    ];
    read_on(&agent, "stays", || {
        for (way, cut) in ways {
            let joined = wire.joined();
            cut();
            let vmi = Vmi::create_running(api, SHOP, "other", other.place());
            wire.mend();
            let came = right(&agent, RIGHT, &[("other", Some(kind()))]);
            cut();
            vmi.delete();
            // Another one of the same name, which is gone before it can be read.
            Vmi::create_running(api, SHOP, "other", &node.place()).delete();
            wire.mend();
            let went = right(&agent, RIGHT, &[("other", None)]);
            eprintln!("{way}: came after {came:?}, went after {went:?}");
            assert!(wire.joined() >= joined + 2, "nothing was cut");
        }
    });
    assert_eq!(events(&agent, "restarted"), 1.0, "nothing had to be listed again");
    assert_eq!(events(&agent, "synced"), 1.0);
}

#[test]
fn after_410_gone_all_is_listed_again_and_nothing_is_lost() {
    let mut cluster = Cluster::start();
    let node = Node::new("node-a");
    let (_stays, _) = vm(&cluster.api, &node, "stays");
    let (_goes, goes) = vm(&cluster.api, &node, "goes");
    let (again, first) = vm(&cluster.api, &node, "again");
    let comes = guest(&node, "comes");
    let agent = cluster.agent(&node, None);
    let known = [("stays", Some(kind())), ("goes", Some(kind())), ("again", Some(kind())), ("comes", None)];
    right(&agent, SOON, &known);

    read_on(&agent, "stays", || {
        cluster.api.expire_history(|elsewhere| {
            elsewhere.admin().delete(&goes.path());
            elsewhere.admin().delete(&first.path());
            Vmi::create_running(elsewhere, SHOP, "again", again.place());
            Vmi::create_running(elsewhere, SHOP, "comes", comes.place());
        });
        let wanted = [("goes", None), ("again", Some(kind())), ("comes", Some(kind()))];
        eprintln!("right {:?} after the API server was ready again", right(&agent, RIGHT, &wanted));
        wait_until(SOON, "the list to be complete", || (events(&agent, "synced") >= 2.0).then_some(()));
    });
    assert!(errors(&agent, "expired") >= 1.0, "{}", agent.log());
    let page = agent.metrics();
    assert!(!page.samples.iter().any(|sample| sample.has(&[("namespace", SHOP), ("name", "goes")])));
    let label = page.all("kubevirt_vmi_phase", &[("name", "again"), ("phase", "running")]);
    assert_eq!(label.len(), 1, "one VMI of a name: {label:?}");
}

#[test]
fn the_role_that_ships_is_enough_and_without_it_the_agent_says_what_it_lacks() {
    let api = ApiServer::start();
    let node = Node::new("node-a");
    let wire = Wire::to(api.port());
    let (_launcher, _) = vm(&api, &node, "web");
    let agent = Agent::on_node(&node, &api.kubeconfig_through(User::Agent, wire.port()), &[], None);
    let missing = || said(&agent, "resources: [\"virtualmachineinstances\"], verbs: [\"get\", \"list\", \"watch\"]");
    wait_until(SOON, "the refusal to be counted more than once", || (errors(&agent, "forbidden") >= 2.0).then_some(()));
    let lines = missing();
    assert!(lines.len() == 1 && lines[0].contains("WARN") && lines[0].contains("lab:agent"), "{}", agent.log());
    assert!(lines[0].contains("ClusterRole") && lines[0].contains("apiGroups: [\"kubevirt.io\"]"), "{lines:?}");
    let (status, text) = readiness(&agent);
    assert!(status == 503 && text.contains("The Kubernetes API has not answered for "), "{status} {text}");
    assert_eq!(own(&agent.metrics(), CONNECTED, &[]), 0.0);
    assert_eq!(shown(&agent.metrics(), "web"), None);

    api.bind_cluster_role(&repository().join("deploy/kubernetes/clusterrole.yaml"), User::Agent);
    let bound = Instant::now();
    wait_until(RIGHT, "the agent to be ready", || (readiness(&agent).0 == 200).then_some(()));
    right(&agent, SOON, &[("web", Some(kind()))]);
    eprintln!("complete {:?} after the role was bound", bound.elapsed());
    well(&agent);
    assert_eq!(said(&agent, "the Kubernetes API answers again").len(), 1, "{}", agent.log());

    // The agent asks for nothing else: only the watch's requests were refused.
    let page = api.admin().request("GET", "/metrics", None).expect("the API server's own metrics").text();
    let refused: f64 = page
        .lines()
        .filter_map(|line| line.strip_prefix("authorization_attempts_total{result=\"")?.split_once("\"} "))
        .filter(|(result, _)| *result != "allowed")
        .map(|(_, count)| count.parse::<f64>().expect("a number"))
        .sum();
    assert!(refused >= 2.0, "the API server counts no refusals");
    assert_eq!(refused, errors(&agent, "forbidden"));

    // The role is removed again: known VMs are still read.
    api.admin().delete("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/virt-otel-lab:agent");
    wait_until(SOON, "the role to be taken away", || {
        (api.client(User::Agent).status("GET", &vmis_of(SHOP)) == 403).then_some(())
    });
    wire.cut();
    read_on(&agent, "web", || {
        wait_until(SOON, "the refusal", || (own(&agent.metrics(), CONNECTED, &[]) == 0.0).then_some(()));
        away(&agent, 2.0);
    });
    // The cut itself may be logged first.
    wait_until(SOON, "the refusal to be told of", || (missing().len() > 1).then_some(()));
    assert_eq!(missing().len(), 2, "{}", agent.log());
}

#[test]
fn labels_that_are_allowed_are_on_every_series_of_their_vmi() {
    let cluster = Cluster::start();
    let (api, node) = (&cluster.api, Node::new("node-a"));
    let launcher = guest(&node, "web");
    let labels = [("app", "shop-web"), ("team", "blue"), ("app.kubernetes.io/part-of", "shop"), ("other", "no")];
    let vmi = Vmi::create_labelled(api, SHOP, "web", &labels);
    vmi.schedule_and_run(launcher.place());
    Vmi::create_labelled(api, SHOP, "bare", &[("other", "no")]).schedule_and_run(&node.place());
    let allowed = ["--vmi-labels", "app,team,app.kubernetes.io/part-of,missing"];
    let collector = Collector::start(CollectorOptions::file());
    let agent = Agent::on_node(&node, &api.kubeconfig_for(User::Agent), &allowed, Some(&collector));
    let wanted = [
        ("kubernetes_vmi_label_app", "shop-web"),
        ("kubernetes_vmi_label_app_kubernetes_io_part_of", "shop"),
        ("kubernetes_vmi_label_team", "blue"),
    ];
    let labels_of = |page: &Metrics, name: &str| -> Vec<Vec<(String, String)>> {
        let series = page.samples.iter().filter(|sample| sample.has(&[("namespace", SHOP), ("name", name)]));
        let of_vmi = |sample: &super::support::exposition::Sample| {
            let labels = sample.labels.clone().into_iter();
            labels.filter(|(label, _)| label.starts_with("kubernetes_vmi_label_")).collect()
        };
        series.map(of_vmi).collect()
    };
    let wanted = wanted.map(|(label, value)| (label.to_owned(), value.to_owned())).to_vec();
    let page = agent.wait_for(SOON, "figures of both", |page| {
        page.has(CPU, &[("name", "web")]) && page.has("kubevirt_vmi_phase", &[("name", "bare")])
    });
    let web = labels_of(&page, "web");
    assert!(web.len() > 60, "only {} series", web.len());
    assert!(web.iter().all(|labels| *labels == wanted), "{web:?}");
    let bare = labels_of(&page, "bare");
    assert!(!bare.is_empty() && bare.iter().all(Vec::is_empty), "{bare:?}");

    wait_until(SOON, "its Resource", || {
        let resources = collector.resource_metrics();
        let mut identities = resources.iter().map(|resource| attributes(&resource["resource"]["attributes"]));
        let wanted = ("kubevirt.vmi.label.app".to_owned(), "shop-web".to_owned());
        identities.any(|identity| identity.contains(&wanted)).then_some(())
    });

    // They identify the VM, so they do not change while it runs.
    let change =
        json!({ "metadata": { "labels": { "team": "red" } }, "status": { "memory": { "memoryOverhead": "1Mi" } } });
    vmi.update(&change);
    let page = agent.wait_for(SOON, "the change", |page| {
        page.get("kubevirt_vmi_launcher_memory_overhead_bytes", &[("name", "web")]) == Some(f64::from(1 << 20))
    });
    let web = labels_of(&page, "web");
    assert!(web.iter().all(|labels| *labels == wanted), "{web:?}");
}
