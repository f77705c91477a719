//! A sample snapshot: a libvirt host with a handful of VMs, each in a different situation.
use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    Bytes, Collection, Cpu, Daemon, DaemonFacts, DaemonId, Description, DirtyRate, Disk, DiskDescription, Flavor,
    Group, GroupAge, HypervisorType, Identity, IoLimits, IoThread, Job, JobKind, JobOperation, Memory, Metadata,
    MetadataKey, Nic, NicDescription, Place, Reading, Since, Status, Timestamp, Vcpu, VcpuState, Vcpus, Version, Vm,
    VmKey,
};
use crate::snapshot::Snapshot;
use uuid::Uuid;

/// When the host's VMs were started.
pub const BOOTED: Timestamp = Timestamp::from_unix_nanos(1_790_000_000_000_000_000);
/// When they were read: an hour later.
pub const READ: Timestamp = Timestamp::from_unix_nanos(1_790_003_600_000_000_000);

/// A host with five domains: one that runs and has everything, one that is paused by an I/O error and stuck, one
/// that migrates away, one with an awkward name, one that does not run.
pub fn snapshot() -> Snapshot {
    let mut vms = vec![running(), stuck(), migrating(), awkward(), inactive()];
    vms.sort_by(|one, other| one.key.cmp(&other.key));
    Snapshot {
        published: READ.after(Duration::from_millis(250)),
        sequence: 7,
        complete: true,
        daemons: vec![Arc::new(daemon("qemu:///system"))],
        vms: vms.into_iter().map(Arc::new).collect(),
        lifecycle: 3,
    }
}

/// Many VMs that are alike, of about 60 series each: one vCPU, one disk, one interface, all statistics of a guest
/// with a balloon driver.
pub fn fleet(count: u128) -> Snapshot {
    let vms = (1..=count).map(|number| {
        let mut vm = vm(&format!("vm-{number:04}"), number, 1);
        vm.cpu = Some(reading(cpu(100)));
        vm.vcpus = Some(reading(vcpus(1)));
        vm.memory = Some(reading(memory()));
        vm.disks = Some(reading(vec![since(disk("vda", None))]));
        vm.nics = Some(reading(vec![since(nic("vnet0", None))]));
        Arc::new(vm)
    });
    Snapshot { vms: vms.collect(), ..snapshot() }
}

/// A running VM of which everything is known.
pub fn running() -> Vm {
    let mut vm = vm("web-1", 0x10, 1);
    let disks = [
        disk_description("vda", Some("rootdisk"), "/var/lib/libvirt/images/web-1.qcow2"),
        disk_description("vdb", None, "/dev/vg/data"),
    ];
    let nics = [nic_description("vnet0", Some("default")), nic_description("vnet1", None)];
    vm.description = Some(Arc::new(Description {
        disks: disks.to_vec(),
        nics: nics.to_vec(),
        metadata: Some(Arc::new(metadata())),
        ..description("kvm")
    }));
    vm.cpu = Some(reading(cpu(1_234)));
    vm.vcpus = Some(reading(vcpus(2)));
    vm.memory = Some(reading(memory()));
    vm.disks =
        Some(reading([disk("vda", Some(&disks[0])), disk("vdb", Some(&disks[1]))].into_iter().map(since).collect()));
    vm.nics =
        Some(reading([nic("vnet0", Some(&nics[0])), nic("vnet1", Some(&nics[1]))].into_iter().map(since).collect()));
    vm.io_threads = Some(reading(vec![IoThread {
        id: 1,
        poll_max: Some(Duration::from_micros(32)),
        poll_grow: Some(0),
        poll_shrink: Some(0),
    }]));
    vm.dirty_rate =
        Some(reading(DirtyRate { bytes_per_second: Some(Bytes::from_mib(12)), measured: Some(READ_MINUS_A_MINUTE) }));
    vm
}

/// A VM that was paused because its disk is full, and whose QEMU hangs.
pub fn stuck() -> Vm {
    let mut vm = vm("db-1", 0x20, 3);
    vm.status = Some(Status::from_libvirt(3, 5));
    vm.hypervisor = Some(HypervisorType::QemuTcg);
    vm.description = Some(Arc::new(description("qemu")));
    vm.cpu = Some(reading(Cpu { time: Some(Duration::from_millis(5_500)), ..Cpu::default() }));
    vm.collection = Collection {
        reason: None,
        connected: Some(true),
        stuck: true,
        complete: Some(false),
        ages: ages(&[Group::Cpu, Group::State]),
    };
    vm
}

