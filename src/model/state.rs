//! The state of a VM, and its reason.

/// The state of a VM: libvirt's `virDomainState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// `VIR_DOMAIN_RUNNING`
    Running,
    /// `VIR_DOMAIN_BLOCKED`: waiting for a resource.
    Blocked,
    /// `VIR_DOMAIN_PAUSED`
    Paused,
    /// `VIR_DOMAIN_SHUTDOWN`: the guest is shutting down.
    Shutdown,
    /// `VIR_DOMAIN_SHUTOFF`
    Shutoff,
    /// `VIR_DOMAIN_CRASHED`
    Crashed,
    /// `VIR_DOMAIN_PMSUSPENDED`: suspended by the guest's power management.
    PmSuspended,
    /// `VIR_DOMAIN_NOSTATE`, or a value that this version does not know.
    NoState,
}

impl State {
    /// Every value, in libvirt's order.
    pub const ALL: [Self; 8] = [
        Self::NoState,
        Self::Running,
        Self::Blocked,
        Self::Paused,
        Self::Shutdown,
        Self::Shutoff,
        Self::Crashed,
        Self::PmSuspended,
    ];

    /// The state that libvirt's number stands for.
    #[must_use]
    pub const fn from_libvirt(number: i64) -> Self {
        match number {
            1 => Self::Running,
            2 => Self::Blocked,
            3 => Self::Paused,
            4 => Self::Shutdown,
            5 => Self::Shutoff,
            6 => Self::Crashed,
            7 => Self::PmSuspended,
            _ => Self::NoState,
        }
    }

    /// The value of the attribute `libvirt.domain.state`, in `virsh domstate`'s words joined by `_`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoState => "no_state",
            Self::Running => "running",
            Self::Blocked => "blocked",
            Self::Paused => "paused",
            Self::Shutdown => "shutdown",
            Self::Shutoff => "shutoff",
            Self::Crashed => "crashed",
            Self::PmSuspended => "pmsuspended",
        }
    }

    /// Whether a QEMU process runs the VM. Only then are its figures its own: for a domain that is shut off, libvirt
    /// reports the daemon's CPU time.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Blocked | Self::Paused | Self::Shutdown | Self::PmSuspended)
    }
}

/// Why a VM is in its state: the names of libvirt's `virDomain*Reason` enumerations, a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateReason(&'static str);

impl StateReason {
    /// The reason that libvirt's number stands for in this state; `unknown` for numbers of later versions.
    #[must_use]
    pub fn from_libvirt(state: State, number: i64) -> Self {
        let names = Self::names(state);
        Self(usize::try_from(number).ok().and_then(|index| names.get(index)).copied().unwrap_or("unknown"))
    }

    /// The possible reasons for a state, by libvirt's number.
    #[must_use]
    pub const fn names(state: State) -> &'static [&'static str] {
        match state {
            State::Running => &[
                "unknown",
                "booted",
                "migrated",
                "restored",
                "from_snapshot",
                "unpaused",
                "migration_canceled",
                "save_canceled",
                "wakeup",
                "crashed",
                "postcopy",
                "postcopy_failed",
            ],
            State::Paused => &[
                "unknown",
                "user",
                "migration",
                "save",
                "dump",
                "ioerror",
                "watchdog",
                "from_snapshot",
                "shutting_down",
                "snapshot",
                "crashed",
                "starting_up",
                "postcopy",
                "postcopy_failed",
                "api_error",
            ],
            State::Shutdown => &["unknown", "user"],
            State::Shutoff => &[
                "unknown",
                "shutdown",
                "destroyed",
                "crashed",
                "migrated",
                "saved",
                "failed",
                "from_snapshot",
                "daemon",
            ],
            State::Crashed => &["unknown", "panicked"],
            State::NoState | State::Blocked | State::PmSuspended => &["unknown"],
        }
    }

    /// The value of the attribute `libvirt.domain.state_reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// A state with its reason (`virDomainGetState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status {
    /// The state.
    pub state: State,
    /// Why.
    pub reason: StateReason,
}

impl Status {
    /// For people: the state, with its reason unless that is obvious. A VM that was started and runs needs none.
    #[must_use]
    pub fn shown(self) -> String {
        match self.reason.as_str() {
            "unknown" | "booted" | "unpaused" => self.state.as_str().to_owned(),
            reason => format!("{} ({reason})", self.state.as_str()),
        }
    }

    /// From libvirt's pair of numbers.
    #[must_use]
    pub fn from_libvirt(state: i64, reason: i64) -> Self {
        let state = State::from_libvirt(state);
        Self { state, reason: StateReason::from_libvirt(state, reason) }
    }
}
