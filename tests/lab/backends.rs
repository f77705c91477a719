//! What the configurations of otel/collector/backends and otel/collector/fleet do with four VMs, of which two share a node:
//! each backend is sent them as four.
//!
//! Those that need vendors' exporters or VictoriaMetrics are run by `make test-backends`: these take long to build.

mod fleet;
mod google;
mod pushes;
mod sink;
mod vendors;

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::support::collector::validate_with_variables;
use super::support::{Collector, CollectorOptions, Victoria, repository};
use google::Google;
use pushes::{Agents, GROWTH, HOSTS, numbers, received, text};
use sink::{Sink, eventually};
use vendors::{DATADOG_COUNT, DatadogPayload, SPLUNK_CUMULATIVE, SplunkUpload};

/// The CPU time of VMs, a counter, in either mode.
const CPU: [&str; 2] = ["kubevirt.vmi.cpu.usage", "libvirt.domain.cpu.usage"];

/// Those that speak OTLP over HTTP: with them the lab's own Collector will do.
const OTLP: [&str; 6] = ["dynatrace", "elastic", "grafana", "honeycomb", "newrelic", "victoriametrics"];

/// Those whose exporter is to be had as a Go module.
const VENDORS: [&str; 4] = ["clickhouse", "datadog", "google-cloud", "splunk"];

fn hosts() -> BTreeSet<String> {
    HOSTS.map(str::to_owned).into()
}

fn path(name: &str) -> std::path::PathBuf {
    repository().join(format!("otel/collector/{name}.yaml"))
}

#[test]
fn those_that_speak_otlp_are_valid() {
    for name in OTLP {
        validate_with_variables(&path(&format!("backends/{name}")), false);
    }
}

#[test]
#[ignore = "needs vendors' exporters: make test-backends"]
fn those_with_exporters_of_their_own_are_valid_and_so_are_those_of_fleets() {
    for name in VENDORS.iter().chain(&OTLP) {
        validate_with_variables(&path(&format!("backends/{name}")), true);
    }
    for name in ["fleet/agent", "fleet/gateway"] {
        validate_with_variables(&path(name), true);
    }
}

/// A Collector with a shipped file, and what its backend has got of two pushes.
fn caught(name: &'static str, variables: &[(&str, &str)], endpoint: &str) -> (Collector, Sink, Agents) {
    let sink = Sink::start();
    let mut options = CollectorOptions::shipped(name).variable(endpoint, &sink.url());
    for (variable, value) in variables {
        options = options.variable(variable, value);
    }
    let collector = Collector::start(options);
    let mut agents = Agents::new();
    agents.push_to(collector.http_port());
    agents.push_to(collector.http_port());
    (collector, sink, agents)
}

fn is_delta(metric: &Metric) -> bool {
    matches!(&metric.data, Some(Data::Sum(sum))
        if sum.is_monotonic && sum.aggregation_temporality == i32::from(AggregationTemporality::Delta))
}

fn number(point: &NumberDataPoint) -> Option<f64> {
    match point.value? {
        Value::AsInt(value) => value.to_string().parse().ok(),
        Value::AsDouble(value) => Some(value),
    }
}

/// Waits until the CPU time of each VM came twice (once, if deltas are made of it: of the first total comes none), under
/// the name by which `named` knows it; gives the values.
#[track_caller]
fn cpu_times(
    sink: &Sink,
    times: usize,
    named: impl Fn(&Resource, &NumberDataPoint) -> Option<String>,
) -> BTreeMap<String, Vec<f64>> {
    sink.wait_for("the CPU time of each VM", |sink| {
        let requests = sink.otlp("/v1/metrics");
        let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for (resource, metric) in received(&requests).filter(|(_, metric)| CPU.contains(&&*metric.name)) {
            for point in numbers(metric) {
                if let (Some(name), Some(value)) = (named(resource, point), number(point)) {
                    values.entry(name).or_default().push(value);
                }
            }
        }
        (values.len() >= HOSTS.len() && values.values().all(|values| values.len() >= times)).then_some(values)
    })
}

