//! A real OpenTelemetry Collector.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;

use serde_json::Value;
use tempfile::TempDir;

use super::exposition::Metrics;
use super::http;
use super::process::{self, Exit, Process};
use super::{free_port, prepared, repository, wait_until};

/// What to start. All configurations are merged by the Collector; pipelines of different names add up.
#[derive(Debug, Clone, Default)]
pub struct CollectorOptions {
    /// Files that ship with the product, by their name in otel/collector.
    pub shipped: Vec<&'static str>,
    /// More configurations, as text.
    pub texts: Vec<String>,
    /// Variables that the configurations read, which override the ports and paths set here.
    pub environment: Vec<(String, String)>,
    /// With vendors' exporters, which take long to build.
    pub vendors: bool,
}

/// Where a Collector serves its own metrics; most shipped files leave it at its default port.
const OWN_METRICS: &str = "
service:
  telemetry:
    metrics:
      readers:
        - pull:
            exporter:
              prometheus:
                host: ${env:COLLECTOR_METRICS_HOST}
                port: ${env:COLLECTOR_METRICS_PORT}
";

impl CollectorOptions {
    /// Writes what it receives to a file, nothing else.
    pub fn file() -> CollectorOptions {
        CollectorOptions { shipped: vec!["debug.yaml"], ..CollectorOptions::default() }
    }

    /// Also sends to this Prometheus, with the shipped configuration.
    pub fn and_prometheus(mut self, port: u16) -> CollectorOptions {
        self.shipped.push("prometheus-remote.yaml");
        self.environment.push(("PROMETHEUS_OTLP_ENDPOINT".to_owned(), format!("http://127.0.0.1:{port}/api/v1/otlp")));
        self
    }

    /// Also serves scrapers, with the shipped configuration.
    pub fn and_scrapers(mut self) -> CollectorOptions {
        self.shipped.push("prometheus-scrape.yaml");
        self
    }

    /// Also sends deltas to this port, with the shipped configuration.
    pub fn and_delta_backend(mut self, port: u16) -> CollectorOptions {
        self.shipped.push("delta.yaml");
        self.environment.push(("DELTA_OTLP_ENDPOINT".to_owned(), format!("http://127.0.0.1:{port}")));
        self
    }

    /// With a file of otel/collector/backends or otel/collector/fleet.
    pub fn shipped(name: &'static str) -> CollectorOptions {
        CollectorOptions { shipped: vec![name], ..CollectorOptions::default() }.text(OWN_METRICS)
    }

    /// With this text in place of a shipped file, which tests have changed.
    pub fn changed(text: &str) -> CollectorOptions {
        CollectorOptions::default().text(text).text(OWN_METRICS)
    }

    /// With vendors' exporters.
    pub fn with_vendors(mut self) -> CollectorOptions {
        self.vendors = true;
        self
    }

    /// With a variable.
    pub fn variable(mut self, name: &str, value: &str) -> CollectorOptions {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With more configuration, as text.
    pub fn text(mut self, text: &str) -> CollectorOptions {
        self.texts.push(text.to_owned());
        self
    }
}

/// A running Collector; killed when dropped.
pub struct Collector {
    process: Option<Process>,
    options: CollectorOptions,
    grpc: u16,
    http: u16,
    health: u16,
    own: u16,
    exporter: u16,
    folder: TempDir,
    requests: Requests,
}

/// Where a Collector writes what it receives.
fn file_in(folder: &TempDir) -> PathBuf {
    folder.path().join("received.jsonl")
}

/// The requests in a file of the Collector's file exporter, which tests read again and again while it grows.
pub struct Requests {
    file: PathBuf,
    read: Mutex<Read>,
}

/// What was read so far.
#[derive(Debug, Default)]
struct Read {
    bytes: u64,
    requests: Vec<Arc<Value>>,
}

impl Requests {
    /// Those of this file, which need not exist yet.
    pub fn of(file: PathBuf) -> Requests {
        Requests { file, read: Mutex::default() }
    }

    /// Those that come from now on.
    pub fn from_now_on(file: PathBuf) -> Requests {
        let text = fs::read(&file).unwrap_or_default();
        // Its last line may be half written.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let bytes = u64::try_from(whole).expect("a length");
        Requests { file, read: Mutex::new(Read { bytes, requests: Vec::new() }) }
    }

    /// Every request, as OTLP's JSON, in order.
    pub fn all(&self) -> Vec<Arc<Value>> {
        let mut read = self.read.lock().expect("what was read");
        let mut text = Vec::new();
        if let Ok(mut file) = fs::File::open(&self.file) {
            file.seek(SeekFrom::Start(read.bytes)).expect("the place where it ended");
            file.read_to_end(&mut text).expect("the rest of the file");
        }
        // The last line may be half written.
        for line in text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            read.bytes += u64::try_from(line.len()).expect("a length");
            read.requests.push(Arc::new(serde_json::from_slice(line).expect("a line of JSON")));
        }
        read.requests.clone()
    }

