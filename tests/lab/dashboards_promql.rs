//! What the dashboards ask is answered the same whichever way VMs come: scraped, pushed, both at once, or beside KubeVirt's own
//! series. promtool evaluates each query over the golden pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;
use virt_otel::agent::instruments;
use virt_otel::catalog::{Attribute, Kind, Profile, Selection, Vocabulary, attribute};
use virt_otel::export::naming;

use super::dashboards::{Query, common, queries};
use super::profiles::kubevirts::GROUPS;
use super::support::prometheus::promtool;
use super::support::repository;

/// A page for each vocabulary, with every row.
const PAGES: [(Vocabulary, &str, &str); 2] = [
    (Vocabulary::Libvirt, "libvirt", include_str!("../golden/metrics.prom")),
    (Vocabulary::Kubevirt, "kubevirt", include_str!("../golden/kubevirt.prom")),
];

/// Queries without an answer over the pages, and why: nothing of the kind happens there.
const SILENT: &[(&str, &str)] = &[
    ("state=\"crashed\"}) == 1", "no VM has crashed"),
    ("_collection_stuck{", "the VM is not stuck"),
    ("_collection_success{", "the VM is read whole"),
    ("_collection_connected{", "the VM is reached"),
    ("_storage_limit_", "the VM has some of the limits"),
    ("_storage_errors_total", "the sample has none"),
    ("_job_", "the VM has no job"),
    ("_migration_", "the VM does not migrate, or has not failed to"),
    ("_connected * ", "the API answers each agent"),
    ("max by (host, uri) (label_replace((libvirt_up ", "each daemon is reached"),
];

/// How a series came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Scraped(Profile),
    Pushed,
    /// KubeVirt itself is scraped.
    Kubevirts,
}

const SCRAPED: Way = Way::Scraped(Profile::Full);

impl Way {
    /// Whether a family comes this way.
    fn has(self, family: &str) -> bool {
        let theirs = GROUPS.iter().flat_map(|group| group.metrics).any(|theirs| theirs.name == family);
        match self {
            Way::Kubevirts => theirs,
            Way::Scraped(Profile::BesideKubevirt) => !theirs,
            Way::Scraped(Profile::Full) | Way::Pushed => true,
        }
    }

    /// The labels of a series of the page, as Prometheus has them.
    fn labels(self, labels: &str) -> String {
        let of = |key: &str| {
            let start = labels
                .find(&format!(",{key}=\""))
                .map(|at| at + 1)
                .or(labels.starts_with(&format!("{key}=\"")).then_some(0))?;
            labels[start..].split('"').nth(1)
        };
        match self {
            Way::Kubevirts => format!("{labels},job=\"kubevirt-prometheus-metrics\",instance=\"10.0.0.1:8443\""),
            Way::Scraped(_) => format!("{labels},job=\"virt-otel\",instance=\"10.0.0.2:9464\""),
            Way::Pushed => match (of("namespace"), of("name"), of("uuid")) {
                (Some(namespace), Some(name), _) => {
                    format!("{labels},job=\"{namespace}/kubevirt-vmi\",instance=\"pod-of-{name}\"")
                }
                (_, _, Some(uuid)) => {
                    format!("{labels},job=\"{HOST}/libvirt-domain\",instance=\"{uuid}\",libvirt_host_name=\"{HOST}\"")
                }
                _ => {
                    // Its URI is on the Resource.
                    let rest = labels.replacen(&format!("uri=\"{URI}\""), "", 1);
                    let rest = rest.trim_start_matches(',');
                    let comma = if rest.is_empty() { "" } else { "," };
                    format!(
                        "{rest}{comma}job=\"{HOST}/libvirt-daemon\",instance=\"{URI}\",libvirt_host_name=\"{HOST}\""
                    )
                }
            },
        }
    }

    /// The agent's own series: of two agents, each with every value of a label that is a closed set.
    fn own(self, vocabulary: Vocabulary) -> Vec<(String, f64)> {
        let mut series = Vec::new();
        for number in 1..=2 {
            let (label, who): (fn(&Attribute) -> String, String) = match self {
                Way::Kubevirts => return series,
                Way::Scraped(_) => {
                    (|of| of.label.to_owned(), format!("job=\"virt-otel\",instance=\"10.0.0.{number}:9464\""))
                }
                Way::Pushed => (renamed, format!("job=\"virt-otel\",instance=\"agent-{number}:9464\"")),
            };
            let node = match vocabulary {
                Vocabulary::Libvirt => String::new(),
                Vocabulary::Kubevirt => format!(",k8s_node_name=\"n{number}\""),
            };
            series.push((format!("target_info{{{who},host_name=\"h{number}\"{node}}}"), 1.0));
            for own in instruments() {
                let name = naming::metric(own.name, &own.unit.ucum(), own.kind);
                let value = if own.name.ends_with(".info") || own.name.ends_with(".connected") { 1.0 } else { 7.0 };
                let labels = own.attributes.iter().fold(vec![who.clone()], |all, attribute| {
                    let values = [attribute.values, attribute.examples].concat();
                    let with = |known: &String| {
                        let of = values.iter().map(|value| format!("{known},{}=\"{value}\"", label(attribute)));
                        of.collect::<Vec<_>>()
                    };
                    all.iter().flat_map(with).collect()
                });
                series.extend(labels.into_iter().map(|labels| (format!("{name}{{{labels}}}"), value)));
            }
        }
        series
    }
}

