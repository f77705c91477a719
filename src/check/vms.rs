//! The VMs, as they were read: whether all of it came, what runs them, and whether their guests are asked for figures.

use std::sync::Arc;

use super::finding::{Check, Finding, counted};
use crate::agent::{named, runs};
use crate::model::{HypervisorType, State, Vm};
use crate::snapshot::Snapshot;

/// How often the guest should be asked: as often as KubeVirt does.
const PERIOD_SECONDS: u32 = 10;

fn of<'a>(snapshot: &'a Snapshot, wanted: impl Fn(&Vm) -> bool + 'a) -> Vec<&'a Arc<Vm>> {
    snapshot.vms.iter().filter(|vm| runs(vm) && wanted(vm)).collect()
}

fn names(vms: &[&Arc<Vm>]) -> String {
    named(vms.iter().copied()).unwrap_or_default()
}

/// Whether every VM that runs was read whole.
pub(super) fn readings(snapshot: &Snapshot) -> Vec<Finding> {
    const CHECK: Check = Check::VmReadings;
    let running = of(snapshot, |_| true).len();
    let resting = snapshot.vms.len() - running;
    let mut findings = Vec::new();
    if !snapshot.complete {
        findings.push(Finding::warning(
            CHECK,
            "not everything was read in time",
            "look at what is said of libvirt's sockets, and try again; a daemon's first reading takes a few seconds",
        ));
    }
    let stuck = of(snapshot, |vm| vm.collection.stuck);
    if !stuck.is_empty() {
        findings.push(Finding::warning(
            CHECK,
            format!("{} of {} that run hang: {}", stuck.len(), counted(running, "VM"), names(&stuck)),
            "is its storage away, or its QEMU stopped? docs/runbook.md, \"A VM is stuck\"",
        ));
    }
    let partly = of(snapshot, |vm| !vm.collection.stuck && vm.collection.complete != Some(true));
    if !partly.is_empty() {
        findings.push(Finding::warning(
            CHECK,
            format!("{} of {} that run were not read whole: {}", partly.len(), counted(running, "VM"), names(&partly)),
            "another client's job may keep them (`virsh domjobinfo NAME`), or other VMs hang; try again",
        ));
    }
    if findings.is_empty() {
        let rest = if resting > 0 { format!("; {resting} do not run") } else { String::new() };
        findings.push(if running > 0 {
            Finding::well(CHECK, format!("every VM that runs was read whole: {running}{rest}"))
        } else {
            Finding::not_tried(CHECK, format!("no VM runs{rest}"))
        });
    }
    findings
}

/// What really runs them. `kvm`: whether this machine has KVM.
pub(super) fn types(snapshot: &Snapshot, kvm: bool) -> Vec<Finding> {
    const CHECK: Check = Check::VmTypes;
    let by = |kind| of(snapshot, move |vm| vm.hypervisor == Some(kind));
    let counts: Vec<String> = HypervisorType::ALL
        .into_iter()
        .map(|kind| (kind, by(kind).len()))
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| format!("{count} {}", kind.as_str()))
        .collect();
    if counts.is_empty() {
        return vec![Finding::not_tried(CHECK, "no VM runs")];
    }
    let mut findings = Vec::new();
    let unknown = by(HypervisorType::Unknown);
    if !unknown.is_empty() {
        findings.push(Finding::warning(
            CHECK,
            format!("what runs {} is not known", names(&unknown)),
            "docs/runbook.md, \"hypervisor_type is unknown\"",
        ));
    }
    let emulated = by(HypervisorType::QemuTcg);
    if kvm && !emulated.is_empty() {
        findings.push(Finding::warning(
            CHECK,
            format!("{} run emulated, though this machine has KVM: {}", emulated.len(), names(&emulated)),
            "define them with type='kvm', under KubeVirt without useEmulation; docs/runbook.md, \"hypervisor_type is \
             qemu-tcg\"",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::well(CHECK, counts.join(", ")));
    }
    findings
}

