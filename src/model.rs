//! The data model, with its units. No I/O, and no knowledge of libvirt's or any wire format.
//!
//! A value that was not reported is `None`: it is never replaced by 0.

mod choice;
mod collection;
mod cpu;
mod daemon;
mod description;
mod device;
mod group;
mod hypervisor;
mod identity;
mod job;
mod memory;
mod metadata;
mod names;
mod state;
mod text;
mod time;
mod units;
mod vm;
mod vmi;

pub use choice::VmChoice;
pub use collection::{Collection, GroupAge};
pub use cpu::{Cpu, Vcpu, VcpuState, Vcpus};
pub use daemon::{Daemon, DaemonFacts, Version};
pub use description::{BalloonDescription, Description, DiskDescription, IoLimits, NicDescription, ambiguous};
pub use device::{Disk, IoThread, Nic};
pub use group::{Group, Groups, Monitor, Stats, VcpuStats};
pub use hypervisor::HypervisorType;
pub use identity::{DaemonId, Identity, Launcher, Place, VmKey};
pub use job::{Job, JobKind, JobOperation};
pub use memory::{DirtyRate, Memory};
pub use metadata::{Flavor, Metadata, MetadataKey, MetadataLabels};
pub(crate) use names::names;
pub use state::{State, StateReason, Status};
pub(crate) use text::disturbs;
pub use time::{Timestamp, whole_millis};
pub use units::Bytes;
pub use vm::{Reading, Since, Vm};
pub use vmi::{
    ClaimedVolume, Condition, ConditionKind, GuestInterface, GuestOs, LauncherPod, Migration, MigrationMode, Origin,
    Phase, SpecInterface, Topology, Vmi, VmiLabel, VmiMemory,
};
