//! The contract with the users of our metrics: each one's name and meaning, and what the endpoint shows. Read this
//! first.
//!
//! The catalogue (`src/catalog`) is the only place where a metric is defined. The first tests here enforce the rules
//! for its rows. The last ones render from it what people and tools read (the reference, the registry, the golden
//! pages). A stale file is rewritten and its test fails, so after a change it is enough to run the tests twice, and the
//! diff shows what the change means to users.

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use support::kubevirt::{self, Verdict};
use support::{dashboards, migrating, registry, rules, sample, scaling, values, vmis};
use virt_otel::catalog::{
    Attribute, Entity, IdentityLabels, Kind, Metric, NOT_EXPORTED, Profile, Read, Selection, Stability, Unit, Value,
    Vocabulary, all, attribute, daemon_labels,
};
use virt_otel::commands;
use virt_otel::export::naming;
use virt_otel::export::otlp::{ResourceSettings, otlp_json};
use virt_otel::export::prometheus::{Format, Renderer};
use virt_otel::model::{
    ConditionKind, Group, HypervisorType, JobKind, JobOperation, Phase, State, StateReason, VcpuState,
};

const VOCABULARIES: [Vocabulary; 2] = [Vocabulary::Libvirt, Vocabulary::Kubevirt];

/// Every row with its full OpenTelemetry name.
fn rows(vocabulary: Vocabulary) -> Vec<(String, &'static Metric)> {
    let Selection { vm, daemon } = Selection::everything(vocabulary);
    vm.into_iter().chain(daemon).map(|selected| (selected.name, selected.metric)).collect()
}

// Names.

#[test]
fn names_are_lower_case_words_joined_by_dots_and_underscores() {
    for row in all() {
        for word in row.name.split('.') {
            assert!(word.starts_with(|c: char| c.is_ascii_lowercase()), "{}", row.name);
            assert!(
                word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') && !word.ends_with('_'),
                "{}",
                row.name
            );
        }
    }
}

#[test]
fn no_name_is_the_namespace_of_another() {
    // The semantic conventions forbid it, and Elasticsearch cannot store both.
    for vocabulary in VOCABULARIES {
        let rows = rows(vocabulary);
        for (name, _) in &rows {
            let namespace = format!("{name}.");
            for (other, _) in &rows {
                assert!(!other.starts_with(&namespace), "{name} is a namespace of {other}");
            }
        }
    }
}

#[test]
fn no_two_rows_have_one_name_in_either_spelling() {
    for vocabulary in VOCABULARIES {
        let mut opentelemetry = BTreeSet::new();
        let mut prometheus = BTreeSet::new();
        for (name, row) in rows(vocabulary) {
            let translated = naming::of_row(&name, row);
            assert!(prometheus.insert(translated.clone()), "{translated} twice");
            assert!(opentelemetry.insert(name.clone()), "{name} twice");
        }
    }
}

#[test]
fn the_promised_metric_is_called_as_promised() {
    let names: Vec<String> = rows(Vocabulary::Kubevirt).iter().map(|(name, row)| naming::of_row(name, row)).collect();
    assert!(names.contains(&"kubevirt_vmi_hypervisor_info".to_owned()));
}

// Units and kinds.

#[test]
fn counters_leave_total_to_the_translation_and_gauges_do_not_pretend() {
    for (name, row) in rows(Vocabulary::Libvirt) {
        assert!(!row.name.ends_with("total"), "{name}: the translation appends total");
        let translated = naming::of_row(&name, row);
        assert_eq!(row.kind == Kind::Counter, translated.ends_with("_total"), "{name} is {translated}");
        for suffix in ["_count", "_sum", "_bucket", "_created"] {
            assert!(!translated.ends_with(suffix), "{translated} looks like a part of a histogram");
        }
    }
}

#[test]
fn info_up_and_yes_or_no_gauges_have_no_unit() {
    // With the unit `1` their Prometheus names would end in `_ratio`.
    for row in all() {
        if row.name.ends_with("info")
            || row.name == "up"
            || ["collection.connected", "collection.stuck", "collection.success"].contains(&row.name)
        {
            assert_eq!(row.unit, Unit::None, "{}", row.name);
            assert_eq!(row.kind, Kind::Gauge, "{}", row.name);
        }
        // Only a real share of a whole has that unit.
        assert_eq!(row.unit.ucum() == "1", row.unit == Unit::Ratio, "{}", row.name);
    }
    let ratios: Vec<&str> = all().filter(|row| row.unit == Unit::Ratio).map(|row| row.name).collect();
    assert_eq!(ratios, ["job.auto_converge_throttle"], "a new ratio must be one: between 0 and 1");
}

