//! What is asked of an endpoint.

use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::counters::CallKind;
use super::hypervisor::Reply;
use crate::model::Groups;
use crate::source::ReadError;

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    List,
    Status(Uuid),
    Describe(Uuid),
    Read(Uuid, Groups),
}

impl Ask {
    /// The call that answers it.
    pub(super) const fn kind(self) -> CallKind {
        match self {
            Self::List => CallKind::List,
            Self::Status(_) => CallKind::Status,
            Self::Describe(_) => CallKind::Describe,
            Self::Read(..) => CallKind::Stats,
        }
    }

    /// The domain that is asked for.
    pub(super) const fn domain(self) -> Option<Uuid> {
        match self {
            Self::List => None,
            Self::Status(uuid) | Self::Describe(uuid) | Self::Read(uuid, _) => Some(uuid),
        }
    }
}

/// Where the answer goes.
pub(super) type ReplyTo = oneshot::Sender<Result<Reply, ReadError>>;

/// A question that waits.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) ask: Ask,
    pub(super) reply: ReplyTo,
    /// Since when it waits.
    pub(super) since: Instant,
}

impl Request {
    /// Answers it. Nobody may be there any more to hear it.
    pub(super) fn answer(self, result: Result<Reply, ReadError>) {
        let _ = self.reply.send(result);
    }
}
