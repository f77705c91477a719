//! What agents show while something is done.

use std::time::Duration;

use lab_support::cluster::hypervisor;
use lab_support::meanwhile;

use super::pod::{Pod, page_at};

/// How long it goes on looking when everything is done.
const AFTERWARDS: Duration = Duration::from_secs(4);

/// The types that each of these agents shows of a VM while `act` takes and some seconds more, without repetitions.
#[track_caller]
pub fn types_meanwhile(agents: &[&Pod], namespace: &str, name: &str, act: impl FnOnce()) -> Vec<Vec<Option<String>>> {
    let looks = agents.iter().map(|agent| {
        let page = agent.page_address();
        move || hypervisor(&page_at(page), namespace, name)
    });
    let ((), mut types) = meanwhile(looks, AFTERWARDS, act);
    types.iter_mut().for_each(Vec::dedup);
    types
}
