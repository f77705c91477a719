//! The stages as tasks: which one ended, and how all of them are ended in order.

use std::future::Future;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

/// The running stages, in the order in which they are ended: that of the data's way, so that what the first has
/// published last is still pushed by the next.
#[derive(Debug)]
pub(super) struct Stages {
    tasks: JoinSet<()>,
    stages: Vec<Stage>,
}

#[derive(Debug)]
struct Stage {
    name: &'static str,
    task: Id,
    stop: CancellationToken,
    /// How long it may take to end.
    patience: Duration,
}

impl Stages {
    pub(super) fn new() -> Self {
        Self { tasks: JoinSet::new(), stages: Vec::new() }
    }

    /// Starts a stage that runs until its token is cancelled.
    pub(super) fn spawn<F>(
        &mut self,
        name: &'static str,
        patience: Duration,
        stage: impl FnOnce(CancellationToken) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let task = self.tasks.spawn(stage(stop.clone())).id();
        self.stages.push(Stage { name, task, stop, patience });
    }

    /// Waits for the first stage that ends of its own accord, by returning or by a panic. Its name.
    pub(super) async fn any_ended(&mut self) -> &'static str {
        match self.tasks.join_next_with_id().await {
            Some(ended) => {
                let id = task_of(&ended);
                self.take(id).map_or("unknown", |stage| stage.name)
            }
            None => std::future::pending().await,
        }
    }

    /// Ends one stage after the other, each within its patience; one that does not end in time is left behind.
    pub(super) async fn end(&mut self) {
        while let Some((stage, patience)) = self.stages.first().map(|stage| (stage.task, stage.patience)) {
            if let Some(first) = self.stages.first() {
                first.stop.cancel();
            }
            if tokio::time::timeout(patience, self.ended(stage)).await.is_err()
                && let Some(late) = self.take(stage)
            {
                tracing::warn!(stage = late.name, ?patience, "a stage did not end in time and is left behind");
            }
        }
        self.tasks.abort_all();
    }

    /// Waits until this stage has ended; others may end meanwhile.
    async fn ended(&mut self, task: Id) {
        while self.stages.iter().any(|stage| stage.task == task) {
            let Some(ended) = self.tasks.join_next_with_id().await else { return };
            self.take(task_of(&ended));
        }
    }

    fn take(&mut self, task: Id) -> Option<Stage> {
        let index = self.stages.iter().position(|stage| stage.task == task)?;
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

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn ends_one_after_the_other_in_the_order_of_the_data() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut stages = Stages::new();
        for (name, takes) in [("first", 3), ("second", 1), ("third", 2)] {
            let order = Arc::clone(&order);
            stages.spawn(name, PATIENCE, |stop| async move {
                stop.cancelled().await;
                tokio::time::sleep(Duration::from_secs(takes)).await;
                order.lock().unwrap().push(name);
            });
        }
        let began = Instant::now();
        stages.end().await;
        assert_eq!(*order.lock().unwrap(), ["first", "second", "third"]);
        assert_eq!(began.elapsed().as_secs(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stage_that_does_not_end_is_left_behind() {
        let mut stages = Stages::new();
        stages.spawn("mute", PATIENCE, |_| std::future::pending());
        stages.spawn("good", PATIENCE, |stop| async move { stop.cancelled().await });
        let began = Instant::now();
        stages.end().await;
        assert_eq!(began.elapsed(), PATIENCE);
        assert!(stages.stages.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn tells_which_stage_ended_even_by_a_panic() {
        let mut stages = Stages::new();
        stages.spawn("good", PATIENCE, |stop| async move { stop.cancelled().await });
        stages.spawn("bad", PATIENCE, |_| async { panic!("for the test") });
        assert_eq!(stages.any_ended().await, "bad");
        stages.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_stage_that_ends_while_another_is_ended_is_not_waited_for_again() {
        let mut stages = Stages::new();
        stages.spawn("slow", PATIENCE, |stop| async move {
            stop.cancelled().await;
            tokio::time::sleep(Duration::from_secs(2)).await;
        });
        stages.spawn("early", PATIENCE, |_| tokio::time::sleep(Duration::from_secs(1)));
        let began = Instant::now();
        stages.end().await;
        assert_eq!(began.elapsed().as_secs(), 2);
    }
}
