//! `virt-otel check`: tries everything that the agent needs in its mode, each under a deadline of its own.
//!
//! ```text
//!  config ─► probes, all at once ─► what was seen ─► judgments, pure ─► findings ─► report
//!            └─ reading   everything once, as `snapshot` does: groups, VMs, balloons, series
//! ```
//!
//! It changes nothing, and may run beside an agent: it has fewer calls in a daemon than one, and counts an address that
//! a virt-otel holds as well. One check that fails, hangs or falls over leaves the others alone.

mod attempt;
mod clock;
mod collector;
mod configuration;
mod confinement;
mod daemons;
mod files;
mod finding;
mod groups;
mod kubernetes;
mod kvm;
mod launchers;
mod listener;
mod pods;
mod report;
mod series;
mod system;
mod vms;
mod web;

use std::sync::Arc;
use std::time::Duration;

pub use finding::{Check, Finding, Outcome};
pub use report::Report;
pub use series::{Pushed, SeriesCount, Served};

use attempt::{Broken, blocking, or_broken, within};
use clock::Evidence;
use confinement::Selinux;
use kubernetes::Asked;
use kvm::Kvm;
use system::System;

use crate::agent::{self, AgentError, Once};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Kubevirt, Run, Vms, WebAuth};
use crate::libvirt::limits;
use crate::model::Timestamp;

/// How long meeting daemons may take: the deadlines of a connection to another host, and some more.
const MEETING: Duration = Duration::from_secs(30);

/// How long asking the API server for up to four rights may take: each has a deadline, and one that passes it is the last.
const ASKING: Duration = Duration::from_secs(90);

/// How long asking the Collector for two signals may take: twice the patience with its files and of the probe, and some
/// more.
const EXPORTING: Duration = Duration::from_secs(45);

/// How long finding out who holds an address may take: a name is resolved, and two addresses are asked.
const LISTENING: Duration = Duration::from_secs(10);

/// How much longer than its own deadline reading everything may take, to end in order.
const READING_END: Duration = Duration::from_secs(5);

/// Tries everything. Must be called within the runtime.
pub async fn check(config: &Run) -> Report {
    on(config, System::default()).await
}

async fn on(config: &Run, system: System) -> Report {
    let vms = &config.source.vms;
    let (machine, daemons, collectors, listeners, (asked, read)) = tokio::join!(
        machine(vms, &system),
        within(MEETING, daemons::probe(vms.clone())),
        within(EXPORTING, collector::try_both(config.otlp_metrics.clone(), config.otlp_logs.clone())),
        listeners(config),
        ask_and_read(config),
    );
    let Machine { kvm, mut findings, timed } = machine;
    findings.extend(configuration::judge(&config.warnings));
    findings.extend(or_broken(Check::LibvirtSocket, daemons));
    findings.extend(or_broken(Check::Collector, collectors));
    findings.extend(listeners);
    findings.push(web::judge(config));
    findings.push(timed.finding(asked.as_ref()));
    if let Some((asked, _)) = asked {
        findings.extend(asked.judge());
    }
    let vms_known = read.as_ref().map_or(0, |once| once.snapshot.vms.len());
    let limit = limits::raise_open_files().unwrap_or_else(|_| limits::open_files());
    let limit_for = u64::try_from(vms_known).unwrap_or(u64::MAX);
    findings.push(files::judge(limit, limit_for, matches!(vms, Vms::Kubevirt(_))));
    let (of_reading, series) = judge_reading(config, read, kvm).await;
    findings.extend(of_reading);
    Report { mode: vms.mode(), reads: vms.to_string(), findings: report::in_order(findings), series }
}

/// What this machine alone says.
struct Machine {
    /// Whether it has KVM.
    kvm: bool,
    findings: Vec<Finding>,
    timed: Timed,
}

/// The machine's clock, or why nothing is known of it.
struct Timed(Result<Evidence, Broken>);

impl Timed {
    /// With what the API server said of its own, and what the clock here showed then.
    fn finding(self, asked: Option<&Answer>) -> Finding {
        match self.0 {
            Err(broken) => broken.finding(Check::Clock),
            Ok(evidence) => clock::judge(&match asked {
                Some((asked, now)) if asked.date().is_some() => Evidence { now: *now, there: asked.date(), ..evidence },
                _ => evidence,
            }),
        }
    }
}

async fn machine(vms: &Vms, system: &System) -> Machine {
    let reads_launchers = matches!(vms, Vms::Kubevirt(_));
    let in_a_pod = matches!(vms, Vms::Kubevirt(_) | Vms::Sidecar(_));
    let [of_kvm, of_selinux, of_privileges, of_clock] = [system; 4].map(System::clone);
    let kvm = blocking(move || Kvm::on(&of_kvm));
    let selinux = blocking(move || vec![Selinux::on(&of_selinux).judge(reads_launchers)]);
    let privileges = blocking(move || vec![confinement::privileges(&of_privileges)]);
    let timed = blocking(move || Evidence::on(&of_clock, SystemClock::new().now()));
    let pods = async {
        let Vms::Kubevirt(Kubevirt { pods_dir, .. }) = vms else { return Vec::new() };
        let pods_dir = pods_dir.clone();
        or_broken(Check::PodsDirectory, blocking(move || pods::probe(&pods_dir)).await)
    };
    let (kvm, selinux, privileges, timed, mut findings) = tokio::join!(kvm, selinux, privileges, timed, pods);
    findings.extend(or_broken(Check::Selinux, selinux));
    if reads_launchers {
        findings.extend(or_broken(Check::Privileges, privileges));
    }
    findings.push(kvm.map_or_else(|broken| broken.finding(Check::Kvm), |kvm| kvm.judge(in_a_pod)));
    Machine { kvm: kvm.is_ok_and(Kvm::is_there), findings, timed: Timed(timed) }
}

