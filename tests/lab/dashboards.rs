//! The dashboards and rules that ship: promtool understands each query, and on live data each answers, with each VM once.
//!
//! `tests/contract.rs` says whether Grafana takes the dashboards' JSON, `rules.rs` when an alert fires.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::agreement::{self, Questions};
use super::support::prometheus::promtool;
use super::support::{
    Agent, Cluster, Collector, CollectorOptions, Domain, Libvirtd, Node, Pace, Prometheus3, PrometheusOptions, Vmi,
    helm, meanwhile, repository, wait_until,
};

const SHOP: &str = "shop";
/// How long it may take until every query has answered, on a busy machine.
const ANSWERED: Duration = Duration::from_secs(90);

/// How long after a change things may still move.
const SETTLED: Duration = Duration::from_secs(10);

/// A query of a dashboard, and where it is.
pub(super) struct Query {
    /// The vocabulary, the dashboard, and the title.
    pub(super) place: String,
    /// The panel's number in its dashboard; none of a variable or an annotation.
    pub(super) panel: Option<u64>,
    pub(super) expression: String,
}

/// The queries of a vocabulary's dashboards, with values in place of variables.
pub(super) fn queries(vocabulary: &str, values: &BTreeMap<&str, &str>) -> Vec<Query> {
    let mut queries = Vec::new();
    for name in ["fleet", "vm", "agent"] {
        let path = repository().join(format!("deploy/grafana/{vocabulary}/{name}.json"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let board: Value = serde_json::from_str(&text).expect("JSON");
        let mut found = Vec::new();
        for panel in panels(&board["panels"]) {
            for target in panel["targets"].as_array().into_iter().flatten() {
                found.push((panel["title"].to_string(), panel["id"].as_u64(), target["expr"].clone()));
            }
        }
        for annotation in board["annotations"]["list"].as_array().into_iter().flatten() {
            found.push((annotation["name"].to_string(), None, annotation["expr"].clone()));
        }
        for variable in board["templating"]["list"].as_array().into_iter().flatten() {
            found.push((variable["name"].to_string(), None, variable["definition"].clone()));
        }
        queries.extend(found.into_iter().filter_map(|(title, panel, expression)| {
            let expression = with(values, &asked(expression.as_str()?));
            Some(Query { place: format!("{vocabulary}/{name}: {title}"), panel, expression })
        }));
    }
    assert!(queries.len() > 100, "only {} queries", queries.len());
    queries
}

/// Every panel, those within rows too.
fn panels(list: &Value) -> Vec<&Value> {
    let panels = list.as_array().into_iter().flatten();
    panels.flat_map(|panel| [panel].into_iter().chain(panels_in(panel))).collect()
}

fn panels_in(row: &Value) -> impl Iterator<Item = &Value> {
    row["panels"].as_array().into_iter().flatten()
}

/// What Grafana asks Prometheus for the values of a variable, as an expression.
fn asked(definition: &str) -> String {
    let within = |function: &str| Some(definition.strip_prefix(function)?.strip_suffix(')')?.to_owned());
    if let Some(expression) = within("query_result(") {
        return expression;
    }
    match within("label_values(").as_deref().and_then(|of| of.rsplit_once(", ")) {
        Some((series, label)) => format!("group by ({label}) ({series})"),
        None => definition.to_owned(),
    }
}

/// An expression with values in place of variables, the longest names first: `$__range_s` begins like `$__range`.
pub(super) fn with(values: &BTreeMap<&str, &str>, expression: &str) -> String {
    let mut names: Vec<&str> = values.keys().copied().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names.iter().fold(expression.to_owned(), |text, name| text.replace(&format!("${name}"), values[name]))
}

/// Values of the variables that do not choose a VM, and of Grafana's own.
pub(super) fn common() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        ("__rate_interval", "10s"),
        ("__range_s", "3600"),
        ("window", "10s"),
        ("top", "10"),
        ("search", ".*"),
        ("host", ".*"),
        ("node", ".*"),
        ("agent", ".*"),
    ])
}