/// An attribute of a point.
fn of_point(point: &NumberDataPoint, key: &str) -> Option<String> {
    let resource = Resource { attributes: point.attributes.clone(), ..Resource::default() };
    text(&resource, key).map(str::to_owned)
}

fn host_name(resource: &Resource, _: &NumberDataPoint) -> Option<String> {
    text(resource, "host.name").map(str::to_owned)
}

/// Every VM's counter came as one delta of what was added between the two pushes.
#[track_caller]
fn grown_once(values: &BTreeMap<String, Vec<f64>>) {
    assert_eq!(values.keys().cloned().collect::<BTreeSet<_>>(), hosts());
    for (host, deltas) in values {
        assert_eq!(deltas.len(), 1, "{host}: {deltas:?}");
        assert!((deltas[0] - f64::from(GROWTH)).abs() < 1e-6, "{host}: {deltas:?}");
    }
}

/// Every VM's counter came as two totals.
#[track_caller]
fn totals(values: &BTreeMap<String, Vec<f64>>) {
    assert_eq!(values.keys().cloned().collect::<BTreeSet<_>>(), hosts());
    for (host, mut totals) in values.clone() {
        // Not every backend needs them in order.
        totals.sort_by(f64::total_cmp);
        assert!((totals[1] - totals[0] - f64::from(GROWTH)).abs() < 1e-6, "{host}: {totals:?}");
    }
}

/// Ends a VM and pushes again: no point without a value comes, which would read as a 0.
#[track_caller]
fn no_ends(collector: &Collector, sink: &Sink, mut agents: Agents) {
    let cpu_points = |sink: &Sink| {
        let requests = sink.otlp("/v1/metrics");
        received(&requests)
            .filter(|(_, metric)| CPU.contains(&&*metric.name))
            .map(|(_, metric)| numbers(metric).len())
            .sum::<usize>()
    };
    let before = cpu_points(sink);
    agents.end("vm-0002");
    agents.push_to(collector.http_port());
    sink.wait_for("what the others pushed", |sink| (cpu_points(sink) >= before + HOSTS.len() - 1).then_some(()));
    let requests = sink.otlp("/v1/metrics");
    let flagged = received(&requests).flat_map(|(_, metric)| numbers(metric)).filter(|point| point.flags != 0).count();
    assert_eq!(flagged, 0, "points without a value came");
    assert_eq!(collector.points_lost(), 0.0, "{}", collector.log());
}

#[test]
fn new_relic_is_sent_a_host_for_each_vm_and_no_service() {
    let variables = [("NEW_RELIC_LICENSE_KEY", "the-key")];
    let (collector, sink, agents) = caught("backends/newrelic.yaml", &variables, "NEW_RELIC_OTLP_ENDPOINT");
    grown_once(&cpu_times(&sink, 1, host_name));
    assert_eq!(sink.at("/v1/metrics")[0].header("api-key"), Some("the-key"));

    let requests = sink.otlp("/v1/metrics");
    // What New Relic makes a host of, by its rules: a type, an identity, a metric with a name of theirs, no service.
    let hosts_of_theirs: BTreeMap<&str, &str> = received(&requests)
        .filter(|(_, metric)| metric.name == "system.cpu.time" && is_delta(metric))
        .filter(|(resource, _)| text(resource, "newrelic.entity.type") == Some("host"))
        .map(|(resource, _)| (text(resource, "host.id").unwrap(), text(resource, "host.name").unwrap()))
        .collect();
    assert_eq!(hosts_of_theirs.values().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), hosts());
    for (resource, _) in received(&requests).filter(|(resource, _)| text(resource, "host.id").is_some()) {
        assert_eq!(text(resource, "service.name"), None);
    }
    no_ends(&collector, &sink, agents);
}

