//! Paces the queries that events about a domain trigger.

use tokio::time::Instant;

use super::domain::DomainState;
use super::incarnation::DomainPhase;
use super::pace::Owed;
use super::queries::Actions;

impl DomainState {
    /// Sends an event's queries now or, if the burst is used up, as soon as the pace allows, together with those of
    /// later events until then. Their results are then shown like readings, not at once.
    pub(super) fn paced(&mut self, mut actions: Actions, now: Instant) -> Actions {
        if let Some(owed) = self.due.owed.take() {
            owed.add_to(&mut actions, self.incarnation.phase == DomainPhase::Active);
        }
        if self.due.pace.take(now) {
            return actions;
        }
        let Actions { status, describe, read, .. } = actions;
        self.due.owed = Some(Owed { due: self.due.pace.next(), status, describe, read });
        Actions { remove: actions.remove, ..Actions::default() }
    }

    /// The owed queries, if they may go out now.
    pub(super) fn take_owed(&mut self, now: Instant) -> Actions {
        let mut actions = Actions::default();
        if let Some(owed) = &mut self.due.owed
            && owed.due <= now
        {
            if self.due.pace.take(now) {
                owed.add_to(&mut actions, self.incarnation.phase == DomainPhase::Active);
                self.due.owed = None;
            } else {
                owed.due = self.due.pace.next();
            }
        }
        actions
    }
}
