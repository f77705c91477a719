//! Queries in flight. None delays another; their answers come back to the loop, which alone changes state.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::Instant;

use super::settings::CALL_GUARD;
use crate::source::{Ask, Order, ReadError, Said, Source};

/// A query in flight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// The daemon's key in the loop.
    pub(super) daemon: usize,
    /// The daemon's connection at the time.
    pub(super) generation: u32,
    /// The domain's incarnation at the time.
    pub(super) epoch: u32,
    pub(super) ask: Ask,
    /// When the source received it. The source may have queued it.
    pub(super) asked: Instant,
}

type Answered = (Call, Result<Said, ReadError>);

/// All queries in flight.
#[derive(Default)]
pub(super) struct Calls {
    running: FuturesUnordered<Pin<Box<dyn Future<Output = Answered> + Send>>>,
}

impl Calls {
    /// Sends a query.
    pub(super) fn launch(&mut self, source: &Arc<dyn Source>, call: Call, order: Order) {
        let answer = source.ask(call.ask, order);
        self.running.push(Box::pin(async move {
            let answer = tokio::time::timeout(CALL_GUARD, answer).await;
            (call, answer.unwrap_or_else(|_| Err(unanswered(call.ask))))
        }));
    }

    /// Whether no query is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Waits for the next answer.
    pub(super) async fn next(&mut self) -> Option<Answered> {
        self.running.next().await
    }

    /// The next answer, if there is one already.
    pub(super) fn try_next(&mut self) -> Option<Answered> {
        self.next().now_or_never().flatten()
    }
}

fn unanswered(ask: Ask) -> ReadError {
    let domain = ask.domain().map_or_else(|| "the daemon".to_owned(), |uuid| uuid.to_string());
    ReadError::Deadline { call: ask.function(), domain, deadline: CALL_GUARD }
}