/// A VM that leaves for another host.
pub fn migrating() -> Vm {
    let mut vm = vm("mover", 0x30, 1);
    vm.cpu = Some(reading(cpu(60)));
    vm.job = Some(reading(Job {
        elapsed: Some(Duration::from_millis(2_500)),
        downtime: Some(Duration::from_millis(300)),
        setup: Some(Duration::from_millis(12)),
        data_total: Some(Bytes::from_mib(2_048)),
        data_processed: Some(Bytes::from_mib(512)),
        data_remaining: Some(Bytes::from_mib(1_536)),
        memory_total: Some(Bytes::from_mib(2_048)),
        memory_processed: Some(Bytes::from_mib(512)),
        memory_remaining: Some(Bytes::from_mib(1_536)),
        memory_rate: Some(Bytes::from_mib(110)),
        dirty_rate: Some(Bytes::from_mib(20)),
        iteration: Some(2),
        auto_converge_throttle: Some(20),
        ..Job::new(JobKind::Unbounded, JobOperation::MigrationOut)
    }));
    vm
}

/// A VM whose name needs escaping, and of which only the state could be read so far.
pub fn awkward() -> Vm {
    let mut vm = vm("a \"quoted\" \\ näme", 0x40, 1);
    vm.hypervisor = Some(HypervisorType::Unknown);
    vm.description = None;
    vm.collection = Collection::default();
    vm
}

/// A domain that is defined but does not run.
pub fn inactive() -> Vm {
    let mut vm = vm("old-1", 0x50, 5);
    vm.hypervisor = None;
    vm.description = None;
    vm.status = Some(Status::from_libvirt(5, 1));
    vm.collection = Collection {
        reason: None,
        connected: Some(true),
        stuck: false,
        complete: Some(true),
        ages: ages(&[Group::State]),
    };
    vm
}

/// A daemon that is up.
pub fn daemon(uri: &str) -> Daemon {
    Daemon {
        id: DaemonId(uri.into()),
        up: true,
        reason: None,
        facts: Some(Arc::new(DaemonFacts {
            host_name: "kvm-17.example.org".into(),
            driver: "QEMU".into(),
            libvirt: Some(Version(9_000_000)),
            hypervisor: Some(Version(7_002_015)),
        })),
        domains: Some([0, 3, 0, 1, 0, 1, 0, 0]),
    }
}

/// A daemon that has never answered.
pub fn dead_daemon(uri: &str) -> Daemon {
    Daemon { id: DaemonId(uri.into()), up: false, reason: None, facts: None, domains: None }
}

const READ_MINUS_A_MINUTE: Timestamp = Timestamp::from_unix_nanos(1_790_003_540_000_000_000);

fn vm(name: &str, number: u128, state: i64) -> Vm {
    // A version 4 UUID with the number in its last digits.
    let uuid = Uuid::from_u128(0x6695_eb01_f6a4_4304_89aa_0000_0000_0000 | number);
    Vm {
        hypervisor: Some(HypervisorType::Kvm),
        description: Some(Arc::new(description("kvm"))),
        status: Some(Status::from_libvirt(state, 1)),
        collection: Collection {
            reason: None,
            connected: Some(true),
            stuck: false,
            complete: Some(true),
            ages: ages(&[Group::State, Group::Cpu, Group::Balloon, Group::Vcpu, Group::Interface, Group::Block]),
        },
        ..Vm::new(
            VmKey { daemon: DaemonId("qemu:///system".into()), uuid },
            Arc::new(Identity {
                name: name.into(),
                uuid: Some(uuid),
                domain_type: Some("kvm".into()),
                arch: Some("x86_64".into()),
                place: Place::host("kvm-17.example.org".into(), "qemu:///system".into()),
            }),
        )
    }
}

pub fn ages(groups: &[Group]) -> Vec<GroupAge> {
    groups.iter().map(|group| GroupAge { group: *group, age: Duration::from_millis(250) }).collect()
}

fn reading<T>(value: T) -> Reading<T> {
    Reading { at: READ, start: BOOTED, value }
}

fn since<T>(value: T) -> Since<T> {
    Since { start: BOOTED, value }
}

fn description(domain_type: &str) -> Description {
    Description {
        domain_type: domain_type.into(),
        os_type: Some("hvm".into()),
        arch: Some("x86_64".into()),
        machine: Some("pc-q35-7.2".into()),
        ..Description::default()
    }
}

