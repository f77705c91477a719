//! What libvirt is doing to the VM: migrations, backups, snapshots.

use super::attribute::{JOB_OPERATION, JOB_STATE};
use super::{Kind, Label, Metric, Read, Section, Stability, Unit, Value};
use crate::model::JobKind;

/// The rows and what to know about them.
pub(super) const SECTION: Section = Section {
    title: "Jobs",
    brief: "There only while libvirt has a job on the VM. How a job has ended is not read.",
    metrics: METRICS,
};

const METRICS: &[Metric] = &[
    Metric {
        name: "job.state",
        unit: Unit::Count("job"),
        kind: Kind::UpDownCounter,
        brief: "Whether the job is in this state, 1 or 0, with one series for each state.",
        stability: Stability::Development,
        source: "virDomainGetJobStats type",
        kubevirt: "",
        read: Read::JobEach(&[&JOB_OPERATION, &JOB_STATE], |job, emit| {
            if job.kind == JobKind::None {
                return;
            }
            for kind in JobKind::ALL {
                let labels =
                    [Label::new(&JOB_OPERATION, job.operation.as_str()), Label::new(&JOB_STATE, kind.as_str())];
                emit(&labels, (kind == job.kind).into());
            }
        }),
    },
    Metric {
        name: "job.elapsed_time",
        unit: Unit::Seconds,
        kind: Kind::Gauge,
        brief: "How long the job has been going on.",
        stability: Stability::Development,
        source: "virDomainGetJobStats time_elapsed",
        kubevirt: "",
        read: Read::Job(|job| job.elapsed.map(Value::from)),
    },
    Metric {
        name: "job.remaining_time",
        unit: Unit::Seconds,
        kind: Kind::Gauge,
        brief: "How long the job may still take, where libvirt can tell.",
        stability: Stability::Development,
        source: "virDomainGetJobStats time_remaining",
        kubevirt: "",
        read: Read::Job(|job| job.remaining.map(Value::from)),
    },
    Metric {
        name: "job.downtime",
        unit: Unit::Seconds,
        kind: Kind::Gauge,
        brief: "How long the guest is expected to stand still at the job's end.",
        stability: Stability::Development,
        source: "virDomainGetJobStats downtime",
        kubevirt: "",
        read: Read::Job(|job| job.downtime.map(Value::from)),
    },
    Metric {
        name: "job.setup_time",
        unit: Unit::Seconds,
        kind: Kind::Gauge,
        brief: "How long it took to prepare the job.",
        stability: Stability::Development,
        source: "virDomainGetJobStats setup_time",
        kubevirt: "",
        read: Read::Job(|job| job.setup.map(Value::from)),
    },
    Metric {
        name: "job.data",
        unit: Unit::Bytes,
        kind: Kind::UpDownCounter,
        brief: "Data that the job has to move in all.",
        stability: Stability::Development,
        source: "virDomainGetJobStats data_total",
        kubevirt: "",
        read: Read::Job(|job| job.data_total.map(Value::from)),
    },
    Metric {
        name: "job.data_processed",
        unit: Unit::Bytes,
        kind: Kind::UpDownCounter,
        brief: "Data that the job has moved so far.",
        stability: Stability::Development,
        source: "virDomainGetJobStats data_processed",
        kubevirt: "",
        read: Read::Job(|job| job.data_processed.map(Value::from)),
    },
    Metric {
        name: "job.data_remaining",
        unit: Unit::Bytes,
        kind: Kind::UpDownCounter,
        brief: "Data that the job still has to move.",
        stability: Stability::Development,
        source: "virDomainGetJobStats data_remaining",
        kubevirt: "",
        read: Read::Job(|job| job.data_remaining.map(Value::from)),
    },
    Metric {
        name: "job.memory",
        unit: Unit::Bytes,
        kind: Kind::UpDownCounter,
        brief: "Memory that the job has to move in all.",
        stability: Stability::Development,
        source: "virDomainGetJobStats memory_total",
        kubevirt: "",
        read: Read::Job(|job| job.memory_total.map(Value::from)),
    },
    Metric {
        name: "job.memory_processed",
        unit: Unit::Bytes,
        kind: Kind::UpDownCounter,
        brief: "Memory that the job has moved so far.",
        stability: Stability::Development,
        source: "virDomainGetJobStats memory_processed",
        kubevirt: "",
        read: Read::Job(|job| job.memory_processed.map(Value::from)),
    },
    Metric {
        name: "job.memory_remaining",
        unit: Unit::Bytes,
        kind: Kind::UpDownCounter,
        brief: "Memory that the job still has to move.",
        stability: Stability::Development,
        source: "virDomainGetJobStats memory_remaining",
        kubevirt: "",
        read: Read::Job(|job| job.memory_remaining.map(Value::from)),
    },
    Metric {
        name: "job.disk",
        unit: Unit::Bytes,
        kind: Kind::UpDownCounter,
        brief: "Disk contents that the job has to move in all.",
        stability: Stability::Development,
        source: "virDomainGetJobStats disk_total",
        kubevirt: "",
        read: Read::Job(|job| job.disk_total.map(Value::from)),
    },
    Metric {
        name: "job.disk_processed",
        unit: Unit::Bytes,
        kind: Kind::UpDownCounter,
        brief: "Disk contents that the job has moved so far.",
        stability: Stability::Development,
        source: "virDomainGetJobStats disk_processed",
        kubevirt: "",
        read: Read::Job(|job| job.disk_processed.map(Value::from)),
    },
    Metric {
        name: "job.disk_remaining",
        unit: Unit::Bytes,
        kind: Kind::UpDownCounter,
        brief: "Disk contents that the job still has to move.",
        stability: Stability::Development,
        source: "virDomainGetJobStats disk_remaining",
        kubevirt: "",
        read: Read::Job(|job| job.disk_remaining.map(Value::from)),
    },
    Metric {
        name: "job.memory_rate",
        unit: Unit::BytesPerSecond,
        kind: Kind::Gauge,
        brief: "How fast the job moves memory.",
        stability: Stability::Development,
        source: "virDomainGetJobStats memory_bps",
        kubevirt: "",
        read: Read::Job(|job| job.memory_rate.map(Value::from)),
    },
    Metric {
        name: "job.memory_dirty_rate",
        unit: Unit::BytesPerSecond,
        kind: Kind::Gauge,
        brief: "How fast the guest writes to memory that the job then has to move again.",
        stability: Stability::Development,
        source: "virDomainGetJobStats memory_dirty_rate, memory_page_size",
        kubevirt: "",
        read: Read::Job(|job| job.dirty_rate.map(Value::from)),
    },
    Metric {
        name: "job.memory_iteration",
        unit: Unit::Count("iteration"),
        kind: Kind::Gauge,
        brief: "How often the job has gone over the VM's memory.",
        stability: Stability::Development,
        source: "virDomainGetJobStats memory_iteration",
        kubevirt: "",
        read: Read::Job(|job| job.iteration.map(Value::from)),
    },
    Metric {
        name: "job.postcopy_requests",
        unit: Unit::Count("request"),
        kind: Kind::Gauge,
        brief: "Pages that the guest asked for at its new host before they had arrived.",
        stability: Stability::Development,
        source: "virDomainGetJobStats memory_postcopy_requests",
        kubevirt: "",
        read: Read::Job(|job| job.postcopy_requests.map(Value::from)),
    },
    Metric {
        name: "job.disk_rate",
        unit: Unit::BytesPerSecond,
        kind: Kind::Gauge,
        brief: "How fast the job moves disk contents.",
        stability: Stability::Development,
        source: "virDomainGetJobStats disk_bps",
        kubevirt: "",
        read: Read::Job(|job| job.disk_rate.map(Value::from)),
    },
    Metric {
        name: "job.auto_converge_throttle",
        unit: Unit::Ratio,
        kind: Kind::Gauge,
        brief: "The share of the virtual CPUs' time that is taken from them so that the migration can end.",
        stability: Stability::Development,
        source: "virDomainGetJobStats auto_converge_throttle",
        kubevirt: "",
        read: Read::Job(|job| job.auto_converge_throttle.map(|percent| Value::Double(ratio(percent)))),
    },
];

fn ratio(percent: u64) -> f64 {
    // A ratio is at most 1; libvirt promises at most 99 %.
    f64::from(u8::try_from(percent.min(100)).unwrap_or(100)) / 100.0
}
