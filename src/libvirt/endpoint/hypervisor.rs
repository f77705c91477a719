//! What an endpoint needs from libvirt, as a trait: [`wire`](super::wire) implements it, tests have a fake.
//!
//! A call takes its connection by value and gives it back when it returns. So a connection carries at most one call by
//! construction, and a call that hangs keeps its connection to itself. Dropping either ends the connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use uuid::Uuid;

use crate::model::{DaemonFacts, Groups, Job, Version};
use crate::source::{Ask, DomainEvent, Said};

/// A future that may never complete.
pub(super) type Eventually<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// Access to a daemon.
pub(super) trait Hypervisor: Send + Sync + 'static {
    /// A connection.
    type Connection: Connection;

    /// Whether the daemon is on this host, behind a socket.
    fn is_local(&self) -> bool;

    /// Opens a connection for calls. Ends within its own deadline.
    fn open(&self) -> Eventually<Result<Self::Connection, OpenError>>;

    /// Opens a connection that reports events and its own end, and asks the daemon who it is. Ends within its own
    /// deadline.
    fn meet(&self) -> Eventually<Result<Met<Self::Connection>, OpenError>>;

    /// Calls through a connection. `name` is the domain's, for libvirt's own messages.
    fn call(&self, connection: Self::Connection, call: Call, name: Arc<str>) -> Eventually<Called<Self::Connection>>;

    /// Stops waiting for running calls: each closes its connection cleanly and returns without one. For the endpoint's
    /// end.
    fn leave(&self);
}

/// A connection while it carries no call.
pub(super) trait Connection: Send + 'static {
    /// What the daemon sends unasked. Must be polled, so that the connection answers the daemon's own keepalives.
    fn poll_notice(&mut self, context: &mut Context<'_>) -> Poll<Notice>;

    /// Sends a liveness check: `virConnectGetLibVersion`, the smallest call that the daemon itself answers, without any
    /// domain's lock. The answer comes as [`Notice::Sign`].
    fn ask_for_a_sign(&mut self);

    /// Closes cleanly, within a tenth of a second.
    fn close(self) -> Eventually<()>;
}

/// A newly connected daemon.
pub(super) struct Met<C> {
    /// The connection for events.
    pub(super) connection: C,
    /// Its facts. The hypervisor's version is not asked for: a fresh daemon takes seconds to find it out.
    pub(super) facts: DaemonFacts,
    /// Its process; `None` if that is unknown.
    pub(super) process: Option<ProcessId>,
}

/// The process that listens on a socket, by the id that the kernel reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcessId(pub(super) u32);

/// Something that a connection reports without a call.
#[derive(Debug)]
pub(super) enum Notice {
    /// Something happened to a domain.
    Event { domain: Uuid, name: Arc<str>, event: DomainEvent },
    /// This many events were dropped because too many waited.
    Lost(u64),
    /// The daemon answered the liveness check.
    Sign,
    /// The connection has ended.
    Ended(Ending),
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ending {
    /// In words, without the daemon's name.
    pub(super) reason: String,
    /// Whether the daemon itself hung up, as it does when it ends.
    pub(super) hung_up: bool,
}

/// Why a connection was not opened, as a sentence without the daemon's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum OpenError {
    /// Something accepts connections and does not answer.
    #[error("{0}")]
    Mute(String),
    /// No daemon is there.
    #[error("{0}")]
    Absent(String),
    /// What is there is unusable, or libvirt refused.
    #[error("{0}")]
    Failed(String),
}

/// A call into libvirt: for a request, or the endpoint's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// For [`Ask::Read`], the statistics alone.
    Ask(Ask),
    /// `virDomainGetJobStats`, right after the statistics.
    Job(Uuid),
    /// `virConnectGetCapabilities`, then `virConnectGetVersion`: makes a fresh daemon probe its emulators now rather
    /// than in the first read, where it would hold a VM's lock for seconds.
    Prepare,
}

impl Call {
    /// The domain that it is about.
    pub(super) const fn domain(self) -> Option<Uuid> {
        match self {
            Self::Ask(ask) => ask.domain(),
            Self::Job(uuid) => Some(uuid),
            Self::Prepare => None,
        }
    }

    /// The libvirt function, for messages.
    pub(super) const fn function(self) -> &'static str {
        match self {
            Self::Ask(ask) => ask.function(),
            Self::Job(_) => "virDomainGetJobStats",
            Self::Prepare => "virConnectGetCapabilities",
        }
    }

    /// The statistics of a domain.
    pub(super) const fn stats(domain: Uuid, groups: Groups) -> Self {
        Self::Ask(Ask::Read(domain, groups))
    }
}

/// A call that has returned.
pub(super) struct Called<C> {
    /// The connection, or why there is none any more.
    pub(super) connection: Result<C, Ending>,
    /// The answer.
    pub(super) result: Result<Reply, Failure>,
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// libvirt refused or failed, in its own words.
    Libvirt(String),
    /// The XML could not be parsed.
    Xml(String),
    /// The connection ended.
    Lost,
}

/// The answer of a call.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    /// To a request.
    Said(Said),
    /// To [`Call::Job`]: the job, if there is one, and the number of unknown parameters; `None`: no such domain.
    Job(Option<(Option<Box<Job>>, u32)>),
    /// To [`Call::Prepare`]: the hypervisor's version.
    Prepared(Option<Version>),
}
