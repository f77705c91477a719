//! How long is waited after a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;
use tokio::time::Instant;

/// The longest pause. kube's own grows to a minute, so that after an absence of half a minute it was as long again until
/// the API was asked (51 s at worst), and all that time VMs that had left were shown and those that had come were not. A
/// thousand agents that ask every five seconds are two hundred requests a second, of which none gives more than a
/// refusal: the first that is granted is the last.
const LONGEST: Duration = Duration::from_secs(5);

/// After so long without a failure the next one is another matter. kube's back-off begins anew then, too.
const FORGOTTEN: Duration = Duration::from_secs(120);

/// kube's default back-off up to [`LONGEST`]: from 0.8 s, twice as long each time, each with up to as much again by
/// chance. That chance spreads the agents of a cluster, and they stay spread where the pauses do not grow any more.
///
/// It begins anew two minutes after the last failure, when something was heard from a watch, and, once, when an API that
/// was silent refuses: one that starts does so for some seconds before it is ready, and the first request for VMIs after
/// that is always refused (`storage is (re)initializing`).
///
/// It does not on everything that is no failure, as kube has it: that a list begins is such a thing, so an API that is
/// away when it is to list would be asked each second for ever.
#[derive(Default)]
pub(super) struct Pause {
    default: DefaultBackoff,
    signs: Signs,
    /// When the last failure was.
    last: Option<Instant>,
    /// Whether it has begun anew because of a refusal.
    refused: bool,
}

/// Where the pauses learn what happens.
#[derive(Debug, Clone, Default)]
pub(super) struct Signs {
    flows: Arc<AtomicBool>,
    refuses: Arc<AtomicBool>,
}

impl Signs {
    /// Something was heard from a watch.
    pub(super) fn flows(&self) {
        self.flows.store(true, Relaxed);
    }

    /// The failure that is about to be waited after is an answer.
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
