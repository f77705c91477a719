//! Which paths are served at which address.

use super::limits;

/// Which paths are served at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paths {
    /// All.
    All,
    /// All but the probes, which have an address of their own.
    Metrics,
    /// The probes: `/livez` and `/readyz`.
    Probes,
}

impl Paths {
    /// How many concurrent connections are allowed.
    pub(super) const fn connections(self) -> usize {
        match self {
            Self::All | Self::Metrics => limits::CONNECTIONS,
            Self::Probes => limits::PROBE_CONNECTIONS,
        }
    }

    /// What is said of any other path.
    pub(super) const fn nothing(self) -> &'static str {
        match self {
            Self::All | Self::Metrics => "There is nothing here; / lists what there is.\n",
            Self::Probes => "There is nothing here but /livez and /readyz.\n",
        }
    }
}
