//! What the admin server shows: the latest snapshot and the agent's own metrics.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::admin::{Content, Made, NotMade, Page, Pushes, State, Status};
use crate::clock::Clock;
use crate::export::otlp::OtlpCounters;
use crate::export::prometheus::{Format, Renderer};
use crate::heartbeat::{Heartbeats, Still};
use crate::rates::{Rates, Readings};
use crate::snapshot::{Snapshot, Snapshots};
use crate::telemetry;
use crate::watch::WatchCounters;

/// Approximate bytes per VM of a page, so that its first buffer need not grow.
const BYTES_PER_VM: usize = 10 * 1_024;

/// The buffer of a long page. glibc returns anything above 32 MiB to the system as soon as it is freed; smaller buffers
/// it would keep after a large page (`DEFAULT_MMAP_THRESHOLD_MAX`). The unwritten part takes no memory.
const GIVEN_BACK: usize = 33 * 1_024 * 1_024;

/// VMs whose page takes about a millisecond to render. Larger pages are rendered on a blocking thread.
const SHORT: usize = 256;

/// Whether its page takes longer to render than other tasks should wait.
fn is_long(snapshot: &Snapshot) -> bool {
    snapshot.vms.len() > SHORT
}

pub(super) struct Shown {
    /// `None` if metrics are not served.
    pub(super) renderer: Option<Renderer>,
    pub(super) own: Option<telemetry::Page>,
    pub(super) snapshots: Snapshots,
    pub(super) heartbeats: Heartbeats,
    /// `None` where no Kubernetes API is used.
    pub(super) watch: Option<Arc<WatchCounters>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) about: About,
    /// Where is pushed, and what becomes of it; `None` if nothing is pushed.
    pub(super) pushes: Option<(String, Arc<OtlpCounters>)>,
    pub(super) looked: Mutex<Looked>,
}

/// What does not change while the agent runs.
pub(super) struct About {
    /// What it reads, in a few words.
    pub(super) reads: String,
    /// How often.
    pub(super) interval: Duration,
    /// Since when it runs.
    pub(super) began: Instant,
}

/// The readings that somebody who looks at the status page has seen: only while somebody looks are any kept.
#[derive(Default)]
pub(super) struct Looked {
    readings: Readings,
    at: Option<Instant>,
}

/// For how long after a look readings are of use: a rate over more than that is not of now.
const OF_NOW: Duration = Duration::from_secs(60);

impl Looked {
    /// What each VM does between the two newest readings that were seen.
    fn rates(&mut self, snapshot: &Snapshot, interval: Duration, now: Instant) -> Vec<Rates> {
        if self.at.is_some_and(|at| now.saturating_duration_since(at) > OF_NOW.max(interval * 2)) {
            self.readings = Readings::default();
        }
        self.at = Some(now);
        self.readings.take(snapshot);
        snapshot.vms.iter().map(|vm| self.readings.of(&vm.key)).collect()
    }
}

impl Shown {
    /// `/metrics`; `None` if metrics are not served.
    fn page(&self, snapshot: &Snapshot, accept: Option<&str>) -> Option<Page> {
        let renderer = self.renderer.as_ref()?;
        let format = Format::negotiate(accept);
        let own = self.own.as_ref().map(telemetry::Page::families).unwrap_or_default();
        let about = BYTES_PER_VM.saturating_mul(snapshot.vms.len() + 1);
        let mut text = String::with_capacity(if is_long(snapshot) { about.max(GIVEN_BACK) } else { about });
        renderer.render(snapshot, &own, format, &mut text);
        Some(Page { content_type: format.content_type(), body: text.into_bytes() })
    }
}

impl Content for Shown {
    fn metrics(self: Arc<Self>, accept: Option<String>) -> Made {
        // The channel's lock is held while a pointer is cloned, not while rendering.
        let snapshot = Arc::clone(&self.snapshots.borrow());
        if !is_long(&snapshot) {
            return Box::pin(std::future::ready(Ok(self.page(&snapshot, accept.as_deref()))));
        }
        let making = tokio::task::spawn_blocking(move || self.page(&snapshot, accept.as_deref()));
        Box::pin(async move { making.await.map_err(|_| NotMade) })
    }

    fn state(&self) -> State {
        let snapshot = Arc::clone(&self.snapshots.borrow());
        State {
            serves_metrics: self.renderer.is_some(),
            complete: snapshot.complete,
            api_away: self.watch.as_ref().map(|watch| watch.away().unwrap_or_default()),
            snapshot_age: (snapshot.sequence > 0).then(|| self.clock.now().since(snapshot.published)),
            vms: snapshot.vms.len(),
        }
    }

    fn status(&self) -> Status {
        let (snapshot, now) = (Arc::clone(&self.snapshots.borrow()), Instant::now());
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let rates = looked.rates(&snapshot, self.about.interval, now);
        drop(looked);
        let pushes = self.pushes.as_ref().map(|(endpoint, counters)| Pushes {
            endpoint: endpoint.clone(),
            accepted: counters.since_accepted(),
            waiting: counters.queued(),
            lost: counters.all_dropped(),
            failure: counters.failure(),
        });
        Status {
            state: self.state(),
            reads: self.about.reads.clone(),
            runs_for: now.saturating_duration_since(self.about.began),
            interval: self.about.interval,
            snapshot,
            rates,
            pushes,
        }
    }

    fn still(&self) -> Vec<Still> {
        self.heartbeats.still()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sample;

    fn read(seconds: u64, factor: u32) -> Snapshot {
        let mut vm = sample::running();
        if let Some(cpu) = &mut vm.cpu {
            cpu.at = sample::READ.after(Duration::from_secs(seconds));
            cpu.value.time = cpu.value.time.map(|time| time * factor);
        }
        Snapshot { vms: vec![Arc::new(vm)].into(), ..Snapshot::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_rates_while_somebody_looks_and_never_over_a_long_time() {
        let (mut looked, interval) = (Looked::default(), Duration::from_secs(15));
        let mut cpu = |snapshot: &Snapshot| looked.rates(snapshot, interval, Instant::now())[0].cpu;
        assert_eq!(cpu(&read(0, 1)), None, "one reading has no rate");
        tokio::time::advance(interval).await;
        assert!(cpu(&read(15, 2)).is_some_and(|cpu| cpu > 0.0));
        tokio::time::advance(OF_NOW * 10).await;
        assert_eq!(cpu(&read(600, 3)), None, "nobody has looked for ten minutes");
    }
}
