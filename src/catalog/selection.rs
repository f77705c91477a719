//! Which rows are exported, under which names.

use super::{Entity, Metric};
use crate::model::Vm;

/// The vocabulary for VMs: the prefix of their metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vocabulary {
    /// A libvirt domain: `libvirt.domain.`.
    Libvirt,
    /// A KubeVirt VMI: `kubevirt.vmi.`.
    Kubevirt,
}

impl Vocabulary {
    /// The prefix of a row's name.
    #[must_use]
    pub const fn prefix(self, entity: Entity) -> &'static str {
        match (entity, self) {
            (Entity::Vm, Self::Libvirt) => "libvirt.domain.",
            (Entity::Vm, Self::Kubevirt) => "kubevirt.vmi.",
            (Entity::Daemon, _) => "libvirt.",
        }
    }
}

/// The rows that are exported, with their full OpenTelemetry names; in the order of the catalogue.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The rows of VMs.
    pub vm: Vec<Selected>,
    /// The rows of daemons.
    pub daemon: Vec<Selected>,
}

/// A row with its full name.
#[derive(Debug, Clone)]
pub struct Selected {
    /// The full OpenTelemetry name.
    pub name: String,
    /// The row.
    pub metric: &'static Metric,
}

impl Selection {
    /// The rows that are wanted.
    #[must_use]
    pub fn new(vocabulary: Vocabulary, wanted: impl Fn(&Selected) -> bool) -> Self {
        let of = |entity| {
            super::all()
                .filter(|metric| metric.read.entity() == entity && metric.read.is_in(vocabulary))
                .map(|metric| Selected { name: format!("{}{}", vocabulary.prefix(entity), metric.name), metric })
                .filter(&wanted)
                .collect()
        };
        Self { vm: of(Entity::Vm), daemon: of(Entity::Daemon) }
    }

    /// Whether it has no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vm.is_empty() && self.daemon.is_empty()
    }

    /// How many series a VM has.
    #[must_use]
    pub fn series_of(&self, vm: &Vm) -> usize {
        let mut count = 0;
        for row in &self.vm {
            row.metric.points(vm, &mut |_| count += 1);
        }
        count
    }

    /// Every row.
    #[must_use]
    pub fn everything(vocabulary: Vocabulary) -> Self {
        Self::new(vocabulary, |_| true)
    }
}
