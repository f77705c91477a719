//! What virt-otel costs as it runs in service.

use std::thread::sleep;
use std::time::Duration;

use crate::fleet::{Cpu, Fleet};
use crate::lab::{Agent, Metrics};
use crate::support::Spread;
use crate::support::receiver::Receiver;
use crate::support::scrapes::{self, OPENMETRICS};

/// The default interval.
pub(crate) const INTERVAL: Duration = Duration::from_secs(15);

/// What was measured of the agent in service.
pub(crate) struct InService {
    /// Of a reading of all domains, with the push and the scrape of its interval.
    pub(crate) cpu: Cpu,
    /// How long libvirt took to answer for one domain.
    pub(crate) call: Duration,
    pub(crate) series: f64,
    /// The times of scrapes and the size of the body, in the order of `FORMATS`.
    pub(crate) scrapes: Vec<(Spread, usize)>,
    pub(crate) resident: u64,
    pub(crate) anonymous: u64,
}

/// An agent with its defaults, which reads the fleet over its read-only socket and pushes to the receiver.
pub(crate) fn start(fleet: &Fleet, receiver: &Receiver, arguments: &[&str]) -> Agent {
    let uri = fleet.libvirtd.read_only_uri();
    let arguments: Vec<&str> = ["--libvirt-uri", &uri].into_iter().chain(arguments.iter().copied()).collect();
    let agent = Agent::start(&arguments, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint())]);
    agent.wait_for(Duration::from_secs(60), "every domain to be read", |page| has_all(fleet, page));
    agent
}

fn has_all(fleet: &Fleet, page: &Metrics) -> bool {
    page.all("libvirt_domain_storage_iops_write_total", &[]).len() >= fleet.names.len()
}

/// Watches an agent through so many intervals, with one scrape in each, then scrapes it many times.
pub(crate) fn in_service(fleet: &Fleet, agent: &Agent, intervals: u32, scrapes: usize) -> InService {
    let before = agent.metrics();
    let cpu_before = fleet.cpu(agent.cpu_time());
    for _ in 0..intervals {
        sleep(INTERVAL);
        agent.metrics_raw(OPENMETRICS);
    }
    let cpu_after = fleet.cpu(agent.cpu_time());
    let after = agent.metrics();

    let scrapes = scrapes::of(agent, scrapes);
    let rounds = readings(&after, &before) / fleet.names.len() as f64;
    let stats = [("libvirt_call", "stats")];
    let calls = growth(&after, &before, "virt_otel_libvirt_calls_total", &stats);
    let took = growth(&after, &before, "virt_otel_libvirt_call_duration_seconds_total", &stats);
    InService {
        cpu: cpu_after.since(cpu_before, rounds),
        call: Duration::from_secs_f64(took / calls),
        series: series_of_a_domain(fleet, &after, "domain"),
        scrapes,
        resident: agent.resident(),
        anonymous: agent.anonymous(),
    }
}

/// Readings of single domains that were answered between two pages.
fn readings(after: &Metrics, before: &Metrics) -> f64 {
    growth(after, before, "virt_otel_readings_total", &[])
}

fn growth(after: &Metrics, before: &Metrics, name: &str, labels: &[(&str, &str)]) -> f64 {
    let value = |page: &Metrics| page.get(name, labels).unwrap_or_else(|| panic!("the page has {name} {labels:?}"));
    value(after) - value(before)
}

/// The average number of series of one domain on a page.
pub(crate) fn series_of_a_domain(fleet: &Fleet, page: &Metrics, label: &str) -> f64 {
    let of_domains = page.samples.iter().filter(|sample| sample.label(label).is_some()).count();
    of_domains as f64 / fleet.names.len() as f64
}
