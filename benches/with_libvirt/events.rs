//! From libvirt's event to the page: how long a lifecycle change takes to be seen.

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use crate::fleet::Fleet;
use crate::lab::process::{self, Process};
use crate::lab::{Agent, Domain};
use crate::support::Spread;

/// How long a change may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// The domain that changes.
const DOMAIN: &str = "blinks";

/// A day: virsh's stamps are compared as times of day.
const DAY: Duration = Duration::from_secs(86_400);

/// A change, and how it shows.
struct Change {
    name: &'static str,
    /// The `virsh` command that makes it.
    command: &'static str,
    /// virsh's names for its events; the delay counts from the first.
    events: &'static [&'static str],
    /// Metrics, each with a label: series that are 1 once the page shows the change.
    series: &'static [(&'static str, &'static str)],
}

const STATE: &str = "libvirt_domain_state";
const TYPE: &str = "libvirt_domain_hypervisor_info";

const CHANGES: [Change; 4] = [
    Change {
        name: "Start: it runs, and on what",
        command: "start",
        events: &["Resumed", "Started"],
        series: &[(STATE, "state=\"running\""), (TYPE, "hypervisor_type=\"kvm\"")],
    },
    Change { name: "Pause", command: "suspend", events: &["Suspended"], series: &[(STATE, "state=\"paused\"")] },
    Change { name: "Resume", command: "resume", events: &["Resumed"], series: &[(STATE, "state=\"running\"")] },
    Change { name: "Destroy", command: "destroy", events: &["Stopped"], series: &[(STATE, "state=\"shutoff\"")] },
];

/// When a change was requested and when the page showed it, as times of day.
struct Seen {
    asked: Duration,
    shown: Duration,
}

/// Each kind of change with the delays from the event, which `virsh event` stamped, to the end of the first scrape
/// that shows it.
pub(crate) fn delays(fleet: &Fleet, agent: &Agent, rounds: usize) -> Vec<(&'static str, Spread)> {
    let domain = Domain::kvm(DOMAIN).disks(1);
    fleet.libvirtd.define(&domain);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("events");
    let mut listener = listen(fleet, &log);

    let mut seen: [Vec<Seen>; CHANGES.len()] = Default::default();
    for _ in 0..rounds {
        for (change, seen) in CHANGES.iter().zip(&mut seen) {
            seen.push(make(fleet, agent, change));
            // One change at a time: the effects of the last one have settled.
            sleep(Duration::from_millis(100));
        }
    }
    // virsh buffers its output until it ends in order.
    process::signal(listener.pid(), Signal::INT);
    listener.wait_end(PATIENCE);
    fleet.libvirtd.virsh(&["undefine", DOMAIN]);

    let events = events(&listener.log());
    let delays = CHANGES.iter().zip(seen).map(|(change, seen)| {
        let delays = seen.iter().map(|seen| delay(&events, change, seen)).collect();
        (change.name, Spread::of(delays))
    });
    delays.collect()
}

fn listen(fleet: &Fleet, log: &Path) -> Process {
    let mut command = Command::new("virsh");
    command.args(["--connect", &fleet.libvirtd.uri(), "event", "--event", "lifecycle", "--domain", DOMAIN]);
    command.args(["--loop", "--timestamp"]).env("LC_ALL", "C");
    let listener = Process::spawn("virsh event", command, log);
    // It says nothing when it is ready.
    sleep(Duration::from_millis(500));
    listener
}

fn make(fleet: &Fleet, agent: &Agent, change: &Change) -> Seen {
    let asked = time_of_day();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| fleet.libvirtd.virsh(&[change.command, DOMAIN]));
        let shown = loop {
            let page = agent.metrics_raw("text/plain;version=0.0.4").text();
            if change.series.iter().all(|(name, label)| has(&page, name, label)) {
                break time_of_day();
            }
            assert!(between(asked, time_of_day()) < PATIENCE, "{} was never on the page", change.name);
            sleep(Duration::from_millis(1));
        };
        call.join().expect("virsh");
        Seen { asked, shown }
    })
}

/// Whether the page says 1 for this series of the domain.
fn has(page: &str, name: &str, label: &str) -> bool {
    let begins = format!("{name}{{domain=\"{DOMAIN}\"");
    page.lines().any(|line| line.starts_with(&begins) && line.contains(label) && line.ends_with(" 1"))
}

/// The lifecycle events that virsh printed: the time of day, and the kind.
fn events(log: &str) -> Vec<(Duration, String)> {
    let events = log.lines().filter_map(|line| {
        // 2026-08-01 12:34:56.789+0000: event 'lifecycle' for domain 'blinks': Suspended Paused
        let (stamp, rest) = line.split_once("+0000: ")?;
        let (_, detail) = rest.rsplit_once("': ").or_else(|| rest.rsplit_once(": "))?;
        let mut clock = stamp.split_once(' ')?.1.split(':');
        let (hours, minutes) = (clock.next()?.parse::<u64>().ok()?, clock.next()?.parse::<u64>().ok()?);
        let seconds: f64 = clock.next()?.parse().ok()?;
        let at = Duration::from_secs(hours * 3_600 + minutes * 60) + Duration::from_secs_f64(seconds);
        Some((at, detail.split(' ').next()?.to_owned()))
    });
    events.collect()
}

fn delay(events: &[(Duration, String)], change: &Change, seen: &Seen) -> Duration {
    // virsh truncates its stamps to milliseconds.
    let asked = seen.asked.saturating_sub(Duration::from_millis(1));
    let event = events
        .iter()
        .filter(|(_, kind)| change.events.contains(&kind.as_str()))
        .map(|(at, _)| between(asked, *at))
        .min()
        .unwrap_or_else(|| panic!("virsh has seen no event of {:?}", change.events));
    between(asked, seen.shown).saturating_sub(event)
}

fn time_of_day() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock after 1970");
    Duration::from_nanos(u64::try_from(since.as_nanos() % DAY.as_nanos()).expect("less than a day"))
}

/// From one time of day forward to another.
fn between(from: Duration, to: Duration) -> Duration {
    if to >= from { to - from } else { to + DAY - from }
}
