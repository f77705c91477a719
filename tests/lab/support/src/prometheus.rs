//! A real Prometheus 3 with the configuration that ships.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::http;
use super::process::{self, Exit, Process};
use super::{free_port, prepared, repository, wait_until};

/// What to change in otel/prometheus/prometheus.yml.
#[derive(Debug, Clone, Default)]
pub struct PrometheusOptions {
    /// The port of an agent to scrape; without one its scrape job points at a port where nobody listens.
    pub agent: Option<u16>,
    /// The port of a Collector's prometheus exporter to scrape; likewise.
    pub collector: Option<u16>,
    /// The time between scrapes, such as `1s`.
    pub scrape_interval: Option<String>,
    /// Another out_of_order_time_window; `0s` for Prometheus' own default.
    pub out_of_order_time_window: Option<String>,
    /// Other text replacements: old and new.
    pub replacements: Vec<(String, String)>,
    /// More flags, such as `--enable-feature=created-timestamp-zero-ingestion`.
    pub flags: Vec<String>,
}

/// A running Prometheus; killed when dropped.
pub struct Prometheus3 {
    process: Option<Process>,
    port: u16,
    flags: Vec<String>,
    folder: TempDir,
}

/// One series of an answer: its labels, with the name as `__name__`, and its samples as seconds and value.
#[derive(Debug, Clone)]
pub struct Series {
    pub labels: BTreeMap<String, String>,
    pub samples: Vec<(f64, f64)>,
}

impl Series {
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// The newest value.
    #[track_caller]
    pub fn value(&self) -> f64 {
        self.samples.last().expect("a sample").1
    }
}