#[test]
fn units_are_base_units_and_annotations_are_singular_words() {
    for row in all() {
        match row.unit {
            Unit::None | Unit::Seconds | Unit::Bytes | Unit::BytesPerSecond | Unit::Ratio => {}
            Unit::Count(what) | Unit::CountPerSecond(what) => {
                assert!(what.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{}: {what}", row.name);
                assert!(!what.ends_with('s'), "{}: {what} is a plural", row.name);
            }
        }
        assert!(row.kind != Kind::Counter || row.unit != Unit::None, "{} counts what?", row.name);
    }
}

#[test]
fn values_are_of_the_type_that_the_unit_says() {
    let (snapshot, kubevirt) = (sample::snapshot(), vmis::snapshot());
    let mut seen = BTreeSet::new();
    for row in all() {
        let check = &mut |point: virt_otel::catalog::Point<'_>| {
            seen.insert(row.name);
            let double = matches!(point.value, Value::Double(_));
            assert_eq!(double, row.unit.is_double(), "{}", row.name);
            let keys: Vec<&str> = point.labels.iter().map(|label| label.attribute.key).collect();
            let declared: Vec<&str> = row.attributes().iter().map(|attribute| attribute.key).collect();
            if registry::describes(row) {
                assert!(keys.iter().all(|key| declared.contains(key)), "{}: {keys:?}", row.name);
            } else {
                assert_eq!(keys, declared, "{}", row.name);
            }
            for label in point.labels {
                let Attribute { key, values, .. } = label.attribute;
                assert!(values.is_empty() || values.contains(&label.value), "{} of {key} in {}", label.value, row.name);
            }
            assert_eq!(point.at.is_some(), row.read.group().is_some(), "{}: what is read has a stamp", row.name);
        };
        match row.read.entity() {
            Entity::Vm => snapshot.vms.iter().chain(kubevirt.vms.iter()).for_each(|vm| row.points(vm, check)),
            Entity::Daemon => snapshot.daemons.iter().for_each(|daemon| row.daemon_points(daemon, check)),
        }
    }
    // The samples have nearly everything, so that the golden pages show it. They leave out only some figures of disks
    // and jobs.
    for row in all().filter(|row| !row.name.starts_with("storage.") && !row.name.starts_with("job.")) {
        assert!(seen.contains(row.name), "the sample has no {}", row.name);
    }
}

#[test]
fn one_metric_alone_carries_the_vms_identity_over_otlp() {
    let identified: Vec<&str> =
        all().filter(|row| matches!(row.read, Read::Identified(..))).map(|row| row.name).collect();
    assert_eq!(identified, ["hypervisor.info"]);
}

// Words.

#[test]
fn a_brief_is_one_sentence_with_a_full_stop() {
    let briefs = all()
        .map(|row| (row.name, row.brief))
        .chain(attribute::ALL.iter().copied().map(|attribute| (attribute.key, attribute.brief)));
    for (name, brief) in briefs {
        assert!(brief.ends_with('.') && !brief.ends_with(".."), "{name}: {brief}");
        assert!(brief.starts_with(|c: char| c.is_ascii_uppercase()), "{name}: {brief}");
        assert_eq!(brief.matches(". ").count(), 0, "{name} has several sentences: {brief}");
        assert!(!brief.contains('\n'), "{name}: {brief}");
    }
}

#[test]
fn every_row_says_where_its_value_comes_from() {
    for row in all() {
        assert!(!row.source.is_empty(), "{}", row.name);
    }
}

// Attributes.

#[test]
fn every_attribute_of_a_row_is_in_the_dictionary() {
    for row in all() {
        for attribute in row.attributes() {
            assert!(attribute::ALL.contains(attribute), "{} of {}", attribute.key, row.name);
        }
    }
}

#[test]
fn the_dictionary_has_each_key_once_and_none_is_the_namespace_of_another() {
    for attribute in attribute::ALL.iter().copied() {
        let namespace = format!("{}.", attribute.key);
        assert_eq!(attribute::ALL.iter().filter(|other| other.key == attribute.key).count(), 1, "{}", attribute.key);
        for other in attribute::ALL.iter().copied() {
            assert!(!other.key.starts_with(&namespace), "{} is a namespace of {}", attribute.key, other.key);
        }
        assert!(
            attribute.label.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
            "{} has the label {}",
            attribute.key,
            attribute.label
        );
        assert_ne!(attribute.values.is_empty(), attribute.examples.is_empty(), "{}: values or examples", attribute.key);
    }
}

#[test]
fn no_series_has_a_label_twice() {
    let daemon = sample::daemon("qemu:///system");
    let vm = sample::running();
    let identity = IdentityLabels::new(&vm.identity);
    for row in all() {
        let identity: Vec<&str> = match row.read.entity() {
            Entity::Vm => identity.labels().map(|label| label.attribute.label).chain(["uri"]).collect(),
            Entity::Daemon => daemon_labels(&daemon).iter().map(|label| label.attribute.label).collect(),
        };
        // The identity labels of kubevirt mode.
        let others = ["namespace", "name", "node"];
        // Prometheus adds or reserves these.
        let prometheus = ["job", "instance", "__name__", "le", "quantile"];
        let mut labels: BTreeSet<&str> = identity.into_iter().chain(others).chain(prometheus).collect();
        for attribute in row.attributes() {
            assert!(labels.insert(attribute.label), "{} twice on {}", attribute.label, row.name);
        }
    }
}

