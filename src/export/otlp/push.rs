//! The exporter's task: when to push what.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::client::Transport;
use super::counters::{DropReason, OtlpCounters};
use super::delivery::{Cycle, DeliveryState, Extent, LeftOut};
use super::queue::{Queue, Waiting};
use super::request::{ExportRequest, ExportRequests};
use super::sender::{Outcome, Sender};
use super::settings::{OtlpSettings, Tuning};
use super::spread::Spread;
use crate::catalog::Selection;
use crate::clock::Clock;
use crate::heartbeat::Pulse;
use crate::model::Timestamp;
use crate::snapshot::{Snapshot, Snapshots};

/// How soon after its timestamp a reading is in a published snapshot. `observe` publishes every tenth of a second while
/// readings come in; ten times that covers a machine under load. States of a snapshot that is older are stamped this
/// far back, so that no unpublished reading becomes out of order.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(1);

/// The shortest interval at which everything is pushed, whatever is configured: tokio panics on a timer of zero.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// Pushes until `shutdown` is cancelled, then once more.
#[expect(clippy::too_many_arguments, reason = "the parts of an exporter, taken apart by its only caller")]
pub(super) async fn run<T: Transport>(
    transport: T,
    settings: OtlpSettings,
    selection: Selection,
    clock: Arc<dyn Clock>,
    counters: Arc<OtlpCounters>,
    tuning: Tuning,
    pulse: Pulse,
    snapshots: Snapshots,
    shutdown: CancellationToken,
) {
    let hurry = shutdown.child_token();
    let sender =
        Sender::new(transport, settings.collector.timeout, tuning.retry.waits, hurry.clone(), Arc::clone(&counters));
    let mut pusher = Pusher {
        delivery: DeliveryState::new(selection, settings.resource),
        queue: Queue::new(tuning.waiting_pushes),
        requests: VecDeque::new(),
        give_up: Instant::now(),
        state: State::Idle(sender),
        snapshots,
        clock,
        counters,
        tuning,
    };
    pusher.until(settings.interval, &pulse, &shutdown).await;
    hurry.cancel();
    let last_push = settings.collector.timeout.min(pusher.tuning.last_push);
    pusher.finish(last_push).await;
}

/// What triggers a push when it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Occasion {
    /// Pushes the VMs whose lifecycle changed.
    lifecycle: u64,
    /// Pushes everything: after the first round, the VMs have their first statistics.
    complete: bool,
}

impl Occasion {
    fn of(snapshot: &Snapshot) -> Self {
        Self { lifecycle: snapshot.lifecycle, complete: snapshot.complete }
    }

    /// What to push after this change.
    fn extent_since(self, before: Self) -> Option<Extent> {
        if self.complete && !before.complete {
            return Some(Extent::Everything);
        }
        (self.lifecycle != before.lifecycle).then_some(Extent::Changes)
    }
}

/// Waits until a push is due and returns its extent; `None` at once if none is planned.
async fn due(event: Option<(Instant, Extent)>) -> Option<Extent> {
    let (at, extent) = event?;
    tokio::time::sleep_until(at).await;
    Some(extent)
}

/// The exporter's task.
struct Pusher<T> {
    delivery: DeliveryState,
    queue: Queue,
    /// The remaining requests of the current push.
    requests: VecDeque<ExportRequest>,
    /// When the current push is given up.
    give_up: Instant,
    state: State<T>,
    snapshots: Snapshots,
    clock: Arc<dyn Clock>,
    counters: Arc<OtlpCounters>,
    tuning: Tuning,
}

/// A request in flight. It returns its sender.
type Flight<T> = Pin<Box<dyn Future<Output = (Sender<T>, ExportRequest, Outcome)> + Send>>;

enum State<T> {
    Idle(Sender<T>),
    Sending {
        flight: Flight<T>,
        points: usize,
    },
    /// Only while one state is replaced by the next.
    Moving,
}

