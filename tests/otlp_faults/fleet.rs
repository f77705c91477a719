//! VMs of sixty series each, read as `observe` would read them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;
use virt_otel::catalog::{Kind, Metric, Read, Selected, Selection, Stability, Unit, Value};
use virt_otel::clock::{Clock, SystemClock};
use virt_otel::model::{
    Bytes, Cpu, DaemonId, Disk, HypervisorType, Identity, Nic, Place, Reading, Since, Status, Timestamp, Vcpu, Vcpus,
    Vm, VmKey,
};
use virt_otel::snapshot::{self, Snapshot, Snapshots};

/// How many series a VM has: 2 of the VM, 2 of each of 8 vCPUs, 8 of each of 4 disks, 5 of each of 2 NICs.
pub(crate) const SERIES: usize = 60;

const fn row(name: &'static str, unit: Unit, kind: Kind, read: Read) -> Metric {
    Metric {
        name,
        unit,
        kind,
        brief: "A row of the tests, with a brief as long as that of a real one has to be.",
        stability: Stability::Stable,
        source: "tests",
        kubevirt: "",
        read,
    }
}

static ROWS: [Metric; 17] = [
    row("collection.stuck", Unit::None, Kind::Gauge, Read::Vm(|vm| Some(vm.collection.stuck.into()))),
    row("cpu.usage", Unit::Seconds, Kind::Counter, Read::Cpu(|cpu| cpu.time.map(Value::from))),
    row("vcpu", Unit::Seconds, Kind::Counter, Read::Vcpu(|vcpu| vcpu.time.map(Value::from))),
    row("vcpu_wait", Unit::Seconds, Kind::Counter, Read::Vcpu(|vcpu| vcpu.wait.map(Value::from))),
    row("storage.read", Unit::Bytes, Kind::Counter, Read::Disk(|disk| disk.read_bytes.map(Value::from))),
    row("storage.write", Unit::Bytes, Kind::Counter, Read::Disk(|disk| disk.write_bytes.map(Value::from))),
    row("storage.read.times", Unit::Seconds, Kind::Counter, Read::Disk(|disk| disk.read_time.map(Value::from))),
    row("storage.write.times", Unit::Seconds, Kind::Counter, Read::Disk(|disk| disk.write_time.map(Value::from))),
    row("storage.iops.read", OPERATION, Kind::Counter, Read::Disk(|disk| disk.read_requests.map(Value::from))),
    row("storage.iops.write", OPERATION, Kind::Counter, Read::Disk(|disk| disk.write_requests.map(Value::from))),
    row("storage.capacity", Unit::Bytes, Kind::UpDownCounter, Read::Disk(|disk| disk.capacity.map(Value::from))),
    row("storage.allocation", Unit::Bytes, Kind::UpDownCounter, Read::Disk(|disk| disk.allocation.map(Value::from))),
    row("network.receive", Unit::Bytes, Kind::Counter, Read::Nic(|nic| nic.receive_bytes.map(Value::from))),
    row("network.transmit", Unit::Bytes, Kind::Counter, Read::Nic(|nic| nic.transmit_bytes.map(Value::from))),
    row("network.receive_packets", PACKET, Kind::Counter, Read::Nic(|nic| nic.receive_packets.map(Value::from))),
    row("network.transmit_packets", PACKET, Kind::Counter, Read::Nic(|nic| nic.transmit_packets.map(Value::from))),
    row("network.receive_errors", PACKET, Kind::Counter, Read::Nic(|nic| nic.receive_errors.map(Value::from))),
];

const OPERATION: Unit = Unit::Count("operation");
const PACKET: Unit = Unit::Count("packet");

/// Every row of the tests.
pub(crate) fn selection() -> Selection {
    let vm = ROWS.iter().map(|metric| Selected { name: format!("libvirt.domain.{}", metric.name), metric }).collect();
    Selection { vm, daemon: Vec::new() }
}

