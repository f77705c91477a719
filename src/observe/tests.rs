//! `observe` against a scripted daemon, on paused time.

mod away;
mod choice;
mod convergence;
mod fake;
mod faults;
mod figures;
mod floods;
mod lifecycle;
mod logs;
mod metadata;
mod migration;
mod owned;
mod pace;
mod properties;
mod share;
mod unreached;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::fake::{FakeClock, FakeSource};
use super::{Feed, ObserveCounters, Settings};
use crate::clock::Clock;
use crate::model::{DaemonId, Timestamp, Vm, VmKey};
use crate::snapshot::{Snapshot, Snapshots, channel};
use crate::source::Source;

const SECOND: Duration = Duration::from_secs(1);
const INTERVAL: Duration = super::DEFAULT_INTERVAL;
/// Enough for an event to be seen, its queries to be answered, and the statistics to be published.
const MOMENT: Duration = Duration::from_millis(150);

/// `observe`, running.
struct Bench {
    fakes: Vec<Arc<FakeSource>>,
    snapshots: Snapshots,
    counters: Arc<ObserveCounters>,
    clock: Arc<FakeClock>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Bench {
    /// Observes one daemon, which is connected once `prepare` has filled it.
    async fn with(prepare: impl FnOnce(&FakeSource)) -> Self {
        Self::of(Settings::default(), &["fake:///one"], |fakes| {
            prepare(&fakes[0]);
            fakes[0].connect();
        })
        .await
    }

    /// Observes these daemons.
    async fn of(settings: Settings, uris: &[&str], prepare: impl FnOnce(&[Arc<FakeSource>])) -> Self {
        let (fakes, feeds): (Vec<_>, Vec<_>) = uris.iter().map(|uri| FakeSource::new(uri)).unzip();
        prepare(&fakes);
        let sources: Vec<Feed> =
            fakes.iter().zip(feeds).map(|(fake, feed)| Feed::host(Arc::clone(fake) as Arc<dyn Source>, feed)).collect();
        let (sender, snapshots) = channel();
        let counters = Arc::new(ObserveCounters::new());
        let clock = FakeClock::new();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(super::run(
            settings,
            sources,
            None,
            Arc::clone(&clock) as Arc<dyn Clock>,
            sender,
            Arc::clone(&counters),
            shutdown.clone(),
        ));
        let bench = Self { fakes, snapshots, counters, clock, shutdown, task };
        bench.pass(MOMENT * 4).await;
        bench
    }

    /// Time passes.
    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn fake(&self) -> &FakeSource {
        &self.fakes[0]
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    fn try_vm(&self, uuid: Uuid) -> Option<Arc<Vm>> {
        let daemon: DaemonId = self.fakes[0].id().clone();
        self.snapshot().vm(&VmKey { daemon, uuid }).cloned()
    }

    fn vm(&self, uuid: Uuid) -> Arc<Vm> {
        self.try_vm(uuid).expect("the VM is in the snapshot")
    }
}

/// Whether nothing but the state of a VM is shown.
fn has_state_only(vm: &Vm) -> bool {
    vm.hypervisor.is_none() && vm.description.is_none() && vm.newest().is_none() && vm.collection.ages.is_empty()
}

/// The start of a VM's CPU counters.
fn start_of(bench: &Bench, uuid: Uuid) -> Timestamp {
    bench.vm(uuid).cpu.as_ref().expect("it has been read").start
}
