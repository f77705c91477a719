//! Guests that are resumed and paused at libvirt, without a change in the API.

use std::thread::sleep;
use std::time::Duration;

use crate::agent::growth;
use crate::lab::Agent;
use crate::names::{NAMESPACE, name};
use crate::node::Machine;

/// How many resumes, each of another VM.
const RESUMES: u32 = 50;

/// After each command.
const PAUSE: Duration = Duration::from_millis(200);

/// What the agent did about guests that were resumed and paused again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resumes {
    pub(crate) count: u32,
    /// VMs that these guests stand for, under their own and under other names.
    pub(crate) vms: u32,
    /// XML queries made for them.
    pub(crate) queries: f64,
    /// The agent's CPU time, and how long it all took.
    pub(crate) cpu: Duration,
    pub(crate) took: Duration,
}

pub(crate) fn at_libvirt(machine: &Machine, agent: &Agent) -> Resumes {
    let count = machine.launchers().min(RESUMES);
    let before = agent.metrics();
    let cpu = agent.cpu_time();
    let started = std::time::Instant::now();
    for number in 1..=count {
        let domain = format!("{NAMESPACE}_{}", name(number));
        machine.launcher(number).virsh(&["resume", &domain]);
        sleep(PAUSE);
        machine.launcher(number).virsh(&["suspend", &domain]);
        sleep(PAUSE);
    }
    let (cpu, took) = (agent.cpu_time() - cpu, started.elapsed());
    let queries = growth(&agent.metrics(), &before, "virt_otel_descriptions_total", &[]);
    let vms = (1..=count).map(|number| machine.vms_behind(number)).sum();
    Resumes { count, vms, queries, cpu, took }
}
