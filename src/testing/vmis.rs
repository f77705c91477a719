//! A sample snapshot: a node of KubeVirt with a handful of VMIs, each in a different situation.
use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    Bytes, ClaimedVolume, Collection, Condition, ConditionKind, DaemonId, GuestInterface, GuestOs, HypervisorType,
    Identity, Launcher, LauncherPod, Migration, MigrationMode, Origin, Phase, Place, SpecInterface, Topology, Vm,
    VmKey, Vmi, VmiLabel, VmiMemory,
};
use crate::snapshot::Snapshot;
use uuid::Uuid;

use super::sample::{self, BOOTED, READ};

/// The node.
pub const NODE: &str = "node-17";

/// A node with seven VMIs: one that runs and has everything, one that is paused, one that migrates, one whose migration
/// has failed, one whose libvirt cannot be reached, one that has only just been scheduled, and one in a pod that is
/// read from inside, without the API.
pub fn snapshot() -> Snapshot {
    let mut vms = vec![running(), paused(), migrating(), stayed(), unreachable(), scheduled(), sidecar()];
    vms.sort_by(|one, other| one.key.cmp(&other.key));
    Snapshot { daemons: Vec::new(), vms: vms.into_iter().map(Arc::new).collect(), ..sample::snapshot() }
}

/// A running VMI of which everything is known. It migrated from another node.
pub fn running() -> Vm {
    let mut vm = of(sample::running(), "web-1", 0x10);
    edit(&mut vm, |vmi| {
        vmi.conditions = conditions(&[
            ("Ready", Some(true)),
            ("LiveMigratable", Some(true)),
            ("StorageLiveMigratable", None),
            ("AgentConnected", Some(true)),
        ]);
        vmi.eviction_strategy = Some("LiveMigrate".into());
        vmi.migration = Some(Migration {
            uid: Some("1f0d4f1e-7c39-4f3b-8a53-6f1d1d7c2b90".into()),
            start: Some(BOOTED),
            end: Some(BOOTED.after(Duration::from_secs(30))),
            source_node: Some("node-16".into()),
            target_node: Some(NODE.into()),
            completed: true,
            failed: false,
            mode: Some(MigrationMode::PreCopy),
        });
        vmi.addresses = Box::new([
            interface("default", "eth0", &["10.244.1.17", "fd10:244::11"]),
            interface("backup", "eth1", &["192.168.100.17"]),
            interface("", "docker0", &["172.17.0.1"]),
            // Unnamed, since the guest agent is missing; listed twice.
            interface("", "", &["10.244.1.18"]),
            interface("", "", &["10.244.1.18"]),
            interface("", "wlan0", &[]),
        ]);
        vmi.nics = Box::new([
            nic("default", None, "core", "masquerade", "pod networking"),
            nic("backup", Some("virtio"), "plugin", "passt", "default/vlan-100"),
        ]);
        vmi.volumes =
            Box::new([ClaimedVolume { name: "rootdisk".into(), claim: "web-1-root".into(), of_data_volume: true }]);
        vmi.guest = guest();
        vmi.machine = Some("pc-q35-rhel9.6.0".into());
        vmi.origin = Origin {
            os: Some("fedora".into()),
            workload: Some("server".into()),
            flavor: Some("small".into()),
            instance_type: Some("u1.medium".into()),
            preference: Some("fedora".into()),
        };
        vmi.outdated = true;
    });
    edit_launcher(&mut vm, |launcher| {
        launcher.labels = vec![label("app.kubernetes.io/name", "shop"), label("team", "the \"A\" team")];
        launcher.guest = guest();
    });
    vm
}

/// A paused VMI: its phase stays `Running`.
pub fn paused() -> Vm {
    let mut vm = of(sample::stuck(), "db-1", 0x20);
    edit(&mut vm, |vmi| {
        vmi.conditions = conditions(&[("Ready", Some(false)), ("LiveMigratable", Some(false)), ("Paused", Some(true))]);
        vmi.eviction_strategy = Some("LiveMigrate".into());
    });
    vm
}

/// A VMI that is leaving for another node.
pub fn migrating() -> Vm {
    let mut vm = of(sample::migrating(), "mover", 0x30);
    edit(&mut vm, |vmi| {
        vmi.migration = Some(Migration {
            uid: Some("2a1b0c6d-7b1e-4d4e-9a43-0f9a7d6d2b11".into()),
            start: Some(READ),
            target_node: Some("node-18".into()),
            ..Migration::default()
        });
        vmi.pods.push(LauncherPod { uid: "the-target".into(), node: "node-18".into() });
    });
    vm
}

/// A VMI whose migration has failed, so that it stayed.
pub fn stayed() -> Vm {
    let mut vm = of(sample::running(), "stayer", 0x40);
    edit(&mut vm, |vmi| {
        vmi.migration = Some(Migration {
            uid: Some("3c2b1a0f-1f5e-4c4c-8b3e-1d2c3b4a5f60".into()),
            start: Some(BOOTED),
            end: Some(READ),
            completed: true,
            failed: true,
            ..Migration::default()
        });
    });
    vm
}