impl Prometheus3 {
    /// Starts it on a free port and waits until it is ready.
    #[track_caller]
    pub fn start(options: PrometheusOptions) -> Prometheus3 {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("prometheus.yml"), configuration(&options)).expect("a configuration file");
        let mut prometheus = Prometheus3 { process: None, port: free_port(), flags: options.flags, folder };
        prometheus.start_again();
        prometheus
    }

    /// Starts it on the same port and data as before.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "this Prometheus runs already");
        let folder = self.folder.path().display();
        let mut command = Command::new(prepared("prometheus", "bin/prometheus"));
        command.arg(format!("--config.file={folder}/prometheus.yml"));
        command.arg(format!("--storage.tsdb.path={folder}/data"));
        command.arg(format!("--web.listen-address=127.0.0.1:{}", self.port));
        command.arg("--web.enable-otlp-receiver");
        command.args(&self.flags);
        let mut process = Process::spawn("Prometheus", command, &self.log_file());
        let port = self.port;
        process.wait_ready(Duration::from_secs(30), || {
            http::get(port, "/-/ready", &[]).is_ok_and(|response| response.status == 200).then_some(())
        });
        self.process = Some(process);
    }

    /// Ends it with SIGTERM; its data stays.
    #[track_caller]
    pub fn stop(&mut self) -> Exit {
        self.process.take().expect("a Prometheus that runs").terminate(Duration::from_secs(20))
    }

    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a Prometheus that runs").pid()
    }

    /// What an expression gives now. A range such as `up[5m]` gives raw samples.
    #[track_caller]
    pub fn query(&self, expression: &str) -> Vec<Series> {
        self.ask(&format!("/api/v1/query?query={}", http::escape(expression)))
    }

    /// [`query`](Self::query), or `None` if the answer is an error, such as two series that match one.
    pub fn try_query(&self, expression: &str) -> Option<Vec<Series>> {
        self.try_ask(&format!("/api/v1/query?query={}", http::escape(expression))).ok()
    }

    /// What an expression gave at a time, in seconds since 1970.
    #[track_caller]
    pub fn query_at(&self, expression: &str, time: f64) -> Vec<Series> {
        self.ask(&format!("/api/v1/query?query={}&time={time}", http::escape(expression)))
    }

    /// What an expression gave from one time to another.
    #[track_caller]
    pub fn query_range(&self, expression: &str, start: f64, end: f64, step: Duration) -> Vec<Series> {
        let query = http::escape(expression);
        self.ask(&format!("/api/v1/query_range?query={query}&start={start}&end={end}&step={}", step.as_secs_f64()))
    }

    /// The one value of an expression; none when it gives nothing. Panics when it gives more.
    #[track_caller]
    pub fn value(&self, expression: &str) -> Option<f64> {
        let series = self.query(expression);
        assert!(series.len() < 2, "{expression} gives {} series: {series:?}", series.len());
        series.first().map(Series::value)
    }

    /// Waits until an expression gives something.
    #[track_caller]
    pub fn wait_for(&self, timeout: Duration, expression: &str) -> Vec<Series> {
        wait_until(timeout, &format!("Prometheus to have {expression}"), || {
            Some(self.query(expression)).filter(|series| !series.is_empty())
        })
    }

    /// The rules that it has, each with its last error; one that was not evaluated yet says so.
    #[track_caller]
    pub fn rules(&self) -> Vec<(String, Result<(), String>)> {
        let response = http::get(self.port, "/api/v1/rules", &[]).expect("an answer of Prometheus");
        let answer: Value = serde_json::from_slice(&response.body).expect("JSON");
        let groups = answer["data"]["groups"].as_array().into_iter().flatten();
        let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
        let health = |rule: &Value| match rule["health"].as_str() {
            Some("ok") => Ok(()),
            health => Err(format!("{health:?}: {}", rule["lastError"])),
        };
        rules.map(|rule| (rule["name"].as_str().unwrap_or_default().to_owned(), health(rule))).collect()
    }

    /// Prometheus' own figures.
    #[track_caller]
    pub fn own_metrics(&self) -> super::Metrics {
        let response = http::get(self.port, "/metrics", &[]).expect("Prometheus' page of metrics");
        super::Metrics::parse(&response.text())
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("prometheus.log")
    }

    #[track_caller]
    fn ask(&self, path: &str) -> Vec<Series> {
        self.try_ask(path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn try_ask(&self, path: &str) -> Result<Vec<Series>, String> {
        let response = http::get(self.port, path, &[]).expect("an answer of Prometheus");
        if response.status != 200 {
            return Err(format!("{} {}", response.status, response.text()));
        }
        let answer: Value = serde_json::from_slice(&response.body).expect("JSON");
        let result = &answer["data"]["result"];
        // A scalar is one pair, not a list of series.
        if answer["data"]["resultType"] == "scalar" {
            return Ok(vec![Series { labels: BTreeMap::new(), samples: pair(result).into_iter().collect() }]);
        }
        Ok(result.as_array().into_iter().flatten().map(series).collect())
    }
}

fn series(entry: &Value) -> Series {
    let labels = entry["metric"].as_object().into_iter().flatten();
    let labels = labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
    let samples = match entry.get("values") {
        Some(values) => values.as_array().into_iter().flatten().filter_map(pair).collect(),
        None => pair(&entry["value"]).into_iter().collect(),
    };
    Series { labels, samples }
}

fn pair(value: &Value) -> Option<(f64, f64)> {
    let text = value.get(1)?.as_str()?;
    let number = match text {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().ok()?,
    };
    Some((value.get(0)?.as_f64()?, number))
}

/// The shipped file with ports and times inserted; every replacement must find its text.
#[track_caller]
fn configuration(options: &PrometheusOptions) -> String {
    let path = repository().join("otel/prometheus/prometheus.yml");
    let mut text = fs::read_to_string(&path).expect("otel/prometheus/prometheus.yml");
    let mut replacements = vec![
        ("localhost:9464".to_owned(), format!("127.0.0.1:{}", options.agent.unwrap_or_else(free_port))),
        ("localhost:8889".to_owned(), format!("127.0.0.1:{}", options.collector.unwrap_or_else(free_port))),
    ];
    if let Some(interval) = &options.scrape_interval {
        let new = format!("scrape_interval: {interval}\n  scrape_timeout: {interval}");
        replacements.push(("scrape_interval: 15s\n  scrape_timeout: 10s".to_owned(), new));
    }
    if let Some(window) = &options.out_of_order_time_window {
        replacements.push(("out_of_order_time_window: 30m".to_owned(), format!("out_of_order_time_window: {window}")));
    }
    replacements.extend(options.replacements.iter().cloned());
    for (old, new) in replacements {
        assert!(text.contains(&old), "otel/prometheus/prometheus.yml has no {old:?}");
        text = text.replace(&old, &new);
    }
    text
}

/// Runs promtool and returns what it printed, on stdout and stderr, with its exit code.
#[track_caller]
pub fn promtool(arguments: &[&str], input: Option<&Path>) -> (Option<i32>, String) {
    let mut command = Command::new("sh");
    let promtool = prepared("prometheus", "bin/promtool");
    // It reads a page from stdin; the shell opens the file as such.
    command.args(["-c", "input=$1; shift; exec \"$@\" <\"$input\"", "sh"]);
    command.arg(input.unwrap_or(Path::new("/dev/null"))).arg(promtool).args(arguments);
    let output = process::run(command, Duration::from_secs(30)).expect("promtool ends");
    (output.code, output.stdout + &output.stderr)
}
