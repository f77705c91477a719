//! The endpoint's output, read back by a small parser of the two formats.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prometheus::{Counter, Encoder, IntCounterVec, IntGauge, Opts, Registry};
use proptest::prelude::*;

use super::Format::{OpenMetrics100, Text004};
use super::*;
use crate::catalog::Vocabulary;
use crate::model::{MetadataKey, MetadataLabels};
use crate::{testing::sample, testing::vmis};

/// One series: its name, its labels, its value.
type Series = (String, BTreeMap<String, String>, String);

fn page(snapshot: &Snapshot, own: &[MetricFamily], format: Format) -> String {
    let mut out = String::new();
    Renderer::new(&Selection::everything(Vocabulary::Libvirt)).render(snapshot, own, format, &mut out);
    out
}

/// Reads a series back, and fails if a line does not follow the grammar.
fn parse(line: &str) -> Series {
    let (name, rest) = match line.find(['{', ' ']) {
        Some(at) => line.split_at(at),
        None => panic!("no value: {line}"),
    };
    let mut labels = BTreeMap::new();
    let mut rest = rest;
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").expect(line);
            assert!(label.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{line}");
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next().expect(line) {
                    (at, '"') => break at,
                    (_, '\\') => match chars.next().expect(line).1 {
                        'n' => value.push('\n'),
                        c => {
                            assert!(c == '\\' || c == '"', "unknown escape: {line}");
                            value.push(c);
                        }
                    },
                    (_, c) => value.push(c),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none(), "label twice: {line}");
            rest = after[end + 1..].trim_start_matches(',');
        }
        rest = &rest[1..];
    }
    (name.to_owned(), labels, rest.trim_start().to_owned())
}

fn series(page: &str) -> Vec<Series> {
    page.lines().filter(|line| !line.starts_with('#')).map(parse).collect()
}

/// Checks the rules whose violation costs a whole scrape.
fn check(page: &str, format: Format) {
    let mut families: BTreeMap<String, String> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut family = String::new();
    let mut lines: Vec<&str> = page.lines().collect();
    if format == OpenMetrics100 {
        assert_eq!(lines.pop(), Some("# EOF"), "nothing follows the end");
    }
    assert!(page.is_empty() || page.ends_with('\n'));
    for line in lines {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (what, name, text) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            match what {
                "HELP" => assert!(!text.is_empty(), "{line}"),
                "TYPE" => {
                    assert!(families.insert(name.to_owned(), text.to_owned()).is_none(), "family twice: {line}");
                    name.clone_into(&mut family);
                }
                "UNIT" => {
                    assert_eq!(format, OpenMetrics100, "{line}");
                    assert!(name.ends_with(&format!("_{text}")), "{line}");
                }
                _ => panic!("unexpected: {line}"),
            }
            continue;
        }
        let (name, labels, value) = parse(line);
        let suffixes: &[&str] = match (families[&family].as_str(), format) {
            ("counter", OpenMetrics100) => &["_total"],
            ("histogram", _) => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        let suffix = name.strip_prefix(&family).unwrap_or_else(|| panic!("{line} is not in the family {family}"));
        assert!(suffixes.contains(&suffix), "{line} in the family {family}");
        value.parse::<f64>().unwrap_or_else(|_| panic!("no number: {line}"));
        assert!(seen.insert((name, labels)), "series twice: {line}");
    }
}

/// The agent's own metrics, of every kind that a registry makes here.
fn own() -> Vec<MetricFamily> {
    let registry = Registry::new();
    let counter = IntCounterVec::new(Opts::new("virt_otel_reads_total", "Readings, \"all\"."), &["group"]).unwrap();
    counter.with_label_values(&["a\"b\\c\nd"]).inc_by(3);
    let gauge = IntGauge::new("virt_otel_stuck", "Stuck domains.").unwrap();
    let duration = Counter::new("virt_otel_read_duration_seconds_total", "How long.").unwrap();
    duration.inc_by(50.5);
    // A name that the catalogue already has must not be on the page twice.
    let taken = IntGauge::new("libvirt_up", "Somebody else's.").unwrap();
    taken.set(17);
    registry.register(Box::new(counter)).unwrap();
    registry.register(Box::new(gauge)).unwrap();
    registry.register(Box::new(duration)).unwrap();
    registry.register(Box::new(taken)).unwrap();
    registry.gather()
}

#[test]
fn both_formats_keep_their_rules() {
    for format in [Text004, OpenMetrics100] {
        check(&page(&sample::snapshot(), &own(), format), format);
        check(&page(&sample::snapshot(), &[], format), format);
        check(&page(&Snapshot::default(), &own(), format), format);
        check(&page(&Snapshot::default(), &[], format), format);
    }
}

