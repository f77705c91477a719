//! What the dashboards ask is answered the same whichever way VMs come: scraped, pushed, both at once, or beside KubeVirt's own
//! series. promtool evaluates each query over the golden pages.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use virt_otel::agent::instruments;
use virt_otel::catalog::{Attribute, Kind, Profile, Selection, Vocabulary, attribute};
use virt_otel::export::naming;

use super::dashboards::{Query, common, queries};
use super::profiles::kubevirts::GROUPS;
use super::support::prometheus::promtool;

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

#[test]
fn each_query_is_answered_the_same_whichever_way_vms_come() {
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
        let scraped = answers(vocabulary, page, &[SCRAPED], &queries);
        for Query { place, expression } in &queries {
            let silent = SILENT.iter().any(|(part, _)| expression.contains(part));
            assert!(silent || scraped.contains_key(expression), "{place}: no answer to {expression}");
        }
        assert!(scraped.len() > 150, "only {} queries have an answer", scraped.len());
        let mut others = vec![vec![Way::Pushed], vec![SCRAPED, Way::Pushed]];
        if vocabulary == Vocabulary::Kubevirt {
            others.push(vec![Way::Kubevirts, Way::Scraped(Profile::BesideKubevirt)]);
            others.push(vec![Way::Kubevirts, SCRAPED, Way::Pushed]);
        }
        for ways in others {
            let answered = answers(vocabulary, page, &ways, &queries);
            for Query { place, expression } in &queries {
                let known = |answers: &BTreeMap<String, String>| {
                    // A scraper knows a host by its address.
                    answers
                        .get(expression)
                        .map(|answer| answer.replace("host=\"10.0.0.2\"", &format!("host=\"{HOST}\"")))
                };
                assert_eq!(known(&answered), known(&scraped), "{place}, {ways:?}: {expression}");
            }
        }
    }
}
