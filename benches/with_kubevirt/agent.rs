//! What virt-otel costs on the node.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::lab::{Agent, Metrics, User, process};
use crate::node::{Cpu, Machine};

/// The default interval.
pub(crate) const INTERVAL: Duration = Duration::from_secs(15);

/// How long all VMs may take to be seen.
const PATIENCE: Duration = Duration::from_secs(180);

/// How often a starting agent's page is read, unless a read takes long. Each read makes the agent render the page and
/// the bench parse it, on the processors on which the agent starts. A pause lasts at least this many reads.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const PAUSE_OF_LOOKS: u32 = 4;

/// What an agent holds at rest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) resident: u64,
    pub(crate) anonymous: u64,
    pub(crate) threads: usize,
    pub(crate) descriptors: usize,
}

/// An agent at rest with so many VMs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AtRest {
    pub(crate) vms: u32,
    pub(crate) held: Held,
    /// Used per second.
    pub(crate) cpu: Cpu,
}

/// How an agent learned of all VMs that were in the API when it started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Startup {
    pub(crate) took: Duration,
    /// The most VMs whose type was shown as unknown at a time.
    pub(crate) unknown: usize,
    pub(crate) cpu: Duration,
    /// Its peak resident memory.
    pub(crate) resident: u64,
    pub(crate) threads: usize,
}

/// An agent of the node as in service, except that it pushes nothing.
pub(crate) fn start(machine: &Machine, include: &[&str]) -> Agent {
    let kubeconfig = machine.api.kubeconfig_for(User::Agent).display().to_string();
    let pods = machine.node.pods_dir().display().to_string();
    let mut arguments = vec!["--mode", "kubevirt", "--node-name", machine.node.name()];
    arguments.extend(["--kubeconfig", &kubeconfig, "--pods-dir", &pods, "--exporters", "prometheus"]);
    arguments.extend(include.iter().flat_map(|glob| ["--metrics-include", glob]));
    Agent::start(&arguments, &[])
}

/// [`start`], and waits for the types of so many VMs.
pub(crate) fn start_with(machine: &Machine, include: &[&str], vms: u32) -> (Agent, Startup) {
    let started = Instant::now();
    let agent = start(machine, include);
    let (mut threads, mut unknown) = (0, 0);
    let took = loop {
        threads = threads.max(agent.threads());
        let looked = Instant::now();
        let [kvm, others] = types(&agent);
        if kvm >= vms as usize {
            break started.elapsed();
        }
        unknown = unknown.max(others);
        assert!(started.elapsed() < PATIENCE, "not all of {vms} VMs were seen; the agent's log:\n{}", agent.log());
        sleep(LOOK_EVERY.max(looked.elapsed() * PAUSE_OF_LOOKS));
    };
    let startup = Startup { took, unknown, cpu: agent.cpu_time(), resident: highest(&agent), threads };
    (agent, startup)
}

/// Waits until an agent shows the types of so many VMs, and until all of them have been read.
pub(crate) fn settle(agent: &Agent, vms: u32) {
    let started = Instant::now();
    while types(agent)[0] < vms as usize {
        assert!(started.elapsed() < PATIENCE, "not all of {vms} VMs were seen; the agent's log:\n{}", agent.log());
        sleep(Duration::from_millis(500));
    }
    sleep(2 * INTERVAL);
}

/// Its peak resident memory so far.
fn highest(agent: &Agent) -> u64 {
    let text = process::status_field(agent.pid(), "VmHWM").expect("an agent that runs");
    text.trim_end_matches(" kB").parse::<u64>().expect("an amount of memory") << 10
}

/// The VMs whose type is KVM's, and those with another.
fn types(agent: &Agent) -> [usize; 2] {
    let text = agent.metrics_raw("text/plain;version=0.0.4").text();
    let series: Vec<_> = text.lines().filter(|line| line.starts_with("kubevirt_vmi_hypervisor_info{")).collect();
    let kvm = series.iter().filter(|line| line.contains("hypervisor_type=\"kvm\"")).count();
    [kvm, series.len() - kvm]
}

/// What an agent holds, and uses while nobody scrapes and nothing happens.
pub(crate) fn at_rest(machine: &Machine, agent: &Agent, vms: u32, for_so_long: Duration) -> AtRest {
    let before = machine.cpu(agent.cpu_time());
    sleep(for_so_long);
    let used = machine.cpu(agent.cpu_time()).since(before);
    let a_second = |time: Duration| time.div_f64(for_so_long.as_secs_f64());
    AtRest {
        vms,
        held: Held {
            resident: agent.resident(),
            anonymous: agent.anonymous(),
            threads: agent.threads(),
            descriptors: agent.descriptors(),
        },
        cpu: Cpu { agent: a_second(used.agent), libvirtds: a_second(used.libvirtds), qemus: a_second(used.qemus) },
    }
}

/// The bytes of one family on a page.
pub(crate) fn bytes_of(agent: &Agent, family: &str) -> usize {
    let text = agent.metrics_raw("text/plain;version=0.0.4").text();
    let ours = |line: &&str| line.strip_prefix(family).is_some_and(|rest| rest.starts_with('{'));
    text.lines().filter(ours).map(|line| line.len() + 1).sum()
}

/// How much one of the agent's own counters has grown from one page to the next.
pub(crate) fn growth(after: &Metrics, before: &Metrics, name: &str, labels: &[(&str, &str)]) -> f64 {
    let value = |page: &Metrics| page.get(name, labels).unwrap_or_else(|| panic!("the page has {name} {labels:?}"));
    value(after) - value(before)
}
