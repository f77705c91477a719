//! The agent's own metrics as exported: on the page and over OTLP.

use std::collections::BTreeSet;
use std::time::Duration;

use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use prometheus::{Encoder as _, TextEncoder};

use super::*;
use crate::catalog::{Label, OwnMetric, Unit, observables};

fn identity() -> Identity {
    Identity {
        service_name: "virt-otel".into(),
        instance_id: "host:9464".into(),
        host_name: "host".into(),
        node: None,
        attributes: vec![("deployment.environment".into(), "test".into())],
    }
}

/// What a stage might count.
#[derive(Debug, Default)]
struct Counters {
    age: Option<Duration>,
}

const KIND: Attribute = Attribute::open("virt_otel.test.kind", "kind", "A kind.", &["list"]);

/// A row of each kind.
const ROWS: &[OwnMetric<Counters>] = &[
    OwnMetric::counter("virt_otel.turns", Unit::Count("turn"), "Turns.", |_| Some(9_u64.into())),
    OwnMetric::counter("virt_otel.duration", Unit::Seconds, "Time.", |_| Some(Duration::from_millis(1_500).into())),
    OwnMetric::gauge("virt_otel.age", Unit::Seconds, "Age.", |now| now.age.map(Into::into)),
    OwnMetric::gauges("virt_otel.waiting", Unit::Count("call"), &[&KIND], "Calls.", |_, emit| {
        emit(&[Label::new(&KIND, "list")], 3_u64.into());
        emit(&[Label::new(&KIND, "stats")], 4_u64.into());
    }),
];

fn rows(age: Option<Duration>) -> Vec<Observable> {
    observables(ROWS, &Arc::new(Counters { age })).collect()
}

fn page(age: Option<Duration>) -> String {
    let page = Page::new(&identity(), &rows(age)).expect("a registry of its own");
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
fn every_row_is_on_the_page_under_the_labels_of_a_page() {
    let page = page(Some(Duration::from_millis(500)));
    for (series, expected) in [
        ("virt_otel_turns_total", 9.0),
        ("virt_otel_duration_seconds_total", 1.5),
        ("virt_otel_age_seconds", 0.5),
        ("virt_otel_waiting{kind=\"list\"}", 3.0),
        ("virt_otel_waiting{kind=\"stats\"}", 4.0),
    ] {
        assert!((value(&page, series) - expected).abs() < f64::EPSILON, "{series} in\n{page}");
    }
    let families = page.lines().filter(|line| line.starts_with("# TYPE virt_otel_")).count();
    assert_eq!(families, ROWS.len(), "{page}");
}

#[test]
fn what_is_not_known_has_no_series() {
    assert!(!page(None).contains("virt_otel_age"), "{}", page(None));
}

/// Thirty-two daemons, each asked for eight things.
const MANY: &[OwnMetric<Counters>] =
    &[OwnMetric::counters("virt_otel.many", Unit::Count("call"), &[&KIND], "Calls.", |_, emit| {
        for number in 0..256_u32 {
            emit(&[Label::new(&KIND, &number.to_string())], number.into());
        }
    })];

#[test]
fn a_row_with_hundreds_of_series_has_them_all() {
    let rows: Vec<Observable> = observables(MANY, &Arc::new(Counters::default())).collect();
    let page = Page::new(&identity(), &rows).expect("a registry of its own");
    let families = page.families();
    let many = families.iter().find(|family| family.name() == "virt_otel_many_total").expect("the family");
    assert_eq!(many.get_metric().len(), 256);
}

#[test]
fn the_resource_is_told_once() {
    let page = page(None);
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

#[test]
fn a_pushed_collection_has_every_row_with_its_unit_scope_and_keys() {
    let reader = SharedReader(Arc::new(ManualReader::builder().build()));
    let builder = SdkMeterProvider::builder().with_reader(reader.clone());
    let provider = provider(builder, &identity(), &rows(Some(Duration::ZERO)), |of| of.key);
    let mut collected = ResourceMetrics::default();
    reader.collect(&mut collected).expect("it is registered");
    let scopes: Vec<_> = collected.scope_metrics().collect();
    assert_eq!(scopes.len(), 1);
    assert_eq!(scopes[0].scope().name(), "virt-otel");
    let names: BTreeSet<(&str, &str)> = scopes[0].metrics().map(|metric| (metric.name(), metric.unit())).collect();
    let units: Vec<String> = ROWS.iter().map(|row| row.instrument().unit.ucum().into_owned()).collect();
    let expected: BTreeSet<(&str, &str)> =
        ROWS.iter().zip(&units).map(|(row, unit)| (row.instrument().name, unit.as_str())).collect();
    assert_eq!(names, expected);
    let waiting = scopes[0].metrics().find(|metric| metric.name() == "virt_otel.waiting").expect("it is there");
    let AggregatedMetrics::U64(MetricData::Gauge(gauge)) = waiting.data() else { panic!("{waiting:?}") };
    let keys: BTreeSet<&str> =
        gauge.data_points().flat_map(|point| point.attributes().map(|label| label.key.as_str())).collect();
    assert_eq!(keys, BTreeSet::from(["virt_otel.test.kind"]));
    drop(provider);
}

/// A Collector that accepts connections and never answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_does_not_wait_for_a_mute_collector() {
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = mute.local_addr().expect("it is bound");
    let endpoint = format!("http://{address}").parse().expect("a URL");
    let collector = Collector { endpoint, ..Collector::default() };
    let (credentials, _) = collector.open().expect("no files");
    let push = Push::new(&identity(), &rows(None), &collector, &credentials, Duration::from_secs(60));
    let push = push.expect("an exporter");
    let stop = CancellationToken::new();
    stop.cancel();
    let began = Instant::now();
    tokio::time::timeout(Duration::from_secs(8), push.run(Duration::ZERO, Pulse::default(), stop))
        .await
        .expect("it ends");
    assert!(began.elapsed() < LAST_PUSH + Duration::from_secs(2), "{:?}", began.elapsed());
}