/// What OpenStack, and somebody with `virsh desc`, say of a VM.
pub fn metadata() -> Metadata {
    let mut metadata = Metadata::default();
    metadata.flavor = Flavor {
        vcpus: Some(2),
        memory: Some(Bytes::from_mib(2_048)),
        disk: Some(Bytes::from_gib(10)),
        ephemeral: Some(Bytes(0)),
        swap: Some(Bytes(0)),
    };
    for (key, text) in [
        (MetadataKey::Title, "The shop's \"first\" web server"),
        (MetadataKey::Os, "http://debian.org/debian/12"),
        (MetadataKey::InstanceName, "web-1"),
        (MetadataKey::Flavor, "m1.small"),
        (MetadataKey::ProjectId, "8f0b6d1a5e3b4c7e8f0b6d1a5e3b4c7e"),
        (MetadataKey::ProjectName, "shop"),
        (MetadataKey::UserId, "2c4d3f0e9a514c7e8f0b6d1a5e3b7c90"),
        (MetadataKey::UserName, "alice"),
        (MetadataKey::Image, "275ecb36-5aa8-4c2a-9c47-d8bb681b9aff"),
    ] {
        metadata.set(key, Some(text.into()));
    }
    metadata
}

fn cpu(seconds: u64) -> Cpu {
    Cpu {
        time: Some(Duration::from_secs(seconds) + Duration::from_nanos(123_456_789)),
        user: Some(Duration::from_secs(seconds / 3)),
        system: Some(Duration::from_secs(seconds / 4)),
    }
}

fn vcpus(count: u32) -> Vcpus {
    let each = (0..count).map(|number| {
        since(Vcpu {
            number,
            state: Some(VcpuState::Running),
            time: Some(Duration::from_millis(500_250)),
            wait: Some(Duration::ZERO),
            delay: Some(Duration::from_millis(1_500)),
            halted: Some(number != 0),
        })
    });
    Vcpus { current: Some(count.into()), maximum: Some(u64::from(count) * 2), each: each.collect() }
}

fn memory() -> Memory {
    Memory {
        current: Some(Bytes::from_mib(2_048)),
        maximum: Some(Bytes::from_mib(4_096)),
        swap_in: Some(Bytes(0)),
        swap_out: Some(Bytes::from_kib(512)),
        major_faults: Some(321),
        minor_faults: Some(654_321),
        unused: Some(Bytes::from_mib(700)),
        available: Some(Bytes::from_mib(1_970)),
        usable: Some(Bytes::from_mib(1_400)),
        disk_caches: Some(Bytes::from_mib(600)),
        huge_page_allocations: Some(4),
        huge_page_failures: Some(0),
        last_update: Some(READ_MINUS_A_MINUTE),
        resident: Some(Bytes::from_mib(1_024)),
    }
}

fn disk_description(target: &str, alias: Option<&str>, source: &str) -> Arc<DiskDescription> {
    Arc::new(DiskDescription {
        target: target.into(),
        user_alias: alias.map(Into::into),
        source_kind: Some(if source.starts_with("/dev") { "block" } else { "file" }.into()),
        source: Some(source.into()),
        protocol: None,
        bus: Some("virtio".into()),
        device: Some("disk".into()),
        format: Some("qcow2".into()),
        cache: Some("none".into()),
        serial: Some("WD-1".into()),
        limits: IoLimits {
            total_bytes: Some(Bytes::from_mib(100)),
            read_requests: Some(500),
            read_requests_burst: Some(1_000),
            read_requests_burst_length: Some(Duration::from_secs(30)),
            request_size: Some(Bytes::from_kib(16)),
            ..IoLimits::default()
        },
    })
}

fn disk(target: &str, description: Option<&Arc<DiskDescription>>) -> Disk {
    Disk {
        target: target.into(),
        description: description.cloned(),
        read_requests: Some(12_345),
        read_bytes: Some(Bytes::from_mib(1_536)),
        read_time: Some(Duration::from_millis(4_321)),
        write_requests: Some(2_345),
        write_bytes: Some(Bytes::from_mib(256)),
        write_time: Some(Duration::from_millis(8_765)),
        flush_requests: Some(99),
        flush_time: Some(Duration::from_millis(15)),
        errors: None,
        capacity: Some(Bytes::from_mib(10_240)),
        allocation: Some(Bytes::from_mib(3_072)),
        physical: Some(Bytes::from_mib(3_073)),
    }
}

fn nic_description(target: &str, alias: Option<&str>) -> Arc<NicDescription> {
    Arc::new(NicDescription {
        target: Some(target.into()),
        user_alias: alias.map(Into::into),
        mac: Some("52:54:00:12:34:56".into()),
        model: Some("virtio".into()),
        source_kind: Some("bridge".into()),
        source: Some("br0".into()),
        mtu: Some(1_500),
    })
}

fn nic(target: &str, description: Option<&Arc<NicDescription>>) -> Nic {
    Nic {
        target: target.into(),
        description: description.cloned(),
        receive_bytes: Some(Bytes::from_mib(64)),
        receive_packets: Some(54_321),
        receive_errors: Some(0),
        receive_drops: Some(7),
        transmit_bytes: Some(Bytes::from_mib(32)),
        transmit_packets: Some(43_210),
        transmit_errors: Some(0),
        transmit_drops: Some(0),
    }
}