#[test]
fn promtool_understands_each_query() {
    for vocabulary in ["libvirt", "kubevirt"] {
        let mut values = common();
        values.extend([("namespace", "shop"), ("name", "web"), ("domain", "web"), ("uuid", "u-1")]);
        let mut rules = "groups:\n  - name: dashboards\n    rules:\n".to_owned();
        for (number, query) in queries(vocabulary, &values).iter().enumerate() {
            assert!(!query.expression.replace("$1", "").contains('$'), "{}: {}", query.place, query.expression);
            let text = Value::from(query.expression.as_str());
            let _ = writeln!(
                rules,
                "      # {}\n      - record: dashboards:query_{number}\n        expr: {text}",
                query.place
            );
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("rules.yaml");
        std::fs::write(&file, &rules).expect("a file");
        let (code, said) =
            promtool(&["check", "rules", "--lint=all", "--lint-fatal", &file.display().to_string()], None);
        assert_eq!(code, Some(0), "{said}\n{rules}");
    }
}

#[test]
fn the_chart_makes_a_config_map_of_each_dashboard() {
    let objects = helm::template(Some(&helm::chart().join("ci/everything-values.yaml")));
    for name in ["fleet", "vm", "agent"] {
        let object = &objects[&format!("dashboard-{name}.yaml")];
        for line in [
            "kind: ConfigMap",
            &format!("  name: vms-dashboard-{name}"),
            "  namespace: default",
            "    dashboards: grafana",
            "    grafana_dashboard: \"1\"",
            "    example.com/folder: VMs",
        ] {
            assert!(object.lines().any(|found| found == line), "{line:?} is not in {object}");
        }
        let (_, data) = object.split_once(&format!("  virt-otel-{name}.json: |\n")).expect("the file of the dashboard");
        let data: String =
            data.lines().map(|line| format!("{}\n", line.strip_prefix("    ").expect("indentation"))).collect();
        let shipped = repository().join(format!("deploy/grafana/kubevirt/{name}.json"));
        assert_eq!(data, std::fs::read_to_string(shipped).expect("the dashboard"), "{name}");
    }
    assert!(!helm::template(None).keys().any(|template| template.starts_with("dashboard-")), "nobody asked for them");
}

/// Parts of queries that have no answer in this lab, and why.
type Silent = &'static [(&'static str, &'static str)];

/// In both vocabularies.
const SILENT: Silent = &[
    ("_storage_errors_total", "QEMU's driver does not count them"),
    ("hypervisor_type=\"kvm\"", "QEMU emulates: there may be no KVM; the counts say 0"),
    ("hypervisor_type=\"unknown\"", "the type of each VM is known"),
    ("state=\"crashed\"}) == 1", "none crashes"),
    ("reason=\"ioerror\"}) == 1", "no disk fails"),
    ("_collection_stuck{", "none is stuck: only where it is to be 1"),
    ("_collection_success{", "each is read whole: only where it is to be 0"),
    ("_collection_connected{", "each is reached: only where it is to be 0"),
    ("_storage_flush_requests_total", "the guest may not flush within the window"),
    ("_dirty_rate_", "nobody has libvirt measure it"),
    ("_job_remaining_time_seconds", "libvirt cannot foresee it"),
    ("_job_postcopy_requests", "no migration is in post-copy"),
    ("_job_auto_converge_throttle_ratio", "no migration is helped along"),
    ("_job_disk_", "no migration moves disks"),
    ("_vcpu_halted", "only some versions of QEMU tell it under emulation"),
    ("_memory_hugetlb_", "the guest's kernel may have no huge pages"),
    ("_memory_last_update_age_seconds", "there from the balloon's first answer on"),
    ("virt_otel:vm_storage_flush_latency", "the guest may not flush within the window"),
];

const SILENT_UNDER_LIBVIRT: Silent = &[
    ("_job_", "there is no job"),
    ("_storage_limit_iops_read_", "the limits are of reads and writes together"),
    ("_storage_limit_iops_write_", "the limits are of reads and writes together"),
    ("_storage_limit_read_traffic_", "the limits are of reads and writes together"),
    ("_storage_limit_write_traffic_", "the limits are of reads and writes together"),
    ("_migration_", "nothing migrates"),
    ("(label_replace((libvirt_up ", "each daemon is reached: only where it is to be 0"),
];

const SILENT_UNDER_KUBEVIRT: Silent = &[
    ("_storage_limit_", "the VM's disks have no limits"),
    ("_iothread_", "the VM has no I/O threads"),
    ("virt_otel_web_config_", "no agent has a web configuration file"),
    ("virt_otel_requests_refused_total", "no agent has a web configuration file"),
    ("virt_otel_handshakes_failed_total", "no agent has a web configuration file"),
    ("virt_otel_kubernetes_connected", "the API answers: only where it is to be 0"),
];

/// Besides, while a migration goes on.
const SILENT_IN_A_MIGRATION: Silent = &[
    ("_migration_end_time_seconds", "the migration has not ended"),
    ("_migration_succeeded", "the migration has not ended"),
    ("_migration_failed", "no migration fails"),
];

/// Besides, when it has ended.
const SILENT_AFTER_A_MIGRATION: Silent =
    &[("_job_", "no job goes on"), ("_migration_", "the migration has ended, and some of it is of the time before")];

impl Query {
    /// Whether its answer may be empty, and then is all right.
    fn may_be_silent(&self, more: &[Silent]) -> bool {
        SILENT.iter().chain(more.iter().copied().flatten()).any(|(part, _)| self.expression.contains(part))
    }
}

/// What the rules of a vocabulary ask, as queries: what each record holds, and for each alert all that it is made of. An alert
/// itself has no answer where all is well.
fn of_rules(vocabulary: &str) -> Vec<Query> {
    let text = std::fs::read_to_string(rules_of(vocabulary)).expect("the rules");
    let rules: Value = serde_saphyr::from_str(&text).expect("YAML");
    let groups = rules["groups"].as_array().into_iter().flatten();
    let mut queries = BTreeMap::new();
    for rule in groups.flat_map(|group| group["rules"].as_array().into_iter().flatten()) {
        if let Some(name) = rule["record"].as_str() {
            queries.insert(name.to_owned(), format!("{vocabulary} rules: {name}"));
        }
        let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
        let expression = rule["expr"].as_str().expect("an expression");
        for name in
            expression.split(|letter| !word(letter)).filter(|name| SERIES.iter().any(|start| name.starts_with(start)))
        {
            let of = rule["alert"].as_str().or(rule["record"].as_str()).unwrap_or_default();
            queries.entry(format!("group({name})")).or_insert_with(|| format!("{vocabulary} rules: {of}"));
        }
    }
    assert!(queries.len() > 20, "only {} queries", queries.len());
    queries.into_iter().map(|(expression, place)| Query { place, panel: None, expression }).collect()
}

/// How names of series begin, and none of a label.
const SERIES: [&str; 5] = ["libvirt_domain_", "libvirt_up", "kubevirt_vmi_", "virt_otel_", "virt_otel:"];

fn rules_of(vocabulary: &str) -> PathBuf {
    repository().join(format!("deploy/prometheus/{vocabulary}.yaml"))
}

/// The rules of a vocabulary in a Prometheus, evaluated each second.
fn with_rules(vocabulary: &str) -> (String, String) {
    let rules = format!("rule_files: [\"{}\"]\n\nglobal:\n  evaluation_interval: 1s\n", rules_of(vocabulary).display());
    ("global:\n".to_owned(), rules)
}

/// A Prometheus that agents push to, by way of a Collector that can be scraped as well. Beside it, one scrapes the agents, and
/// one has both. All have the rules.
struct Ways {
    vocabulary: &'static str,
    pushed: Prometheus3,
    collector: Collector,
}

impl Ways {
    fn start(vocabulary: &'static str) -> Ways {
        let options = PrometheusOptions { replacements: vec![with_rules(vocabulary)], ..PrometheusOptions::default() };
        let pushed = Prometheus3::start(options);
        let collector = Collector::start(CollectorOptions::file().and_prometheus(pushed.port()).and_scrapers());
        Ways { vocabulary, pushed, collector }
    }

    /// A Prometheus that scrapes agents each second, and one that scrapes the Collector that they push to as well.
    fn scrapers(&self, agents: &[&Agent]) -> [Prometheus3; 2] {
        let targets: Vec<String> = agents.iter().map(|agent| format!("\"127.0.0.1:{}\"", agent.port())).collect();
        [None, Some(self.collector.exporter_port())].map(|collector| {
            Prometheus3::start(PrometheusOptions {
                agent: agents.first().map(|agent| agent.port()),
                collector,
                scrape_interval: Some("1s".to_owned()),
                replacements: vec![
                    (format!("[{}]", targets[0]), format!("[{}]", targets.join(", "))),
                    with_rules(self.vocabulary),
                ],
                ..PrometheusOptions::default()
            })
        })
    }

    /// Waits until each query has had an answer, with the same series in each Prometheus: none is missing one way, and none is
    /// there twice where both ways come together.
    fn all_answer(&self, [scraped, both]: &[Prometheus3; 2], queries: &[Query], silent: &[Silent]) {
        for (part, why) in SILENT.iter().chain(silent.iter().copied().flatten()) {
            assert!(queries.iter().any(|query| query.expression.contains(part)), "no query has {part:?} ({why})");
        }
        let began = Instant::now();
        let mut left: Vec<&Query> = queries.iter().collect();
        loop {
            // What a vCPU does may have changed between one look and the next: each query has to agree once.
            let mut faults = Vec::new();
            left.retain(|query| {
                let fault = query.fault([scraped, &self.pushed, both], silent, began.elapsed() < SETTLED);
                let stays = fault.is_some();
                faults.extend(fault);
                stays
            });
            if left.is_empty() {
                println!("{} queries answered after {:?}", queries.len(), began.elapsed());
                break;
            }
            assert!(began.elapsed() < ANSWERED, "{faults:#?}");
            std::thread::sleep(Duration::from_secs(1));
        }
        for prometheus in [scraped, &self.pushed, both] {
            let rules = prometheus.rules();
            let faults: Vec<_> = rules.iter().filter(|(_, health)| health.is_err()).collect();
            assert!(rules.len() > 15 && faults.is_empty(), "of {} rules: {faults:#?}", rules.len());
        }
    }

    /// Does something, and asks everything again and again, until a while afterwards: nothing may be an error, such as a VM
    /// that two nodes have where one is expected.
    fn no_error_while<T>(&self, [scraped, both]: &[Prometheus3; 2], queries: &[Query], act: impl FnOnce() -> T) -> T {
        let rounds = AtomicUsize::new(0);
        let looks = [scraped, &self.pushed, both].map(|prometheus| {
            let ask = |query: &&Query| prometheus.try_query(&query.expression).is_none();
            let rounds = &rounds;
            move || {
                let errors: Vec<_> = queries.iter().filter(ask).map(|query| query.place.clone()).collect();
                rounds.fetch_add(1, Ordering::Relaxed);
                errors
            }
        });
        let (done, seen) = meanwhile(looks, SETTLED, || {
            let done = act();
            // Each of the three twice more, however slow this machine is.
            let enough = rounds.load(Ordering::Relaxed) + 9;
            wait_until(ANSWERED, "everything to be asked again", || {
                (rounds.load(Ordering::Relaxed) >= enough).then_some(())
            });
            done
        });
        for (looks, way) in seen.iter().zip(["scraped", "pushed", "both"]) {
            println!("{way}: everything was asked {} times", looks.len());
            let errors: BTreeSet<&String> = looks.iter().flatten().collect();
            assert!(errors.is_empty(), "{way}: errors of {errors:#?}");
        }
        done
    }
}

impl Query {
    /// What is wrong with the answers. One that may be silent is given some time to answer, which is over if this is not `early`.
    fn fault(&self, ways: [&Prometheus3; 3], silent: &[Silent], early: bool) -> Option<String> {
        let Query { place, expression, .. } = self;
        let mut answers = Vec::new();
        for prometheus in ways {
            let Some(series) = prometheus.try_query(expression) else {
                return Some(format!("{place}: an error of {expression}"));
            };
            answers.push(series.into_iter().map(|one| named(one.labels)).collect::<Vec<_>>());
        }
        answers.iter_mut().for_each(|names| names.sort());
        if answers[0].is_empty() && (early || !self.may_be_silent(silent)) {
            return Some(format!("{place}: no answer to {expression}"));
        }
        let [scraped, pushed, both] = &answers[..] else { return Some("three answers".to_owned()) };
        (scraped != pushed || scraped != both)
            .then(|| format!("{place}: scraped {scraped:?}, pushed {pushed:?}, both {both:?}: {expression}"))
    }
}

/// The labels of a series without the host's name: a scraper knows its address, the Resource what it is called.
fn named(mut labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels.remove("host");
    labels
}

#[test]
fn the_dashboards_of_a_host_answer_either_way_show_each_vm_once_and_agree_with_libvirt() {
    let libvirtd = Libvirtd::system();
    let guest = Domain::tcg_linux("web", 2, 1)
        .vcpus(2, 2)
        .iothreads(1)
        .iotune(100_000_000, 1_000)
        .element(super::metadata::INSTANCE);
    libvirtd.boot(&guest);
    libvirtd.create_paused(&Domain::tcg("paused"));
    libvirtd.define(&Domain::tcg("off"));
    let ways = Ways::start("libvirt");
    // It guards nothing, and its series are there.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let nothing = folder.path().join("web.yaml").display().to_string();
    std::fs::write(&nothing, "").expect("a file");
    let agent = Agent::start(
        &[
            "--libvirt-uri",
            &libvirtd.uri(),
            "--interval",
            "1s",
            "--web-config-file",
            &nothing,
            "--vm-service-name",
            "vms",
        ],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &ways.collector.endpoint()), ("OTEL_METRIC_EXPORT_INTERVAL", "1000")],
    );
    let mut values = common();
    values.extend([("domain", guest.name()), ("uuid", guest.uuid())]);
    let mut all = queries("libvirt", &values);
    all.extend(of_rules("libvirt"));
    let scrapers = ways.scrapers(&[&agent]);
    ways.all_answer(&scrapers, &all, &[SILENT_UNDER_LIBVIRT]);
    // To the rules, one that comes both ways is on one host, which has libvirt's name for it.
    let hosts = scrapers[1].query("virt_otel:vm_hypervisor:info{domain=\"web\"}");
    let hosts: Vec<_> = hosts.iter().map(|series| series.label("host")).collect();
    assert_eq!(hosts, [Some(libvirtd.virsh(&["hostname"]).trim())]);

    let once = agreement::panels("libvirt", &values, &[("drive", "vda")], &[]);
    let questions = Questions { together: &[], answered: &[], once };
    questions.wait_until_libvirt_agrees(&scrapers[0], &libvirtd, guest.name());
}

