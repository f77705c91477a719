//! Changes of VirtualMachineInstances as KubeVirt makes them, and how long each takes to be seen.

use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::eye::{Eye, Seen, Sight};
use crate::lab::vmi::condition;
use crate::lab::{Agent, Vmi};
use crate::names::{NAMESPACE, name};
use crate::node::Machine;
use crate::support::Spread;

/// How long a change may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause between changes that are measured one at a time.
const SETTLE: Duration = Duration::from_millis(50);

/// From the update that names the node to the one that sets Running. KubeVirt takes seconds to start a guest.
const STARTING: Duration = Duration::from_millis(300);

/// A change of a VMI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The phase leaves Running.
    Stop,
    /// The phase of a recreated and scheduled VMI becomes Running.
    Run,
    /// The condition Paused appears.
    Pause,
    /// The condition Paused disappears.
    Resume,
    /// The object is deleted while it runs.
    Delete,
    /// An object appears that already runs, as after a migration: the agent must connect first.
    Arrive,
}

/// A VMI's life cycle, in a possible order; it begins and ends with a running VMI.
pub(crate) const LIFE: [Kind; 6] = [Kind::Stop, Kind::Run, Kind::Pause, Kind::Resume, Kind::Delete, Kind::Arrive];

impl Kind {
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Kind::Stop => "The phase leaves Running: no type",
            Kind::Run => "The phase becomes Running: its type",
            Kind::Pause => "Paused appears: the condition",
            Kind::Resume => "Paused is taken away: no condition",
            Kind::Delete => "Deleted while it runs: no type",
            Kind::Arrive => "New and Running at once: its type, after connecting",
        }
    }

    /// Whether the type is detected.
    pub(crate) fn detects(self) -> bool {
        matches!(self, Kind::Run | Kind::Arrive)
    }

    const fn sight(self) -> Sight {
        match self {
            Kind::Stop | Kind::Delete => Sight::NoType,
            Kind::Run | Kind::Arrive => Sight::Kvm,
            Kind::Pause => Sight::Paused,
            Kind::Resume => Sight::NotPaused,
        }
    }
}

/// A requested change.
#[derive(Debug, Clone, Copy)]
struct Made {
    number: u32,
    kind: Kind,
    /// Before the request, which makes a connection of its own.
    asked: Instant,
    /// After the API server's answer: the change is written by then, and the watch may have reported it already.
    answered: Instant,
}

/// Changes of one kind.
pub(crate) struct Delays {
    pub(crate) kind: Kind,
    /// From before the request to the end of the scrape that shows it.
    pub(crate) from_request: Spread,
    /// From the API server's answer; zero where it was seen before.
    pub(crate) from_answer: Spread,
    /// From libvirt's answer with the XML to the beginning of that scrape; for VMs behind a fake socket only.
    pub(crate) from_detection: Option<Spread>,
}

/// A VMI that exists.
pub(crate) fn existing(machine: &Machine, number: u32) -> Mutex<Vmi> {
    Mutex::new(Vmi::known(&machine.api, NAMESPACE, &name(number)))
}

/// Makes a change.
fn make(machine: &Machine, number: u32, kind: Kind, vmi: &mut Vmi) -> Made {
    let place = machine.place(number);
    if kind == Kind::Run {
        vmi.delete();
        *vmi = Vmi::create(&machine.api, NAMESPACE, &name(number));
        vmi.schedule(place);
        sleep(STARTING);
    }
    let ready = condition("Ready", "True", None);
    let asked = Instant::now();
    match kind {
        Kind::Stop => vmi.succeed(),
        Kind::Run => vmi.run(),
        Kind::Pause => {
            let paused = condition("Paused", "True", Some("PausedByUser"));
            vmi.update(&json!({ "status": { "conditions": [ready, paused] } }));
        }
        Kind::Resume => {
            vmi.update(&json!({ "status": { "conditions": [ready] } }));
        }
        Kind::Delete => vmi.delete(),
        Kind::Arrive => vmi.make_anew_running(place),
    }
    Made { number, kind, asked, answered: Instant::now() }
}

