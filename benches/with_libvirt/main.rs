//! What reading costs: 100 paused KVM domains under a private libvirtd, read by virt-otel, by `virsh domstats` in bulk
//! and by Debian's exporter, one after the other in one run.
//!
//! `tests/lab/prepare.sh packages peers` makes what it needs; it takes about seven minutes, as root.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a bench prints what it measured, waits by sleeping, reads the real clock, and ends where it cannot go on"
)]

mod agent;
mod at_once;
mod events;
mod fleet;
mod frozen;
mod peers;
mod report;

use std::time::Duration;

use fleet::{DOMAINS, Fleet};
use lab_support as lab;
use lab_support::measure as support;
use lab_support::measure::Progress;
use lab_support::measure::receiver::Receiver;
use peers::{Exporter, same_groups};
use report::Report;

/// Intervals of 15 s through which the agent is watched in service, and `virsh` as well.
const INTERVALS: u32 = 6;

/// Readings by each peer, and by virt-otel without its pauses.
const READINGS: u32 = 15;

/// Scrapes of the agent in each format.
const SCRAPES: usize = 500;

/// Changes of each kind: enough for a 90th percentile, and hardly for a 99th.
const EVENTS: usize = 50;

/// How long nobody reads, to learn what the host uses by itself.
const WHILE: Duration = Duration::from_secs(15);

fn main() {
    let Some(progress) = Progress::begin("libvirt") else { return };
    let say = |what: &str| progress.say(what);
    say(&format!("starting {DOMAINS} domains"));
    let fleet = Fleet::start();
    let receiver = Receiver::start();

    say("nobody reads");
    let before = fleet.cpu(Duration::ZERO);
    std::thread::sleep(WHILE);
    let idle = fleet.cpu(Duration::ZERO).since(before, WHILE.as_secs_f64());

    say("virt-otel in service");
    let agent = agent::start(&fleet, &receiver, &[]);
    let in_service = agent::in_service(&fleet, &agent, INTERVALS, SCRAPES);
    say("virt-otel and events");
    let events = events::delays(&fleet, &agent, EVENTS);
    drop(agent);
    say("virt-otel, all at once");
    let at_once = at_once::readings(&fleet, READINGS);

    say("virsh");
    let bulk = peers::virsh(&fleet, &[], READINGS, Duration::ZERO);
    let same_groups = peers::virsh(&fleet, &same_groups(), READINGS, Duration::ZERO);
    let bulk_in_service = peers::virsh(&fleet, &[], INTERVALS, agent::INTERVAL);
    say("Debian's exporter");
    let exporter = Exporter::start(&fleet);
    let (exported, page, exporter_bytes) = exporter.readings(&fleet, READINGS);
    let exporter_series = agent::series_of_a_domain(&fleet, &page, "domain");
    let exporter_memory = ["VmRSS", "RssAnon"].map(|field| exporter.memory(field));

    say("one domain frozen, virt-otel");
    let others = frozen::agent(&fleet, &receiver);
    say("one domain frozen, the peers");
    let [frozen_virsh, frozen_exporter] = frozen::peers(&fleet, &exporter);

    Report {
        idle,
        in_service,
        at_once,
        bulk,
        bulk_in_service,
        same_groups,
        exported,
        exporter_series,
        exporter_bytes,
        exporter_memory,
        events,
        others,
        frozen_virsh,
        frozen_exporter,
    }
    .print();
    say("done");
}
