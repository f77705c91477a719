//! How long is waited after a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;

/// kube's default back-off: from 0.8 s, twice as long each time, up to 30 s, each with up to as much again by chance.
///
/// It begins anew two minutes after the last failure, or when something was heard from a watch. Not on everything that
/// is no failure, as kube has it: that a list begins is such a thing, so an API that is away when it is to list would
/// be asked each second for ever.
#[derive(Default)]
pub(super) struct Pause {
    default: DefaultBackoff,
    flows: Arc<AtomicBool>,
}

impl Pause {
    /// Where is said that something was heard.
    pub(super) fn flows(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.flows)
    }
}

impl Iterator for Pause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.flows.swap(false, Relaxed) {
            self.default.reset();
        }
        self.default.next()
    }
}

impl Backoff for Pause {
    fn reset(&mut self) {}
}