#[test]
fn dynatrace_is_sent_deltas_with_the_vm_among_their_dimensions() {
    let variables = [("DT_API_TOKEN", "the-token")];
    let (collector, sink, agents) = caught("backends/dynatrace.yaml", &variables, "DT_OTLP_ENDPOINT");
    grown_once(&cpu_times(&sink, 1, |_, point| of_point(point, "host.name")));
    assert_eq!(sink.at("/v1/metrics")[0].header("authorization"), Some("Api-Token the-token"));
    // It refuses totals.
    let requests = sink.otlp("/v1/metrics");
    let total = received(&requests)
        .find(|(_, metric)| matches!(&metric.data, Some(Data::Sum(sum)) if sum.is_monotonic) && !is_delta(metric));
    assert_eq!(total, None);
    no_ends(&collector, &sink, agents);
}

#[test]
fn honeycomb_is_sent_deltas_with_a_host_for_each_vm() {
    let variables = [("HONEYCOMB_API_KEY", "the-key"), ("HONEYCOMB_DATASET", "vms")];
    let (collector, sink, agents) = caught("backends/honeycomb.yaml", &variables, "HONEYCOMB_OTLP_ENDPOINT");
    grown_once(&cpu_times(&sink, 1, host_name));
    let request = &sink.at("/v1/metrics")[0];
    assert_eq!(
        (request.header("x-honeycomb-team"), request.header("x-honeycomb-dataset")),
        (Some("the-key"), Some("vms"))
    );
    no_ends(&collector, &sink, agents);
}

#[test]
fn elastic_is_sent_totals_with_a_host_for_each_vm() {
    let variables = [("ELASTIC_API_KEY", "the-key")];
    let (collector, sink, agents) = caught("backends/elastic.yaml", &variables, "ELASTIC_OTLP_ENDPOINT");
    totals(&cpu_times(&sink, 2, host_name));
    assert_eq!(sink.at("/v1/metrics")[0].header("authorization"), Some("ApiKey the-key"));
    let requests = sink.otlp("/v1/metrics");
    let ids: BTreeSet<_> = received(&requests).filter_map(|(resource, _)| text(resource, "host.id")).collect();
    assert_eq!(ids.len(), HOSTS.len(), "{ids:?}");
    no_ends(&collector, &sink, agents);
}

#[test]
fn grafana_is_sent_totals_with_the_endpoints_labels_and_the_ends_of_series() {
    let variables = [("GRAFANA_OTLP_AUTHORIZATION", "Basic c2VjcmV0")];
    let (collector, sink, mut agents) = caught("backends/grafana.yaml", &variables, "GRAFANA_OTLP_ENDPOINT");
    // As the endpoint has them: domain, or name and namespace.
    totals(&cpu_times(&sink, 2, |_, point| {
        of_point(point, "domain").or_else(|| Some([of_point(point, "name")?, of_point(point, "namespace")?].join(".")))
    }));
    assert_eq!(sink.at("/v1/metrics")[0].header("authorization"), Some("Basic c2VjcmV0"));
    agents.end("vm-0002");
    agents.push_to(collector.http_port());
    sink.wait_for("the end of the series of one VM", |sink| {
        let requests = sink.otlp("/v1/metrics");
        let ended = received(&requests)
            .flat_map(|(_, metric)| numbers(metric))
            .filter(|point| point.flags == 1)
            .filter_map(|point| of_point(point, "domain"))
            .collect::<BTreeSet<_>>();
        (ended == BTreeSet::from(["vm-0002".to_owned()])).then_some(())
    });
}