    /// Every point of a metric, in order, with the attributes of its Resource.
    pub fn points(&self, metric: &str) -> Vec<Received> {
        let requests = self.all();
        let resources = requests.iter().filter_map(|request| request.get("resourceMetrics")?.as_array()).flatten();
        resources.flat_map(|resource| points_of(resource, metric)).collect()
    }

    /// The points of a metric that belong to the VM in a pod.
    pub fn of_pod(&self, metric: &str, pod_uid: &str) -> Vec<Received> {
        let mut points = self.points(metric);
        points.retain(|point| point.of_resource("service.instance.id") == Some(pod_uid));
        points
    }
}

impl Collector {
    /// Starts it on free ports and waits until it is ready.
    #[track_caller]
    pub fn start(options: CollectorOptions) -> Collector {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (number, text) in options.texts.iter().enumerate() {
            fs::write(folder.path().join(format!("{number}.yaml")), text).expect("a configuration file");
        }
        let [grpc, http, health, own, exporter] = std::array::from_fn(|_| free_port());
        let requests = Requests::of(file_in(&folder));
        let mut collector = Collector { process: None, options, grpc, http, health, own, exporter, folder, requests };
        collector.start_again();
        collector
    }

    /// Starts it on the same ports as before; what it has received stays in its file.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "this Collector runs already");
        let mut command = Command::new(program(self.options.vendors));
        for name in &self.options.shipped {
            command.arg("--config").arg(repository().join("otel/collector").join(name));
        }
        for number in 0..self.options.texts.len() {
            command.arg("--config").arg(self.folder.path().join(format!("{number}.yaml")));
        }
        command.env("OTLP_GRPC_ENDPOINT", format!("127.0.0.1:{}", self.grpc));
        command.env("OTLP_HTTP_ENDPOINT", format!("127.0.0.1:{}", self.http));
        command.env("HEALTH_ENDPOINT", format!("127.0.0.1:{}", self.health));
        command.env("COLLECTOR_METRICS_HOST", "127.0.0.1");
        command.env("COLLECTOR_METRICS_PORT", self.own.to_string());
        command.env("PROMETHEUS_EXPORTER_ENDPOINT", format!("127.0.0.1:{}", self.exporter));
        command.env("OUTPUT_FILE", self.file());
        command.envs(self.options.environment.iter().cloned());
        let mut process = Process::spawn("the Collector", command, &self.log_file());
        let health = self.health;
        process.wait_ready(Duration::from_secs(30), || {
            http::get(health, "/", &[]).is_ok_and(|response| response.status == 200).then_some(())
        });
        self.process = Some(process);
    }

    /// Ends it with SIGTERM: it first sends its queues, as far as it can.
    #[track_caller]
    pub fn stop(&mut self) -> Exit {
        self.process.take().expect("a Collector that runs").terminate(Duration::from_secs(20))
    }

    /// Ends it at once.
    #[track_caller]
    pub fn kill(&mut self) {
        self.process.take().expect("a Collector that runs").kill();
    }

    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Freezes it with SIGSTOP.
    #[track_caller]
    pub fn freeze(&self) {
        process::signal(self.pid(), Signal::STOP);
    }

    #[track_caller]
    pub fn thaw(&self) {
        process::signal(self.pid(), Signal::CONT);
    }

    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a Collector that runs").pid()
    }

    /// The agent's `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    /// The port of OTLP over HTTP.
    pub fn http_port(&self) -> u16 {
        self.http
    }

    /// The port of its prometheus exporter.
    pub fn exporter_port(&self) -> u16 {
        self.exporter
    }

    /// The page of its prometheus exporter.
    #[track_caller]
    pub fn exported(&self) -> Metrics {
        page(self.exporter)
    }

    /// The Collector's own metrics.
    #[track_caller]
    pub fn own_metrics(&self) -> Metrics {
        page(self.own)
    }

    /// Points that its exporters gave up on, in total; 0 if all is well.
    #[track_caller]
    pub fn points_lost(&self) -> f64 {
        let metrics = self.own_metrics();
        let lost = ["otelcol_exporter_send_failed_metric_points", "otelcol_exporter_enqueue_failed_metric_points"];
        metrics
            .samples
            .iter()
            .filter(|sample| {
                lost.iter().any(|name| sample.name.strip_suffix("_total").unwrap_or(&sample.name) == *name)
            })
            .map(|sample| sample.value)
            .sum()
    }

    /// The file of debug.yaml.
    pub fn file(&self) -> PathBuf {
        file_in(&self.folder)
    }

    /// Every request that was received, as OTLP's JSON, in order.
    pub fn requests(&self) -> Vec<Arc<Value>> {
        self.requests.all()
    }

    /// Every `resourceMetrics` entry that was received, in order.
    pub fn resource_metrics(&self) -> Vec<Value> {
        self.requests()
            .iter()
            .filter_map(|request| request.get("resourceMetrics")?.as_array().cloned())
            .flatten()
            .collect()
    }

    /// Every point of a metric that was received, in order, with the attributes of its Resource.
    pub fn points(&self, metric: &str) -> Vec<Received> {
        self.requests.points(metric)
    }

    /// Those that belong to the VM in a pod.
    pub fn points_of_pod(&self, metric: &str, pod_uid: &str) -> Vec<Received> {
        self.requests.of_pod(metric, pod_uid)
    }

    /// Waits until what was received is as wanted.
    #[track_caller]
    pub fn wait_for<T>(&self, timeout: Duration, what: &str, wanted: impl Fn(&Collector) -> Option<T>) -> T {
        wait_until(timeout, what, || wanted(self))
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("collector.log")
    }
}

