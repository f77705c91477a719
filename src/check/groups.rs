//! Which groups of statistics the libvirt that was read gives.

use std::collections::BTreeMap;

use super::finding::{Check, Finding};
use crate::agent::runs;
use crate::model::{Daemon, Group, Place, Vm};
use crate::snapshot::Snapshot;

/// The oldest libvirt that is tested: it gives every group.
const SINCE: &str = "9.0";

/// A finding for each host's daemon, and one for all launchers.
pub(super) fn judge(snapshot: &Snapshot) -> Vec<Finding> {
    let mut by_daemon: BTreeMap<String, Vec<&Vm>> = BTreeMap::new();
    for vm in snapshot.vms.iter() {
        by_daemon.entry(reader(vm)).or_default().push(vm);
    }
    for daemon in &snapshot.daemons {
        by_daemon.entry(daemon.id.to_string()).or_default();
    }
    if by_daemon.is_empty() {
        return vec![Finding::not_tried(Check::StatisticsGroups, "there is no VM to read")];
    }
    let version = |name: &str| snapshot.daemons.iter().find(|daemon| &*daemon.id.0 == name).and_then(|it| versions(it));
    by_daemon.iter().map(|(name, vms)| of_daemon(name, version(name), vms)).collect()
}

fn reader(vm: &Vm) -> String {
    match &vm.identity.place {
        Place::Host { uri, .. } => uri.to_string(),
        Place::Launcher(_) => "launchers".to_owned(),
    }
}

fn versions(daemon: &Daemon) -> Option<String> {
    let facts = daemon.facts.as_ref()?;
    let libvirt = facts.libvirt.map(|version| format!("libvirt {version}"));
    let hypervisor = facts.hypervisor.map(|version| format!("{} {version}", facts.driver));
    let both: Vec<String> = libvirt.into_iter().chain(hypervisor).collect();
    (!both.is_empty()).then(|| both.join(", "))
}

fn of_daemon(name: &str, version: Option<String>, vms: &[&Vm]) -> Finding {
    let whole: Vec<&Vm> = vms.iter().copied().filter(|vm| runs(vm) && vm.collection.complete == Some(true)).collect();
    let name = version.map_or_else(|| name.to_owned(), |version| format!("{name} ({version})"));
    if whole.is_empty() {
        let reason = format!("{name}: no VM that runs was read whole, so there is nothing to tell it by");
        return Finding::not_tried(Check::StatisticsGroups, reason);
    }
    let (given, missing): (Vec<Group>, Vec<Group>) =
        Group::ALL.into_iter().partition(|group| whole.iter().any(|vm| has(vm, *group)));
    let (excused, missing): (Vec<Group>, Vec<Group>) =
        missing.into_iter().partition(|group| whole.iter().all(|vm| has_no_reason(vm, *group)));
    let words = |groups: &[Group]| groups.iter().map(|group| group.as_str()).collect::<Vec<_>>().join(", ");
    let mut detail = format!("{name} gives {}", words(&given));
    if !excused.is_empty() {
        detail = format!("{detail}; no VM has anything of {}", words(&excused));
    }
    if missing.is_empty() {
        return Finding::well(Check::StatisticsGroups, detail);
    }
    Finding::warning(
        Check::StatisticsGroups,
        format!("{detail}; it does not give {}", words(&missing)),
        format!("`virsh domstats NAME` shows what it gives; libvirt {SINCE} and newer give all of them"),
    )
}

/// Whether a VM was given a group.
fn has(vm: &Vm, group: Group) -> bool {
    match group {
        Group::State => vm.status.is_some(),
        _ => vm.collection.ages.iter().any(|age| age.group == group),
    }
}

/// Whether a VM has nothing that the group could tell of: it has no such device, or nobody has asked for it.
fn has_no_reason(vm: &Vm, group: Group) -> bool {
    match group {
        Group::Iothread | Group::Dirtyrate | Group::Job => true,
        Group::Block => vm.description.as_ref().is_some_and(|description| description.disks.is_empty()),
        Group::Interface => vm.description.as_ref().is_some_and(|description| description.nics.is_empty()),
        // Every VM has something of the others.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::check::finding::Outcome;
    use crate::model::GroupAge;
    use crate::testing::sample;

    fn host(groups: &[Group], change: impl Fn(&mut Vm)) -> Snapshot {
        let mut vm = sample::running();
        vm.collection.complete = Some(true);
        vm.collection.stuck = false;
        let age = |group: &Group| GroupAge { group: *group, age: Duration::ZERO };
        vm.collection.ages = groups.iter().map(age).collect();
        change(&mut vm);
        Snapshot { vms: std::iter::once(Arc::new(vm)).collect(), ..sample::snapshot() }
    }

    #[test]
    fn all_groups_are_named_with_the_versions() {
        let findings = judge(&host(&Group::ALL, |_| {}));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].outcome, Outcome::Well, "{findings:?}");
        assert!(findings[0].detail.contains("libvirt ") && findings[0].detail.contains("block"), "{findings:?}");
    }

    #[test]
    fn what_no_vm_has_is_no_fault_of_libvirts_and_what_they_have_is() {
        let few = [Group::State, Group::Cpu, Group::Balloon, Group::Vcpu, Group::Interface, Group::Block];
        let excused = judge(&host(&few, |_| {})).remove(0);
        assert_eq!(excused.outcome, Outcome::Well);
        assert!(excused.detail.contains("iothread, dirtyrate"), "{excused:?}");
        let missing = judge(&host(&few[..5], |_| {})).remove(0);
        assert_eq!(missing.outcome, Outcome::Warning);
        assert!(missing.detail.ends_with("it does not give block"), "{missing:?}");
    }

    #[test]
    fn without_a_vm_that_was_read_whole_nothing_is_claimed() {
        for snapshot in [
            host(&[], |vm| vm.collection.complete = Some(false)),
            Snapshot { vms: std::iter::empty().collect(), ..sample::snapshot() },
            Snapshot::default(),
        ] {
            assert_eq!(judge(&snapshot)[0].outcome, Outcome::NotTried);
        }
    }
}
