//! What is measured: one file per entity, one row per metric.
//!
//! The tables are the source of truth. Both exporters loop over them, and `tests/contract.rs` renders
//! `docs/metrics.md`, the registry under `otel/` and the golden exposition from them: every exported metric is
//! documented, and every documented one is exported.
//!
//! Some rules about the rows, which `tests/contract.rs` enforces:
//!
//! - where KubeVirt has a metric, the row is named so that its Prometheus name is KubeVirt's;
//! - labels on counters say only what the counter belongs to; what else is known about a disk, an interface or a
//!   machine is on a separate info metric, to be joined;
//! - a state is one series for each value of a closed set, 1 for the present one and 0 for the others, so that it can
//!   be counted, averaged and alerted on. The *reason* of a state has only one series, the present one: there are 43
//!   pairs of state and reason, and a 0 for each absent one is useless.

pub mod attribute;
mod collection;
mod cpu;
mod daemon;
mod identity;
mod iothread;
mod job;
mod machine;
mod memory;
mod metadata;
mod metric;
mod migration;
mod network;
mod not_exported;
mod own;
mod profile;
mod read;
mod selection;
mod state;
mod storage;
mod storage_limit;
mod vcpu;
mod vmi;
mod vmi_network;

pub use attribute::Attribute;
pub use identity::{IdentityLabels, daemon_label, daemon_labels};
pub use metric::{Emit, Entity, Kind, LABEL_VALUE_MAX, Label, Labels, Metric, Point, Stability, Unit, Value};
pub use not_exported::{NOT_EXPORTED, NotExported};
pub use own::{Instrument, Observable, OwnMetric, observables};
pub use profile::Profile;
pub use read::{Decimal, Read};
pub use selection::{Selected, Selection, Vocabulary};

use crate::model::Group;

/// Rows about the same topic.
#[derive(Debug)]
pub struct Section {
    /// The topic.
    pub title: &'static str,
    /// What a reader should know before using them.
    pub brief: &'static str,
    /// The rows.
    pub metrics: &'static [Metric],
}

/// Every section, in the order of the documentation and of the exposition.
pub const SECTIONS: [Section; 17] = [
    machine::SECTION,
    metadata::SECTION,
    state::SECTION,
    collection::SECTION,
    cpu::SECTION,
    vcpu::SECTION,
    memory::SECTION,
    storage::SECTION,
    storage_limit::SECTION,
    network::SECTION,
    iothread::SECTION,
    job::SECTION,
    migration::SECTION,
    memory::DIRTY_RATE,
    vmi::SECTION,
    vmi_network::SECTION,
    daemon::SECTION,
];

/// Every row, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    SECTIONS.iter().flat_map(|section| section.metrics)
}

/// How many counters the rows have that are read in a group.
#[must_use]
pub const fn counters_of(group: Group) -> usize {
    let mut count = 0;
    let mut section = 0;
    while section < SECTIONS.len() {
        let rows = SECTIONS[section].metrics;
        let mut row = 0;
        while row < rows.len() {
            if let (Kind::Counter, Some(of)) = (rows[row].kind, rows[row].read.group())
                && of as usize == group as usize
            {
                count += 1;
            }
            row += 1;
        }
        section += 1;
    }
    count
}

/// The most attributes that an info metric has: those of KubeVirt's `kubevirt_vmi_info`.
const INFO_MAX: usize = 13;

/// Emits the 1 of an info metric, with those attributes that have a value: to Prometheus, an empty label is an absent
/// label.
fn info(attributes: &[(&'static Attribute, Option<&str>)], emit: Emit<'_>) {
    described(attributes, Value::Integer(1), emit);
}

/// Emits a value with those attributes that have one.
fn described(attributes: &[(&'static Attribute, Option<&str>)], value: Value, emit: Emit<'_>) {
    let mut labels = [Label::new(&attribute::DEVICE, ""); INFO_MAX];
    let mut count = 0;
    for (attribute, text) in attributes {
        let Some(text) = text.filter(|text| !text.is_empty()) else { continue };
        let Some(slot) = labels.get_mut(count) else { break };
        *slot = Label::new(attribute, text);
        count += 1;
    }
    emit(&labels[..count], value);
}
