//! The port through which a hypervisor is read. `observe` asks, `libvirt` answers; tests answer with a fake.
//!
//! Everything that crosses it is owned plain data. Every future ends: an implementation enforces the deadlines.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::model::{DaemonFacts, DaemonId, Description, Groups, Status, Version};
pub use crate::model::{Monitor, Stats, VcpuStats};

/// A query to a daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ask {
    /// Every domain that the daemon knows, running or not (`virConnectListAllDomains`).
    List,
    /// The state of one domain (`virDomainGetState`). Never waits for a QEMU.
    Status(Uuid),
    /// The domain's XML (`virDomainGetXMLDesc`): exactly one query. From libvirt 11 on it may wait for a QEMU.
    Describe(Uuid),
    /// The statistics of one domain (`virDomainListGetStats`, `virDomainGetJobStats`).
    ///
    /// The answer may have fewer groups than requested: when the daemon is out of budget for calls that may hang, or
    /// when another client's job keeps the domain busy.
    Read(Uuid, Groups),
}

impl Ask {
    /// The domain that is queried.
    #[must_use]
    pub const fn domain(self) -> Option<Uuid> {
        match self {
            Self::List => None,
            Self::Status(uuid) | Self::Describe(uuid) | Self::Read(uuid, _) => Some(uuid),
        }
    }

    /// The libvirt function that answers, for messages.
    #[must_use]
    pub const fn function(self) -> &'static str {
        match self {
            Self::List => "virConnectListAllDomains",
            Self::Status(_) => "virDomainGetState",
            Self::Describe(_) => "virDomainGetXMLDesc",
            Self::Read(..) => "virDomainListGetStats",
        }
    }
}

/// A daemon's answer to an [`Ask`]. `None`: the daemon does not know the domain.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// To [`Ask::List`].
    Listed(Vec<Listed>),
    /// To [`Ask::Status`].
    Status(Option<Status>),
    /// To [`Ask::Describe`].
    Described(Option<Box<Description>>),
    /// To [`Ask::Read`].
    Stats(Option<Box<Stats>>),
}

/// When a query is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As soon as the daemon may be sent another.
    AtOnce,
    /// After those sent at once, and one after the other: the daemon handles several such queries with fewer wake-ups.
    /// A slow one does not hold up the next.
    InTurn,
}

/// The answer to a query, some time later. It always comes: the source enforces the deadline.
pub type Answer = Pin<Box<dyn Future<Output = Result<Said, ReadError>> + Send>>;

/// One libvirt daemon, as the agent sees it.
pub trait Source: Send + Sync + 'static {
    /// Which daemon this is.
    fn id(&self) -> &DaemonId;

    /// Sends a query. It is under way when this returns; dropping the answer withdraws it while it still waits.
    fn ask(&self, ask: Ask, order: Order) -> Answer;
}

/// A domain in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its UUID.
    pub uuid: Uuid,
    /// Its name.
    pub name: Arc<str>,
    /// Its id; `None` for a domain that does not run.
    pub id: Option<u32>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The call went past its deadline and was abandoned. If it returns later, [`SourceEvent::Late`] carries its
    /// answer.
    #[error("{call} of {domain} did not return within {deadline:?}; the call was left behind")]
    Deadline {
        /// The libvirt function.
        call: &'static str,
        /// The domain, or the daemon.
        domain: String,
        /// The deadline.
        deadline: Duration,
    },
    /// There is no connection to the daemon (any more).
    #[error("not connected to {daemon}")]
    Disconnected {
        /// The daemon's URI.
        daemon: DaemonId,
    },
    /// libvirt refused or failed.
    #[error("{call} of {domain} failed: {message}")]
    Libvirt {
        /// The libvirt function.
        call: &'static str,
        /// The domain, or the daemon.
        domain: String,
        /// libvirt's own message.
        message: String,
    },
    /// The XML could not be parsed.
    #[error("the XML of {domain} could not be understood: {message}")]
    Xml {
        /// The domain.
        domain: String,
        /// What is wrong with it.
        message: String,
    },
    /// Too many requests wait for this daemon already.
    #[error("too many calls wait for {daemon}")]
    Overloaded {
        /// The daemon's URI.
        daemon: DaemonId,
    },
}

impl std::fmt::Display for DaemonId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a source reports unasked, in order, over a bounded channel.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceEvent {
    /// A connection was made and the daemon answers. Everything must be read afresh.
    Connected(Arc<DaemonFacts>),
    /// The connection was lost, or could not be made. Repeated when the reason changes.
    Disconnected {
        /// What was attempted and why it failed, in one sentence for the log.
        reason: String,
        /// Whether there is no socket, or nothing listens on it. A silent or refusing daemon is there.
        absent: bool,
    },
    /// Something happened to a domain.
    Domain {
        /// The domain's UUID.
        uuid: Uuid,
        /// The domain's name.
        name: Arc<str>,
        /// What happened.
        event: DomainEvent,
    },
    /// Events were dropped because the queue was full: everything must be listed and read afresh.
    EventsLost,
    /// The version of the daemon's hypervisor (QEMU), found after it was connected.
    Hypervisor(Version),
    /// An abandoned XML query has returned, with this answer.
    LateDescription {
        /// The domain's UUID.
        uuid: Uuid,
        /// Its answer.
        description: Box<Description>,
    },
    /// An abandoned call for statistics has returned, with this answer (`None`: it failed). The domain is no longer
    /// stuck.
    Late {
        /// The domain's UUID.
        uuid: Uuid,
        /// Its answer.
        stats: Option<Box<Stats>>,
    },
}

/// What happened to a domain.
#[derive(Debug, Clone, PartialEq)]
pub enum DomainEvent {
    /// `VIR_DOMAIN_EVENT_DEFINED`: it exists now, or its configuration (or name) changed.
    Defined,
    /// `VIR_DOMAIN_EVENT_UNDEFINED`: its configuration is gone.
    Undefined,
    /// `VIR_DOMAIN_EVENT_STARTED`
    Started {
        /// By an incoming migration: its statistics are not its own before it is resumed.
        incoming_migration: bool,
    },
    /// `VIR_DOMAIN_EVENT_SUSPENDED`
    Suspended,
    /// `VIR_DOMAIN_EVENT_RESUMED`
    Resumed {
        /// At the end of an incoming migration: a new incarnation begins here.
        migrated: bool,
    },
    /// `VIR_DOMAIN_EVENT_STOPPED` or `CRASHED`: its QEMU has ended.
    Stopped,
    /// `VIR_DOMAIN_EVENT_SHUTDOWN` or `PMSUSPENDED`: its state changed.
    StateChanged,
    /// `VIR_DOMAIN_EVENT_ID_REBOOT`: the guest restarted. Not a new incarnation.
    Rebooted,
    /// `VIR_DOMAIN_EVENT_ID_DEVICE_ADDED`, `DEVICE_REMOVED`, `TUNABLE` …: its XML has changed.
    DevicesChanged,
    /// `VIR_DOMAIN_EVENT_ID_JOB_COMPLETED`, `MIGRATION_ITERATION`: a job moved on.
    JobChanged,
}

impl DomainEvent {
    /// Whether this is a lifecycle event: it triggers queries at once, up to a limit.
    #[must_use]
    pub const fn is_lifecycle(&self) -> bool {
        !matches!(self, Self::Rebooted | Self::DevicesChanged | Self::JobChanged)
    }
}