#[test]
fn closed_sets_are_those_of_the_model() {
    assert_eq!(attribute::HYPERVISOR_TYPE.values, HypervisorType::ALL.map(HypervisorType::as_str));
    assert_eq!(attribute::STATE.values, State::ALL.map(State::as_str));
    assert_eq!(attribute::VCPU_STATE.values, VcpuState::ALL.map(VcpuState::as_str));
    assert_eq!(attribute::GROUP.values, Group::ALL.map(Group::as_str));
    assert_eq!(attribute::JOB_OPERATION.values, JobOperation::ALL.map(JobOperation::as_str));
    assert_eq!(attribute::JOB_STATE.values, JobKind::ALL.map(JobKind::as_str));
    assert_eq!(attribute::PHASE.values, Phase::ALL.map(Phase::as_str));
    assert_eq!(attribute::CONDITION.values, ConditionKind::ALL);
    let reasons: BTreeSet<&str> = State::ALL.into_iter().flat_map(StateReason::names).copied().collect();
    assert_eq!(attribute::STATE_REASON.values.iter().copied().collect::<BTreeSet<_>>(), reasons);
}

// KubeVirt.

/// How KubeVirt's metrics map to ours: a row with a KubeVirt metric's name has its labels and kind too, or says how it
/// differs, and no other row has a name that means something else in KubeVirt.
#[test]
fn what_is_called_the_same_as_in_kubevirt_is_the_same() {
    let rows = rows(Vocabulary::Kubevirt);
    let identity: BTreeSet<&str> = Vocabulary::Kubevirt.identity().iter().map(|attribute| attribute.label).collect();
    let mut kubevirts = BTreeSet::new();
    for theirs in kubevirt::GROUPS.iter().flat_map(|group| group.metrics) {
        assert!(kubevirts.insert(theirs.name), "{} twice", theirs.name);
        assert!(theirs.who.iter().all(|label| identity.contains(label)), "{}", theirs.name);
        let ours = rows.iter().find(|(name, row)| naming::of_row(name, row) == theirs.name).map(|(_, row)| *row);
        let kind = match ours.map(|row| row.kind) {
            Some(Kind::Counter) => kubevirt::Kind::Counter,
            _ => kubevirt::Kind::Gauge,
        };
        match (theirs.verdict, ours) {
            (Verdict::Same(_), Some(row)) => {
                assert_eq!(row.kubevirts(), Some(theirs.name), "{}", row.name);
                assert_eq!(row.kubevirt, theirs.name, "{}", row.name);
                assert_eq!(row.stability, Stability::Stable, "{}", row.name);
                assert_eq!(kind, theirs.kind, "{}", row.name);
                let labels: Vec<&str> = row.attributes().iter().map(|attribute| attribute.label).collect();
                assert_eq!(labels, theirs.labels, "{}", row.name);
            }
            (Verdict::Differs(_), Some(row)) => {
                assert_eq!(row.kubevirts(), Some(theirs.name), "{}", row.name);
                let says_so = row.kubevirt.strip_prefix(theirs.name).is_some_and(|rest| rest.starts_with(", "));
                assert!(says_so, "{} does not say how it differs: {}", row.name, row.kubevirt);
                assert_eq!(kind, theirs.kind, "{}", row.name);
            }
            (Verdict::NotOurs(why), None) => assert!(!why.is_empty(), "{}", theirs.name),
            (Verdict::NotExported, None) => {
                let known = NOT_EXPORTED.iter().any(|elsewhere| elsewhere.name == theirs.name);
                assert!(known, "the catalogue does not say why {} is not ours", theirs.name);
            }
            (verdict, ours) => panic!("{} is {verdict:?}, and the catalogue has {ours:?}", theirs.name),
        }
    }
    let names: BTreeSet<String> = rows.iter().map(|(name, row)| naming::of_row(name, row)).collect();
    for (_, row) in rows {
        let claimed = row.kubevirts();
        assert!(claimed.is_none_or(|name| kubevirts.contains(name)), "{}: KubeVirt has no {claimed:?}", row.name);
    }
    for (rule, deprecated, ..) in kubevirt::RULES {
        assert!(!names.contains(*rule) && !names.contains(*deprecated), "{rule} is a recording rule of KubeVirt");
    }
    for (alerts, fires, why) in kubevirt::ALERTS {
        let named = why.split([' ', ',', ':', '.']).filter(|word| word.starts_with("kubevirt_vmi_"));
        for name in named {
            assert!(!fires || names.contains(name), "{alerts:?} cannot fire: {name} is not ours");
        }
    }
}