impl<T: Transport> Pusher<T> {
    /// Pushes until `shutdown` is cancelled or no more snapshots can come.
    async fn until(&mut self, interval: Duration, pulse: &Pulse, shutdown: &CancellationToken) {
        let began = Instant::now();
        let Spread { first, each } = self.tuning.spread;
        let mut ticker = tokio::time::interval_at(began + each, interval.max(SHORTEST_INTERVAL));
        // After a stall the next push comes an interval later, not several at once.
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What is known at the start is pushed by the first tick.
        let mut seen = Occasion::of(&self.snapshots.borrow_and_update());
        let mut last_event: Option<Instant> = None;
        let mut event: Option<(Instant, Extent)> = None;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = self.state.landed(&mut self.delivery) => self.next(),
                _ = ticker.tick() => self.enqueue(Extent::Everything),
                Some(extent) = due(event) => {
                    event = None;
                    last_event = Some(Instant::now());
                    self.enqueue(extent);
                }
                changed = self.snapshots.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = Occasion::of(&self.snapshots.borrow_and_update());
                    if let Some(extent) = now.extent_since(seen) {
                        let earliest = last_event.map(|last| last + self.tuning.event_spacing);
                        event = Some(match event {
                            Some((at, Extent::Everything)) => (at, Extent::Everything),
                            Some((at, Extent::Changes)) => (at, extent),
                            None => (earliest.unwrap_or(began + first), extent),
                        });
                    }
                    seen = now;
                }
                // Only the request waits for a Collector that does not answer.
                () = pulse.idle() => {}
            }
        }
    }

    /// One last push, after all waiting ones, within `timeout`.
    async fn finish(&mut self, timeout: Duration) {
        self.enqueue(Extent::Everything);
        let all = async {
            while self.state.is_sending() {
                self.state.landed(&mut self.delivery).await;
                self.next();
            }
        };
        if tokio::time::timeout(timeout, all).await.is_ok() {
            return;
        }
        let mut lost = match &self.state {
            State::Sending { points, .. } => *points,
            _ => 0,
        };
        while let Some(request) = self.requests.pop_front().or_else(|| {
            self.build();
            self.requests.pop_front()
        }) {
            lost += request.points;
        }
        self.counters.count_dropped(DropReason::Shutdown, lost);
        tracing::warn!(points_lost = lost, "the last metrics could not be delivered before the agent ended");
    }

    fn enqueue(&mut self, extent: Extent) {
        let snapshot = Arc::clone(&self.snapshots.borrow());
        if snapshot.sequence == 0 {
            return;
        }
        self.counters.set_left_to_sidecars(snapshot.vms.iter().filter(|vm| vm.has_sidecar).count());
        let now = Duration::from_nanos(self.clock.now().unix_nanos());
        let taken = snapshot.published.max(Timestamp::from_unix(now.saturating_sub(PUBLISHED_WITHIN)));
        let push = Waiting { cycle: Cycle { snapshot, taken, extent }, since: Instant::now() };
        if let Some((dropped, next)) = self.queue.push(push) {
            let points = self.delivery.superseded(&dropped.cycle, &next);
            self.counters.count_dropped(DropReason::QueueFull, points);
        }
        self.counters.set_queued(self.queue.len());
        self.next();
    }

    /// Starts the next request, unless one is in flight or none is left.
    fn next(&mut self) {
        if self.state.is_sending() {
            return;
        }
        let request = loop {
            if let Some(request) = self.requests.pop_front() {
                break request;
            }
            if !self.build() {
                return;
            }
        };
        let points = request.points;
        let give_up = self.give_up;
        self.state = match std::mem::replace(&mut self.state, State::Moving) {
            State::Idle(mut sender) => {
                let flight = Box::pin(async move {
                    let outcome = sender.send(&request, give_up).await;
                    (sender, request, outcome)
                });
                State::Sending { flight, points }
            }
            other => other,
        };
    }

    /// Builds the requests of the oldest waiting push; `false` if none waits.
    fn build(&mut self) -> bool {
        let Some(push) = self.queue.pop() else { return false };
        self.counters.set_queued(self.queue.len());
        let mut requests = ExportRequests::new(self.tuning.request_limit);
        let LeftOut { late, too_large, duplicate } =
            self.delivery.build(&push.cycle, &mut |messages, points, record| requests.add(messages, points, record));
        self.requests.extend(requests.finish());
        self.give_up = push.since + self.tuning.retry.give_up_after;
        for (reason, points) in
            [(DropReason::Late, late), (DropReason::TooLarge, too_large), (DropReason::Duplicate, duplicate)]
        {
            self.counters.count_dropped(reason, points);
        }
        true
    }
}

impl<T: Transport> State<T> {
    const fn is_sending(&self) -> bool {
        matches!(self, Self::Sending { .. })
    }

    /// Waits for the request in flight and records its outcome; waits for ever if there is none.
    async fn landed(&mut self, delivery: &mut DeliveryState) {
        let Self::Sending { flight, .. } = self else { return std::future::pending().await };
        let (sender, request, outcome) = flight.as_mut().await;
        *self = Self::Idle(sender);
        match outcome {
            Outcome::Delivered => delivery.delivered(request.records),
            Outcome::Dropped => delivery.failed(request.records),
        }
    }
}

#[cfg(test)]
mod tests;
