//! What a Resource stands for: a VM or a daemon, with the points that the catalogue has of it.

use std::sync::Arc;

use uuid::Uuid;

use crate::catalog::{IdentityLabels, Point, Selected, Selection};
use crate::model::{Daemon, Group, Place, Timestamp, Vm};

/// A VM or a daemon.
#[derive(Debug, Clone)]
pub(super) enum Subject {
    /// A VM.
    Vm(Arc<Vm>),
    /// A daemon.
    Daemon(Arc<Daemon>),
}

/// What Prometheus keeps of a Resource, `service.namespace` and `service.instance.id` (`service.name` is the same for
/// all of a kind): two Resources that agree in it are one to the receiving side, so time must not go backwards in it.
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

impl Subject {
    /// What the receiving side tells it apart by.
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
            // All of a daemon's Resource is in the key.
            (Self::Daemon(_), Self::Daemon(_)) => true,
            _ => false,
        }
    }

    /// Whether something happened between the two that is worth a push at once.
    pub(super) fn lifecycle_differs(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Vm(one), Self::Vm(other)) => {
                !Arc::ptr_eq(one, other)
                    && (one.status != other.status
                        || one.hypervisor != other.hypervisor
                        || one.identity != other.identity
                        || one.description != other.description)
            }
            (Self::Daemon(one), Self::Daemon(other)) => {
                !Arc::ptr_eq(one, other) && (one.up != other.up || one.facts != other.facts)
            }
            _ => true,
        }
    }

    /// The stamp of its newest reading.
    pub(super) fn newest_reading(&self) -> Option<Timestamp> {
        match self {
            Self::Vm(vm) => vm.newest(),
            Self::Daemon(_) => None,
        }
    }

    /// When a group of it was read.
    pub(super) fn read_at(&self, group: Group) -> Option<Timestamp> {
        let Self::Vm(vm) = self else { return None };
        match group {
            Group::State => None,
            Group::Cpu => vm.cpu.as_ref().map(|reading| reading.at),
            Group::Balloon => vm.memory.as_ref().map(|reading| reading.at),
            Group::Vcpu => vm.vcpus.as_ref().map(|reading| reading.at),
            Group::Interface => vm.nics.as_ref().map(|reading| reading.at),
            Group::Block => vm.disks.as_ref().map(|reading| reading.at),
            Group::Iothread => vm.io_threads.as_ref().map(|reading| reading.at),
            Group::Dirtyrate => vm.dirty_rate.as_ref().map(|reading| reading.at),
            Group::Job => vm.job.as_ref().map(|reading| reading.at),
        }
    }

    /// Its rows.
    pub(super) fn rows<'s>(&self, selection: &'s Selection) -> &'s [Selected] {
        match self {
            Self::Vm(_) => &selection.vm,
            Self::Daemon(_) => &selection.daemon,
        }
    }

    /// Every point that a row has of it.
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

    /// How it is called in a log line.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Vm(vm) => &vm.identity.name,
            Self::Daemon(daemon) => &daemon.id.0,
        }
    }
}
