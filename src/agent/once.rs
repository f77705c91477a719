//! Reads everything once, for somebody who waits for it.

use std::sync::Arc;
use std::time::Duration;

use super::error::AgentError;
use super::live::Live;
use crate::config;
use crate::model::Vm;
use crate::snapshot::Snapshot;
use crate::watch::WatchCounters;

/// How long the round may take beyond a call's deadline: the first reading in a daemon's life takes up to thirty
/// seconds, and 500 VMs take three.
const ROUND: Duration = Duration::from_secs(45);

/// The interval for `observe`: first readings are spread over it, and a person waits. There is no second reading.
const INTERVAL: Duration = Duration::from_secs(1);

/// What was read.
#[derive(Debug, Clone)]
pub struct Once {
    /// The snapshot in which everything has been read, or the latest when time was up.
    pub snapshot: Arc<Snapshot>,
    /// The counters of the watch, if there is one.
    pub watch: Option<Arc<WatchCounters>>,
}

/// Reads everything once, with few calls: an agent may read the same daemons. Whoever `looks` on sees each snapshot. Must
/// be called within the runtime.
///
/// # Errors
///
/// When the credentials for the Kubernetes API cannot be used.
pub async fn read_once(source: &config::Source, mut looks: impl FnMut(&Snapshot)) -> Result<Once, AgentError> {
    let mut live = Live::once(source, INTERVAL).await?;
    let done = async {
        while let Some(snapshot) = live.next().await {
            looks(&snapshot);
            if snapshot.complete && snapshot.vms.iter().all(|vm| answered(vm)) {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(patience(source), done).await;
    let snapshot = Arc::clone(&live.snapshots.borrow());
    let watch = live.watch.clone();
    live.end().await;
    Ok(Once { snapshot, watch })
}

/// How long the reading may take.
#[must_use]
pub fn patience(source: &config::Source) -> Duration {
    source.deadline + ROUND
}

/// Whether it can have figures: it has a domain that runs, as far as is known.
#[must_use]
pub fn runs(vm: &Vm) -> bool {
    !vm.key.uuid.is_nil() && vm.status.is_none_or(|status| status.state.is_active())
}

/// Whether there is nothing to wait for: it does not run, was read, or hangs.
#[must_use]
pub fn answered(vm: &Vm) -> bool {
    !runs(vm) || vm.collection.complete.is_some() || vm.collection.stuck
}

/// How many VMs a message names.
const NAMED: usize = 5;

/// The first names of these VMs, and how many more there are; `None` if there are none.
pub fn named<'a>(vms: impl Iterator<Item = &'a Arc<Vm>>) -> Option<String> {
    let names: Vec<&str> = vms.map(|vm| &*vm.identity.name).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let named = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    (!names.is_empty()).then(|| format!("{named}{more}"))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::{Collection, Status};
    use crate::testing::sample;

    const RUNNING: i64 = 1;
    const SHUT_OFF: i64 = 5;

    fn vm(state: i64, complete: Option<bool>, stuck: bool) -> Vm {
        let mut vm = sample::running();
        vm.status = Some(Status::from_libvirt(state, 0));
        vm.collection = Collection { stuck, complete, ..Collection::default() };
        vm
    }

    #[test]
    fn waits_for_those_who_may_still_answer_only() {
        assert!(!answered(&vm(RUNNING, None, false)));
        assert!(answered(&vm(RUNNING, Some(false), false)));
        assert!(answered(&vm(RUNNING, None, true)));
        assert!(answered(&vm(SHUT_OFF, None, false)));
    }

    #[test]
    fn a_vmi_without_a_domain_is_not_waited_for() {
        let mut bare = vm(RUNNING, None, false);
        bare.status = None;
        bare.key.uuid = Uuid::nil();
        assert!(answered(&bare));
    }
}