/// The VMs and their reader.
pub(crate) struct Fleet {
    vms: Vec<Arc<Vm>>,
    clock: Arc<SystemClock>,
    writer: watch::Sender<Arc<Snapshot>>,
    last: Timestamp,
    start: Timestamp,
    sequence: u64,
    lifecycle: u64,
}

impl Fleet {
    /// `count` VMs, of which none has been read.
    pub(crate) fn new(count: u128, clock: Arc<SystemClock>) -> (Self, Snapshots) {
        let (writer, reader) = snapshot::channel();
        let start = clock.now();
        let vms = (1..=count).map(|number| Arc::new(vm(number))).collect();
        (Self { vms, clock, writer, last: start, start, sequence: 0, lifecycle: 0 }, reader)
    }

    /// Removes a VM from the next snapshot.
    pub(crate) fn remove(&mut self, number: u128) {
        self.vms.retain(|vm| vm.key.uuid != Uuid::from_u128(number));
        self.lifecycle += 1;
    }

    /// Reads every VM and publishes.
    pub(crate) fn read_all(&mut self) -> Weak<Snapshot> {
        let at = self.clock.now().max(self.last.after(Duration::from_millis(1)));
        self.last = at;
        self.sequence += 1;
        for vm in &mut self.vms {
            *vm = Arc::new(read(vm, at, self.start, self.sequence));
        }
        let snapshot = Arc::new(Snapshot {
            published: at,
            sequence: self.sequence,
            complete: true,
            daemons: Vec::new(),
            vms: self.vms.clone().into(),
            lifecycle: self.lifecycle,
        });
        let weak = Arc::downgrade(&snapshot);
        self.writer.send_replace(snapshot);
        weak
    }
}

fn vm(number: u128) -> Vm {
    let daemon = DaemonId("qemu:///system".into());
    let uuid = Uuid::from_u128(number);
    Vm {
        hypervisor: Some(HypervisorType::Kvm),
        status: Some(Status::from_libvirt(1, 1)),
        ..Vm::new(
            VmKey { daemon: daemon.clone(), uuid },
            Arc::new(Identity {
                name: format!("vm-{number}").into(),
                uuid: Some(uuid),
                domain_type: Some("kvm".into()),
                arch: Some("x86_64".into()),
                place: Place::host("host-a".into(), daemon.0),
            }),
        )
    }
}

fn read(vm: &Vm, at: Timestamp, start: Timestamp, count: u64) -> Vm {
    let time = Some(Duration::from_millis(count));
    let bytes = Some(Bytes(count * 4_096));
    let vcpu = |number| Since { start, value: Vcpu { number, time, wait: time, ..Vcpu::default() } };
    let disk = |target: &str| Since {
        start,
        value: Disk {
            target: target.into(),
            read_bytes: bytes,
            write_bytes: bytes,
            read_time: time,
            write_time: time,
            read_requests: Some(count),
            write_requests: Some(count),
            capacity: Some(Bytes(10 << 30)),
            allocation: bytes,
            ..Disk::default()
        },
    };
    let nic = |target: &str| Since {
        start,
        value: Nic {
            target: target.into(),
            receive_bytes: bytes,
            transmit_bytes: bytes,
            receive_packets: Some(count),
            transmit_packets: Some(count),
            receive_errors: Some(0),
            ..Nic::default()
        },
    };
    Vm {
        cpu: Some(Reading { at, start, value: Cpu { time, ..Cpu::default() } }),
        vcpus: Some(Reading { at, start, value: Vcpus { each: (0..8).map(vcpu).collect(), ..Vcpus::default() } }),
        disks: Some(Reading { at, start, value: ["vda", "vdb", "vdc", "vdd"].map(disk).to_vec() }),
        nics: Some(Reading { at, start, value: ["vnet0", "vnet1"].map(nic).to_vec() }),
        ..vm.clone()
    }
}
