//! What agents show while something is done.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lab_support::cluster::hypervisor;

use super::pod::{Pod, page_at};

/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);
/// How long it goes on looking when everything is done.
const AFTERWARDS: Duration = Duration::from_secs(4);

/// The types that each of these agents shows of a VM while `act` takes and some seconds more, without repetitions.
#[track_caller]
pub fn types_meanwhile(agents: &[&Pod], namespace: &str, name: &str, act: impl FnOnce()) -> Vec<Vec<Option<String>>> {
    let addresses: Vec<SocketAddr> = agents.iter().map(|agent| agent.page_address()).collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let threads: Vec<_> = addresses
            .into_iter()
            .map(|address| {
                let over = &over;
                scope.spawn(move || {
                    let mut types = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        types.push(hypervisor(&page_at(address), namespace, name));
                        std::thread::sleep(LOOK);
                    }
                    types.dedup();
                    types
                })
            })
            .collect();
        let done = catch_unwind(AssertUnwindSafe(act));
        std::thread::sleep(AFTERWARDS);
        // Before anything panics: the scope waits for its threads.
        over.store(true, Ordering::Relaxed);
        let types = threads.into_iter().map(|thread| thread.join().expect("what was seen")).collect();
        match done {
            Ok(()) => types,
            Err(panic) => resume_unwind(panic),
        }
    })
}
