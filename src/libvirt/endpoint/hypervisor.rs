//! What an endpoint needs of libvirt, as a trait: the real one is in [`daemon`](super::daemon), tests have a fake.
//!
//! A call takes the connection it goes through by value and gives it back when it returns. So a connection carries at
//! most one call by construction, and a call that hangs keeps its connection to itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use uuid::Uuid;

use super::counters::CallKind;
use crate::libvirt::domain_xml::XmlError;
use crate::libvirt::raw::{Failure, Sink};
use crate::model::{DaemonFacts, Description, Groups, Job, Status};
use crate::source::{Listed, Stats};

/// Something that ends some time, or never.
pub(super) type Eventually<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// A way to a daemon.
pub(super) trait Hypervisor: Send + Sync + 'static {
    /// A connection. May be dropped anywhere: dropping never blocks the caller.
    type Connection: Send + 'static;

    /// Whether the daemon is on this host, behind a socket that can be looked at.
    fn is_local(&self) -> bool;

    /// Opens a connection; with a sink, one that reports events and its own end.
    fn open(&self, sink: Option<Arc<dyn Sink>>) -> Eventually<Result<Opened<Self::Connection>, OpenError>>;

    /// Calls through a connection.
    fn call(&self, connection: Self::Connection, call: Call) -> Eventually<Called<Self::Connection>>;

    /// Asks the daemon for a sign of life without a connection. Ends within its own deadline. `None`: there is no way
    /// to ask.
    fn preflight(&self) -> Eventually<Option<Result<(), String>>>;
}

/// A connection that was opened.
pub(super) struct Opened<C> {
    /// It.
    pub(super) connection: C,
    /// How many kinds of events the daemon does not know.
    pub(super) refused_events: u32,
}

/// Why a connection was not opened, as a sentence without the daemon's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum OpenError {
    /// Something accepts connections and does not answer.
    #[error("{0}")]
    Mute(String),
    /// Nobody is there.
    #[error("{0}")]
    Absent(String),
    /// What is there is not right, or libvirt refused.
    #[error("{0}")]
    Failed(String),
}

/// A call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// `virConnectGetCapabilities`, then what the daemon says of itself.
    Prepare,
    /// `virConnectListAllDomains`
    List,
    /// `virDomainGetState`
    Status(Uuid),
    /// `virDomainGetXMLDesc`
    Describe(Uuid),
    /// `virDomainListGetStats`
    Stats(Uuid, Groups),
    /// `virDomainGetJobStats`
    Job(Uuid),
    /// `virConnectGetLibVersion`
    Ping,
}

impl Call {
    /// Its kind.
    pub(super) const fn kind(self) -> CallKind {
        match self {
            Self::Prepare => CallKind::Prepare,
            Self::List => CallKind::List,
            Self::Status(_) => CallKind::Status,
            Self::Describe(_) => CallKind::Describe,
            Self::Stats(..) => CallKind::Stats,
            Self::Job(_) => CallKind::Job,
            Self::Ping => CallKind::Ping,
        }
    }

    /// The domain that it asks for.
    pub(super) const fn domain(self) -> Option<Uuid> {
        match self {
            Self::Status(uuid) | Self::Describe(uuid) | Self::Stats(uuid, _) | Self::Job(uuid) => Some(uuid),
            Self::Prepare | Self::List | Self::Ping => None,
        }
    }
}

/// A call that has returned.
pub(super) struct Called<C> {
    /// The connection, if it can still be used.
    pub(super) connection: Option<C>,
    /// What was said.
    pub(super) result: Result<Reply, Failure>,
}

/// What a call said. `None`: the daemon does not know the domain.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    /// To [`Call::Prepare`].
    Prepared(DaemonFacts),
    /// To [`Call::List`].
    Listed(Vec<Listed>),
    /// To [`Call::Status`].
    Status(Option<Status>),
    /// To [`Call::Describe`].
    Described(Option<Result<Description, XmlError>>),
    /// To [`Call::Stats`].
    Stats(Option<Box<Stats>>),
    /// To [`Call::Job`]; inside, no job. With the number of unknown parameters.
    Job(Option<(Option<Job>, u32)>),
    /// To [`Call::Ping`].
    Pong,
}
