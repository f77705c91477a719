//! The agent's own metrics, as they leave: on the page and over the wire.

use std::collections::BTreeSet;
use std::time::Duration;

use prometheus::{Encoder as _, TextEncoder};

use super::*;
use crate::telemetry::readings::{Calls, Daemon, Group, Observe, Otlp, Scrapes, Watch};

fn identity() -> Identity {
    Identity {
        service_name: "virt-otel".into(),
        instance_id: "host:9464".into(),
        host_name: "host".into(),
        attributes: vec![("deployment.environment".into(), "test".into())],
    }
}

/// Readings in which everything is there, and nothing is zero.
fn full() -> Readings {
    Readings {
        daemons: vec![Daemon {
            uri: "qemu:///system".into(),
            calls: vec![Calls { kind: "stats", returned: 1, failed: 2, late: 3, duration: Duration::from_millis(250) }],
            in_flight: 30,
            abandoned: 31,
            connections: 32,
            connects: 33,
            disconnects: 34,
            refused: 35,
            events: 6,
            events_dropped: 7,
        }],
        groups: vec![Group { name: "block", readings: 8, duration: Duration::from_millis(1_500) }],
        observe: Observe {
            turns: 9,
            readings: 10,
            failures: 11,
            stuck: 12,
            busy: 36,
            descriptions: 13,
            description_failures: 14,
            unknown_parameters: 15,
            left_out: 45,
            domains_left_out: 46,
            snapshots: 16,
        },
        watch: Some(Watch {
            connected: true,
            away: Some(Duration::from_millis(1_250)),
            events: vec![("applied", 40)],
            errors: vec![("forbidden", 41)],
            objects_dropped: 42,
            fields_dropped: 43,
            labels_dropped: 44,
        }),
        otlp: Some(Otlp {
            sent: 17,
            rejected: 18,
            retried: 19,
            dropped: vec![("refused", 20)],
            requests: 21,
            failed_requests: 22,
            bytes: 23,
            queued: 24,
        }),
        scrapes: Some(Scrapes { answered: 25, refused: 26, duration: Duration::from_millis(2_500), bytes: 27 }),
        snapshot_age: Some(Duration::from_millis(500)),
    }
}

fn page(readings: Readings) -> String {
    let source: Source = Arc::new(move || readings.clone());
    let page = Page::new(&identity(), &source).expect("a registry of its own");
    let mut text = Vec::new();
    TextEncoder::new().encode(&page.families(), &mut text).expect("memory is enough");
    String::from_utf8(text).expect("text is UTF-8")
}

fn value(page: &str, series: &str) -> f64 {
    let line = page.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    let line = line.unwrap_or_else(|| panic!("{series} is not in\n{page}"));
    line.rsplit(' ').next().expect("a value").parse().expect("a number")
}

#[test]
fn every_row_is_on_the_page_with_its_value() {
    let page = page(full());
    for (series, expected) in [
        ("virt_otel_build_info{version=\"0.1.0\"}", 1.0),
        ("virt_otel_libvirt_calls_total{libvirt_call=\"stats\",libvirt_uri=\"qemu:///system\"}", 1.0),
        ("virt_otel_libvirt_calls_abandoned{libvirt_uri=\"qemu:///system\"}", 31.0),
        ("virt_otel_group_duration_seconds_total{libvirt_stats_group=\"block\"}", 1.5),
        ("virt_otel_stuck", 12.0),
        ("virt_otel_otlp_points_dropped_total{reason=\"refused\"}", 20.0),
        ("virt_otel_otlp_size_bytes_total", 23.0),
        ("virt_otel_scrape_duration_seconds_total", 2.5),
        ("virt_otel_snapshot_age_seconds", 0.5),
    ] {
        assert!((value(&page, series) - expected).abs() < f64::EPSILON, "{series} in\n{page}");
    }
    let families = page.lines().filter(|line| line.starts_with("# TYPE virt_otel_")).count();
    assert_eq!(families, METRICS.len(), "{page}");
}

#[test]
fn what_is_not_known_has_no_series() {
    let page = page(Readings::default());
    assert!(!page.contains("virt_otel_snapshot_age"), "{page}");
    assert!(!page.contains("virt_otel_otlp_"), "{page}");
    assert!(!page.contains("virt_otel_scrapes"), "{page}");
    assert!(page.contains("virt_otel_stuck 0"), "{page}");
}

