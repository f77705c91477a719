//! How many daemons are connected to at a time, over all endpoints that share this.
//!
//! To connect takes a thread and some milliseconds of the daemon's time. An agent that starts on a full node would
//! otherwise make a thread for each launcher, and wake all their libvirts at once, on cores that are the VMs'.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

/// How long one that is being connected to keeps its place. Most take milliseconds; one that hangs holds up the others
/// for this long and no longer.
pub(super) const HOLD: Duration = Duration::from_millis(200);

/// See the module.
#[derive(Debug, Clone)]
pub struct Turnstile(Arc<Semaphore>);

/// A place in it, which is given back when this is dropped, or after [`HOLD`].
#[derive(Debug)]
pub(super) struct Pass {
    _held: Option<oneshot::Sender<()>>,
}

impl Turnstile {
    /// With so many places.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places)))
    }

    /// Waits for a place. Every place becomes free within [`HOLD`], in the order of those that wait.
    pub(super) async fn pass(self) -> Pass {
        let Ok(permit) = self.0.acquire_owned().await else {
            return Pass { _held: None }; // it is never closed
        };
        let (held, given_back) = oneshot::channel();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(HOLD, given_back).await;
            drop(permit);
        });
        Pass { _held: Some(held) }
    }
}