/// What only a component that sees the whole cluster can know: the reference lists it as not ours.
#[test]
fn what_no_agent_of_a_node_can_know_is_named_in_the_reference() {
    let mut reference = Vec::new();
    commands::metrics::markdown(&mut reference).unwrap();
    let reference = String::from_utf8(reference).unwrap();
    let (_, section) = reference.split_once("\n## What KubeVirt alone has\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let named: Vec<&str> =
        section.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0)).collect();
    let all = || kubevirt::GROUPS.iter().flat_map(|group| group.metrics);
    let elsewhere: BTreeSet<&str> =
        all().filter(|theirs| theirs.verdict == Verdict::NotExported).map(|theirs| theirs.name).collect();
    assert_eq!(named.iter().copied().collect::<BTreeSet<_>>(), elsewhere);
    assert_eq!(named.len(), elsewhere.len(), "each once: {named:?}");
    // This is the only reason why a metric known to the API is not ours.
    let api = kubevirt::GROUPS.iter().find(|group| group.title == "Known to the Kubernetes API").unwrap();
    for theirs in api.metrics {
        assert!(!matches!(theirs.verdict, Verdict::NotOurs(_)), "{} is not ours and not in the reference", theirs.name);
    }
}

/// The selectors in queries of KubeVirt dashboards: each finds series, and each series has the labels by which the
/// query sums, matches or names it. Prometheus' arithmetic is not tested.
#[test]
fn queries_written_for_kubevirt_find_their_series() {
    let page = page(Vocabulary::Kubevirt, Format::Text004);
    for (name, with, labels) in [
        ("kubevirt_vmi_cpu_usage_seconds_total", "name=\"web-1\"", &["namespace", "name", "node"][..]),
        ("kubevirt_vmi_vcpu_seconds_total", "state=\"running\"", &["namespace", "name", "id"]),
        ("kubevirt_vmi_vcpu_wait_seconds_total", "namespace=\"shop\"", &["name", "id"]),
        ("kubevirt_vmi_memory_available_bytes", "", &["namespace", "name", "node"]),
        ("kubevirt_vmi_memory_usable_bytes", "", &["namespace", "name", "node"]),
        ("kubevirt_vmi_storage_iops_read_total", "drive=\"rootdisk\"", &["namespace", "name", "drive"]),
        ("kubevirt_vmi_storage_read_times_seconds_total", "drive=\"vdb\"", &["name", "drive"]),
        ("kubevirt_vmi_network_receive_bytes_total", "interface=\"default\"", &["name", "interface"]),
        ("kubevirt_vmi_migration_data_processed_bytes", "name=\"mover\"", &["namespace", "name", "node"]),
        ("kubevirt_vmi_migration_data_remaining_bytes", "name=\"mover\"", &["namespace", "name", "node"]),
        ("kubevirt_vmi_migration_data_bytes_total", "name=\"mover\"", &["namespace", "name", "node"]),
        ("kubevirt_vmi_info", "phase=\"running\"", &["namespace", "name", "node", "outdated"]),
        ("kubevirt_vmi_info", "guest_os_name=\"Fedora Linux\"", &["os", "workload", "flavor", "evictable"]),
        ("kubevirt_vmi_status_addresses", "type=\"ExternalInterface\"", &["name", "address"]),
        ("kubevirt_vmi_hypervisor_info", "hypervisor_type=\"qemu-tcg\"", &["namespace", "name", "node"]),
        ("kubevirt_vmi_cpu_usage_seconds_total", "kubernetes_vmi_label_app_kubernetes_io_name=\"shop\"", &["name"]),
    ] {
        let found: Vec<&str> = page
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') && rest.contains(with)))
            .collect();
        assert!(!found.is_empty(), "{name}{{{with}}}");
        for series in found {
            for label in labels {
                assert!(
                    series.contains(&format!("{{{label}=\"")) || series.contains(&format!(",{label}=\"")),
                    "{label} is not on {series}"
                );
            }
        }
    }
}

/// Used memory is available minus usable, per VM: Prometheus subtracts series with identical labels.
#[test]
fn memory_in_use_can_be_computed_of_every_vm() {
    let page = page(Vocabulary::Kubevirt, Format::Text004);
    let labels = |name: &str| -> Vec<&str> {
        let series = page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
        series.filter_map(|rest| Some(rest.rsplit_once('}')?.0)).collect()
    };
    let available = labels("kubevirt_vmi_memory_available_bytes");
    assert!(available.len() > 1);
    assert_eq!(available, labels("kubevirt_vmi_memory_usable_bytes"));
}

#[test]
fn no_series_is_on_a_page_twice() {
    for vocabulary in VOCABULARIES {
        let page = page(vocabulary, Format::Text004);
        let mut seen = BTreeSet::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let series = line.rsplit_once(' ').map_or(line, |(series, _)| series);
            assert!(seen.insert(series), "{series} twice");
        }
    }
}

// What is rendered from the catalogue.

/// Whether a file has the expected content. If not, it is rewritten.
fn is_fresh(path: &str, expected: &str) -> std::io::Result<bool> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::fs::read_to_string(&path).is_ok_and(|found| found == expected) {
        return Ok(true);
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&path, expected)?;
    Ok(false)
}

