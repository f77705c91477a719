//! A KubeVirt VirtualMachineInstance, as far as it is used.

use std::sync::Arc;

use super::{Bytes, Timestamp};

/// A KubeVirt VirtualMachineInstance (`kubevirt.io/v1`), as far as it is used. What the object lacks, or what cannot be
/// understood, is absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vmi {
    /// `metadata.namespace`
    pub namespace: Arc<str>,
    /// `metadata.name`
    pub name: Arc<str>,
    /// `metadata.uid`: another UID is another VMI, whatever its name.
    pub uid: Arc<str>,
    /// `status.phase`
    pub phase: Phase,
    /// `status.nodeName`: the node that owns it.
    pub node: Option<Arc<str>>,
    /// `status.activePods`, by UID: every pod created for it and not deleted, completed ones included.
    pub pods: Vec<LauncherPod>,
    /// `status.runtimeUser`: usually 107; 0 if the launcher runs as root (its libvirt is then the `system` one).
    pub runtime_user: Option<u32>,
    /// `status.conditions`, those of known kinds; each kind once.
    pub conditions: Box<[Condition]>,
    /// `status.migrationState`
    pub migration: Option<Migration>,
    /// `status.interfaces`
    pub addresses: Box<[GuestInterface]>,
    /// `spec.domain.devices.interfaces`, joined with `spec.networks` by name.
    pub nics: Box<[SpecInterface]>,
    /// Those of `spec.volumes` that a claim is behind, by name.
    pub volumes: Box<[ClaimedVolume]>,
    /// `status.guestOSInfo`, from the guest agent.
    pub guest: GuestOs,
    /// `status.machine.type`
    pub machine: Option<Arc<str>>,
    /// `status.memory`
    pub memory: VmiMemory,
    /// `status.currentCPUTopology`, else `spec.domain.cpu`.
    pub topology: Topology,
    /// Its origin, from its annotations.
    pub origin: Origin,
    /// `spec.evictionStrategy`
    pub eviction_strategy: Option<Arc<str>>,
    /// Whether it has the label `kubevirt.io/outdatedLauncherImage`.
    pub outdated: bool,
    /// The labels that the configuration allows.
    pub labels: Vec<VmiLabel>,
}

impl Vmi {
    /// The volume of a disk, which has the disk's name, if a claim is behind it.
    #[must_use]
    pub fn volume(&self, disk: &str) -> Option<&ClaimedVolume> {
        let place = self.volumes.binary_search_by(|volume| (*volume.name).cmp(disk)).ok()?;
        self.volumes.get(place)
    }
}

/// A volume of a VMI (`spec.volumes`) that a PersistentVolumeClaim is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedVolume {
    /// `name`, which is the disk's too.
    pub name: Arc<str>,
    /// `persistentVolumeClaim.claimName`, or `dataVolume.name`: a DataVolume's claim has its name.
    pub claim: Arc<str>,
    /// Whether a DataVolume made the claim.
    pub of_data_volume: bool,
}

/// A launcher pod of a VMI (`status.activePods`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LauncherPod {
    /// Its UID.
    pub uid: Arc<str>,
    /// The node it is on.
    pub node: Arc<str>,
}

/// `status.phase` of a VMI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Phase {
    /// Not set yet.
    Unset,
    /// `Pending`
    Pending,
    /// `Scheduling`
    Scheduling,
    /// `Scheduled`
    Scheduled,
    /// `Running`: also while it is paused.
    Running,
    /// `Succeeded`
    Succeeded,
    /// `Failed`
    Failed,
    /// `WaitingForSync`: the target of a migration between clusters.
    WaitingForSync,
    /// `Unknown`, or a phase that this version does not know.
    #[default]
    Unknown,
}

impl Phase {
    /// Every value, in the order of a VMI's life.
    pub const ALL: [Self; 9] = [
        Self::Unset,
        Self::Pending,
        Self::Scheduling,
        Self::Scheduled,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::WaitingForSync,
        Self::Unknown,
    ];

    /// The phase with this name in the API.
    #[must_use]
    pub fn from_api(name: &str) -> Self {
        match name {
            "" => Self::Unset,
            "Pending" => Self::Pending,
            "Scheduling" => Self::Scheduling,
            "Scheduled" => Self::Scheduled,
            "Running" => Self::Running,
            "Succeeded" => Self::Succeeded,
            "Failed" => Self::Failed,
            "WaitingForSync" => Self::WaitingForSync,
            _ => Self::Unknown,
        }
    }

    /// The value of the label `phase`: the API's name in lower case, as KubeVirt writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unset => "unset",
            Self::Pending => "pending",
            Self::Scheduling => "scheduling",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::WaitingForSync => "waitingforsync",
            Self::Unknown => "unknown",
        }
    }
}

/// A condition of a VMI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Its type.
    pub kind: ConditionKind,
    /// `status`: `None` for `Unknown`.
    pub is_true: Option<bool>,
}

/// The types of conditions that a VMI of KubeVirt 1.9 may have: a closed set, since they become labels. Each
/// is its place in [`ConditionKind::ALL`]: a VMI has several, and is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConditionKind(u8);

impl ConditionKind {
    /// Every type, by KubeVirt's name.
    pub const ALL: [&'static str; 17] = [
        "Provisioning",
        "Ready",
        "Synchronized",
        "Paused",
        "AgentConnected",
        "AccessCredentialsSynchronized",
        "AgentVersionNotSupported",
        "LiveMigratable",
        "HotVCPUChange",
        "HotMemoryChange",
        "VolumesChange",
        "DataVolumesReady",
        "StorageLiveMigratable",
        "DecentralizedLiveMigrationFailure",
        "MigrationRequired",
        "EvictionRequested",
        "SoftwareEmulation",
    ];