const HOST: &str = "kvm-17.example.org";
const URI: &str = "qemu:///system";

/// The label that the Collectors of otel/collector make of an attribute, or else Prometheus.
fn renamed(of: &Attribute) -> String {
    let known = attribute::ALL.iter().find(|known| known.key == of.key && !known.label.is_empty());
    known.map_or_else(|| naming::label(of.key), |known| known.label.to_owned())
}

/// Everything that comes these ways, as promtool reads it: counters grow for forty minutes.
fn input(vocabulary: Vocabulary, page: &str, ways: &[Way]) -> String {
    let mut series: Vec<(String, f64)> = Vec::new();
    for way in ways {
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').expect("a sample");
            let (family, labels) = name.split_once('{').expect("labels");
            let labels = labels.strip_suffix('}').expect("the end of the labels");
            if way.has(family) {
                series.push((format!("{family}{{{}}}", way.labels(labels)), value.parse().expect("a number")));
            }
        }
        series.extend(way.own(vocabulary));
    }
    let counters: Vec<String> = Selection::everything(vocabulary)
        .vm
        .iter()
        .filter(|row| row.metric.kind == Kind::Counter)
        .map(|row| naming::of_row(&row.name, row.metric))
        .chain(
            instruments()
                .filter(|own| own.kind == Kind::Counter)
                .map(|own| naming::metric(own.name, &own.unit.ucum(), own.kind)),
        )
        .collect();
    let mut out = String::new();
    for (name, value) in series {
        let family = name.split('{').next().unwrap_or_default();
        let growth = if counters.iter().any(|counter| counter == family) { 15 } else { 0 };
        let name = name.replace('\'', "''");
        let _ = writeln!(out, "      - series: '{name}'\n        values: '{value}+{growth}x40'");
    }
    out
}