/// Fails for files that had to be rewritten.
fn assert_rendered<'a>(files: impl IntoIterator<Item = (&'a str, String)>) {
    let stale: Vec<&str> = files
        .into_iter()
        .filter(|(path, text)| !is_fresh(path, text).is_ok_and(|fresh| fresh))
        .map(|(path, _)| path)
        .collect();
    assert!(stale.is_empty(), "stale, and rewritten just now; look at the difference and commit it: {stale:#?}");
}

#[test]
fn the_reference_is_up_to_date() {
    let mut rendered = Vec::new();
    commands::metrics::markdown(&mut rendered).unwrap();
    assert_rendered([("docs/metrics.md", String::from_utf8(rendered).unwrap())]);
}

#[test]
fn the_comparison_with_kubevirt_is_up_to_date() {
    const PATH: &str = "docs/compatibility.md";
    let parts = [
        (
            "<!-- Rendered from tests/support/kubevirt.rs by `cargo test --test contract`. -->\n",
            kubevirt::tables(),
            "<!-- End of what is rendered. -->\n",
        ),
        ("<!-- The rules, rendered likewise. -->\n", kubevirt::rules(), "<!-- End of the rules. -->\n"),
        ("<!-- The alerts, rendered likewise. -->\n", kubevirt::alerts(), "<!-- End of the alerts. -->\n"),
        (
            "<!-- From the catalogue, rendered likewise. -->\n",
            kubevirt::ours_alone(),
            "<!-- End of the catalogue. -->\n",
        ),
    ];
    let text = std::fs::read_to_string(PATH).unwrap();
    let text = parts.iter().fold(text, |text, (begin, rendered, end)| between(PATH, &text, begin, rendered, end));
    assert_rendered([(PATH, text)]);
}

#[test]
fn what_other_exporters_call_their_metrics_leads_to_metrics_that_are_there() {
    const PATH: &str = "docs/migrating.md";
    let names: BTreeSet<String> =
        rows(Vocabulary::Libvirt).iter().map(|(name, row)| naming::of_row(name, row)).collect();
    for peer in &migrating::PEERS {
        let mut seen = BTreeSet::new();
        for (theirs, ours, note) in peer.names() {
            assert!(seen.insert(theirs), "{theirs} twice in {}", peer.title);
            assert!(!ours.is_empty() || !note.is_empty(), "why is {theirs} not here?");
            for name in *ours {
                assert!(names.contains(*name), "{theirs} would be {name}, which is not there");
            }
        }
    }
    let text = std::fs::read_to_string(PATH).unwrap();
    let begin = "<!-- Rendered from tests/support/migrating.rs by `cargo test --test contract`. -->\n";
    assert_rendered([(PATH, between(PATH, &text, begin, &migrating::tables(), "<!-- End of what is rendered. -->\n"))]);
}

/// `tests/lab/rules.rs` has promtool judge what is rendered here.
#[test]
fn rules_and_alerts_are_up_to_date_and_name_only_what_there_is() {
    let runbook = std::fs::read_to_string("docs/runbook.md").unwrap();
    let source = |file: &str| std::fs::read_to_string(format!("deploy/prometheus/{file}.yaml")).unwrap();
    for vocabulary in VOCABULARIES {
        let name = rules::name(vocabulary);
        let text = rules::rendered(&source("source"), vocabulary);
        let tests = rules::rendered(&source("source_test"), vocabulary);
        assert_eq!(rules::unknown_series(&text, vocabulary), BTreeSet::new(), "{name}");
        let alerts = rules::alerts(&text);
        assert!(alerts.len() >= 12, "{alerts:?}");
        for alert in alerts {
            assert!(tests.contains(&format!("alertname=\"{alert}\"")), "no test of {alert} in {name}");
            assert!(runbook.contains(&format!("\n### {alert}\n")), "{alert} is not in the runbook");
            let link = format!("runbook: docs/runbook.md#{}\n", alert.to_lowercase());
            assert!(text.contains(&link), "{alert} does not name its place in the runbook");
        }
        let (rules_file, tests_file) =
            (format!("deploy/prometheus/{name}.yaml"), format!("deploy/prometheus/{name}_test.yaml"));
        // Helm reads no file outside of its chart.
        let copy =
            (vocabulary == Vocabulary::Kubevirt).then(|| ("deploy/helm/virt-otel/files/kubevirt.yaml", text.clone()));
        assert_rendered([(rules_file.as_str(), text), (tests_file.as_str(), tests)].into_iter().chain(copy));
    }
}

/// The identifiers of all dashboards.
fn dashboard_uids() -> BTreeSet<String> {
    let all = VOCABULARIES.into_iter().flat_map(dashboards::all);
    all.filter_map(|board| board.json["uid"].as_str().map(str::to_owned)).collect()
}

