//! Everything known at one moment. Immutable: `observe` writes one after the other, exporters read the latest.

use std::sync::Arc;

use tokio::sync::watch;

use crate::model::{Daemon, Timestamp, Vm, VmKey};

/// Everything known at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// When it was published; the timestamp of states and info metrics at the endpoint.
    pub published: Timestamp,
    /// Counts snapshots; 0 is the empty one before the first reading.
    pub sequence: u64,
    /// Whether the first round of reads of every daemon is done (each was read, or failed to answer).
    pub complete: bool,
    /// Every libvirt host's daemon, in configuration order.
    pub daemons: Vec<Arc<Daemon>>,
    /// Every VM, ordered by key.
    pub vms: VmList,
    /// Counts lifecycle changes; when it moves, an exporter that pushes does so at once.
    pub lifecycle: u64,
}

impl Snapshot {
    /// The VM with this key.
    #[must_use]
    pub fn vm(&self, key: &VmKey) -> Option<&Arc<Vm>> {
        self.vms.find(key)
    }
}

/// VMs of one part of a list. A list of a thousand has thirty parts, and a change of one VM copies one of them.
const PART: usize = 32;

/// VMs in the order of their keys. Consecutive snapshots have nearly the same ones: a list shares its unchanged parts
/// with the list that it was made from.
#[derive(Debug, Clone, Default)]
pub struct VmList {
    /// Each has [`PART`] VMs, and the last one the rest.
    parts: Vec<Arc<Vec<Arc<Vm>>>>,
}

impl VmList {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.last().map_or(0, |last| (self.parts.len() - 1) * PART + last.len())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The VMs, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Vm>> + Clone {
        self.parts.iter().flat_map(|part| part.iter())
    }

    /// Replaces the VM at `index`.
    pub(crate) fn replace(&mut self, index: usize, vm: &Arc<Vm>) {
        let Some(part) = self.parts.get_mut(index / PART) else { return };
        if part.get(index % PART).is_some_and(|before| !Arc::ptr_eq(before, vm)) {
            Arc::make_mut(part)[index % PART] = Arc::clone(vm);
        }
    }

    fn find(&self, key: &VmKey) -> Option<&Arc<Vm>> {
        let part = self.parts.partition_point(|part| part.last().is_some_and(|last| last.key < *key));
        let part = self.parts.get(part)?;
        part.binary_search_by(|vm| vm.key.cmp(key)).ok().map(|index| &part[index])
    }
}

impl FromIterator<Arc<Vm>> for VmList {
    fn from_iter<I: IntoIterator<Item = Arc<Vm>>>(vms: I) -> Self {
        let mut vms = vms.into_iter();
        let part = || Some(vms.by_ref().take(PART).collect::<Vec<_>>()).filter(|part| !part.is_empty());
        Self { parts: std::iter::from_fn(part).map(Arc::new).collect() }
    }
}

impl From<Vec<Arc<Vm>>> for VmList {
    fn from(vms: Vec<Arc<Vm>>) -> Self {
        vms.into_iter().collect()
    }
}

/// The reader's end: the latest snapshot, and notice of the next.
pub type Snapshots = watch::Receiver<Arc<Snapshot>>;

/// Both ends of the channel that carries snapshots, with an empty one in it.
#[must_use]
pub fn channel() -> (watch::Sender<Arc<Snapshot>>, Snapshots) {
    watch::channel(Arc::new(Snapshot::default()))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::{DaemonId, Identity, Place};

    fn vm(number: usize) -> Arc<Vm> {
        let uuid = Uuid::from_u128(u128::try_from(number).unwrap());
        let place = Place::host("host".into(), "qemu:///system".into());
        let identity = Identity { name: "vm".into(), uuid: Some(uuid), domain_type: None, arch: None, place };
        Arc::new(Vm::new(VmKey { daemon: DaemonId("qemu:///system".into()), uuid }, Arc::new(identity)))
    }

    #[test]
    fn a_list_has_what_it_was_made_of() {
        for count in [0, 1, PART - 1, PART, PART + 1, 5 * PART, 1_000] {
            let vms: Vec<_> = (0..count).map(vm).collect();
            let list = VmList::from(vms.clone());
            assert_eq!((list.len(), list.is_empty()), (count, count == 0));
            assert!(list.iter().eq(&vms));
            assert!(vms.iter().all(|vm| list.find(&vm.key).is_some_and(|found| Arc::ptr_eq(found, vm))));
            assert_eq!(list.find(&vm(count).key), None);
        }
    }

    #[test]
    fn a_changed_list_shares_what_has_not_changed() {
        let before: VmList = (0..3 * PART).map(vm).collect();
        let mut after = before.clone();
        let other = vm(PART + 1);
        after.replace(PART + 1, &other);
        assert!(Arc::ptr_eq(after.find(&other.key).unwrap(), &other));
        assert!(!Arc::ptr_eq(before.find(&other.key).unwrap(), &other), "who has the list before sees no change");
        let shared = |part: usize| Arc::ptr_eq(&before.parts[part], &after.parts[part]);
        assert_eq!([shared(0), shared(1), shared(2)], [true, false, true]);
        after.replace(3 * PART, &other);
        assert_eq!(after.len(), 3 * PART, "there is nobody in that place");
    }
}