/// Takes these VMs through a life cycle, one change at a time, each seen before the next.
pub(crate) fn one_at_a_time(machine: &Machine, agent: &Agent, eye: &Eye, numbers: &[u32]) -> Vec<Delays> {
    let mut made = Vec::new();
    for &number in numbers {
        let vmi = existing(machine, number);
        let mut vmi = vmi.into_inner().expect("nobody else has it");
        for kind in LIFE {
            let change = make(machine, number, kind, &mut vmi);
            let seen = seen(agent, eye, &change);
            made.push((change, seen));
            sleep(SETTLE);
        }
    }
    delays(machine, &made)
}

#[track_caller]
fn seen(agent: &Agent, eye: &Eye, change: &Made) -> Seen {
    let Made { number, kind, asked, .. } = *change;
    let seen = eye.wait(number, kind.sight(), asked, PATIENCE);
    seen.unwrap_or_else(|| {
        let (name, log) = (name(number), agent.log());
        let told: Vec<_> = log.lines().filter(|line| line.contains(&name)).collect();
        panic!("{kind:?} of {name} was not seen within {PATIENCE:?}; the agent's log of it:\n{}", told.join("\n"))
    })
}

fn delays(machine: &Machine, made: &[(Made, Seen)]) -> Vec<Delays> {
    LIFE.into_iter()
        .map(|kind| {
            let ours = || made.iter().filter(move |(change, _)| change.kind == kind);
            let detections: Vec<_> = ours()
                .filter(|_| kind.detects())
                .filter_map(|(change, seen)| {
                    let told = machine.fakes.described(change.number, change.asked)?;
                    Some(seen.begun.saturating_duration_since(told))
                })
                .collect();
            Delays {
                kind,
                from_request: Spread::of(ours().map(|(change, seen)| seen.at - change.asked).collect()),
                from_answer: Spread::of(
                    ours().map(|(change, seen)| seen.at.saturating_duration_since(change.answered)).collect(),
                ),
                from_detection: (!detections.is_empty()).then(|| Spread::of(detections)),
            }
        })
        .collect()
}

/// Changes made at a steady rate by several threads at once.
pub(crate) struct Sustained {
    pub(crate) changes: usize,
    pub(crate) took: Duration,
    /// The CPU time that it took.
    pub(crate) cpu: Duration,
    /// The changes that were observed, if any were.
    pub(crate) delays: Vec<Delays>,
}

/// Takes VMs through life cycles for so long, at `a_second` changes a second in all, or else as fast as the API server
/// accepts them. Each thread (hand) has its own VMs.
pub(crate) fn sustained(
    machine: &Machine,
    agent: &Agent,
    eye: Option<&Eye>,
    hands: &[Vec<u32>],
    a_second: Option<f64>,
    for_so_long: Duration,
) -> Sustained {
    let all = Mutex::new(Vec::new());
    let pace = a_second.map(|rate| Duration::from_secs_f64(hands.len() as f64 / rate));
    let before = agent.cpu_time();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for (hand, numbers) in hands.iter().enumerate() {
            let all = &all;
            scope.spawn(move || {
                let vmis: Vec<_> = numbers.iter().map(|&number| (number, existing(machine, number))).collect();
                let offset = pace.unwrap_or_default().mul_f64(hand as f64 / hands.len() as f64);
                let mut next = started + offset;
                // Each life cycle is completed.
                for (number, vmi) in vmis.iter().cycle() {
                    if started.elapsed() >= for_so_long {
                        return;
                    }
                    for kind in LIFE {
                        sleep(next.saturating_duration_since(Instant::now()));
                        next += pace.unwrap_or_default();
                        let change = make(machine, *number, kind, &mut vmi.lock().expect("our own"));
                        all.lock().expect("no thread has failed").push(change);
                    }
                }
            });
        }
    });
    let took = started.elapsed();
    let cpu = agent.cpu_time().saturating_sub(before);
    let made = all.into_inner().expect("no thread has failed");
    let changes = made.len();
    let delays = eye.map_or_else(Vec::new, |eye| {
        let seen: Vec<_> = made.into_iter().map(|change| (change, seen(agent, eye, &change))).collect();
        delays(machine, &seen)
    });
    Sustained { changes, took, cpu, delays }
}
