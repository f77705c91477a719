//! Disks.

use super::attribute::{
    DATA_VOLUME, DEVICE, DISK_BUS, DISK_CACHE, DISK_DEVICE, DISK_FORMAT, DISK_PROTOCOL, DISK_SERIAL, DISK_SOURCE,
    DISK_SOURCE_TYPE, DISK_TARGET, PERSISTENT_VOLUME_CLAIM,
};
use super::{Emit, Kind, Metric, Read, Section, Stability, Unit, Value, info};
use crate::model::{ClaimedVolume, DiskDescription};

/// The rows and what to know about them.
pub(super) const SECTION: Section = Section {
    title: "Storage",
    brief: "One series for each disk, by the alias that the user chose for it, else by its target name.",
    metrics: METRICS,
};

const METRICS: &[Metric] = &[
    Metric {
        name: "storage.info",
        unit: Unit::None,
        kind: Kind::Gauge,
        brief: "What the disk is and what is behind it, always 1.",
        stability: Stability::Development,
        source: "virDomainGetXMLDesc /domain/devices/disk; the VMI's spec.volumes",
        kubevirt: "",
        read: Read::VmEach(
            &[
                &DEVICE,
                &DISK_TARGET,
                &DISK_DEVICE,
                &DISK_BUS,
                &DISK_SOURCE_TYPE,
                &DISK_SOURCE,
                &DISK_PROTOCOL,
                &DISK_FORMAT,
                &DISK_CACHE,
                &DISK_SERIAL,
                &PERSISTENT_VOLUME_CLAIM,
                &DATA_VOLUME,
            ],
            |vm, emit| {
                if let Some(description) = &vm.description {
                    for disk in &description.disks {
                        let drive = disk.user_alias.as_deref().unwrap_or(&disk.target);
                        describe(drive, disk, vm.vmi.as_deref().and_then(|vmi| vmi.volume(drive)), emit);
                    }
                }
            },
        ),
    },
    Metric {
        name: "storage.iops_read",
        unit: Unit::Count("operation"),
        kind: Kind::Counter,
        brief: "Read requests.",
        stability: Stability::Stable,
        source: "virDomainListGetStats block.<n>.rd.reqs",
        kubevirt: "kubevirt_vmi_storage_iops_read_total",
        read: Read::Disk(|disk| disk.read_requests.map(Value::from)),
    },
    Metric {
        name: "storage.iops_write",
        unit: Unit::Count("operation"),
        kind: Kind::Counter,
        brief: "Write requests.",
        stability: Stability::Stable,
        source: "virDomainListGetStats block.<n>.wr.reqs",
        kubevirt: "kubevirt_vmi_storage_iops_write_total",
        read: Read::Disk(|disk| disk.write_requests.map(Value::from)),
    },
    Metric {
        name: "storage.read_traffic",
        unit: Unit::Bytes,
        kind: Kind::Counter,
        brief: "Data read from the disk.",
        stability: Stability::Stable,
        source: "virDomainListGetStats block.<n>.rd.bytes",
        kubevirt: "kubevirt_vmi_storage_read_traffic_bytes_total",
        read: Read::Disk(|disk| disk.read_bytes.map(Value::from)),
    },
    Metric {
        name: "storage.write_traffic",
        unit: Unit::Bytes,
        kind: Kind::Counter,
        brief: "Data written to the disk.",
        stability: Stability::Stable,
        source: "virDomainListGetStats block.<n>.wr.bytes",
        kubevirt: "kubevirt_vmi_storage_write_traffic_bytes_total",
        read: Read::Disk(|disk| disk.write_bytes.map(Value::from)),
    },
    Metric {
        name: "storage.read_times",
        unit: Unit::Seconds,
        kind: Kind::Counter,
        brief: "Time spent in read requests, all of them added up.",
        stability: Stability::Stable,
        source: "virDomainListGetStats block.<n>.rd.times",
        kubevirt: "kubevirt_vmi_storage_read_times_seconds_total",
        read: Read::Disk(|disk| disk.read_time.map(Value::from)),
    },
    Metric {
        name: "storage.write_times",
        unit: Unit::Seconds,
        kind: Kind::Counter,
        brief: "Time spent in write requests, all of them added up.",
        stability: Stability::Stable,
        source: "virDomainListGetStats block.<n>.wr.times",
        kubevirt: "kubevirt_vmi_storage_write_times_seconds_total",
        read: Read::Disk(|disk| disk.write_time.map(Value::from)),
    },
    Metric {
        name: "storage.flush_requests",
        unit: Unit::Count("operation"),
        kind: Kind::Counter,
        brief: "Requests to flush caches to the disk.",
        stability: Stability::Stable,
        source: "virDomainListGetStats block.<n>.fl.reqs",
        kubevirt: "kubevirt_vmi_storage_flush_requests_total",
        read: Read::Disk(|disk| disk.flush_requests.map(Value::from)),
    },
    Metric {
        name: "storage.flush_times",
        unit: Unit::Seconds,
        kind: Kind::Counter,
        brief: "Time spent in requests to flush caches, all of them added up.",
        stability: Stability::Stable,
        source: "virDomainListGetStats block.<n>.fl.times",
        kubevirt: "kubevirt_vmi_storage_flush_times_seconds_total",
        read: Read::Disk(|disk| disk.flush_time.map(Value::from)),
    },
    Metric {
        name: "storage.errors",
        unit: Unit::Count("error"),
        kind: Kind::Counter,
        brief: "Requests that failed; few of libvirt's drivers count them.",
        stability: Stability::Development,
        source: "virDomainListGetStats block.<n>.errors",
        kubevirt: "",
        read: Read::Disk(|disk| disk.errors.map(Value::from)),
    },
    Metric {
        name: "storage.capacity",
        unit: Unit::Bytes,
        kind: Kind::UpDownCounter,
        brief: "The size of the disk as the guest sees it.",
        stability: Stability::Development,
        source: "virDomainListGetStats block.<n>.capacity",
        kubevirt: "",
        read: Read::Disk(|disk| disk.capacity.map(Value::from)),
    },
    Metric {
        name: "storage.allocation",
        unit: Unit::Bytes,
        kind: Kind::UpDownCounter,
        brief: "How much of the disk has been written to, as its highest offset or its allocated size.",
        stability: Stability::Development,
        source: "virDomainListGetStats block.<n>.allocation; from libvirt 11 on a raw file has none",
        kubevirt: "",
        read: Read::Disk(|disk| disk.allocation.map(Value::from)),
    },
    Metric {
        name: "storage.physical",
        unit: Unit::Bytes,
        kind: Kind::UpDownCounter,
        brief: "The size of the file or device behind the disk.",
        stability: Stability::Development,
        source: "virDomainListGetStats block.<n>.physical",
        kubevirt: "",
        read: Read::Disk(|disk| disk.physical.map(Value::from)),
    },
];

fn describe(drive: &str, disk: &DiskDescription, volume: Option<&ClaimedVolume>, emit: Emit<'_>) {
    let claim = volume.map(|volume| &*volume.claim);
    info(
        &[
            (&DEVICE, Some(drive)),
            (&DISK_TARGET, Some(&disk.target)),
            (&DISK_DEVICE, disk.device.as_deref()),
            (&DISK_BUS, disk.bus.as_deref()),
            (&DISK_SOURCE_TYPE, disk.source_kind.as_deref()),
            (&DISK_SOURCE, disk.source.as_deref()),
            (&DISK_PROTOCOL, disk.protocol.as_deref()),
            (&DISK_FORMAT, disk.format.as_deref()),
            (&DISK_CACHE, disk.cache.as_deref()),
            (&DISK_SERIAL, disk.serial.as_deref()),
            (&PERSISTENT_VOLUME_CLAIM, claim),
            (&DATA_VOLUME, claim.filter(|_| volume.is_some_and(|volume| volume.of_data_volume))),
        ],
        emit,
    );
}