#[test]
#[ignore = "needs vendors' exporters: make test-backends"]
fn datadog_is_sent_a_host_for_each_vm_and_none_for_their_node() {
    let sink = Sink::start();
    let overlay = format!(
        "exporters:\n  datadog:\n    hostname: collector\n    metrics:\n      endpoint: {}\n    host_metadata:\n      \
         enabled: false\n",
        sink.url()
    );
    let options =
        CollectorOptions::shipped("backends/datadog.yaml").variable("DD_API_KEY", "0123456789abcdef0123456789abcdef");
    let collector = Collector::start(options.with_vendors().text(&overlay));
    let mut agents = Agents::new();
    agents.push_to(collector.http_port());
    agents.push_to(collector.http_port());

    let counted = |sink: &Sink| {
        let payloads: Vec<DatadogPayload> = sink.at("/api/v2/series").iter().map(sink::Caught::decode).collect();
        payloads.into_iter().flat_map(|payload| payload.series).collect::<Vec<_>>()
    };
    let series = sink.wait_for("the CPU time of each VM as a count", |sink| {
        let series = counted(sink);
        let hosts: BTreeSet<&str> = series
            .iter()
            .filter(|series| CPU.contains(&&*series.metric) && series.kind == DATADOG_COUNT)
            .map(|series| series.host())
            .collect();
        (hosts.len() >= HOSTS.len()).then_some(series.clone())
    });
    for cpu in series.iter().filter(|series| CPU.contains(&&*series.metric)) {
        let values: Vec<f64> = cpu.points.iter().map(|point| point.value).collect();
        assert_eq!((cpu.kind, &*values), (DATADOG_COUNT, &[f64::from(GROWTH)][..]), "{cpu:?}");
    }
    let of_vms = series
        .iter()
        .filter(|series| series.metric.starts_with("libvirt.domain.") || series.metric.starts_with("kubevirt.vmi."));
    let named: BTreeSet<String> = of_vms.map(|series| series.host().to_owned()).collect();
    assert_eq!(named, hosts(), "VMs are under other hosts");
    // What is said of the daemon is under its own.
    let daemons: BTreeSet<&str> =
        series.iter().filter(|series| series.metric == "libvirt.up").map(|series| series.host()).collect();
    assert_eq!(daemons, BTreeSet::from(["kvm-17.example.org"]));
    let tags = |host: &str| series.iter().find(|series| series.host() == host).map(|series| &series.tags).unwrap();
    assert!(tags("web-1.shop").iter().any(|tag| tag == "k8s.namespace.name:shop"), "{:?}", tags("web-1.shop"));
    assert!(tags("vm-0001").iter().any(|tag| tag == "libvirt.domain.name:vm-0001"), "{:?}", tags("vm-0001"));
    // The end of a VM is no value.
    agents.end("vm-0002");
    agents.push_to(collector.http_port());
    let readings = |host: &str| {
        let series = counted(&sink).into_iter();
        let usable = series.filter(|series| series.metric == "libvirt.domain.memory.usable" && series.host() == host);
        usable.map(|series| series.points.len()).sum::<usize>()
    };
    eventually("what the other pushed", || (readings("vm-0001") == 3).then_some(()));
    assert_eq!(readings("vm-0002"), 2);
}

#[test]
#[ignore = "needs vendors' exporters: make test-backends"]
fn splunk_is_sent_a_host_for_each_vm() {
    let sink = Sink::start();
    let overlay = format!("exporters:\n  signalfx:\n    ingest_url: {0}\n    api_url: {0}\n", sink.url());
    let options = CollectorOptions::shipped("backends/splunk.yaml").variable("SPLUNK_ACCESS_TOKEN", "the-token");
    let collector = Collector::start(options.with_vendors().text(&overlay));
    let mut agents = Agents::new();
    agents.push_to(collector.http_port());
    agents.push_to(collector.http_port());
    let points_of = |sink: &Sink| {
        let uploads: Vec<SplunkUpload> = sink.at("/v2/datapoint").iter().map(sink::Caught::decode).collect();
        uploads.into_iter().flat_map(|upload| upload.points).collect::<Vec<_>>()
    };
    let points = sink.wait_for("both pushes", |sink| {
        let points = points_of(sink);
        let cpu = points.iter().filter(|point| CPU.contains(&&*point.metric)).count();
        (cpu >= 2 * HOSTS.len()).then_some(points)
    });
    let cpu = points.iter().filter(|point| CPU.contains(&&*point.metric));
    assert!(cpu.clone().all(|point| point.kind == Some(SPLUNK_CUMULATIVE)));
    assert_eq!(cpu.map(|point| point.dimension("host.name").to_owned()).collect::<BTreeSet<_>>(), hosts());
    assert_eq!(sink.at("/v2/datapoint")[0].header("x-sf-token"), Some("the-token"));
    // The end of a VM is no value.
    let before = points_of(&sink).len();
    agents.end("vm-0002");
    agents.push_to(collector.http_port());
    let after =
        sink.wait_for("what the others pushed", |sink| Some(points_of(sink)).filter(|points| points.len() > before));
    let of_it = after[before..].iter().filter(|point| point.dimension("host.name") == "vm-0002").count();
    assert_eq!(of_it, 0);
}