async fn listeners(config: &Run) -> Vec<Finding> {
    let admin = within(LISTENING, listener::probe(Check::Listen, "--listen", config.listen.clone()));
    let health = async {
        let Some(listen) = config.health_listen.clone() else { return Vec::new() };
        let probe = listener::probe(Check::ListenHealth, "--health-listen", listen);
        or_broken(Check::ListenHealth, within(LISTENING, probe).await)
    };
    let (admin, health) = tokio::join!(admin, health);
    or_broken(Check::Listen, admin).into_iter().chain(health).collect()
}

/// What the API server says, and when.
type Answer = (Asked, Timestamp);

/// Asks the API server, where there is one, and reads everything, unless it does not say which VMs there are.
async fn ask_and_read(config: &Run) -> (Option<Answer>, Result<Once, Unread>) {
    let Vms::Kubevirt(kubevirt) = &config.source.vms else { return (None, read(config).await) };
    let settings = agent::watch_settings(&config.source, kubevirt);
    let reviews_tokens = config.web.as_ref().is_some_and(|web| web.auth == Some(WebAuth::Kubernetes));
    let asked = within(ASKING, kubernetes::ask(settings, reviews_tokens)).await;
    let asked = asked.unwrap_or_else(|broken| Asked::Unusable(broken.finding(Check::KubernetesApi).detail));
    let now = SystemClock::new().now();
    // It would be waited for in vain.
    let read = if asked.lets_watch() { read(config).await } else { Err(Unread::Unknown) };
    (Some((asked, now)), read)
}

/// Why nothing was read.
enum Unread {
    /// It is not known which VMs there are.
    Unknown,
    /// Reading them has no result.
    Broken(Broken),
    /// The agent could not begin.
    Agent(AgentError),
}

async fn read(config: &Run) -> Result<Once, Unread> {
    let source = config.source.clone();
    let limit = agent::patience(&source) + READING_END;
    match within(limit, async move { agent::read_once(&source, |_| {}).await }).await {
        Ok(Ok(once)) => Ok(once),
        Ok(Err(error)) => Err(Unread::Agent(error)),
        Err(broken) => Err(Unread::Broken(broken)),
    }
}

/// What is told of VMs that were read.
const OF_VMS: [Check; 5] =
    [Check::StatisticsGroups, Check::VmReadings, Check::VmTypes, Check::BalloonPeriod, Check::Series];

/// What is told of launchers, once it is known which there are.
const OF_LAUNCHERS: [Check; 2] = [Check::LibvirtSocket, Check::LibvirtReadOnly];

/// What is said of these if nothing was read, for this reason.
fn not_tried(checks: impl IntoIterator<Item = Check>, reason: &str) -> Vec<Finding> {
    checks.into_iter().map(|check| Finding::not_tried(check, reason)).collect()
}

/// Instead of what is said of what was read.
fn judge_unread(vms: &Vms, unread: Unread) -> Vec<Finding> {
    const UNKNOWN: &str = "the Kubernetes API does not say which VMs there are";
    let mut findings = match unread {
        Unread::Unknown | Unread::Agent(AgentError::Watch(_)) => not_tried(OF_VMS, UNKNOWN),
        Unread::Agent(error) => not_tried(OF_VMS, &error.to_string()),
        Unread::Broken(broken) => {
            let others = OF_VMS.into_iter().filter(|check| *check != Check::VmReadings);
            let mut findings = not_tried(others, "nothing was read");
            findings.push(broken.finding(Check::VmReadings));
            findings
        }
    };
    if matches!(vms, Vms::Kubevirt(_)) {
        findings.extend(not_tried(OF_LAUNCHERS.into_iter().chain([Check::Vmis]), UNKNOWN));
    }
    findings
}

/// What is said of what was read.
async fn judge_reading(config: &Run, read: Result<Once, Unread>, kvm: bool) -> (Vec<Finding>, Option<SeriesCount>) {
    let vms = &config.source.vms;
    let Once { snapshot, watch } = match read {
        Ok(once) => once,
        Err(unread) => return (judge_unread(vms, unread), None),
    };
    let mut findings = Vec::new();
    if let (Vms::Kubevirt(Kubevirt { node, pods_dir, .. }), Some(watch)) = (vms, watch) {
        findings.extend(kubernetes::vmis(node, &watch, snapshot.vms.len()));
        if !watch.synced() {
            let checks = OF_VMS.into_iter().chain(OF_LAUNCHERS);
            findings.extend(not_tried(checks, "the Kubernetes API has not said which VMs there are"));
            return (findings, None);
        }
        let (pods_dir, snapshot) = (pods_dir.clone(), Arc::clone(&snapshot));
        let probe = within(MEETING, async move { launchers::probe(&pods_dir, &snapshot).await });
        findings.extend(or_broken(Check::LibvirtSocket, probe.await));
    }
    findings.extend(groups::judge(&snapshot));
    findings.extend(vms::readings(&snapshot));
    findings.extend(vms::types(&snapshot, kvm));
    findings.extend(vms::balloons(&snapshot, !matches!(vms, Vms::Libvirt { .. })));
    // A thousand VMs take some milliseconds to render.
    let run = config.clone();
    match blocking(move || SeriesCount::of(&run, &snapshot)).await {
        Ok(count) => {
            findings.push(count.judge());
            (findings, Some(count))
        }
        Err(broken) => {
            findings.push(broken.finding(Check::Series));
            (findings, None)
        }
    }
}

#[cfg(test)]
mod tests;