#[test]
fn what_the_configuration_allows_of_the_metadata_is_on_every_series_of_the_vm() {
    let mut snapshot = sample::snapshot();
    let mut vm = sample::running();
    let mut identity = (*vm.identity).clone();
    if let Place::Host { labels, .. } = &mut identity.place {
        *labels = MetadataLabels::of(&sample::metadata(), &[MetadataKey::ProjectName, MetadataKey::Title]);
    }
    vm.identity = Arc::new(identity);
    snapshot.vms = vec![Arc::new(vm)].into();
    for format in [Text004, OpenMetrics100] {
        let page = page(&snapshot, &[], format);
        check(&page, format);
        let of_vms: Vec<_> = page.lines().filter(|line| line.starts_with("libvirt_domain_")).collect();
        assert!(!of_vms.is_empty());
        let labels = r#"metadata_project_name="shop",metadata_title="The shop's \"first\" web server""#;
        for line in of_vms {
            assert!(line.contains(labels), "{line}");
        }
        let is_info =
            |line: &str| line.starts_with("libvirt_domain_openstack_info{") && line.contains(",project_name=");
        assert!(page.lines().any(is_info), "beside the labels");
    }
}

#[test]
fn both_formats_show_the_same_series() {
    let of = |format| series(&page(&sample::snapshot(), &[], format));
    assert_eq!(of(Text004), of(OpenMetrics100));
}

#[test]
fn nothing_known_is_nothing_shown() {
    assert_eq!(page(&Snapshot::default(), &[], Text004), "");
    assert_eq!(page(&Snapshot::default(), &[], OpenMetrics100), "# EOF\n");
}

#[test]
fn a_domain_that_does_not_run_has_a_state_and_no_figures() {
    let page = page(&Snapshot { vms: vec![Arc::new(sample::inactive())].into(), ..Snapshot::default() }, &[], Text004);
    let names: BTreeSet<String> = series(&page).into_iter().map(|(name, ..)| name).collect();
    let expected = [
        "libvirt_domain_collection_age_seconds",
        "libvirt_domain_collection_connected",
        "libvirt_domain_collection_stuck",
        "libvirt_domain_collection_success",
        "libvirt_domain_state",
        "libvirt_domain_state_reason",
    ];
    assert_eq!(names, expected.map(str::to_owned).into());
}

#[test]
fn a_state_is_one_series_for_each_value_and_a_reason_one_in_all() {
    let page = page(&Snapshot { vms: vec![Arc::new(sample::stuck())].into(), ..Snapshot::default() }, &[], Text004);
    let of = |wanted: &str| -> Vec<Series> { series(&page).into_iter().filter(|(name, ..)| name == wanted).collect() };
    let states = of("libvirt_domain_state");
    assert_eq!(states.len(), 8);
    let present: Vec<&str> =
        states.iter().filter(|(.., value)| value == "1").map(|(_, labels, _)| labels["state"].as_str()).collect();
    assert_eq!(present, ["paused"]);
    let reasons = of("libvirt_domain_state_reason");
    assert_eq!(reasons.len(), 1);
    assert_eq!((&*reasons[0].1["state"], &*reasons[0].1["reason"]), ("paused", "ioerror"));
}

#[test]
fn two_hosts_with_one_domain_are_kept_apart() {
    let mut there = sample::running();
    there.key.daemon = crate::model::DaemonId("qemu+ssh://other/system".into());
    let snapshot = Snapshot {
        daemons: vec![
            Arc::new(sample::daemon("qemu:///system")),
            Arc::new(sample::dead_daemon("qemu+ssh://other/system")),
        ],
        vms: vec![Arc::new(sample::running()), Arc::new(there)].into(),
        ..Snapshot::default()
    };
    let page = page(&snapshot, &[], Text004);
    check(&page, Text004);
    assert!(page.contains("libvirt_up{uri=\"qemu+ssh://other/system\"} 0\n"), "{page}");
    // The dead one has no versions and no counts, rather than zeros.
    assert!(!page.contains("libvirt_domains{uri=\"qemu+ssh"), "{page}");
}

#[test]
fn the_same_row_has_kubevirts_name_in_kubevirts_vocabulary() {
    let mut out = String::new();
    Renderer::new(&Selection::everything(Vocabulary::Kubevirt)).render(&sample::snapshot(), &[], Text004, &mut out);
    assert!(out.contains("\nkubevirt_vmi_network_receive_bytes_total{"), "{out}");
    assert!(out.contains("\nkubevirt_vmi_hypervisor_info{"), "{out}");
}

