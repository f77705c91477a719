//! The configurations for backends and fleets say what their reader needs, and name nothing that does not exist. Whether
//! a Collector takes them is for the lab (tests/lab/selftest.rs, tests/lab/backends.rs).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use virt_otel::catalog::{Selection, Vocabulary, attribute};

/// A file has room for what one backend needs and for why, no more.
const LINES: usize = 80;

/// Attributes of the semantic conventions that the agent does not send by itself.
const CONVENTIONS: [&str; 3] = ["host.id", "host.name", "k8s.cluster.name"];

/// Attributes that mean something to one backend.
const VENDORS: [&str; 3] = ["datadog.host.name", "datadog.host.use_as_metadata", "newrelic.entity.type"];

/// What makes the metric by which New Relic knows a host.
const METRICS_OF_OTHERS: [&str; 1] = ["system.cpu.time"];

/// Backends that know that a point without a value ends its series, and exporters that leave such a point out.
const KNOW_ENDS: [&str; 4] = ["datadog", "google-cloud", "grafana", "victoriametrics"];

/// The files of a folder of otel/collector, by their names.
fn files(folder: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("otel/collector").join(folder);
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().strip_suffix(".yaml").expect("YAML").to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn all() -> impl Iterator<Item = (String, String)> {
    files("backends").into_iter().chain(files("fleet"))
}

fn parse(name: &str, text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The comment at the top.
fn head(text: &str) -> String {
    let lines = text.lines().take_while(|line| line.starts_with('#'));
    lines.map(|line| line.trim_start_matches('#').trim()).collect::<Vec<_>>().join(" ")
}

/// What stands between this and what ends it, everywhere in a text.
fn between<'t>(text: &'t str, begin: &'t str, end: &'t str) -> impl Iterator<Item = &'t str> {
    text.split(begin).skip(1).filter_map(move |rest| Some(rest.split_once(end)?.0))
}

/// The variables that a configuration reads.
fn variables(text: &str) -> BTreeSet<&str> {
    between(text, "${env:", "}").map(|inner| inner.split(":-").next().unwrap()).collect()
}

/// The pipelines' lists: processors or exporters, for instance.
fn lists<'v>(configuration: &'v Value, kind: &str) -> Vec<&'v str> {
    let pipelines = configuration["service"]["pipelines"].as_object().unwrap().values();
    pipelines
        .flat_map(|pipeline| pipeline[kind].as_array().into_iter().flatten())
        .map(|id| id.as_str().unwrap())
        .collect()
}

#[test]
fn the_backends_that_people_use_are_there() {
    let names: Vec<String> = files("backends").into_keys().collect();
    let expected = [
        "azure-monitor",
        "clickhouse",
        "datadog",
        "dynatrace",
        "elastic",
        "google-cloud",
        "grafana",
        "honeycomb",
        "newrelic",
        "splunk",
        "victoriametrics",
    ];
    assert_eq!(names, expected);
    let document = std::fs::read_to_string("docs/backends.md").unwrap();
    for name in names {
        assert!(
            document.contains(&format!("(../otel/collector/backends/{name}.yaml)")),
            "docs/backends.md lacks {name}"
        );
    }
}

#[test]
fn each_file_is_short_and_its_head_says_what_a_reader_asks_first() {
    for (name, text) in all() {
        assert!(text.lines().count() <= LINES, "{name} has {} lines", text.lines().count());
        let head = head(&text);
        for word in ["OpenTelemetry Collector", "Variables: ", "Needs: "] {
            assert!(head.contains(word), "{name}: the head lacks {word:?}");
        }
    }
    for (name, text) in files("backends") {
        for word in ["Where you see one VM: ", "Temporality: "] {
            assert!(head(&text).contains(word), "{name}: the head lacks {word:?}");
        }
    }
}

#[test]
fn the_head_names_each_variable() {
    for (name, text) in all() {
        let head = head(&text);
        let (_, named) = head.split_once("Variables: ").unwrap();
        let (named, _) = named.split_once("Needs: ").unwrap();
        let named: BTreeSet<&str> = named.split([',', '.', ' ', '(']).filter(|word| !word.is_empty()).collect();
        let missing: Vec<_> = variables(&text).into_iter().filter(|variable| !named.contains(variable)).collect();
        assert!(missing.is_empty(), "{name}: the head does not name {missing:?}");
    }
}

#[test]
fn secrets_come_from_the_environment() {
    let secret = [
        "key",
        "token",
        "password",
        "Authorization",
        "api-key",
        "access_token",
        "x-honeycomb-team",
        "connection_string",
    ];
    let mut count = 0;
    for (name, text) in all() {
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let Some((key, value)) = line.split_once(": ") else { continue };
            if secret.contains(&key) {
                count += 1;
                assert!(value.contains("${env:"), "{name}: {line}");
            }
        }
    }
    assert!(count >= 9, "only {count} secrets were found");
}

