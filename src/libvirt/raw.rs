//! What goes in and out of [`ffi`](super::ffi), as plain data.

use std::sync::Arc;

use uuid::Uuid;
use virt::sys;

use super::decode::Parameter;
use super::event::RawEvent;
use crate::model::{Group, Groups};

/// Longest text that leaves, in bytes. libvirt's longest are paths (4,096 on Linux); a guest or a remote daemon may
/// not make them longer.
pub(super) const TEXT_MAX: usize = 4096;

/// What libvirt says when something fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// `virErrorNumber`
    pub(crate) code: u32,
    /// libvirt's own message.
    pub(crate) message: String,
}

impl Failure {
    /// libvirt's last error on this thread.
    pub(super) fn last() -> Self {
        virt::error::Error::last_error().into()
    }

    pub(super) fn ours(message: impl Into<String>) -> Self {
        Self { code: sys::VIR_ERR_INTERNAL_ERROR, message: message.into() }
    }

    pub(super) const fn is_no_domain(&self) -> bool {
        self.code == sys::VIR_ERR_NO_DOMAIN
    }
}

impl From<virt::error::Error> for Failure {
    fn from(error: virt::error::Error) -> Self {
        Self { code: error.code().to_raw(), message: bounded(error.message().as_bytes()) }
    }
}

/// Where events go. Called on libvirt's event thread: implementations must return at once.
pub(crate) trait Sink: Send + Sync + 'static {
    /// Something happened to a domain.
    fn domain(&self, uuid: Uuid, name: Arc<str>, event: RawEvent);
    /// The connection is closed, for a `virConnectCloseReason`.
    fn closed(&self, reason: i32);
}

/// The statistics of one domain as libvirt gives them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RawStats {
    /// The domain's id; `None` if it does not run.
    pub(crate) id: Option<u32>,
    /// All parameters, in libvirt's order.
    pub(crate) parameters: Vec<Parameter>,
}

/// The groups as `virDomainStatsTypes`. Never 0, which libvirt takes for "all".
pub(super) fn bits(groups: Groups) -> u32 {
    groups.iter().fold(sys::VIR_DOMAIN_STATS_STATE, |bits, group| {
        bits | match group {
            // The job has a call of its own.
            Group::State | Group::Job => sys::VIR_DOMAIN_STATS_STATE,
            Group::Cpu => sys::VIR_DOMAIN_STATS_CPU_TOTAL,
            Group::Balloon => sys::VIR_DOMAIN_STATS_BALLOON,
            Group::Vcpu => sys::VIR_DOMAIN_STATS_VCPU,
            Group::Interface => sys::VIR_DOMAIN_STATS_INTERFACE,
            Group::Block => sys::VIR_DOMAIN_STATS_BLOCK,
            Group::Iothread => sys::VIR_DOMAIN_STATS_IOTHREAD,
            Group::Dirtyrate => sys::VIR_DOMAIN_STATS_DIRTYRATE,
        }
    })
}

/// Bytes as a text of at most [`TEXT_MAX`] of them.
pub(super) fn bounded(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..TEXT_MAX).unwrap_or(bytes)).into_owned()
}
