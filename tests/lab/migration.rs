//! A VMI that moves from one node to another while two agents watch, and one that should move and does not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::support::cluster::hypervisor;
use super::support::collector::Received;
use super::support::{
    Agent, Cluster, Collector, CollectorOptions, Launcher, Metrics, Node, Pace, Prometheus3, PrometheusOptions, Vmi,
    meanwhile, wait_until,
};

const SHOP: &str = "shop";
const CPU: &str = "kubevirt.vmi.cpu.usage";
const DESCRIPTIONS: &str = "virt_otel_descriptions_total";
const SOON: Duration = Duration::from_secs(20);

/// What both agents showed, scraped every 50 ms while something was done.
#[derive(Default)]
struct Scrapes {
    pages: [Vec<(Instant, Metrics)>; 2],
}

/// Scrapes both agents for as long as `act` takes, and a second more.
fn scraping<T>(agents: [&Agent; 2], act: impl FnOnce() -> T) -> (T, Scrapes) {
    let looks = agents.map(|agent| || (Instant::now(), agent.metrics()));
    let (result, pages) = meanwhile(looks, Duration::from_secs(1), act);
    (result, Scrapes { pages: pages.try_into().expect("the pages of two agents") })
}

impl Scrapes {
    /// The types that each agent showed of a VMI, in order, without repetitions; [`hypervisor`] has checked each page.
    fn types(&self, name: &str) -> [Vec<Option<String>>; 2] {
        self.pages.each_ref().map(|pages| {
            let mut types: Vec<_> = pages.iter().map(|(_, page)| hypervisor(page, SHOP, name)).collect();
            types.dedup();
            types
        })
    }

    /// For how long a VMI had a type on both nodes.
    fn overlap(&self, name: &str) -> Duration {
        let [source, target] = self
            .pages
            .each_ref()
            .map(|pages| pages.iter().filter(|(_, page)| hypervisor(page, SHOP, name).is_some()).map(|(at, _)| *at));
        let (last, first) = (source.max(), target.min());
        last.zip(first).map_or(Duration::ZERO, |(last, first)| last.saturating_duration_since(first))
    }

    /// The values that an agent showed of a metric, in order.
    fn series(&self, agent: usize, metric: &str, name: &str) -> Vec<f64> {
        self.pages[agent].iter().filter_map(|(_, page)| page.get(metric, &[("name", name)])).collect()
    }

    /// The different values that an agent showed of a metric.
    fn values(&self, agent: usize, metric: &str, name: &str) -> BTreeSet<u64> {
        let pages = self.pages[agent].iter();
        pages.filter_map(|(_, page)| page.get(metric, &[("name", name)])).map(f64::to_bits).collect()
    }
}

/// Two nodes with their agents, which push through one Collector into one Prometheus.
struct Lab {
    cluster: Cluster,
    nodes: [Node; 2],
    prometheus: Prometheus3,
    collector: Collector,
}

impl Lab {
    fn start() -> Lab {
        let prometheus = Prometheus3::start(PrometheusOptions {
            // Otherwise an old target_info interferes for five minutes.
            flags: vec!["--query.lookback-delta=15s".to_owned()],
            ..PrometheusOptions::default()
        });
        let collector = Collector::start(CollectorOptions::file().and_prometheus(prometheus.port()));
        let nodes = ["node-a", "node-b"].map(Node::new);
        Lab { cluster: Cluster::start(), nodes, prometheus, collector }
    }

    fn agents(&self) -> [Agent; 2] {
        self.nodes.each_ref().map(|node| self.cluster.agent(node, Some(&self.collector)))
    }

    /// A launcher pod's received points of a metric.
    fn points(&self, metric: &str, launcher: &Launcher) -> Vec<Received> {
        self.collector.points_of_pod(metric, launcher.pod_uid())
    }
}

fn kinds(types: &[&str]) -> Vec<Option<String>> {
    types.iter().map(|kind| (*kind != "none").then(|| (*kind).to_owned())).collect()
}