#[test]
fn the_resource_is_told_once() {
    let page = page(full());
    let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("target_info{")).collect();
    let [line] = lines.as_slice() else { panic!("{page}") };
    for label in [
        "service_name=\"virt-otel\"",
        "service_instance_id=\"host:9464\"",
        "deployment_environment=\"test\"",
        "host_name",
    ] {
        assert!(line.contains(label), "{line}");
    }
}

/// The exporter appends units and `_total` without looking; the Collector and Prometheus look. Both come to the same
/// name only if ours contain neither.
#[test]
fn names_carry_no_unit_and_no_suffix() {
    for row in METRICS {
        let tokens: Vec<&str> = row.name.split(['.', '_']).collect();
        for word in ["total", "bytes", "seconds", "ratio", "count", "sum", "bucket", "created"] {
            assert!(!tokens.contains(&word), "{}", row.name);
        }
        assert!(row.name.starts_with("virt_otel."), "{}", row.name);
        assert!(row.name.chars().all(|char| char.is_ascii_lowercase() || "._".contains(char)), "{}", row.name);
        assert!(row.brief.ends_with('.') && !row.brief.contains('|'), "{}", row.name);
    }
}

#[test]
fn no_name_is_twice_or_a_namespace_of_another() {
    let names: BTreeSet<&str> = METRICS.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), METRICS.len());
    for name in &names {
        let space = format!("{name}.");
        assert!(!names.iter().any(|other| other.starts_with(&space)), "{name}");
    }
}

#[test]
fn a_row_yields_its_attributes_and_the_kind_of_number_that_its_unit_has() {
    for row in METRICS {
        let mut series = 0;
        (row.read)(&full(), &mut |attributes, value| {
            series += 1;
            let keys: Vec<&str> = attributes.iter().map(|(key, _)| *key).collect();
            assert_eq!(keys, row.attributes, "{}", row.name);
            assert_eq!(matches!(value, Value::Double(_)), row.unit.is_double(), "{}", row.name);
            assert!(double(value) > 0.0, "{} reads nothing", row.name);
        });
        assert_eq!(series, 1, "{}", row.name);
    }
}

#[test]
fn a_pushed_collection_has_every_row_with_its_unit_and_scope() {
    let source: Source = Arc::new(full);
    let reader = SharedReader(Arc::new(ManualReader::builder().build()));
    let provider = provider(SdkMeterProvider::builder().with_reader(reader.clone()), &identity(), &source);
    let mut collected = ResourceMetrics::default();
    reader.collect(&mut collected).expect("it is registered");
    let scopes: Vec<_> = collected.scope_metrics().collect();
    assert_eq!(scopes.len(), 1);
    assert_eq!(scopes[0].scope().name(), "virt-otel");
    let names: BTreeSet<(&str, &str)> = scopes[0].metrics().map(|metric| (metric.name(), metric.unit())).collect();
    let units: Vec<String> = METRICS.iter().map(|row| row.unit.ucum().into_owned()).collect();
    let expected: BTreeSet<(&str, &str)> =
        METRICS.iter().zip(&units).map(|(row, unit)| (row.name, unit.as_str())).collect();
    assert_eq!(names, expected);
    drop(provider);
}

#[test]
fn the_table_for_the_documentation_has_every_row() {
    let table = crate::telemetry::markdown();
    assert_eq!(table.lines().count(), METRICS.len() + 2);
    assert!(table.contains("| `virt_otel.otlp.size` | `By` | counter |"), "{table}");
}

/// A Collector that takes connections and never says a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_does_not_wait_for_a_mute_collector() {
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = mute.local_addr().expect("it is bound");
    let collector = Collector {
        endpoint: format!("http://{address}").parse().expect("a URL"),
        headers: vec![("x-token".into(), "secret".into())],
        timeout: Duration::from_secs(10),
        gzip: true,
        ca_file: None,
        client_files: None,
    };
    let source: Source = Arc::new(full);
    let push = Push::new(&identity(), &source, &collector, Duration::from_secs(60)).expect("no certificates");
    let stop = CancellationToken::new();
    stop.cancel();
    let began = Instant::now();
    tokio::time::timeout(Duration::from_secs(8), push.run(Pulse::default(), stop)).await.expect("it ends");
    assert!(began.elapsed() < LAST_PUSH + Duration::from_secs(2), "{:?}", began.elapsed());
}