#[test]
fn pipelines_name_what_is_defined_and_nothing_is_left_over() {
    for (name, text) in all() {
        let configuration = parse(&name, &text);
        for kind in ["receivers", "processors", "exporters"] {
            let named: BTreeSet<&str> = lists(&configuration, kind).into_iter().collect();
            let defined: BTreeSet<&str> =
                configuration[kind].as_object().into_iter().flatten().map(|(id, _)| id.as_str()).collect();
            assert_eq!(named, defined, "{name}: {kind}");
        }
        let named = configuration["service"]["extensions"].as_array().unwrap().iter().map(|id| id.as_str().unwrap());
        let defined = configuration["extensions"].as_object().unwrap().keys().map(String::as_str);
        assert_eq!(named.collect::<BTreeSet<_>>(), defined.collect(), "{name}: extensions");
    }
}

#[test]
fn attributes_and_metrics_are_ones_that_exist() {
    let labels: BTreeSet<&str> = [Vocabulary::Libvirt, Vocabulary::Kubevirt]
        .into_iter()
        .flat_map(|vocabulary| vocabulary.identity())
        .map(|attribute| attribute.label)
        .collect();
    let known = |key: &str| {
        attribute::ALL.iter().any(|attribute| attribute.key == key)
            || CONVENTIONS.contains(&key)
            || VENDORS.contains(&key)
            || labels.contains(key)
    };
    let rows: BTreeSet<String> = [Vocabulary::Libvirt, Vocabulary::Kubevirt]
        .into_iter()
        .flat_map(|vocabulary| Selection::everything(vocabulary).vm)
        .map(|row| row.name)
        .collect();
    let (mut attributes, mut metrics) = (0, 0);
    for (name, text) in all() {
        let code: String =
            text.lines().filter(|line| !line.trim_start().starts_with('#')).map(|line| format!("{line}\n")).collect();
        let bracketed = between(&code, "attributes[\"", "\"]");
        let deleted = between(&code, "delete_key(resource.attributes, \"", "\")");
        for key in bracketed.chain(deleted) {
            attributes += 1;
            assert!(known(key), "{name}: nobody has an attribute {key}");
        }
        let wanted = between(&code, "metric.name == \"", "\"");
        let made = between(&code, "copy_metric(name=\"", "\"");
        for metric in wanted {
            metrics += 1;
            assert!(rows.contains(metric), "{name}: there is no metric {metric}");
        }
        for metric in made {
            assert!(METRICS_OF_OTHERS.contains(&metric), "{name}: {metric} is not ours to make");
        }
        // Google's filters are expressions: each fits an attribute.
        for filter in between(&code, "- regex: ^", "$\n") {
            let (stem, rest) = filter.split_once('(').unwrap_or((filter, ")"));
            let (words, tail) = rest.split_once(')').unwrap();
            for word in words.split('|') {
                let key = format!("{stem}{word}{tail}").replace("\\.", ".");
                assert!(known(&key), "{name}: no attribute fits {filter}");
            }
        }
    }
    assert!(attributes > 50 && metrics >= 2, "{attributes} attributes and {metrics} metrics were found");
}

/// A point without a value ends a series; who does not know that reads a 0.
#[test]
fn the_end_of_a_series_is_no_zero_anywhere() {
    for (name, text) in files("backends") {
        let configuration = parse(&name, &text);
        let first = lists(&configuration, "processors").first().copied();
        assert_eq!(first == Some("filter/ended"), !KNOW_ENDS.contains(&&*name), "{name}: {first:?}");
    }
}

#[test]
fn whoever_wants_deltas_has_them_made_last_and_keeps_their_order() {
    for (name, text) in files("backends") {
        let configuration = parse(&name, &text);
        let head = head(&text);
        let (_, temporality) = head.split_once("Temporality: ").unwrap();
        let processors = lists(&configuration, "processors");
        let made = processors.iter().position(|id| id.starts_with("cumulativetodelta"));
        if !temporality.starts_with("deltas") {
            assert_eq!(made, None, "{name}");
            continue;
        }
        assert_eq!(made.map(|place| place + 1), Some(processors.len()), "{name}: {processors:?}");
        let (exporter, settings) = configuration["exporters"].as_object().unwrap().iter().next().unwrap();
        // The exporter for Azure has no queue to set.
        assert!(exporter == "azuremonitor" || settings["sending_queue"]["num_consumers"] == 1, "{name}");
    }
}

/// What is too much is refused before it is anywhere, and what is accepted is on disk.
#[test]
fn in_a_fleet_memory_has_a_limit_and_queues_are_on_disk() {
    let fleet = files("fleet");
    assert_eq!(fleet.keys().collect::<Vec<_>>(), ["agent", "gateway"]);
    for (name, text) in fleet {
        let configuration = parse(&name, &text);
        assert_eq!(lists(&configuration, "processors")[0], "memory_limiter", "{name}");
        assert!(!text.contains("\n  batch:"), "{name}: a batch processor forgets what it holds");
        let exporters = configuration["exporters"].as_object().unwrap();
        for (exporter, settings) in exporters {
            let queue = &settings["sending_queue"];
            assert_eq!(queue["storage"], "file_storage/fleet", "{name}: {exporter}");
            assert_eq!(queue["num_consumers"], 1, "{name}: {exporter}");
            assert_eq!(settings["retry_on_failure"]["max_elapsed_time"], "0s", "{name}: {exporter}");
        }
    }
    let agent = parse("agent", &files("fleet")["agent"]);
    assert_eq!(agent["exporters"]["loadbalancing"]["routing_key"], "resource");
}