/// `tests/lab/dashboards.rs` has promtool and a Prometheus with live data judge what is rendered here.
#[test]
fn dashboards_are_up_to_date_and_name_only_what_there_is() {
    let mut files = Vec::new();
    for vocabulary in VOCABULARIES {
        let folder = format!("deploy/grafana/{}", rules::name(vocabulary));
        for board in dashboards::all(vocabulary) {
            let path = format!("{folder}/{}.json", board.name);
            let expressions: String =
                dashboards::expressions(&board.json).iter().map(|expression| format!("expr: {expression}\n")).collect();
            assert_eq!(rules::unknown_series(&expressions, vocabulary), BTreeSet::new(), "{path}");
            assert!(!expressions.contains("virt_otel:"), "{path} needs a recording rule");
            // Helm reads no file outside of its chart.
            let copy = format!("deploy/helm/virt-otel/files/dashboards/{}.json", board.name);
            files.extend((vocabulary == Vocabulary::Kubevirt).then(|| (copy, board.text())));
            files.push((path, board.text()));
        }
    }
    let expected: BTreeSet<PathBuf> = files.iter().map(|(path, _)| path.into()).collect();
    assert_eq!(expected.len(), 9);
    assert_rendered(files.iter().map(|(path, text)| (path.as_str(), text.clone())));
    let mut found = BTreeSet::new();
    for folder in ["deploy/grafana/libvirt", "deploy/grafana/kubevirt", "deploy/helm/virt-otel/files/dashboards"] {
        let entries = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).read_dir().unwrap();
        found.extend(entries.map(|entry| Path::new(folder).join(entry.unwrap().file_name())));
    }
    assert_eq!(found, expected, "the folders hold what is rendered and nothing else");
}

#[test]
fn dashboards_are_what_grafana_takes() {
    let uids = dashboard_uids();
    assert_eq!(uids.len(), 6, "{uids:?}");
    for board in VOCABULARIES.into_iter().flat_map(dashboards::all) {
        let faults = dashboards::check::faults(&board.json, &uids);
        assert!(faults.is_empty(), "{}: {faults:#?}", board.json["title"]);
    }
}

/// The check itself: a fault of each kind, and what it is called.
#[test]
fn what_grafana_would_not_take_of_a_dashboard_is_found() {
    let uids = dashboard_uids();
    let [fleet, ..] = dashboards::all(Vocabulary::Kubevirt);
    let place = |kind: &str| {
        let panels = fleet.json["panels"].as_array().unwrap();
        format!("/panels/{}", panels.iter().position(|panel| panel["type"] == kind).unwrap())
    };
    let (row, stat, lanes, table) = (place("row"), place("stat"), place("state-timeline"), place("table"));
    for (path, broken, says) in [
        ("/uid".to_owned(), json!("a uid"), "uid"),
        ("/schemaVersion".to_owned(), json!("39"), "schemaVersion"),
        ("/title".to_owned(), json!("@vm@"), "has a token"),
        (format!("{stat}/id"), json!(1), "a number of its own"),
        (format!("{stat}/type"), json!("singlestat"), "no panel of Grafana"),
        (format!("{stat}/gridPos/x"), json!(22), "outside of the grid"),
        (format!("{stat}/gridPos/w"), json!(8), "lies on panel"),
        (format!("{stat}/datasource/uid"), json!("P1809F7CD0C75ACF3"), "data source"),
        (format!("{stat}/targets/0/datasource"), json!(null), "data source"),
        (format!("{stat}/targets/0/refId"), json!(""), "refId"),
        (format!("{stat}/targets/0/expr"), json!(""), "without an expression"),
        (format!("{stat}/targets/0/expr"), json!("max(up{job=\"a\"}"), "brackets"),
        (format!("{stat}/targets/0/expr"), json!("up{job=\"$nobody\"}"), "$nobody is no variable"),
        (format!("{stat}/targets/0/instant"), json!(false), "neither instant nor range"),
        (format!("{stat}/targets"), json!([]), "no queries"),
        (format!("{stat}/fieldConfig/defaults/unit"), json!("parsecs"), "does not know the unit"),
        (format!("{stat}/fieldConfig/defaults/thresholds/steps/0/value"), json!(0), "the threshold"),
        (format!("{stat}/fieldConfig/defaults/thresholds/steps/0/color"), json!("mauve"), "the colour"),
        (format!("{stat}/fieldConfig/defaults/mappings"), json!([{ "type": "value" }]), "the mapping"),
        (format!("{lanes}/fieldConfig/defaults/links/0/url"), json!("/d/elsewhere?a=b"), "does not ship"),
        (format!("{table}/targets/0/format"), json!("time_series"), "table of"),
        (format!("{table}/transformations/1/options/renameByName"), json!({}), "without a title or a place"),
        (format!("{table}/fieldConfig/overrides/0/matcher/options"), json!("Gone"), "no column"),
        (format!("{row}/collapsed"), json!(true), "where they cannot be seen"),
        ("/templating/list/1/name".to_owned(), json!("elsewhere"), "is no variable"),
        ("/templating/list/1/name".to_owned(), json!("elsewhere"), "of no use"),
        ("/templating/list/1/definition".to_owned(), json!(""), "variable \"namespace\""),
        ("/annotations/list/1/expr".to_owned(), json!(""), "annotation"),
    ] {
        let mut board = fleet.json.clone();
        let part = board.pointer_mut(&path);
        *part.unwrap_or_else(|| panic!("{path} is not there")) = broken;
        let faults = dashboards::check::faults(&board, &uids);
        assert!(faults.iter().any(|fault| fault.contains(says)), "{path}: {says:?} is not in {faults:#?}");
    }
}

