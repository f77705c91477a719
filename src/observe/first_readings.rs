//! At startup, VMs are identified before any is read.

use tokio::time::Instant;

use super::domain::DomainState;
use super::engine::{Engine, reading_of};
use super::incarnation::DomainPhase;

impl DomainState {
    /// Whether it is identified, or cannot be.
    pub(super) fn is_known(&self) -> bool {
        match self.incarnation.phase {
            DomainPhase::Unknown => self.condition.attempted,
            DomainPhase::Inactive | DomainPhase::Arriving => true,
            DomainPhase::Active => self.visible,
        }
    }
}

impl Engine {
    /// Starts the first readings, once the VMs are identified.
    pub(super) fn begin_to_read(&mut self, now: Instant) {
        let readings = self.first.take(self.publisher.knows_all(), now);
        if !readings.is_empty() {
            self.outgoing.extend(readings.into_iter().map(|(place, uuid)| (place, reading_of(uuid))));
            self.send_out();
        }
    }
}