/// What each expression answers, as promtool says it; one without an answer is not there.
fn answers(vocabulary: Vocabulary, page: &str, ways: &[Way], queries: &[Query]) -> BTreeMap<String, String> {
    let mut tests = format!(
        "evaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n{}    promql_expr_test:\n",
        input(vocabulary, page, ways)
    );
    for query in queries {
        let _ = writeln!(tests, "      - expr: {}\n        eval_time: 30m", Value::from(query.expression.as_str()));
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("tests.yaml");
    std::fs::write(&file, tests).expect("a file");
    // That nothing is expected makes each answer a failure, which promtool shows.
    let (_, said) = promtool(&["test", "rules", &file.display().to_string()], None);
    let mut answers = BTreeMap::new();
    let mut asked = None;
    for line in said.lines().map(str::trim) {
        if let Some(quoted) = line.strip_prefix("expr: ").and_then(|line| line.strip_suffix(", time: 30m,")) {
            asked = Some(serde_json::from_str::<String>(quoted).expect("a quoted expression"));
        } else if let Some(got) = line.strip_prefix("got: ") {
            answers.insert(asked.take().expect("an expression before its answer"), got.to_owned());
        } else {
            let fault = line.starts_with("exp: nil") || line.is_empty() || line == "FAILED:";
            assert!(fault || line.starts_with("Unit Testing"), "{ways:?}: {line}");
        }
    }
    answers
}

#[test]
fn no_excuse_is_out_of_use() {
    let all = PAGES.map(|(_, name, _)| queries(name, &common()).into_iter().map(|query| query.expression));
    let all: Vec<String> = all.into_iter().flatten().collect();
    for (part, why) in SILENT {
        assert!(all.iter().any(|expression| expression.contains(part)), "no query has {part:?} ({why})");
    }
}

/// How VMs may come, in words. The first is what the others are compared with.
const SETUPS: [(&str, &[Way], &[Vocabulary]); 7] = [
    ("scraped", &[SCRAPED], &[Vocabulary::Libvirt, Vocabulary::Kubevirt]),
    ("pushed", &[Way::Pushed], &[Vocabulary::Libvirt, Vocabulary::Kubevirt]),
    ("both", &[SCRAPED, Way::Pushed], &[Vocabulary::Libvirt, Vocabulary::Kubevirt]),
    (
        "KubeVirt's, ours `beside-kubevirt`",
        &[Way::Kubevirts, Way::Scraped(Profile::BesideKubevirt)],
        &[Vocabulary::Kubevirt],
    ),
    ("KubeVirt's, ours in full", &[Way::Kubevirts, SCRAPED], &[Vocabulary::Kubevirt]),
    ("KubeVirt's, ours pushed", &[Way::Kubevirts, Way::Pushed], &[Vocabulary::Kubevirt]),
    ("all three", &[Way::Kubevirts, SCRAPED, Way::Pushed], &[Vocabulary::Kubevirt]),
];

/// How many panels of a dashboard have an answer, of how many.
fn panels(queries: &[Query], dashboard: &str, answers: &BTreeMap<String, String>) -> String {
    let of = |query: &&Query| query.place.starts_with(dashboard);
    let all: BTreeSet<u64> = queries.iter().filter(of).filter_map(|query| query.panel).collect();
    let with_answer = queries.iter().filter(of).filter(|query| answers.contains_key(&query.expression));
    let with_answer: BTreeSet<u64> = with_answer.filter_map(|query| query.panel).collect();
    format!("{} of {}", with_answer.len(), all.len())
}

/// The table of deploy/grafana/README.md, from the answers by vocabulary and setup.
fn table(found: &BTreeMap<(&str, &str), Vec<String>>) -> String {
    let head: Vec<&str> = SETUPS.iter().map(|(setup, ..)| *setup).collect();
    let mut table = format!("\n| Dashboard | {} |\n|---|{}\n", head.join(" | "), "---|".repeat(head.len()));
    for (_, vocabulary, _) in PAGES {
        for (at, dashboard) in DASHBOARDS.into_iter().enumerate() {
            let counts = head.iter().map(|setup| found.get(&(vocabulary, *setup)).map_or("–", |counts| &counts[at]));
            let _ = writeln!(table, "| {vocabulary}/{dashboard} | {} |", counts.collect::<Vec<_>>().join(" | "));
        }
    }
    table + "\n"
}

const DASHBOARDS: [&str; 3] = ["fleet", "vm", "agent"];

/// Writes the table where it belongs, if it is another one there.
fn assert_up_to_date(table: &str) {
    let path = repository().join("deploy/grafana/README.md");
    let text = std::fs::read_to_string(&path).expect("the page about dashboards");
    let (before, rest) = text.split_once(BEGIN).expect("where the table begins");
    let (there, after) = rest.split_once(END).expect("where the table ends");
    if there != table {
        std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).expect("the page, written");
        panic!("stale, and rewritten just now: {}", path.display());
    }
}

const BEGIN: &str = "<!-- Rendered from tests/lab/dashboards_promql.rs by `make lab`. -->\n";
const END: &str = "<!-- End of what is rendered. -->\n";

#[test]
fn each_query_is_answered_the_same_whichever_way_vms_come() {
    let mut found = BTreeMap::new();
    for (vocabulary, name, page) in PAGES {
        let mut values = common();
        match vocabulary {
            Vocabulary::Libvirt => {
                values.extend([("uuid", "6695eb01-f6a4-4304-89aa-000000000010"), ("domain", "web-1")])
            }
            Vocabulary::Kubevirt => values.extend([("namespace", "shop"), ("name", "web-1")]),
        }
        values.extend([("__rate_interval", "2m"), ("window", "5m")]);
        let queries = queries(name, &values);
        let mut scraped: Option<BTreeMap<String, String>> = None;
        for (setup, ways, _) in SETUPS.iter().filter(|(.., of)| of.contains(&vocabulary)) {
            let answered = answers(vocabulary, page, ways, &queries);
            let counts = DASHBOARDS.map(|dashboard| panels(&queries, &format!("{name}/{dashboard}: "), &answered));
            found.insert((name, *setup), counts.to_vec());
            let Some(scraped) = &scraped else {
                for Query { place, expression, .. } in &queries {
                    let silent = SILENT.iter().any(|(part, _)| expression.contains(part));
                    assert!(silent || answered.contains_key(expression), "{place}: no answer to {expression}");
                }
                assert!(answered.len() > 150, "only {} queries have an answer", answered.len());
                scraped = Some(answered);
                continue;
            };
            for Query { place, expression, .. } in &queries {
                let known = |answers: &BTreeMap<String, String>| {
                    // A scraper knows a host by its address.
                    answers
                        .get(expression)
                        .map(|answer| answer.replace("host=\"10.0.0.2\"", &format!("host=\"{HOST}\"")))
                };
                assert_eq!(known(&answered), known(scraped), "{place}, {setup}: {expression}");
            }
        }
    }
    assert_up_to_date(&table(&found));
}
