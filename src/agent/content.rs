//! What the admin server shows: the latest snapshot and the agent's own metrics.

use std::sync::Arc;

use crate::admin::{Content, DaemonState, Made, NotMade, Page, State};
use crate::clock::Clock;
use crate::export::prometheus::{Format, Renderer};
use crate::heartbeat::{Heartbeats, Still};
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
            daemons: snapshot
                .daemons
                .iter()
                .map(|daemon| DaemonState { uri: daemon.id.to_string(), up: daemon.up })
                .collect(),
        }
    }

    fn still(&self) -> Vec<Still> {
        self.heartbeats.still()
    }
}