    /// The type with this name in the API; `None` for one that this version does not know.
    #[must_use]
    pub fn from_api(name: &str) -> Option<Self> {
        let place = Self::ALL.iter().position(|known| *known == name)?;
        u8::try_from(place).ok().map(Self)
    }

    /// KubeVirt's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        Self::ALL[self.0 as usize]
    }
}

/// `status.migrationState`: the last migration of a VMI, or the present one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Migration {
    /// `migrationUid`: the UID of the VirtualMachineInstanceMigration.
    pub uid: Option<Arc<str>>,
    /// `startTimestamp`
    pub start: Option<Timestamp>,
    /// `endTimestamp`
    pub end: Option<Timestamp>,
    /// `sourceNode`
    pub source_node: Option<Arc<str>>,
    /// `targetNode`
    pub target_node: Option<Arc<str>>,
    /// `completed`
    pub completed: bool,
    /// `failed`
    pub failed: bool,
    /// `mode`: `PreCopy`, `PostCopy` or `Paused`.
    pub mode: Option<MigrationMode>,
}

/// How a migration proceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MigrationMode {
    /// `PreCopy`: memory is copied while the source runs.
    PreCopy,
    /// `PostCopy`: the target runs and fetches what it lacks.
    PostCopy,
    /// `Paused`: the VM stands still while its memory is copied.
    Paused,
}

impl MigrationMode {
    /// The mode with this name in the API.
    #[must_use]
    pub fn from_api(name: &str) -> Option<Self> {
        match name {
            "PreCopy" => Some(Self::PreCopy),
            "PostCopy" => Some(Self::PostCopy),
            "Paused" => Some(Self::Paused),
            _ => None,
        }
    }
}

/// `status.interfaces`: a network interface as the guest (or KubeVirt) sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuestInterface {
    /// `name`: the one in the VMI's specification; absent for interfaces that only the guest knows.
    pub name: Option<Arc<str>>,
    /// `interfaceName`: the guest's name for it (`eth0`).
    pub guest_name: Option<Arc<str>>,
    /// `ipAddresses`, else `ipAddress`.
    pub addresses: Box<[Arc<str>]>,
}

/// An interface of a VMI's specification.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpecInterface {
    /// `name`
    pub name: Arc<str>,
    /// `model`
    pub model: Option<Arc<str>>,
    /// Whether it is bound by the core or by a plugin: `core` or `plugin`.
    pub binding_type: Option<Arc<str>>,
    /// The binding: `bridge`, `masquerade`, `sriov` …, or the plugin's name.
    pub binding: Option<Arc<str>>,
    /// The network behind it: `pod networking`, or the name of the Multus network.
    pub network: Option<Arc<str>>,
}

/// `status.guestOSInfo`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuestOs {
    /// `name`
    pub name: Option<Arc<str>>,
    /// `id`
    pub id: Option<Arc<str>>,
    /// `prettyName`
    pub pretty_name: Option<Arc<str>>,
    /// `versionId`
    pub version_id: Option<Arc<str>>,
    /// `kernelRelease`
    pub kernel_release: Option<Arc<str>>,
    /// `machine`: the guest's architecture as its kernel reports it.
    pub machine: Option<Arc<str>>,
}

/// `status.memory`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VmiMemory {
    /// `guestAtBoot`
    pub guest_at_boot: Option<Bytes>,
    /// `guestCurrent`
    pub guest_current: Option<Bytes>,
    /// `guestRequested`
    pub guest_requested: Option<Bytes>,
    /// `memoryOverhead`: what the launcher needs besides the guest's memory.
    pub overhead: Option<Bytes>,
}

/// The virtual processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Topology {
    /// Cores per socket.
    pub cores: Option<u32>,
    /// Sockets.
    pub sockets: Option<u32>,
    /// Threads per core.
    pub threads: Option<u32>,
}

/// A VMI's origin, from its annotations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// `vm.kubevirt.io/os`
    pub os: Option<Arc<str>>,
    /// `vm.kubevirt.io/workload`
    pub workload: Option<Arc<str>>,
    /// `vm.kubevirt.io/flavor`
    pub flavor: Option<Arc<str>>,
    /// `kubevirt.io/instancetype-name` or `kubevirt.io/cluster-instancetype-name`
    pub instance_type: Option<Arc<str>>,
    /// `kubevirt.io/preference-name` or `kubevirt.io/cluster-preference-name`
    pub preference: Option<Arc<str>>,
}

/// A label of a VMI that the configuration allows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmiLabel {
    /// Its key in Kubernetes (`app.kubernetes.io/name`).
    pub key: Arc<str>,
    /// Its Prometheus label, as KubeVirt writes it (`kubernetes_vmi_label_app_kubernetes_io_name`).
    pub label: Arc<str>,
    /// Its value.
    pub value: Arc<str>,
}

impl VmiLabel {
    /// The most labels of one VMI that are published. Each is on every series of the VMI, and on its Resource.
    pub const MOST: usize = 16;
}

impl Vmi {
    /// The name of its libvirt domain: `<namespace>_<name>`. No Kubernetes name contains an underscore.
    #[must_use]
    pub fn domain_name(&self) -> String {
        format!("{}_{}", self.namespace, self.name)
    }

    /// Whether its UID, phase, conditions or migration differ from those in `before`. Its addresses, guest data and
    /// sizes do not count.
    #[must_use]
    pub fn has_moved_on_from(&self, before: &Self) -> bool {
        self.uid != before.uid
            || self.phase != before.phase
            || self.conditions != before.conditions
            || self.migration != before.migration
    }

    /// The condition of this type.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind.as_str() == kind)
    }
}
