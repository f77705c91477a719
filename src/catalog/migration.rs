//! Live migration, under KubeVirt's names.

use super::attribute::{MIGRATION_STATUS, MIGRATION_UID, MIGRATION_VMI};
use super::{Emit, Kind, Metric, Read, Section, Stability, Unit, Value, described, info};
use crate::model::{Migration, Vmi};

/// The rows and what to know about them.
pub(super) const SECTION: Section = Section {
    title: "Migration",
    brief: "While the VM migrates, the same figures as those of the job, under KubeVirt's names. When its last migration began and how it ended is known to the Kubernetes API alone: in kubevirt mode on the node that has the VM now.",
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
    Metric {
        name: "migration.start_time",
        unit: Unit::Seconds,
        kind: Kind::Gauge,
        brief: "When the last migration began, in Unix time.",
        stability: Stability::Stable,
        source: "VMI status.migrationState.startTimestamp",
        kubevirt: "kubevirt_vmi_migration_start_time_seconds, with migration_uid in place of migration_name.",
        read: Read::VmiEach(&[&MIGRATION_UID], |vmi, emit| {
            if let Some(migration) = &vmi.migration
                && let Some(start) = migration.start
            {
                described(&[(&MIGRATION_UID, migration.uid.as_deref())], start.into(), emit);
            }
        }),
    },
    Metric {
        name: "migration.end_time",
        unit: Unit::Seconds,
        kind: Kind::Gauge,
        brief: "When the last migration ended, in Unix time, and how once that is known.",
        stability: Stability::Stable,
        source: "VMI status.migrationState.endTimestamp, completed, failed",
        kubevirt: "kubevirt_vmi_migration_end_time_seconds, with migration_uid in place of migration_name.",
        read: Read::VmiEach(&[&MIGRATION_UID, &MIGRATION_STATUS], |vmi, emit| {
            if let Some(migration) = &vmi.migration
                && let Some(end) = migration.end
            {
                let status = match outcome(migration) {
                    None => None,
                    Some(Outcome::Succeeded) => Some("succeeded"),
                    Some(Outcome::Failed) => Some("failed"),
                };
                described(&[(&MIGRATION_UID, migration.uid.as_deref()), (&MIGRATION_STATUS, status)], end.into(), emit);
            }
        }),
    },
    Metric {
        name: "migration.succeeded",
        unit: Unit::None,
        kind: Kind::Gauge,
        brief: "There, and 1, if the last migration succeeded.",
        stability: Stability::Stable,
        source: "VMI status.migrationState.completed, failed",
        kubevirt: "kubevirt_vmi_migration_succeeded, with migration_uid in place of vmim, and of the last migration only.",
        read: Read::VmiEach(&[&MIGRATION_VMI, &MIGRATION_UID], |vmi, emit| ended(vmi, Outcome::Succeeded, emit)),
    },
    Metric {
        name: "migration.failed",
        unit: Unit::None,
        kind: Kind::Gauge,
        brief: "There, and 1, if the last migration failed.",
        stability: Stability::Stable,
        source: "VMI status.migrationState.completed, failed",
        kubevirt: "kubevirt_vmi_migration_failed, with migration_uid in place of vmim, and of the last migration only.",
        read: Read::VmiEach(&[&MIGRATION_VMI, &MIGRATION_UID], |vmi, emit| ended(vmi, Outcome::Failed, emit)),
    },
];

/// How a migration ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Succeeded,
    Failed,
}

/// `None` for one in progress; KubeVirt sets `failed` and `completed` together.
fn outcome(migration: &Migration) -> Option<Outcome> {
    migration.completed.then_some(if migration.failed { Outcome::Failed } else { Outcome::Succeeded })
}

fn ended(vmi: &Vmi, how: Outcome, emit: Emit<'_>) {
    if let Some(migration) = &vmi.migration
        && outcome(migration) == Some(how)
    {
        info(&[(&MIGRATION_VMI, Some(&vmi.name)), (&MIGRATION_UID, migration.uid.as_deref())], emit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn series(name: &str, migration: Migration) -> Vec<(String, Value)> {
        let vmi = Vmi { name: "web-1".into(), migration: Some(migration), ..Vmi::default() };
        let row = METRICS.iter().find(|row| row.name == name).unwrap();
        let Read::VmiEach(_, read) = row.read else { panic!("{name} is not of the API") };
        let mut series = Vec::new();
        read(&vmi, &mut |labels, value| {
            let labels: Vec<String> =
                labels.iter().map(|label| format!("{}={}", label.attribute.label, label.value)).collect();
            series.push((labels.join(" "), value));
        });
        series
    }

    fn migration(completed: bool, failed: bool) -> Migration {
        Migration {
            uid: Some("u".into()),
            start: Some(Timestamp::from_unix_nanos(1_790_000_000_000_000_000)),
            end: completed.then_some(Timestamp::from_unix_nanos(1_790_000_030_000_000_000)),
            completed,
            failed,
            ..Migration::default()
        }
    }

    #[test]
    fn a_migration_that_goes_on_has_a_start_and_nothing_else() {
        assert_eq!(
            series("migration.start_time", migration(false, false)),
            [("migration_uid=u".to_owned(), Value::Double(1_790_000_000.0))]
        );
        for name in ["migration.end_time", "migration.succeeded", "migration.failed"] {
            assert_eq!(series(name, migration(false, false)), [], "{name}");
        }
    }

    #[test]
    fn a_migration_ends_in_one_of_two_ways() {
        for (failed, status, there, not_there) in [
            (false, "succeeded", "migration.succeeded", "migration.failed"),
            (true, "failed", "migration.failed", "migration.succeeded"),
        ] {
            let end = (format!("migration_uid=u status={status}"), Value::Double(1_790_000_030.0));
            assert_eq!(series("migration.end_time", migration(true, failed)), [end]);
            let ended = ("vmi=web-1 migration_uid=u".to_owned(), Value::Integer(1));
            assert_eq!(series(there, migration(true, failed)), [ended]);
            assert_eq!(series(not_there, migration(true, failed)), []);
        }
    }

    #[test]
    fn a_migration_that_ended_and_is_not_yet_completed_has_an_end_without_a_status() {
        let migration = Migration { completed: false, uid: None, ..migration(true, false) };
        assert_eq!(series("migration.end_time", migration), [(String::new(), Value::Double(1_790_000_030.0))]);
    }
}