/// A point and its origin.
#[derive(Debug, Clone)]
pub struct Received {
    /// The attributes of its Resource, as in [`attributes`].
    pub resource: Vec<(String, String)>,
    /// The metric without its points: name, unit, and for sums whether they are monotonic, with the temporality.
    pub metric: Value,
    /// The point as it came: times, value, flags.
    pub point: Value,
}

impl Received {
    /// An attribute of the Resource.
    pub fn of_resource(&self, key: &str) -> Option<&str> {
        self.resource.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// An attribute of the point.
    pub fn attribute(&self, key: &str) -> Option<String> {
        attributes(&self.point["attributes"]).into_iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Its value; none for a point without a recorded one.
    pub fn value(&self) -> Option<f64> {
        number(&self.point["asInt"]).or_else(|| number(&self.point["asDouble"]))
    }

    /// Whether it says that its series has ended.
    pub fn ended(&self) -> bool {
        self.point["flags"].as_u64().is_some_and(|flags| flags & 1 == 1)
    }

    /// Nanoseconds since 1970.
    pub fn time(&self) -> u64 {
        nanoseconds(&self.point["timeUnixNano"])
    }

    /// Nanoseconds since 1970; 0 where there is none.
    pub fn start_time(&self) -> u64 {
        nanoseconds(&self.point["startTimeUnixNano"])
    }
}

/// The points of one metric in a `resourceMetrics` entry.
pub fn points_of(resource: &Value, metric: &str) -> Vec<Received> {
    let scopes = resource["scopeMetrics"].as_array().into_iter().flatten();
    let metrics = scopes.flat_map(|scope| scope["metrics"].as_array().into_iter().flatten());
    let mut received = Vec::new();
    for entry in metrics.filter(|entry| entry["name"] == metric) {
        let identity = attributes(&resource["resource"]["attributes"]);
        for kind in ["gauge", "sum"] {
            let mut bare = entry.clone();
            let points = bare[kind]["dataPoints"].take();
            for point in points.as_array().into_iter().flatten() {
                received.push(Received { resource: identity.clone(), metric: bare.clone(), point: point.clone() });
            }
        }
    }
    received
}

/// OTLP's list of attributes as pairs, with every value as text.
pub fn attributes(list: &Value) -> Vec<(String, String)> {
    let pairs = list.as_array().into_iter().flatten();
    pairs
        .filter_map(|pair| {
            let value = pair["value"].as_object()?.values().next()?;
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Some((pair["key"].as_str()?.to_owned(), text))
        })
        .collect()
}

/// The lab's Collector, or the one with vendors' exporters.
#[track_caller]
fn program(vendors: bool) -> PathBuf {
    if vendors {
        prepared("collector-contrib", "bin/otelcol-contrib-lab")
    } else {
        prepared("collector", "bin/otelcol-lab")
    }
}

/// Validates a shipped configuration with the Collector's own check.
#[track_caller]
pub fn validate(file: &Path) {
    checked(file, false, &[]);
}

/// Validates one that reads variables without a default, each with a value that may be its.
#[track_caller]
pub fn validate_with_variables(file: &Path, vendors: bool) {
    let text = fs::read_to_string(file).expect("a configuration");
    let without_default = text.split("${env:").skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once('}')?;
        (!name.contains(":-")).then_some(name)
    });
    let value = |name: &str| if name.ends_with("_ENDPOINT") { "https://backend.test" } else { "value" };
    let variables: Vec<_> = without_default.map(|name| (name, value(name))).collect();
    checked(file, vendors, &variables);
}

#[track_caller]
fn checked(file: &Path, vendors: bool, variables: &[(&str, &str)]) {
    let mut command = Command::new(program(vendors));
    command.arg("validate").arg("--config").arg(file).envs(variables.iter().copied());
    let output = process::run(command, Duration::from_secs(60)).expect("a validation that ends");
    assert_eq!(output.code, Some(0), "{}: {}", file.display(), output.stderr);
}

#[track_caller]
fn page(port: u16) -> Metrics {
    let response = http::get(port, "/metrics", &[]).expect("a page of metrics");
    assert_eq!(response.status, 200, "{}", response.text());
    Metrics::parse(&response.text())
}

/// OTLP's JSON has 64-bit integers as text.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

fn nanoseconds(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_u64()).unwrap_or(0)
}
