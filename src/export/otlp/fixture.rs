//! VMs, rows and clocks for the tests of this folder.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use uuid::Uuid;

use super::delivery::DeliveryRecord;
use super::resource_kind::{Instance, Key};
use crate::catalog::{Attribute, Kind, Label, Metric, Read, Selected, Selection, Stability, Unit, Value};
use crate::clock::Clock;
use crate::model::{
    Bytes, Cpu, Daemon, DaemonId, Disk, HypervisorType, Identity, Memory, Nic, Place, Reading, Since, State, Status,
    Timestamp, Vcpu, Vcpus, Vm, VmKey,
};
use crate::snapshot::Snapshot;

/// A clock that stands still until set, in milliseconds.
pub(super) struct TestClock(pub(super) AtomicU64);

impl TestClock {
    pub(super) fn at(millis: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(millis)))
    }

    pub(super) fn set(&self, millis: u64) {
        self.0.store(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        ms(self.0.load(Ordering::SeqCst))
    }
}

pub(super) fn ms(millis: u64) -> Timestamp {
    Timestamp::from_unix_nanos(millis * 1_000_000)
}

const STATE: Attribute = Attribute {
    key: "libvirt.domain.state",
    label: "state",
    brief: "The state.",
    integer: false,
    values: &[],
    examples: &[],
};

const fn row(name: &'static str, unit: Unit, kind: Kind, read: Read) -> Metric {
    Metric {
        name,
        unit,
        kind,
        brief: "A row of the tests.",
        stability: Stability::Stable,
        source: "tests",
        kubevirt: "",
        read,
    }
}

static ROWS: [Metric; 10] = [
    row(
        "state",
        Unit::Count("domain"),
        Kind::UpDownCounter,
        Read::VmEach(&[&STATE], |vm, emit| {
            let Some(status) = vm.status else { return };
            for state in State::ALL {
                let labels = [Label { attribute: &STATE, value: state.as_str() }];
                emit(&labels, Value::from(status.state == state));
            }
        }),
    ),
    row("collection.stuck", Unit::None, Kind::Gauge, Read::Vm(|vm| Some(vm.collection.stuck.into()))),
    row("cpu.usage", Unit::Seconds, Kind::Counter, Read::Cpu(|cpu| cpu.time.map(Value::from))),
    row("vcpu", Unit::Seconds, Kind::Counter, Read::Vcpu(|vcpu| vcpu.time.map(Value::from))),
    row("memory.available", Unit::Bytes, Kind::Gauge, Read::Memory(|memory| memory.available.map(Value::from))),
    row("storage.read", Unit::Bytes, Kind::Counter, Read::Disk(|disk| disk.read_bytes.map(Value::from))),
    row("storage.capacity", Unit::Bytes, Kind::UpDownCounter, Read::Disk(|disk| disk.capacity.map(Value::from))),
    row("network.receive", Unit::Bytes, Kind::Counter, Read::Nic(|nic| nic.receive_bytes.map(Value::from))),
    row("up", Unit::None, Kind::Gauge, Read::Daemon(|daemon| Some(daemon.up.into()))),
    row(
        "domains",
        Unit::Count("domain"),
        Kind::UpDownCounter,
        Read::DaemonEach(&[&STATE], |daemon, emit| {
            for (state, count) in State::ALL.into_iter().zip(daemon.domains.into_iter().flatten()) {
                emit(&[Label { attribute: &STATE, value: state.as_str() }], count.into());
            }
        }),
    ),
];

/// Every row of the tests.
pub(super) fn selection() -> Selection {
    let selected =
        |metric: &'static Metric, prefix: &str| Selected { name: format!("{prefix}{}", metric.name), metric };
    Selection {
        vm: ROWS[..8].iter().map(|metric| selected(metric, "libvirt.domain.")).collect(),
        daemon: ROWS[8..].iter().map(|metric| selected(metric, "libvirt.")).collect(),
    }
}

pub(super) fn daemon_id() -> DaemonId {
    DaemonId("qemu:///system".into())
}

pub(super) fn identity(number: u128, name: &str) -> Arc<Identity> {
    Arc::new(Identity {
        name: name.into(),
        uuid: Some(Uuid::from_u128(number)),
        domain_type: Some("kvm".into()),
        arch: Some("x86_64".into()),
        place: Place::host("host-a".into(), "qemu:///system".into()),
    })
}

/// A running VM, read at one second: CPU only.
pub(super) fn vm(number: u128) -> Vm {
    Vm {
        hypervisor: Some(HypervisorType::Kvm),
        status: Some(Status::from_libvirt(1, 1)),
        cpu: Some(cpu(1_000)),
        ..Vm::new(
            VmKey { daemon: daemon_id(), uuid: Uuid::from_u128(number) },
            identity(number, &format!("vm-{number}")),
        )
    }
}

/// A reading at `at` milliseconds that counts from one second, or earlier.
pub(super) fn reading<T>(at: u64, value: T) -> Reading<T> {
    Reading { at: ms(at), start: ms(at.min(1_000)), value }
}

pub(super) fn cpu(at: u64) -> Reading<Cpu> {
    reading(at, Cpu { time: Some(Duration::from_millis(at)), user: None, system: None })
}

pub(super) fn memory(at: u64) -> Reading<Memory> {
    reading(at, Memory { available: Some(Bytes(at)), ..Memory::default() })
}

pub(super) fn vcpus(at: u64, count: u32) -> Reading<Vcpus> {
    let each = (0..count)
        .map(|number| Since {
            start: ms(at.min(1_000)),
            value: Vcpu { number, time: Some(Duration::from_millis(at)), ..Vcpu::default() },
        })
        .collect();
    reading(at, Vcpus { each, ..Vcpus::default() })
}

pub(super) fn disks(at: u64, targets: &[&str]) -> Reading<Vec<Since<Disk>>> {
    let disk = |target: &&str| Since {
        start: ms(at.min(1_000)),
        value: Disk {
            target: (*target).into(),
            read_bytes: Some(Bytes(at)),
            capacity: Some(Bytes(1 << 30)),
            ..Disk::default()
        },
    };
    reading(at, targets.iter().map(disk).collect())
}

pub(super) fn nics(at: u64, targets: &[&str]) -> Reading<Vec<Since<Nic>>> {
    let nic = |target: &&str| Since {
        start: ms(at.min(1_000)),
        value: Nic { target: (*target).into(), receive_bytes: Some(Bytes(at)), ..Nic::default() },
    };
    reading(at, targets.iter().map(nic).collect())
}

pub(super) fn daemon(up: bool) -> Daemon {
    Daemon { id: daemon_id(), up, reason: None, facts: None, domains: up.then_some([1; State::ALL.len()]) }
}

/// A snapshot of these VMs, published at this millisecond.
pub(super) fn snapshot(vms: Vec<Vm>, published: u64) -> Snapshot {
    Snapshot {
        published: ms(published),
        sequence: 1,
        complete: true,
        daemons: Vec::new(),
        vms: vms.into_iter().map(Arc::new).collect(),
        lifecycle: 0,
    }
}

/// An empty record.
pub(super) fn record(number: usize) -> DeliveryRecord {
    DeliveryRecord::of(Key { namespace: None, instance: Instance::Domain(Uuid::from_u128(number as u128)) })
}