#[test]
#[ignore = "needs vendors' exporters: make test-backends"]
fn google_is_sent_a_task_for_each_vm_and_no_node() {
    let google = Google::start();
    let overlay = format!(
        "exporters:\n  googlecloud:\n    metric:\n      endpoint: {}\n      use_insecure: true\n      \
         skip_create_descriptor: true\n",
        google.address()
    );
    let options = CollectorOptions::shipped("backends/google-cloud.yaml").variable("GOOGLE_CLOUD_PROJECT", "vms");
    let collector = Collector::start(options.with_vendors().text(&overlay));
    let mut agents = Agents::in_cluster("production");
    agents.push_to(collector.http_port());
    let cpu = || {
        let series = google.series().into_iter().map(|series| (series.metric.unwrap(), series.resource.unwrap()));
        series.filter(|(metric, _)| CPU.iter().any(|name| metric.kind.ends_with(name))).collect::<Vec<_>>()
    };
    let series = eventually("the CPU time of each VM", || Some(cpu()).filter(|series| series.len() >= HOSTS.len()));
    assert!(series.iter().all(|(_, resource)| resource.kind == "generic_task"), "{series:#?}");
    let tasks: BTreeSet<&str> = series.iter().map(|(_, resource)| &*resource.labels["task_id"]).collect();
    assert_eq!(tasks.len(), HOSTS.len(), "{tasks:?}");
    let names: BTreeSet<&str> = series.iter().map(|(metric, _)| &*metric.labels["libvirt_domain_name"]).collect();
    assert_eq!(names, BTreeSet::from(["shop_db-1", "shop_web-1", "vm-0001", "vm-0002"]));
    for (metric, _) in &series {
        let expected = metric.labels.get("kubevirt_vmi_name").map(|_| "production");
        assert_eq!(metric.labels.get("k8s_cluster_name").map(String::as_str), expected, "{metric:?}");
    }
}

#[test]
#[ignore = "needs VictoriaMetrics: make test-backends"]
fn victoriametrics_has_each_vm_under_the_endpoints_names_until_it_ends() {
    let victoria = Victoria::start(&["-opentelemetry.usePrometheusNaming"]);
    let endpoint = format!("http://127.0.0.1:{}/opentelemetry", victoria.port());
    let options = CollectorOptions::shipped("backends/victoriametrics.yaml");
    let collector = Collector::start(options.variable("VICTORIAMETRICS_OTLP_ENDPOINT", &endpoint));
    let mut agents = Agents::new();
    agents.push_to(collector.http_port());
    let domains = || victoria.values_of("libvirt_domain_name", "libvirt_domain_cpu_usage_seconds_total");
    let vmis = || victoria.values_of("kubevirt_vmi_name", "kubevirt_vmi_cpu_usage_seconds_total");
    eventually("both domains and both VMIs", || (domains().len() == 2 && vmis().len() == 2).then_some(()));
    assert_eq!(domains(), ["vm-0001", "vm-0002"]);
    assert_eq!(vmis(), ["db-1", "web-1"]);

    agents.end("vm-0002");
    agents.push_to(collector.http_port());
    eventually("the series of the ended VM to be gone", || (domains() == ["vm-0001"]).then_some(()));
    assert_eq!(vmis(), ["db-1", "web-1"]);
    assert_eq!(collector.points_lost(), 0.0, "{}", collector.log());
}