/// Of one VM everything is shown, and of the agent.
#[test]
fn dashboards_show_everything() {
    let shows = |board: &dashboards::Shipped, metric: &str| {
        let text = dashboards::expressions(&board.json).join("\n");
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let mut words = text.split(|letter| !is_name(letter));
        // A pattern names all limits of disks.
        words.any(|word| word == metric || (word.ends_with("_storage_limit_") && metric.starts_with(word)))
    };
    for vocabulary in VOCABULARIES {
        let [_, vm, agent] = dashboards::all(vocabulary);
        let Selection { vm: rows, .. } = Selection::everything(vocabulary);
        let missing: Vec<String> =
            rows.iter().map(|row| naming::of_row(&row.name, row.metric)).filter(|name| !shows(&vm, name)).collect();
        assert!(missing.is_empty(), "{missing:?} of {vocabulary:?}");
        let own = virt_otel::agent::instruments().map(|own| naming::metric(own.name, &own.unit.ucum(), own.kind));
        let missing: Vec<String> = own
            .filter(|name| vocabulary == Vocabulary::Kubevirt || !name.starts_with("virt_otel_kubernetes_"))
            .filter(|name| !shows(&agent, name))
            .collect();
        assert!(missing.is_empty(), "{missing:?} of {vocabulary:?}");
    }
}

#[test]
fn the_number_of_series_is_up_to_date_and_that_of_the_page() {
    const PATH: &str = "docs/scaling.md";
    let text = std::fs::read_to_string(PATH).unwrap();
    let begin = "<!-- Rendered from tests/support/scaling.rs by `cargo test --test contract`. -->\n";
    assert_rendered([(PATH, between(PATH, &text, begin, &scaling::table(), "<!-- End of what is rendered. -->\n"))]);
    for (vocabulary, web, labels) in [
        (Vocabulary::Libvirt, sample::running(), "{domain=\"web-1\""),
        (Vocabulary::Kubevirt, vmis::running(), "{namespace=\"shop\",name=\"web-1\""),
    ] {
        let page = page(vocabulary, Format::Text004);
        let lines = page.lines().filter(|line| line.contains(labels)).count();
        assert_eq!(scaling::series(&web, vocabulary, Profile::Full), lines, "{vocabulary:?}");
    }
}

#[test]
fn the_values_of_the_chart_are_up_to_date() {
    const PATH: &str = "deploy/helm/virt-otel/README.md";
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let (text, values) = (read(PATH), read("deploy/helm/virt-otel/values.yaml"));
    let begin = "<!-- Rendered from values.yaml by `cargo test --test contract`. -->\n";
    let table = values::table(&values, &serde_saphyr::from_str(&values).unwrap());
    assert_rendered([(PATH, between(PATH, &text, begin, &table, "<!-- End of what is rendered. -->\n"))]);
    assert!(table.contains("| `image.tag` | `\"\"` | Without one, the chart's appVersion. |"), "{table}");
    assert!(table.contains("| `nodeSelector` | `{\"kubernetes.io/os\":\"linux\"}` |"), "{table}");
    // What an alert or a person would look for.
    for value in ["metricsProfile", "otlp.endpoint", "web.tls.secretName", "networkPolicy.from", "dashboards.create"] {
        assert!(table.contains(&format!("| `{value}` |")), "{value} is missing");
    }
}

#[test]
fn the_configuration_is_up_to_date() {
    assert_rendered([
        ("docs/configuration.md", virt_otel::config::markdown()),
        ("deploy/systemd/virt-otel.env", virt_otel::config::environment_file()),
    ]);
}

/// The table of versions that were tried is written by `make test-versions`; this is what it says beside that.
#[test]
fn the_page_of_supported_versions_names_what_the_tests_have() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let page = read("docs/support.md");
    let fixtures = root.join("src/libvirt/decode/fixtures").read_dir().unwrap();
    let versions: Vec<String> = fixtures
        .map(Result::unwrap)
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert!(versions.len() >= 3, "{versions:?}");
    let modules = read("tests/lab/apiserver/go.mod");
    let kubernetes = modules.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v"));
    let (release, _patch) = kubernetes.unwrap().rsplit_once('.').unwrap();
    let api = format!("| Kubernetes API server | {release} | tested |");
    for wanted in versions.iter().map(String::as_str).chain([
        api.as_str(),
        "<!-- test-versions -->",
        "<!-- test-node -->",
        "<!-- end -->",
    ]) {
        assert!(page.contains(wanted), "docs/support.md lacks {wanted:?}");
    }
}

