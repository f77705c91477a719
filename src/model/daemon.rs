//! A libvirt daemon.

use std::sync::Arc;

use super::{DaemonId, State};

/// A libvirt daemon, in its present state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Which one.
    pub id: DaemonId,
    /// Whether it is connected and has answered since.
    pub up: bool,
    /// Why it is not, as the log says it; `None` while it is, and before the first attempt.
    pub reason: Option<Arc<str>>,
    /// What it reported about itself when last connected; `None` before the first time.
    pub facts: Option<Arc<DaemonFacts>>,
    /// How many domains it has in each state, in the order of [`State::ALL`]; `None` while it is down.
    pub domains: Option<[u64; State::ALL.len()]>,
}

/// What a daemon reports about itself after connecting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonFacts {
    /// `virConnectGetHostname`
    pub host_name: Arc<str>,
    /// `virConnectGetType`: `QEMU`, `Test` …
    pub driver: Arc<str>,
    /// `virConnectGetLibVersion`: the daemon's.
    pub libvirt: Option<Version>,
    /// `virConnectGetVersion`: the hypervisor's (QEMU's).
    pub hypervisor: Option<Version>,
}

/// A version as libvirt encodes it: major × 1,000,000 + minor × 1,000 + release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(pub u64);

impl std::fmt::Display for Version {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}.{}", self.0 / 1_000_000, self.0 / 1_000 % 1_000, self.0 % 1_000)
    }
}
