//! Work that blocks: looking names up, and reading files, whose file system may hang.
//!
//! tokio runs it on blocking threads, whose number the program decides. Such work cannot be cancelled: when nobody
//! waits for it any more, it keeps its thread until it ends by itself. So it must hold one of a few places, and holds
//! it for just as long.

use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::error::ConnectError;
use crate::limits::{BLOCKING_DEADLINE, BLOCKING_MAX};

/// The places of this process.
pub(super) static GATE: Gate = Gate::new(BLOCKING_MAX, BLOCKING_DEADLINE);

/// Places for blocking work, and how long to wait for a place and the end of the work.
#[derive(Debug)]
pub(super) struct Gate {
    places: usize,
    free: Semaphore,
    patience: Duration,
}

impl Gate {
    pub(super) const fn new(places: usize, patience: Duration) -> Self {
        Self { places, free: Semaphore::const_new(places), patience }
    }

    /// Does some work, which errors call `what`.
    ///
    /// # Errors
    ///
    /// If it gets no place, or does not end, in time.
    pub(super) async fn pass<T: Send + 'static>(
        &'static self,
        what: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ConnectError> {
        let blocked = |problem: String| ConnectError::Blocked { what: what.to_owned(), problem };
        let (places, patience) = (self.places, self.patience);
        let until = Instant::now() + patience;
        let Ok(Ok(place)) = timeout_at(until, self.free.acquire()).await else {
            return Err(blocked(format!(
                "{places} other names or files are asked for without an answer, and none has come within {patience:?}: do \
                 this host's name servers and file systems answer?"
            )));
        };
        let work = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(place);
            done
        });
        match timeout_at(until, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err(blocked("the program is ending".to_owned())),
            Err(_) => Err(blocked(format!(
                "no answer within {patience:?}: does this host's name server, or its file system, answer?"
            ))),
        }
    }
}
