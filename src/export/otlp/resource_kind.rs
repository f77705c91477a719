//! What a Resource describes: a VM or a daemon, with its points from the catalogue.

use std::sync::Arc;

use uuid::Uuid;

use crate::catalog::{IdentityLabels, Point, Selected, Selection};
use crate::model::{Daemon, Group, Place, Timestamp, Vm, Vmi};

/// A VM or a daemon.
#[derive(Debug, Clone)]
pub(super) enum ResourceKind {
    /// A VM.
    Vm(Arc<Vm>),
    /// A daemon.
    Daemon(Arc<Daemon>),
}

/// What Prometheus keeps of a Resource: `service.namespace` and `service.instance.id` (`service.name` is the same for
/// all of a kind). Receivers take two Resources with the same key for one, so their timestamps must not go backwards.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// `service.namespace`
    pub(super) namespace: Option<Arc<str>>,
    /// `service.instance.id`
    pub(super) instance: Instance,
}

/// `service.instance.id`
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Instance {
    /// A domain's UUID.
    Domain(Uuid),
    /// A launcher pod's UID.
    Launcher(Arc<str>),
    /// A daemon's URI.
    Daemon(Arc<str>),
}

impl ResourceKind {
    /// The key that receivers distinguish it by.
    pub(super) fn key(&self, own_host: Option<&Arc<str>>) -> Key {
        match self {
            Self::Vm(vm) => {
                let (namespace, instance) = match &vm.identity.place {
                    Place::Host { host_name, .. } => (host_name, Instance::Domain(vm.key.uuid)),
                    Place::Launcher(launcher) => {
                        (&launcher.namespace, Instance::Launcher(Arc::clone(&launcher.pod_uid)))
                    }
                };
                Key { namespace: Some(Arc::clone(namespace)), instance }
            }
            Self::Daemon(daemon) => {
                let host = daemon.facts.as_ref().map(|facts| &facts.host_name).or(own_host);
                Key { namespace: host.cloned(), instance: Instance::Daemon(Arc::clone(&daemon.id.0)) }
            }
        }
    }

    /// Whether both have the same Resource, given that they have the same key.
    pub(super) fn same_resource(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Vm(one), Self::Vm(other)) => {
                Arc::ptr_eq(&one.identity, &other.identity) || one.identity == other.identity
            }
            // A daemon's whole Resource is in the key.
            (Self::Daemon(_), Self::Daemon(_)) => true,
            _ => false,
        }
    }

    /// Whether the difference between the two is worth an immediate push.
    pub(super) fn lifecycle_differs(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Vm(one), Self::Vm(other)) => {
                !Arc::ptr_eq(one, other)
                    && (one.status != other.status
                        || one.hypervisor != other.hypervisor
                        || one.identity != other.identity
                        || one.description != other.description
                        || vmi_differs(one.vmi.as_ref(), other.vmi.as_ref()))
            }
            (Self::Daemon(one), Self::Daemon(other)) => {
                !Arc::ptr_eq(one, other) && (one.up != other.up || one.facts != other.facts)
            }
            _ => true,
        }
    }

    /// The timestamp of its newest reading.
    pub(super) fn newest_reading(&self) -> Option<Timestamp> {
        match self {
            Self::Vm(vm) => vm.newest(),
            Self::Daemon(_) => None,
        }
    }

    /// When one of its groups was read.
    pub(super) fn read_at(&self, group: Group) -> Option<Timestamp> {
        let Self::Vm(vm) = self else { return None };
        vm.read_at(group)
    }

    /// Its rows.
    pub(super) fn rows<'s>(&self, selection: &'s Selection) -> &'s [Selected] {
        match self {
            Self::Vm(_) => &selection.vm,
            Self::Daemon(_) => &selection.daemon,
        }
    }

    /// Passes its points of a row to `emit`.
    pub(super) fn points(&self, row: &Selected, emit: &mut dyn FnMut(Point<'_>)) {
        match self {
            Self::Vm(vm) if row.metric.carries_identity() => {
                let identity = IdentityLabels::new(&vm.identity);
                row.metric.points(vm, &mut |point| {
                    let labels: Vec<_> = identity.labels().chain(point.labels.iter().copied()).collect();
                    emit(Point { labels: &labels, ..point });
                });
            }
            Self::Vm(vm) => row.metric.points(vm, emit),
            Self::Daemon(daemon) => row.metric.daemon_points(daemon, emit),
        }
    }

    /// Its name in log lines.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Vm(vm) => &vm.identity.name,
            Self::Daemon(daemon) => &daemon.id.0,
        }
    }
}

/// Whether the API reports a change that is worth an immediate push.
fn vmi_differs(one: Option<&Arc<Vmi>>, other: Option<&Arc<Vmi>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => !Arc::ptr_eq(one, other) && one.has_moved_on_from(other),
        (None, None) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Vocabulary;
    use crate::model::{Bytes, GuestInterface, Migration, Phase};
    use crate::testing::vmis;

    fn changed(change: impl FnOnce(&mut Vmi)) -> (ResourceKind, ResourceKind) {
        let mut vm = vmis::running();
        let before = ResourceKind::Vm(Arc::new(vm.clone()));
        vmis::edit(&mut vm, change);
        (before, ResourceKind::Vm(Arc::new(vm)))
    }

    #[test]
    fn a_change_in_the_life_of_a_vmi_is_worth_a_push_at_once() {
        let changes: [fn(&mut Vmi); 4] = [
            |vmi| vmi.phase = Phase::Succeeded,
            |vmi| vmi.conditions = vmis::conditions(&[("Paused", Some(true))]),
            |vmi| vmi.migration = Some(Migration { uid: Some("another".into()), ..Migration::default() }),
            |vmi| vmi.uid = "another".into(),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let (before, after) = changed(change);
            assert!(before.lifecycle_differs(&after), "change {index}");
            assert!(before.same_resource(&after), "change {index}: the Resource is of the launcher");
        }
    }

    #[test]
    fn what_the_guest_says_of_itself_waits_for_the_next_push() {
        let changes: [fn(&mut Vmi); 4] = [
            |vmi| vmi.addresses = Box::new([GuestInterface::default()]),
            |vmi| vmi.guest.kernel_release = None,
            |vmi| vmi.memory.guest_current = Some(Bytes(1)),
            |vmi| vmi.outdated = !vmi.outdated,
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let (before, after) = changed(change);
            assert!(!before.lifecycle_differs(&after), "change {index}");
            assert!(before.same_resource(&after), "change {index}");
        }
    }

    #[test]
    fn the_api_coming_or_going_is_worth_a_push_at_once() {
        let vm = vmis::running();
        let alone = ResourceKind::Vm(Arc::new(Vm { vmi: None, ..vm.clone() }));
        assert!(ResourceKind::Vm(Arc::new(vm)).lifecycle_differs(&alone));
        assert!(!alone.lifecycle_differs(&alone.clone()));
    }

    #[test]
    fn the_promised_labels_of_a_vmi_are_on_the_point() {
        let selection = Selection::new(Vocabulary::Kubevirt, |row| row.name == "kubevirt.vmi.hypervisor.info");
        let kind = ResourceKind::Vm(Arc::new(vmis::running()));
        let mut points = Vec::new();
        for row in kind.rows(&selection) {
            kind.points(row, &mut |point| {
                let labels = point.labels.iter().map(|label| format!("{}={}", label.attribute.key, label.value));
                points.push(labels.collect::<Vec<_>>().join(","));
            });
        }
        assert_eq!(points, ["namespace=shop,name=web-1,node=node-17,hypervisor_type=kvm"]);
    }
}
