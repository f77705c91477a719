//! Live migration, in KubeVirt's words.

use super::{Kind, Metric, Read, Section, Stability, Unit, Value};

/// The rows and what to know about them.
pub(super) const SECTION: Section = Section {
    title: "Migration",
    brief: "The same figures as those of the job, under KubeVirt's names, and only while the VM migrates.",
    metrics: METRICS,
};

const METRICS: &[Metric] = &[
    Metric {
        name: "migration.data",
        unit: Unit::Bytes,
        kind: Kind::Counter,
        brief: "Data that the migration has to move in all.",
        stability: Stability::Stable,
        source: "virDomainGetJobStats data_total",
        kubevirt: "kubevirt_vmi_migration_data_bytes_total",
        read: Read::Migration(|job| job.data_total.map(Value::from)),
    },
    Metric {
        name: "migration.data_remaining",
        unit: Unit::Bytes,
        kind: Kind::UpDownCounter,
        brief: "Data that the migration still has to move.",
        stability: Stability::Stable,
        source: "virDomainGetJobStats data_remaining",
        kubevirt: "kubevirt_vmi_migration_data_remaining_bytes",
        read: Read::Migration(|job| job.data_remaining.map(Value::from)),
    },
    Metric {
        name: "migration.data_processed",
        unit: Unit::Bytes,
        kind: Kind::UpDownCounter,
        brief: "Data that the migration has moved so far.",
        stability: Stability::Stable,
        source: "virDomainGetJobStats data_processed",
        kubevirt: "kubevirt_vmi_migration_data_processed_bytes",
        read: Read::Migration(|job| job.data_processed.map(Value::from)),
    },
    Metric {
        name: "migration.dirty_memory_rate",
        unit: Unit::Bytes,
        kind: Kind::Gauge,
        brief: "How fast the guest writes to memory that then has to be moved again, per second.",
        stability: Stability::Stable,
        source: "virDomainGetJobStats memory_dirty_rate, memory_page_size",
        kubevirt: "kubevirt_vmi_migration_dirty_memory_rate_bytes",
        read: Read::Migration(|job| job.dirty_rate.map(Value::from)),
    },
    Metric {
        name: "migration.memory_transfer_rate",
        unit: Unit::Bytes,
        kind: Kind::Gauge,
        brief: "How fast the migration moves memory, per second.",
        stability: Stability::Stable,
        source: "virDomainGetJobStats memory_bps",
        kubevirt: "kubevirt_vmi_migration_memory_transfer_rate_bytes",
        read: Read::Migration(|job| job.memory_rate.map(Value::from)),
    },
];
