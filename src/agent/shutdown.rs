//! Runs the stages as tasks: notices which one ended, and ends all of them in order.

use std::future::Future;
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::heartbeat::Pulse;

/// When a stage is ended: in the order of the data flow, so that what is published last is still pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ShutdownPhase {
    /// It reads and publishes.
    Read,
    /// It pushes what was published, once more.
    Push,
    /// It serves what was published, to the end, so that the agent's ending can be observed.
    Serve,
}

impl ShutdownPhase {
    const ALL: [Self; 3] = [Self::Read, Self::Push, Self::Serve];

    /// How long all stages of this phase together may take to end. All phases stay below the ten seconds that container
    /// runtimes wait at least before they kill.
    const fn patience(self) -> Duration {
        match self {
            // Abandoning calls takes milliseconds.
            Self::Read => Duration::from_secs(1),
            // A healthy Collector takes everything within a second; any other must not delay a restart.
            Self::Push => Duration::from_secs(3),
            // The server's own limit is two seconds.
            Self::Serve => Duration::from_secs(3),
        }
    }
}

/// The running stages.
#[derive(Debug)]
pub(super) struct Stages {
    tasks: JoinSet<()>,
    stages: Vec<Stage>,
}

#[derive(Debug)]
struct Stage {
    name: &'static str,
    phase: ShutdownPhase,
    task: AbortHandle,
    stop: CancellationToken,
}

impl Stages {
    pub(super) fn new() -> Self {
        Self { tasks: JoinSet::new(), stages: Vec::new() }
    }

    /// Starts a stage that runs until its token is cancelled, and is named after its pulse.
    pub(super) fn spawn<F>(&mut self, pulse: &Pulse, phase: ShutdownPhase, stage: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let task = self.tasks.spawn(pulse.over(stage(stop.clone())));
        self.stages.push(Stage { name: pulse.name(), phase, task, stop });
    }

    /// Waits for the first stage that ends by itself, by returning or panicking. Returns its name.
    pub(super) async fn any_ended(&mut self) -> &'static str {
        match self.tasks.join_next_with_id().await {
            Some(ended) => {
                let id = task_of(&ended);
                self.take(id).map_or("unknown", |stage| stage.name)
            }
            None => std::future::pending().await,
        }
    }

    /// Ends the stages, phase by phase; one that does not end in time is aborted.
    pub(super) async fn end(&mut self) {
        for phase in ShutdownPhase::ALL {
            for stage in self.stages.iter().filter(|stage| stage.phase == phase) {
                stage.stop.cancel();
            }
            if tokio::time::timeout(phase.patience(), self.ended(phase)).await.is_ok() {
                continue;
            }
            for late in self.stages.extract_if(.., |stage| stage.phase == phase) {
                late.task.abort();
                tracing::warn!(stage = late.name, patience = ?phase.patience(), "a stage did not end in time");
            }
        }
    }

    /// Waits until every stage of this phase has ended; others may end meanwhile.
    async fn ended(&mut self, phase: ShutdownPhase) {
        while self.stages.iter().any(|stage| stage.phase == phase) {
            let Some(ended) = self.tasks.join_next_with_id().await else { return };
            self.take(task_of(&ended));
        }
    }

    fn take(&mut self, task: Id) -> Option<Stage> {
        let index = self.stages.iter().position(|stage| stage.task.id() == task)?;
        Some(self.stages.remove(index))
    }
}

fn task_of(ended: &Result<(Id, ()), tokio::task::JoinError>) -> Id {
    match ended {
        Ok((id, ())) => *id,
        Err(error) => error.id(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::time::Instant;

    use super::*;
    use crate::heartbeat::Heartbeats;

    fn part(name: &'static str) -> Pulse {
        Heartbeats::new().part(name)
    }

    #[tokio::test(start_paused = true)]
    async fn ends_phase_by_phase_and_each_phase_together() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut stages = Stages::new();
        let waits = [
            ("serve", ShutdownPhase::Serve, 100),
            ("push", ShutdownPhase::Push, 2_000),
            ("own", ShutdownPhase::Push, 1_000),
            ("read", ShutdownPhase::Read, 500),
        ];
        for (name, phase, takes) in waits {
            let order = Arc::clone(&order);
            stages.spawn(&part(name), phase, |stop| async move {
                stop.cancelled().await;
                tokio::time::sleep(Duration::from_millis(takes)).await;
                order.lock().unwrap().push(name);
            });
        }
        let began = Instant::now();
        stages.end().await;
        assert_eq!(*order.lock().unwrap(), ["read", "own", "push", "serve"]);
        assert_eq!(began.elapsed().as_millis(), 500 + 2_000 + 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stage_that_does_not_end_is_given_up() {
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        let mut stages = Stages::new();
        stages.spawn(&part("mute"), ShutdownPhase::Push, |_| async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        stages.spawn(&part("good"), ShutdownPhase::Serve, |stop| async move { stop.cancelled().await });
        let began = Instant::now();
        stages.end().await;
        assert_eq!(began.elapsed(), ShutdownPhase::Push.patience());
        assert!(stages.stages.is_empty());
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&alive), 1, "it does not go on");
    }

    #[tokio::test(start_paused = true)]
    async fn all_phases_together_stay_below_ten_seconds() {
        let mut stages = Stages::new();
        for phase in ShutdownPhase::ALL {
            stages.spawn(&part("mute"), phase, |_| std::future::pending());
        }
        let began = Instant::now();
        stages.end().await;
        assert!(began.elapsed() < Duration::from_secs(8), "the end of the log comes on top");
    }

    #[tokio::test(start_paused = true)]
    async fn tells_which_stage_ended_even_by_a_panic() {
        let mut stages = Stages::new();
        stages.spawn(&part("good"), ShutdownPhase::Read, |stop| async move { stop.cancelled().await });
        stages.spawn(&part("bad"), ShutdownPhase::Push, |_| async { panic!("for the test") });
        assert_eq!(stages.any_ended().await, "bad");
        stages.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_stage_that_ends_early_is_not_waited_for_again() {
        let mut stages = Stages::new();
        stages.spawn(&part("slow"), ShutdownPhase::Read, |stop| async move {
            stop.cancelled().await;
            tokio::time::sleep(Duration::from_millis(900)).await;
        });
        stages.spawn(&part("early"), ShutdownPhase::Push, |_| tokio::time::sleep(Duration::from_millis(100)));
        let began = Instant::now();
        stages.end().await;
        assert_eq!(began.elapsed().as_millis(), 900);
    }
}