/// The labels of every series of a row.
fn kubevirts(snapshot: &Snapshot, name: &str) -> Vec<BTreeMap<String, String>> {
    let mut out = String::new();
    Renderer::new(&Selection::everything(Vocabulary::Kubevirt)).render(snapshot, &[], Text004, &mut out);
    series(&out).into_iter().filter(|(have, ..)| have == name).map(|(_, labels, _)| labels).collect()
}

#[test]
fn a_vmi_has_kubevirts_labels_and_no_others_however_many_daemons_are_read() {
    let daemons = ["a", "b"].map(|uri| Arc::new(sample::daemon(uri))).to_vec();
    let snapshot = Snapshot { daemons, vms: vec![Arc::new(vmis::paused())].into(), ..vmis::snapshot() };
    let labels = kubevirts(&snapshot, "kubevirt_vmi_cpu_usage_seconds_total");
    let expected = [("namespace", "shop"), ("name", "db-1"), ("node", "node-17")];
    let expected: BTreeMap<_, _> = expected.map(|(label, value)| (label.to_owned(), value.to_owned())).into();
    assert_eq!(labels, [expected]);
}

#[test]
fn two_labels_of_a_vmi_that_become_one_are_there_once() {
    let mut vm = vmis::paused();
    vmis::edit_launcher(&mut vm, |launcher| {
        launcher.labels = vec![vmis::label("a.b", "first"), vmis::label("a/b", "the-other"), vmis::label("c", "d")];
    });
    let mut page = String::new();
    let snapshot = Snapshot { vms: vec![Arc::new(vm)].into(), ..vmis::snapshot() };
    Renderer::new(&Selection::everything(Vocabulary::Kubevirt)).render(&snapshot, &[], Text004, &mut page);
    let labels = "node=\"node-17\",kubernetes_vmi_label_a_b=\"first\",kubernetes_vmi_label_c=\"d\",hypervisor_type";
    assert!(
        page.lines().any(|line| line.starts_with("kubevirt_vmi_hypervisor_info{") && line.contains(labels)),
        "{page}"
    );
    assert!(!page.contains("the-other"), "{page}");
}

#[test]
fn the_agents_own_metrics_are_valid_in_both_formats() {
    let text = page(&Snapshot::default(), &own(), Text004);
    for line in [
        "# TYPE virt_otel_reads_total counter",
        "virt_otel_reads_total{group=\"a\\\"b\\\\c\\nd\"} 3",
        "virt_otel_read_duration_seconds_total 50.5",
        "virt_otel_stuck 0",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
    }
    let openmetrics = page(&Snapshot::default(), &own(), OpenMetrics100);
    for line in [
        "# HELP virt_otel_reads Readings, \\\"all\\\".",
        "# TYPE virt_otel_reads counter",
        "virt_otel_reads_total{group=\"a\\\"b\\\\c\\nd\"} 3",
        "# TYPE virt_otel_read_duration_seconds counter",
        "virt_otel_read_duration_seconds_total 50.5",
        "# EOF",
    ] {
        assert!(openmetrics.lines().any(|have| have == line), "{line} is not in\n{openmetrics}");
    }
}

#[test]
fn the_agents_own_metrics_are_what_the_registrys_encoder_writes() {
    let mut families = own();
    families.retain(|family| family.name() != "libvirt_up");
    let mut theirs = Vec::new();
    prometheus::TextEncoder::new().encode(&families, &mut theirs).unwrap();
    let ours = page(&Snapshot::default(), &families, Text004);
    assert_eq!(series(&ours), series(&String::from_utf8(theirs).unwrap()));
}

#[test]
fn a_family_that_the_catalogue_has_is_not_there_twice() {
    let page = page(&sample::snapshot(), &own(), Text004);
    assert!(page.contains("libvirt_up{uri=\"qemu:///system\"} 1\n"));
    assert!(!page.contains("libvirt_up 17\n"));
}

proptest! {
    #[test]
    fn any_label_value_reads_back_as_itself(value in any::<String>()) {
        let mut line = String::from("x{");
        push_pair("l", &value, &mut line);
        line.push_str("} 1");
        prop_assert!(!line.contains('\n'), "one series is one line");
        let (_, labels, number) = parse(&line);
        prop_assert_eq!(&labels["l"], &value.replace('\0', "\u{fffd}"));
        prop_assert_eq!(number, "1");
    }

    #[test]
    fn no_accept_header_is_too_strange(accept in "\\PC{0,60}|[a-z/*;=,.0-9 ]{0,80}") {
        let format = Format::negotiate(Some(&accept));
        prop_assert!(format == Text004 || accept.contains("openmetrics-text"));
    }
}
