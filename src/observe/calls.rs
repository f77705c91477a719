//! The calls that are running. Each is a task, so that one that is late delays no other; its answer comes back to the
//! loop, which alone changes anything.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use uuid::Uuid;

use super::settings::CALL_GUARD;
use super::slots::Ticket;
use crate::model::{Description, Groups, Status};
use crate::source::{Answer, Listed, ReadError, Source, Stats};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    List,
    Status(Uuid),
    Describe(Uuid),
    Read(Uuid, Groups),
}

impl Ask {
    const fn name(self) -> &'static str {
        match self {
            Self::List => "the list of domains",
            Self::Status(_) => "the state",
            Self::Describe(_) => "the XML",
            Self::Read(..) => "the statistics",
        }
    }
}

/// A call that is running.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// The place of the daemon in the configuration.
    pub(super) daemon: usize,
    /// The daemon's connection at the time.
    pub(super) generation: u32,
    /// The domain's incarnation at the time.
    pub(super) epoch: u32,
    pub(super) ask: Ask,
    pub(super) launched: Instant,
    /// Its place among the reads that run at once; `None` for other calls.
    pub(super) slot: Option<Ticket>,
}

/// What was answered.
#[derive(Debug)]
pub(super) enum Said {
    List(Result<Vec<Listed>, ReadError>),
    Status(Result<Option<Status>, ReadError>),
    Describe(Result<Option<Box<Description>>, ReadError>),
    Read(Result<Option<Box<Stats>>, ReadError>),
}

impl Said {
    fn failed(ask: Ask, error: ReadError) -> Self {
        match ask {
            Ask::List => Self::List(Err(error)),
            Ask::Status(_) => Self::Status(Err(error)),
            Ask::Describe(_) => Self::Describe(Err(error)),
            Ask::Read(..) => Self::Read(Err(error)),
        }
    }
}

/// The calls that are running.
#[derive(Debug, Default)]
pub(super) struct Calls {
    tasks: JoinSet<Said>,
    running: HashMap<Id, Call>,
}

impl Calls {
    /// Makes a call.
    pub(super) fn launch(&mut self, source: &Arc<dyn Source>, call: Call) {
        let source = Arc::clone(source);
        let ask = call.ask;
        let handle = self.tasks.spawn(async move {
            match ask {
                Ask::List => Said::List(guarded(ask, source.list()).await),
                Ask::Status(uuid) => Said::Status(guarded(ask, source.status(uuid)).await),
                Ask::Describe(uuid) => {
                    Said::Describe(guarded(ask, source.describe(uuid)).await.map(|said| said.map(Box::new)))
                }
                Ask::Read(uuid, groups) => {
                    Said::Read(guarded(ask, source.read(uuid, groups)).await.map(|said| said.map(Box::new)))
                }
            }
        });
        self.running.insert(handle.id(), call);
    }

    /// Whether no call is running.
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The next answer; waits for it.
    pub(super) async fn next(&mut self) -> Option<(Call, Said)> {
        let answer = self.tasks.join_next_with_id().await?;
        self.settle(answer)
    }

    /// The next answer, if there is one already.
    pub(super) fn try_next(&mut self) -> Option<(Call, Said)> {
        let answer = self.tasks.try_join_next_with_id()?;
        self.settle(answer)
    }

    fn settle(&mut self, answer: Result<(Id, Said), JoinError>) -> Option<(Call, Said)> {
        match answer {
            Ok((id, said)) => self.running.remove(&id).map(|call| (call, said)),
            Err(error) => {
                let call = self.running.remove(&error.id())?;
                let domain = call.ask.name().to_owned();
                let error = ReadError::Libvirt { call: "call", domain, message: error.to_string() };
                Some((call, Said::failed(call.ask, error)))
            }
        }
    }
}

async fn guarded<T>(ask: Ask, answer: Answer<'_, T>) -> Result<T, ReadError> {
    tokio::time::timeout(CALL_GUARD, answer).await.unwrap_or_else(|_| {
        Err(ReadError::Deadline { call: "call", domain: ask.name().to_owned(), deadline: CALL_GUARD })
    })
}