#[test]
fn a_vmi_that_migrates_is_on_one_node_at_a_time_and_nothing_is_lost() {
    let lab = Lab::start();
    let [mut source, target] = lab.nodes.each_ref().map(Node::launcher);
    let neighbours = lab.nodes.each_ref().map(Node::launcher);
    let guest = source.start_linux(SHOP, "web");
    let agents = lab.agents();
    let vmi = Vmi::create(&lab.cluster.api, SHOP, "web");
    vmi.schedule_and_run(source.place());
    for (launcher, name) in neighbours.iter().zip(["left", "right"]) {
        launcher.start_tcg(SHOP, name);
        Vmi::create(&lab.cluster.api, SHOP, name).schedule_and_run(launcher.place());
    }
    for (agent, names) in agents.iter().zip([vec!["web", "left"], vec!["right"]]) {
        for name in names {
            agent.wait_for(SOON, name, |page| hypervisor(page, SHOP, name).as_deref() == Some("qemu-tcg"));
        }
    }
    wait_until(SOON, "points of all", || {
        let all = [&source, &neighbours[0], &neighbours[1]];
        all.iter().all(|launcher| !lab.points(CPU, launcher).is_empty()).then_some(())
    });

    let queries = agents[1].metrics().get(DESCRIPTIONS, &[]);
    let (flipped, scrapes) = scraping([&agents[0], &agents[1]], || {
        vmi.begin_migration(source.place(), target.place());
        let migration = source.begin_migration(guest.name(), &target, Pace::SLOW);
        vmi.migration_started();
        vmi.target_domain_detected();
        // Long enough for readings of the job.
        std::thread::sleep(Duration::from_secs(4));
        migration.hurry();
        migration.finish();
        vmi.target_domain_ready();
        // The hand-over: the guest runs on the target; the API still names the source, whose launcher ends meanwhile.
        std::thread::sleep(Duration::from_secs(1));
        source.terminate();
        std::thread::sleep(Duration::from_secs(1));
        // Taken before the request, because the agent may see the change before the answer arrives. Pages are stamped
        // before they are requested, so a recent one may be late, but never by this much.
        let flipped = Instant::now() - Duration::from_millis(200);
        vmi.flip(target.place());
        std::thread::sleep(Duration::from_secs(2));
        vmi.finish_migration(source.place());
        std::thread::sleep(Duration::from_secs(2));
        flipped
    });

    let [on_source, on_target] = scrapes.types("web");
    assert_eq!(on_source, kinds(&["qemu-tcg", "none"]), "the source's agent");
    assert_eq!(on_target, kinds(&["none", "qemu-tcg"]), "the target's agent");
    for (agent, name) in [(0, "left"), (1, "right")] {
        assert_eq!(scrapes.types(name)[agent], kinds(&["qemu-tcg"]), "{name}, who stays");
    }
    for (_, page) in scrapes.pages[1].iter().filter(|(at, _)| *at < flipped) {
        let early = page.samples.iter().find(|sample| sample.has(&[("name", "web")]));
        assert!(early.is_none(), "before it is the target's: {early:?}");
    }
    let both = scrapes.overlap("web");
    println!("the VMI had a type on both nodes for {both:?}");
    assert!(both < Duration::from_millis(500), "a type on both nodes for {both:?}");
    assert_eq!(
        agents[1].metrics().get(DESCRIPTIONS, &[]),
        queries.map(|queries| queries + 1.0),
        "the end of a migration is one XML query"
    );
    let cpu = |agent: usize| scrapes.series(agent, "kubevirt_vmi_cpu_usage_seconds_total", "web");
    let (before, after) = (cpu(0), cpu(1));
    assert!(before.iter().all(|value| *value > 0.0), "a zero on the source: {before:?}");
    assert!(before.is_sorted(), "the source's counter went back: {before:?}");
    assert!(
        after.first() < before.last(),
        "the target's counter begins anew: {:?}, {:?}",
        before.last(),
        after.first()
    );
    let moved = scrapes.values(0, "kubevirt_vmi_migration_data_processed_bytes", "web");
    assert!(moved.len() > 1, "the migration's data did not move: {moved:?}");

    // Over OTLP the source's Resource ends once, and the target's counts anew. A push is in the Collector's file later.
    let new = wait_until(SOON, "points of the target", || {
        let new = lab.points(CPU, &target);
        (!new.is_empty()).then_some(new)
    });
    let old = lab.points(CPU, &source);
    assert_eq!(old.iter().filter(|point| point.ended()).count(), 1);
    assert!(old.last().is_some_and(|point| point.ended()), "a point after the end");
    let ends: Vec<_> = new.iter().filter(|point| point.ended()).collect();
    assert!(ends.is_empty(), "the target's ends: {ends:?}");
    let starts: BTreeSet<u64> = new.iter().map(Received::start_time).collect();
    assert_eq!(starts.len(), 1, "one start on the target: {starts:?}");
    assert!(starts.first() > old.iter().map(Received::start_time).max().as_ref(), "the target starts anew");

    // Nothing was refused or lost.
    assert_eq!(lab.collector.points_lost(), 0.0, "{}", lab.collector.log());
    for agent in &agents {
        let page = agent.metrics();
        for refused in ["virt_otel_otlp_points_rejected_total", "virt_otel_otlp_points_dropped_total"] {
            assert!(page.all(refused, &[]).iter().all(|sample| sample.value == 0.0), "{:?}", page.all(refused, &[]));
        }
    }
    for launcher in &neighbours {
        let times: Vec<u64> = lab.points(CPU, launcher).iter().map(Received::time).collect();
        let gap = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max();
        assert!(gap.is_some_and(|gap| gap < 5_000_000_000), "a hole of {gap:?} ns");
    }
    let join = "kubevirt_vmi_hypervisor_info * on (job, instance) group_left (k8s_node_name) target_info";
    let joined = wait_until(Duration::from_secs(60), "a join of the three VMIs and no more", || {
        lab.prometheus.try_query(join).filter(|series| series.len() == 3)
    });
    let nodes: BTreeMap<_, _> =
        joined.iter().filter_map(|series| Some((series.label("instance")?, series.label("k8s_node_name")?))).collect();
    assert_eq!(nodes.get(target.pod_uid()), Some(&"node-b"), "{joined:?}");
    assert_eq!(nodes.get(source.pod_uid()), None, "{joined:?}");
}