/// Whether their guests are asked for their memory's figures. `kubevirt`: who defines them.
pub(super) fn balloons(snapshot: &Snapshot, kubevirt: bool) -> Vec<Finding> {
    const CHECK: Check = Check::BalloonPeriod;
    let balloon = |vm: &Vm| vm.description.as_ref().and_then(|description| description.balloon);
    let all = of(snapshot, |vm| vm.description.is_some());
    if all.is_empty() {
        return vec![Finding::not_tried(CHECK, "no VM runs whose XML was read")];
    }
    let without_device = of(snapshot, move |vm| vm.description.is_some() && balloon(vm).is_none());
    let without_period = of(snapshot, move |vm| balloon(vm).is_some_and(|balloon| balloon.period.is_none()));
    // A guest that is paused reports nothing, and one that was not read whole is not known to.
    let silent = of(snapshot, move |vm| {
        let is_asked = balloon(vm).is_some_and(|balloon| balloon.period.is_some());
        let answers = vm.status.is_some_and(|status| status.state == State::Running);
        let never = vm.memory.as_ref().is_some_and(|memory| memory.value.last_update.is_none());
        is_asked && answers && never && vm.collection.complete == Some(true)
    });
    let mut findings = Vec::new();
    let mut add = |vms: &[&Arc<Vm>], what: &str, next_step: String| {
        if !vms.is_empty() {
            findings.push(Finding::warning(
                CHECK,
                format!("{} of {} that run {what}: {}", vms.len(), counted(all.len(), "VM"), names(vms)),
                next_step,
            ));
        }
    };
    let set = if kubevirt {
        format!(
            "set spec.configuration.memBalloonStatsPeriod of the KubeVirt object to {PERIOD_SECONDS} (its default), and \
             restart the VMs"
        )
    } else {
        format!("`virsh dommemstat NAME --period {PERIOD_SECONDS} --live --config` for each")
    };
    add(&without_period, "have no statistics period, so that their guests' memory figures are missing or old", set);
    let device = if kubevirt {
        "do not set spec.template.spec.domain.devices.autoattachMemBalloon to false"
    } else {
        "give them `<memballoon model='virtio'><stats period='10'/></memballoon>` (`virsh edit NAME`), and restart them"
    };
    add(&without_device, "have no balloon device, so that their guests' memory figures are missing", device.to_owned());
    add(
        &silent,
        "are asked for their guests' memory figures and have never told any",
        "load the driver virtio_balloon in the guest, on Windows with its service; a guest that boots has not told yet"
            .to_owned(),
    );
    if findings.is_empty() {
        findings.push(Finding::well(
            CHECK,
            format!("every guest of a VM that runs tells its memory figures: {}", all.len()),
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::check::finding::Outcome;
    use crate::model::{BalloonDescription, Description, Status};
    use crate::testing::sample;

    fn vm(name: &str, change: impl Fn(&mut Vm)) -> Arc<Vm> {
        let mut vm = sample::running();
        Arc::make_mut(&mut vm.identity).name = name.into();
        vm.collection.complete = Some(true);
        vm.collection.stuck = false;
        change(&mut vm);
        Arc::new(vm)
    }

    fn of_these(vms: Vec<Arc<Vm>>) -> Snapshot {
        Snapshot { complete: true, vms: vms.into(), ..Snapshot::default() }
    }

    fn off(vm: &mut Vm) {
        vm.status = Some(Status::from_libvirt(5, 0));
    }

    fn said(findings: &[Finding]) -> Vec<(Outcome, &str)> {
        findings.iter().map(|finding| (finding.outcome, finding.detail.as_str())).collect()
    }

    #[test]
    fn vms_that_hang_or_were_read_in_part_are_named() {
        let snapshot = of_these(vec![
            vm("web", |_| {}),
            vm("db", |vm| vm.collection.stuck = true),
            vm("mail", |vm| vm.collection.complete = Some(false)),
            vm("old", off),
        ]);
        assert_eq!(
            said(&readings(&snapshot)),
            [
                (Outcome::Warning, "1 of 3 VMs that run hang: db"),
                (Outcome::Warning, "1 of 3 VMs that run were not read whole: mail")
            ]
        );
        let well = of_these(vec![vm("web", |_| {}), vm("old", off)]);
        assert_eq!(said(&readings(&well)), [(Outcome::Well, "every VM that runs was read whole: 1; 1 do not run")]);
        assert_eq!(said(&readings(&of_these(vec![]))), [(Outcome::NotTried, "no VM runs")]);
        assert_eq!(readings(&Snapshot::default())[0].outcome, Outcome::Warning, "nothing was read in time");
    }

    #[test]
    fn emulation_is_pointed_out_only_where_there_is_kvm() {
        let of = |kind| move |vm: &mut Vm| vm.hypervisor = Some(kind);
        let snapshot = of_these(vec![vm("web", of(HypervisorType::Kvm)), vm("db", of(HypervisorType::QemuTcg))]);
        assert_eq!(said(&types(&snapshot, false)), [(Outcome::Well, "1 kvm, 1 qemu-tcg")]);
        let warned = types(&snapshot, true);
        assert!(warned[0].outcome == Outcome::Warning && warned[0].detail.ends_with("KVM: db"), "{warned:?}");
        let unknown = types(&of_these(vec![vm("web", of(HypervisorType::Unknown))]), true);
        assert_eq!(said(&unknown), [(Outcome::Warning, "what runs web is not known")]);
        assert_eq!(types(&of_these(vec![vm("old", off)]), true)[0].outcome, Outcome::NotTried);
    }

    fn balloon(balloon: Option<BalloonDescription>) -> impl Fn(&mut Vm) {
        move |vm| vm.description = Some(Arc::new(Description { balloon, ..Description::default() }))
    }

    const ASKED: Option<BalloonDescription> = Some(BalloonDescription { period: Some(Duration::from_secs(10)) });

    #[test]
    fn what_a_balloon_lacks_is_told_with_how_to_set_it() {
        let snapshot = of_these(vec![
            vm("well", balloon(ASKED)),
            vm("unasked", balloon(Some(BalloonDescription { period: None }))),
            vm("bare", balloon(None)),
            vm("silent", |vm| {
                balloon(ASKED)(vm);
                vm.memory.as_mut().unwrap().value.last_update = None;
            }),
            vm("old", |vm| {
                balloon(None)(vm);
                off(vm);
            }),
        ]);
        let findings = balloons(&snapshot, false);
        let names: Vec<&str> = findings.iter().map(|finding| finding.detail.rsplit(": ").next().unwrap()).collect();
        assert_eq!(names, ["unasked", "bare", "silent"]);
        assert!(findings[0].next_step.as_ref().unwrap().contains("virsh dommemstat NAME --period 10"));
        let kubevirt = balloons(&snapshot, true);
        assert!(kubevirt[0].next_step.as_ref().unwrap().contains("memBalloonStatsPeriod"));
        assert!(kubevirt[1].next_step.as_ref().unwrap().contains("autoattachMemBalloon"));
    }

    #[test]
    fn a_guest_that_is_paused_or_was_not_read_is_not_blamed() {
        let silent = |vm: &mut Vm| {
            balloon(ASKED)(vm);
            vm.memory.as_mut().unwrap().value.last_update = None;
        };
        let snapshot = of_these(vec![
            vm("paused", |vm| {
                silent(vm);
                vm.status = Some(Status::from_libvirt(3, 0));
            }),
            vm("busy", |vm| {
                silent(vm);
                vm.collection.complete = Some(false);
            }),
        ]);
        assert_eq!(balloons(&snapshot, false)[0].outcome, Outcome::Well);
        assert_eq!(balloons(&of_these(vec![]), false)[0].outcome, Outcome::NotTried);
    }
}
