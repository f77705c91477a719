//! How long is waited after a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;

/// The longest pause. kube's own grows to a minute, so that after an absence of half a minute it was as long again until
/// the API was asked (51 s at worst), and all that time VMs that had left were read and those that had come were not. A
/// thousand agents that ask every ten seconds are a hundred requests a second, fewer than their kubelets make.
const LONGEST: Duration = Duration::from_secs(10);

/// kube's default back-off up to [`LONGEST`]: from 0.8 s, twice as long each time, each with up to as much again by
/// chance. That chance spreads the agents of a cluster, and they stay spread where the pauses do not grow any more.
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
        self.default.next().map(|pause| pause.min(LONGEST))
    }
}

impl Backoff for Pause {
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_a_second_to_ten_and_no_further() {
        for _ in 0..100 {
            let pauses: Vec<Duration> = Pause::default().take(20).collect();
            assert!(pauses[0] >= Duration::from_millis(800) && pauses[0] < Duration::from_millis(1_601), "{pauses:?}");
            assert!(pauses.is_sorted() && pauses[4..].iter().all(|pause| *pause == LONGEST), "{pauses:?}");
        }
    }
}