#[test]
fn a_migration_that_is_aborted_or_fails_changes_nothing() {
    let lab = Lab::start();
    let [source, target] = lab.nodes.each_ref().map(Node::launcher);
    let guest = source.start_linux(SHOP, "web");
    let agents = lab.agents();
    let vmi = Vmi::create(&lab.cluster.api, SHOP, "web");
    vmi.schedule_and_run(source.place());
    agents[0].wait_for(SOON, "the VMI", |page| hypervisor(page, SHOP, "web").as_deref() == Some("qemu-tcg"));
    wait_until(SOON, "a point of it", || (!lab.points(CPU, &source).is_empty()).then_some(()));

    for aborted in [true, false] {
        let ((), scrapes) = scraping([&agents[0], &agents[1]], || {
            vmi.begin_migration(source.place(), target.place());
            let migration = source.begin_migration(guest.name(), &target, Pace::SLOW);
            vmi.migration_started();
            vmi.target_domain_detected();
            std::thread::sleep(Duration::from_secs(2));
            if aborted {
                vmi.request_abort();
                migration.abort();
                vmi.migration_aborted();
            } else {
                migration.fail(&target);
                vmi.migration_failed("the target's QEMU has ended");
            }
            vmi.clean_up_migration(target.place());
            std::thread::sleep(Duration::from_secs(2));
        });
        let [on_source, on_target] = scrapes.types("web");
        assert_eq!(on_source, kinds(&["qemu-tcg"]), "the source's agent, aborted: {aborted}");
        assert_eq!(on_target, kinds(&["none"]), "the target's agent, aborted: {aborted}");
        let told = |page: &Metrics| {
            let failed = page.get("kubevirt_vmi_migration_failed", &[("vmi", "web")]) == Some(1.0);
            failed && page.has("kubevirt_vmi_migration_end_time_seconds", &[("name", "web"), ("status", "failed")])
        };
        agents[0].wait_for(SOON, "a failed migration", told);
    }
    let points = lab.points(CPU, &source);
    assert!(points.iter().all(|point| !point.ended()), "an end that was none");
    let starts: BTreeSet<u64> = points.iter().map(Received::start_time).collect();
    assert_eq!(starts.len(), 1, "one start: {starts:?}");
    assert!(lab.points(CPU, &target).is_empty());
    assert_eq!(lab.collector.points_lost(), 0.0);
}

#[test]
fn in_post_copy_the_vmi_is_the_sources_until_the_api_says_otherwise() {
    if !post_copy_or_skip() {
        return;
    }
    let lab = Lab::start();
    let [source, target] = lab.nodes.each_ref().map(Node::launcher);
    let guest = source.start_linux(SHOP, "web");
    let agents = lab.agents();
    let vmi = Vmi::create(&lab.cluster.api, SHOP, "web");
    vmi.schedule_and_run(source.place());
    agents[0].wait_for(SOON, "the VMI", |page| hypervisor(page, SHOP, "web").as_deref() == Some("qemu-tcg"));

    let (postcopy, scrapes) = scraping([&agents[0], &agents[1]], || {
        vmi.begin_migration(source.place(), target.place());
        let migration = source.begin_migration(guest.name(), &target, Pace { post_copy: true, ..Pace::SLOW });
        vmi.migration_started();
        vmi.target_domain_detected();
        migration.switch_to_post_copy();
        vmi.post_copy();
        // It runs on the target, fetches its memory, and is paused on the source, which the API still names.
        std::thread::sleep(Duration::from_secs(3));
        let reason = source.virsh(&["domstate", "--reason", guest.name()]);
        migration.hurry();
        migration.finish();
        vmi.target_domain_ready();
        std::thread::sleep(Duration::from_secs(2));
        vmi.flip(target.place());
        vmi.finish_migration(source.place());
        std::thread::sleep(Duration::from_secs(2));
        reason
    });
    assert!(postcopy.contains("post-copy"), "the source was {postcopy}");
    let [on_source, on_target] = scrapes.types("web");
    assert_eq!(on_source, kinds(&["qemu-tcg", "none"]), "the source's agent");
    assert_eq!(on_target, kinds(&["none", "qemu-tcg"]), "the target's agent");
    assert_eq!(lab.collector.points_lost(), 0.0);
}

/// Whether QEMU, as a plain user, may fetch memory on demand. Tries to allow it; prints if it may not.
fn post_copy_or_skip() -> bool {
    const SETTING: &str = "/proc/sys/vm/unprivileged_userfaultfd";
    let allowed = || std::fs::read_to_string(SETTING).is_ok_and(|text| text.trim() == "1");
    if !allowed() {
        let _ = std::fs::write(SETTING, "1");
    }
    let allowed = allowed();
    if !allowed {
        eprintln!("SKIPPED in_post_copy_the_vmi_is_the_sources_until_the_api_says_otherwise: {SETTING} is not 1");
    }
    allowed
}