/// A chart is text: the groups that it accepts are written into it.
#[test]
fn the_chart_accepts_the_groups_that_there_are() {
    const SCHEMA: &str = "deploy/helm/virt-otel/values.schema.json";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCHEMA);
    let schema = std::fs::read_to_string(path).unwrap();
    let (before, after) = schema.split_once("\"groupIntervals\"").unwrap();
    let (between, rest) = after.split_once("\"enum\": [").unwrap();
    let (_, end) = rest.split_once(']').unwrap();
    let groups = Group::WORDS.map(|word| format!("\"{word}\"")).join(", ");
    assert_rendered([(SCHEMA, format!("{before}\"groupIntervals\"{between}\"enum\": [{groups}]{end}"))]);
}

#[test]
fn the_registry_is_up_to_date() {
    let files = registry::files();
    let expected: BTreeSet<PathBuf> = files.iter().map(|(path, _)| path.into()).collect();
    assert_rendered(files);
    let mut found = BTreeSet::new();
    for folder in ["otel/registry", "otel/registry/metrics"] {
        for entry in Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).read_dir().unwrap() {
            let entry = entry.unwrap();
            if entry.path().is_file() {
                found.insert(Path::new(folder).join(entry.file_name()));
            }
        }
    }
    assert_eq!(found, expected, "the registry holds what is rendered and nothing else");
}

/// Tools refuse an identifier of a value that they read as a boolean or a number.
#[test]
fn identifiers_of_values_are_strings() {
    let (_, attributes) = registry::files().into_iter().find(|(path, _)| path.ends_with("attributes.yaml")).unwrap();
    let identifiers: Vec<&str> = attributes.lines().filter_map(|line| line.trim().strip_prefix("- id: ")).collect();
    assert!(identifiers.contains(&"\"true\""), "{identifiers:?}");
    for id in identifiers {
        let inner = id.strip_prefix('"').and_then(|id| id.strip_suffix('"'));
        assert!(inner.is_some_and(|id| id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')), "{id}");
    }
}

#[test]
fn nothing_is_sent_that_the_registry_does_not_declare() {
    for (vocabulary, snapshot) in VOCABULARIES.into_iter().zip([sample::snapshot(), vmis::snapshot()]) {
        let json = otlp_json(&Arc::new(snapshot), &Selection::everything(vocabulary), &ResourceSettings::default());
        let request: serde_json::Value = serde_json::from_str(&json.unwrap()).unwrap();
        assert!(request["resourceMetrics"].as_array().is_some_and(|resources| resources.len() > 1), "{request}");
        assert_eq!(registry::undeclared(&request), BTreeSet::new());
    }
}

/// A Collector renames the OpenTelemetry keys to the endpoint's labels.
#[test]
fn the_collectors_know_every_label() {
    let statements: String = attribute::ALL
        .iter()
        .filter(|attribute| !attribute.label.is_empty() && attribute.label != attribute.key)
        .map(|Attribute { key, label, .. }| {
            format!(
                "          - set(datapoint.attributes[\"{label}\"], datapoint.attributes[\"{key}\"]) where \
                 datapoint.attributes[\"{key}\"] != nil\n          \
                 - delete_key(datapoint.attributes, \"{key}\")\n"
            )
        })
        .collect();
    let files = ["otel/collector/prometheus-remote.yaml", "otel/collector/prometheus-scrape.yaml"]
        .map(|path| (path, between(path, &std::fs::read_to_string(path).unwrap(), BEGIN, &statements, END)));
    assert_rendered(files);
}

/// A text with the part between two of its lines replaced.
#[expect(clippy::panic, reason = "a test fails by panicking, in its helpers too")]
fn between(path: &str, text: &str, begin: &str, rendered: &str, end: &str) -> String {
    let (before, rest) = text.split_once(begin).unwrap_or_else(|| panic!("{path} has no line {begin:?}"));
    let (_, after) = rest.split_once(end).unwrap_or_else(|| panic!("{path} has no line {end:?}"));
    format!("{before}{begin}{rendered}{end}{after}")
}

const BEGIN: &str =
    "          # Rendered from src/catalog by `cargo test --test contract`: the keys become the labels.\n";
const END: &str = "          # End of what is rendered.\n";

#[test]
fn the_classic_page_is_what_it_was() {
    assert_rendered([
        ("tests/golden/metrics.prom", page(Vocabulary::Libvirt, Format::Text004)),
        ("tests/golden/kubevirt.prom", page(Vocabulary::Kubevirt, Format::Text004)),
    ]);
}

#[test]
fn the_openmetrics_page_is_what_it_was() {
    assert_rendered([
        ("tests/golden/metrics.openmetrics", page(Vocabulary::Libvirt, Format::OpenMetrics100)),
        ("tests/golden/kubevirt.openmetrics", page(Vocabulary::Kubevirt, Format::OpenMetrics100)),
    ]);
}

fn page(vocabulary: Vocabulary, format: Format) -> String {
    let snapshot = match vocabulary {
        Vocabulary::Libvirt => sample::snapshot(),
        Vocabulary::Kubevirt => vmis::snapshot(),
    };
    let mut page = String::new();
    Renderer::new(&Selection::everything(vocabulary)).render(&snapshot, &[], format, &mut page);
    page
}
