//! What KubeVirt mode costs, and how soon it shows changes: a node with 1,000 VirtualMachineInstances in a real API
//! server. Behind them are 200 launchers, each a libvirtd with a paused KVM domain, and 800 sockets behind which these
//! answer under other names.
//!
//! `tests/lab/prepare.sh packages apiserver` makes what it needs; it takes thirteen minutes, as root, and 9 GiB. For a
//! smaller machine, set `VIRT_OTEL_BENCH_LAUNCHERS` and `VIRT_OTEL_BENCH_VMIS`.

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
mod changes;
mod eye;
mod fakes;
mod names;
mod node;
mod report;
mod resumes;

use std::time::Duration;

use eye::{Eye, FAMILIES};
use lab_support as lab;
use lab_support::measure as support;
use lab_support::measure::{Progress, scrapes};
use lab_support::{User, repository};
use node::Machine;
use report::Report;

/// Launchers with a libvirtd of their own, unless the user says otherwise.
const LAUNCHERS: u32 = 200;

/// VirtualMachineInstances, unless the user says otherwise: as many as a node is designed for.
const VMIS: u32 = 1_000;

/// How long an agent is watched at rest: four of its intervals.
const AT_REST: Duration = Duration::from_secs(60);

/// VMs taken through a life cycle one change at a time: 40 life cycles, 240 changes.
const LIVES: u32 = 40;

/// The promised rate, in changes a second, and how long it is kept up.
const PACE: f64 = 10.0;
const PACE_FOR: Duration = Duration::from_secs(30);

/// Threads (hands) that make changes at the same time, and VMs of each.
const HANDS: u32 = 6;
const VMS_OF_A_HAND: u32 = 20;

/// Scrapes in each format.
const SCRAPES: usize = 100;

/// The promised metric alone: the agent reads states and jobs, and no figures.
const TYPE_ONLY: [&str; 1] = ["kubevirt.vmi.hypervisor.*"];

fn main() {
    let Some(progress) = Progress::begin("KubeVirt") else { return };
    let say = |what: &str| progress.say(what);
    let vms = number("VIRT_OTEL_BENCH_VMIS", VMIS);
    let launchers = number("VIRT_OTEL_BENCH_LAUNCHERS", LAUNCHERS).min(vms);
    say(&format!("starting {launchers} launchers and {} sockets in front of them", vms - launchers));
    let machine = Machine::start(launchers, vms);
    machine.api.bind_cluster_role(&repository().join("deploy/kubernetes/clusterrole.yaml"), User::Agent);

    say("an agent without VMs");
    let (agent, _) = agent::start_with(&machine, &[], 0);
    let mut at_rest = vec![agent::at_rest(&machine, &agent, 0, AT_REST / 2)];
    let mut running = 0;
    for count in [vms / 10, launchers, vms] {
        if count <= running {
            continue;
        }
        say(&format!("{count} VMIs"));
        machine.run(running + 1, count);
        running = count;
        agent::settle(&agent, count);
        at_rest.push(agent::at_rest(&machine, &agent, count, AT_REST));
    }
    say("scrapes");
    let scrapes = scrapes::of(&agent, SCRAPES);
    let type_bytes = agent::bytes_of(&agent, "kubevirt_vmi_hypervisor_info");
    say("changes at a steady pace, everything is read");
    let hands = hands(&machine);
    let everything = changes::sustained(&machine, &agent, None, &hands, Some(PACE), PACE_FOR);
    let resumes = resumes::at_libvirt(&machine, &agent);
    drop(agent);

    say("an agent that starts with all VMIs there");
    let (agent, startup) = agent::start_with(&machine, &[], vms);
    drop(agent);
    let (agent, startup_type) = agent::start_with(&machine, &TYPE_ONLY, vms);
    say("the type alone");
    agent::settle(&agent, vms);
    let type_at_rest = agent::at_rest(&machine, &agent, vms, AT_REST);
    let type_only = changes::sustained(&machine, &agent, None, &hands, Some(PACE), PACE_FOR);
    say("changes as fast as they are taken");
    let flat_out = changes::sustained(&machine, &agent, None, &hands, None, PACE_FOR);
    drop(agent);

    say("changes that are looked at, all VMIs");
    // Disks, the most expensive group, are read as well: the node is as busy as in service, and the page still small.
    let include = [FAMILIES[0], FAMILIES[1], "kubevirt.vmi.storage.flush_requests"];
    let (agent, _) = agent::start_with(&machine, &include, vms);
    agent::settle(&agent, vms);
    let eye = Eye::open(&agent, vms);
    let looked_at = changes::one_at_a_time(&machine, &agent, &eye, &lives(&machine));
    say("changes that are looked at, at a steady pace");
    let at_pace = changes::sustained(&machine, &agent, Some(&eye), &hands, Some(PACE), PACE_FOR);
    let eye_scrapes = eye.scrapes();
    drop((eye, agent));

    say("changes that are looked at, few VMIs");
    let few = lives(&machine);
    machine.keep(&few);
    let (agent, _) = agent::start_with(&machine, &include, u32::try_from(few.len()).expect("few"));
    let eye = Eye::open(&agent, vms);
    let few_looked_at = changes::one_at_a_time(&machine, &agent, &eye, &few);
    drop((eye, agent));

    Report {
        vms,
        launchers,
        launcher_memory: machine.launcher_memory(),
        at_rest,
        type_at_rest,
        startup,
        startup_type,
        scrapes,
        type_bytes,
        everything,
        type_only,
        flat_out,
        resumes,
        looked_at,
        at_pace,
        eye_scrapes,
        few: few.len(),
        few_looked_at,
    }
    .print();
    say("ending the launchers");
    drop(machine);
    say("done");
}

/// A number from the environment.
fn number(variable: &str, otherwise: u32) -> u32 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text}: not a number")),
        Err(_) => otherwise,
    }
}

/// The VMs of each hand, real and fake ones.
fn hands(machine: &Machine) -> Vec<Vec<u32>> {
    let step = (machine.vms() / (HANDS * VMS_OF_A_HAND)).max(1);
    let all: Vec<u32> = (1..=machine.vms()).step_by(step as usize).collect();
    (0..HANDS as usize).map(|hand| all.iter().copied().skip(hand).step_by(HANDS as usize).collect()).collect()
}

/// The VMs taken through a life cycle: half of them behind a fake socket, if there are such.
fn lives(machine: &Machine) -> Vec<u32> {
    let real = 1..=machine.launchers().min(LIVES / 2);
    let fake = machine.launchers() + 1..=machine.vms().min(machine.launchers() + LIVES / 2);
    real.chain(fake).collect()
}
