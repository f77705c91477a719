//! Adds and removes the loop's daemons.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use super::roster::Roster;
use crate::model::DaemonId;

/// Which daemons there are.
#[derive(Debug)]
pub(super) struct Members {
    /// Their places by their ids, which is the order of their VMs' keys.
    pub(super) places: BTreeMap<DaemonId, usize>,
    /// Numbers are never reused, so that a late answer for a removed daemon finds nothing.
    next_place: usize,
    /// Whether every daemon present at startup has been added.
    pub(super) complete: bool,
    /// Changes, while any can come.
    pub(super) changes: Option<mpsc::Receiver<Roster>>,
}

impl Members {
    pub(super) fn new(changes: Option<mpsc::Receiver<Roster>>) -> Self {
        Self { places: BTreeMap::new(), next_place: 0, complete: changes.is_none(), changes }
    }

    /// Gives a daemon its place.
    pub(super) fn add(&mut self, daemon: DaemonId) -> usize {
        let place = self.next_place;
        self.next_place += 1;
        self.places.insert(daemon, place);
        place
    }

    /// The next change; waits for ever where there are none.
    pub(super) async fn change(&mut self) -> Option<Roster> {
        match &mut self.changes {
            Some(changes) => changes.recv().await,
            None => std::future::pending().await,
        }
    }

    /// The next change, if it is there.
    pub(super) fn try_change(&mut self) -> Option<Roster> {
        self.changes.as_mut()?.try_recv().ok()
    }
}