#[test]
fn the_dashboards_of_a_cluster_answer_either_way_and_show_each_vm_once() {
    let cluster = Cluster::start();
    let nodes = ["node-a", "node-b"].map(Node::new);
    let [source, target] = nodes.each_ref().map(Node::launcher);
    let idle = nodes[1].launcher();
    idle.start_tcg(SHOP, "idle");
    let guest = source.start_linux(SHOP, "web");
    let vmi = Vmi::create_running(&cluster.api, SHOP, "web", source.place());
    Vmi::create_running(&cluster.api, SHOP, "idle", idle.place());
    let ways = Ways::start("kubevirt");
    let mut agents = nodes.each_ref().map(|node| cluster.agent(node, Some(&ways.collector)));
    let scrapers = ways.scrapers(&agents.each_ref());
    for prometheus in scrapers.iter().chain([&ways.pushed]) {
        prometheus.wait_for(ANSWERED, "rate(kubevirt_vmi_storage_iops_write_total{name=\"web\"}[10s]) > 0");
    }
    // Some panels are about a migration that goes on.
    vmi.begin_migration(source.place(), target.place());
    let migration = source.begin_migration(guest.name(), &target, Pace::SLOW);
    vmi.migration_started();
    vmi.target_domain_detected();
    let mut values = common();
    values.extend([("namespace", ".*"), ("name", "web")]);
    let mut all = queries("kubevirt", &values);
    // Of one VM the namespace is one.
    all.iter_mut().for_each(|query| {
        query.expression = query.expression.replace("namespace=\".*\"", &format!("namespace=\"{SHOP}\""));
    });
    all.extend(of_rules("kubevirt"));
    ways.all_answer(&scrapers, &all, &[SILENT_UNDER_KUBEVIRT, SILENT_IN_A_MIGRATION]);

    ways.no_error_while(&scrapers, &all, || {
        migration.hurry();
        migration.finish();
        vmi.target_domain_ready();
        vmi.flip(target.place());
        vmi.finish_migration(source.place());
    });
    ways.all_answer(&scrapers, &all, &[SILENT_UNDER_KUBEVIRT, SILENT_AFTER_A_MIGRATION]);

    ways.no_error_while(&scrapers, &all, || agents[1].restart());
    ways.all_answer(&scrapers, &all, &[SILENT_UNDER_KUBEVIRT, SILENT_AFTER_A_MIGRATION]);
}
