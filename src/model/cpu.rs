//! Processor time.

use std::time::Duration;

use super::Since;

/// The processor time of the whole VM, QEMU's own threads included (`cpu.*` of `virDomainListGetStats`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cpu {
    /// `cpu.time`: all of it.
    pub time: Option<Duration>,
    /// `cpu.user`: spent in user space.
    pub user: Option<Duration>,
    /// `cpu.system`: spent in the kernel.
    pub system: Option<Duration>,
}

/// The virtual CPUs (`vcpu.*`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vcpus {
    /// `vcpu.current`: how many are plugged in.
    pub current: Option<u64>,
    /// `vcpu.maximum`: how many could be.
    pub maximum: Option<u64>,
    /// Each of them, by ascending number.
    pub each: Vec<Since<Vcpu>>,
}

/// One virtual CPU (`vcpu.<number>.*`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vcpu {
    /// Its number, from 0.
    pub number: u32,
    /// `.state`
    pub state: Option<VcpuState>,
    /// `.time`: spent by its thread.
    pub time: Option<Duration>,
    /// `.wait`: its thread waited on a run queue of the host.
    pub wait: Option<Duration>,
    /// `.delay`: its thread was runnable but the host ran something else (steal).
    pub delay: Option<Duration>,
    /// `.halted`: the guest has halted it.
    pub halted: Option<bool>,
}

/// What a virtual CPU is doing: `virVcpuState`, in the spelling of KubeVirt's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VcpuState {
    /// `VIR_VCPU_OFFLINE`
    Offline,
    /// `VIR_VCPU_RUNNING`
    Running,
    /// `VIR_VCPU_BLOCKED`: waiting for a resource.
    Blocked,
    /// A value that this version does not know.
    Unknown,
}

impl VcpuState {
    /// Every value.
    pub const ALL: [Self; 4] = [Self::Offline, Self::Running, Self::Blocked, Self::Unknown];

    /// The state that libvirt's number stands for.
    #[must_use]
    pub const fn from_libvirt(number: i64) -> Self {
        match number {
            0 => Self::Offline,
            1 => Self::Running,
            2 => Self::Blocked,
            _ => Self::Unknown,
        }
    }

    /// The value of the label `state`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Running => "running",
            Self::Blocked => "blocked",
            Self::Unknown => "unknown",
        }
    }
}
