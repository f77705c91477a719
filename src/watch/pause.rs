//! How long to wait after a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;
use tokio::time::Instant;

/// The longest pause. kube's own grows to a minute: after an outage of half a minute it took as long again until the
/// API was asked (51 s at worst), and meanwhile VMs that had left were shown and new ones were not. A thousand agents
/// that ask every five seconds make two hundred requests a second, and each gets only a refusal: an agent's first
/// success ends its retries.
const LONGEST: Duration = Duration::from_secs(5);

/// After so long without a failure the next one is a new outage. kube's back-off restarts then, too.
const FORGOTTEN: Duration = Duration::from_secs(120);

/// kube's default back-off up to [`LONGEST`]: from 0.8 s, twice as long each time, each with jitter of up to as much
/// again. The jitter spreads the agents of a cluster, and they stay spread when the pauses no longer grow.
///
/// It restarts two minutes after the last failure, when a watch delivers something, and, once, when an API that was
/// silent refuses: a starting API does so for some seconds before it is ready, and then always refuses the first
/// request for VMIs (`storage is (re)initializing`).
///
/// Unlike kube's, it does not restart on everything that is no failure: the beginning of a list is such an event, so an
/// API that is away before a list would be asked each second forever.
#[derive(Default)]
pub(super) struct Pause {
    default: DefaultBackoff,
    signs: Signs,
    /// The time of the last failure.
    last: Option<Instant>,
    /// Whether a refusal has restarted it.
    refused: bool,
}

/// Tells the pauses what happens.
#[derive(Debug, Clone, Default)]
pub(super) struct Signs {
    flows: Arc<AtomicBool>,
    refuses: Arc<AtomicBool>,
}

impl Signs {
    /// A watch delivered something.
    pub(super) fn flows(&self) {
        self.flows.store(true, Relaxed);
    }

    /// The next pause follows a refusal, not silence.
    pub(super) fn refuses(&self) {
        self.refuses.store(true, Relaxed);
    }
}

impl Pause {
    pub(super) fn signs(&self) -> Signs {
        self.signs.clone()
    }
}

impl Iterator for Pause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let flows = self.signs.flows.swap(false, Relaxed);
        let refuses = self.signs.refuses.swap(false, Relaxed);
        if flows || self.last.is_none_or(|last| last.elapsed() > FORGOTTEN) {
            self.refused = false;
        }
        if flows || (refuses && !self.refused) {
            self.default.reset();
        }
        self.refused |= refuses;
        self.last = Some(Instant::now());
        self.default.next().map(|pause| pause.min(LONGEST))
    }
}

impl Backoff for Pause {
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(800);

    fn is_first(pause: Duration) -> bool {
        (FIRST..=FIRST * 2).contains(&pause)
    }

    #[test]
    fn pauses_grow_from_a_second_to_five_and_no_further() {
        for _ in 0..100 {
            let pauses: Vec<Duration> = Pause::default().take(20).collect();
            assert!(is_first(pauses[0]), "{pauses:?}");
            assert!(pauses.is_sorted() && pauses[3..].iter().all(|pause| *pause == LONGEST), "{pauses:?}");
        }
    }

    #[test]
    fn they_begin_anew_when_something_was_heard() {
        let mut pause = Pause::default();
        for _ in 0..3 {
            assert_eq!(pause.nth(9), Some(LONGEST));
            pause.signs().flows();
            assert!(pause.next().is_some_and(is_first));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn they_begin_anew_at_the_first_refusal_after_silence_and_at_no_other() {
        let mut pause = Pause::default();
        let signs = pause.signs();
        for absence in 0..3 {
            assert_eq!(pause.nth(9), Some(LONGEST), "silence");
            signs.refuses();
            assert!(pause.next().is_some_and(is_first), "absence {absence}");
            for turn in 0..10 {
                // Refusals and silence in turn, as from a load balancer with nothing behind it.
                if turn % 2 == 0 {
                    signs.refuses();
                }
                assert!(pause.next().is_some_and(|pause| pause > FIRST * 2 - Duration::from_millis(1)), "turn {turn}");
            }
            match absence {
                0 => signs.flows(),
                _ => tokio::time::sleep(FORGOTTEN * 2).await,
            }
        }
    }
}