/// A VMI whose libvirt has never answered.
pub fn unreachable() -> Vm {
    let mut vm = bare("lost-1", 0x50);
    vm.hypervisor = Some(HypervisorType::Unknown);
    vm.collection = Collection { connected: Some(false), ..Collection::default() };
    vm
}

/// A VMI whose QEMU is about to start.
pub fn scheduled() -> Vm {
    let mut vm = bare("new-1", 0x60);
    edit(&mut vm, |vmi| {
        vmi.phase = Phase::Scheduled;
        vmi.memory = VmiMemory::default();
        vmi.topology = Topology::default();
    });
    vm
}

/// A VMI that is read from inside its pod.
pub fn sidecar() -> Vm {
    let mut vm = of(sample::running(), "inside", 0x70);
    vm.vmi = None;
    edit_launcher(&mut vm, |launcher| launcher.uid = None);
    vm
}

/// This VM under KubeVirt.
fn of(vm: Vm, name: &str, number: u128) -> Vm {
    let bare = bare(name, number);
    let identity = Identity {
        uuid: vm.identity.uuid,
        domain_type: vm.identity.domain_type.clone(),
        arch: vm.identity.arch.clone(),
        ..(*bare.identity).clone()
    };
    Vm { key: bare.key, identity: Arc::new(identity), vmi: bare.vmi, ..vm }
}

/// A VMI in phase `Running` that libvirt reports nothing about.
fn bare(name: &str, number: u128) -> Vm {
    let namespace: Arc<str> = "shop".into();
    let pod = format!("275ecb36-5aa8-4c2a-9c47-0000000000{number:02x}");
    let uid: Arc<str> = format!("d0d4d9ba-8d5b-4d9a-9a1e-0000000000{number:02x}").into();
    let launcher = Launcher {
        namespace: Arc::clone(&namespace),
        name: name.into(),
        uid: Some(Arc::clone(&uid)),
        node: NODE.into(),
        pod_uid: pod.as_str().into(),
        labels: Vec::new(),
        guest: GuestOs::default(),
    };
    let identity = Identity {
        name: format!("{namespace}_{name}").into(),
        uuid: None,
        domain_type: None,
        arch: None,
        place: Place::Launcher(Arc::new(launcher)),
    };
    let vmi = Vmi {
        namespace,
        name: name.into(),
        uid,
        phase: Phase::Running,
        node: Some(NODE.into()),
        pods: vec![LauncherPod { uid: pod.as_str().into(), node: NODE.into() }],
        runtime_user: Some(107),
        memory: VmiMemory {
            guest_at_boot: Some(Bytes::from_mib(2_048)),
            guest_current: Some(Bytes::from_mib(2_048)),
            guest_requested: Some(Bytes::from_mib(4_096)),
            overhead: Some(Bytes::from_mib(241)),
        },
        topology: Topology { cores: Some(1), sockets: Some(2), threads: Some(1) },
        ..Vmi::default()
    };
    let key = VmKey { daemon: DaemonId(pod.as_str().into()), uuid: Uuid::from_u128(number) };
    Vm { vmi: Some(Arc::new(vmi)), ..Vm::new(key, Arc::new(identity)) }
}

/// Changes what the API reports about a VM.
pub fn edit(vm: &mut Vm, change: impl FnOnce(&mut Vmi)) {
    if let Some(vmi) = &mut vm.vmi {
        change(Arc::make_mut(vmi));
    }
}

/// Changes a VM's launcher.
pub fn edit_launcher(vm: &mut Vm, change: impl FnOnce(&mut Launcher)) {
    if let Place::Launcher(launcher) = &mut Arc::make_mut(&mut vm.identity).place {
        change(Arc::make_mut(launcher));
    }
}

/// Conditions of these types.
pub fn conditions(all: &[(&str, Option<bool>)]) -> Box<[Condition]> {
    let known = |(kind, is_true): &(&str, Option<bool>)| {
        ConditionKind::from_api(kind).map(|kind| Condition { kind, is_true: *is_true })
    };
    all.iter().filter_map(known).collect()
}

/// A label that the configuration allows.
pub fn label(key: &str, value: &str) -> VmiLabel {
    VmiLabel {
        key: key.into(),
        label: format!("kubernetes_vmi_label_{}", key.replace(['.', '/', '-'], "_")).into(),
        value: value.into(),
    }
}

fn guest() -> GuestOs {
    GuestOs {
        name: Some("Fedora Linux".into()),
        id: Some("fedora".into()),
        pretty_name: Some("Fedora Linux 42 (Cloud Edition)".into()),
        version_id: Some("42".into()),
        kernel_release: Some("6.14.0-63.fc42.x86_64".into()),
        machine: Some("x86_64".into()),
    }
}

fn interface(name: &str, guest_name: &str, addresses: &[&str]) -> GuestInterface {
    let known = |text: &str| (!text.is_empty()).then(|| text.into());
    GuestInterface {
        name: known(name),
        guest_name: known(guest_name),
        addresses: addresses.iter().map(|address| (*address).into()).collect(),
    }
}

fn nic(name: &str, model: Option<&str>, binding_type: &str, binding: &str, network: &str) -> SpecInterface {
    SpecInterface {
        name: name.into(),
        model: model.map(Into::into),
        binding_type: Some(binding_type.into()),
        binding: Some(binding.into()),
        network: Some(network.into()),
    }
}
