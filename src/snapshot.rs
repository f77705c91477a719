//! Everything known at one moment. Immutable: `observe` writes one after the other, exporters read the latest.

use std::sync::Arc;

use tokio::sync::watch;

use crate::model::{Daemon, Timestamp, Vm, VmKey};

/// Everything known at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// When it was published; the stamp of states and info metrics at the endpoint.
    pub published: Timestamp,
    /// Counts snapshots; 0 is the empty one before the first reading.
    pub sequence: u64,
    /// Whether the first round over every daemon is done (each has been read, or has failed to answer).
    pub complete: bool,
    /// Every daemon, in the order of the configuration.
    pub daemons: Vec<Arc<Daemon>>,
    /// Every VM, ordered by key.
    pub vms: Vec<Arc<Vm>>,
    /// Counts lifecycle changes; when it moves, an exporter that pushes does so at once.
    pub lifecycle: u64,
}

impl Snapshot {
    /// The VM with this key.
    #[must_use]
    pub fn vm(&self, key: &VmKey) -> Option<&Arc<Vm>> {
        self.vms.binary_search_by(|vm| vm.key.cmp(key)).ok().map(|index| &self.vms[index])
    }
}

/// The reader's end: the latest snapshot, and word of the next.
pub type Snapshots = watch::Receiver<Arc<Snapshot>>;

/// Both ends of the channel that carries snapshots, with an empty one in it.
#[must_use]
pub fn channel() -> (watch::Sender<Arc<Snapshot>>, Snapshots) {
    watch::channel(Arc::new(Snapshot::default()))
}
