//! Changes a domain's phase as libvirt reports its events and state.

use std::sync::Arc;

use super::context::{DaemonContext, Moment};
use super::detection::Trigger;
use super::domain::DomainState;
use super::incarnation::DomainPhase;
use super::queries::Actions;
use super::room;
use super::settings::EVENT_GAP;
use crate::model::{State, Status};
use crate::source::DomainEvent;

impl DomainState {
    /// Something happened to the domain.
    pub(super) fn on_event(&mut self, event: &DomainEvent, name: &Arc<str>, moment: Moment) -> Actions {
        if !event.is_lifecycle() {
            return self.on_minor_event(event, moment);
        }
        // A rename undefines the old name and defines the new one.
        if *event != DomainEvent::Undefined {
            self.rename(Arc::clone(name));
        }
        let epoch = self.calls.epoch;
        let mut actions = Actions { status: true, read: true, ..Actions::default() };
        match *event {
            DomainEvent::Started { incoming_migration: true } => {
                self.end();
                self.incarnation.phase = DomainPhase::Arriving;
                actions.read = false;
            }
            DomainEvent::Started { incoming_migration: false } => {
                let boot = self.detection.completes_boot(Trigger::Started, moment.instant);
                if boot && self.incarnation.phase == DomainPhase::Active {
                    // Its RESUMED came first, and its state was read in between: detection is already running.
                    if self.incarnation.id.is_none() {
                        self.incarnation.seen = Some(self.incarnation.stamp(moment));
                    }
                } else {
                    self.begin_now(moment);
                    self.detection.completes_boot(Trigger::Started, moment.instant);
                    actions.describe = true;
                }
            }
            DomainEvent::Resumed { migrated: true } if self.incarnation.phase == DomainPhase::Arriving => {
                self.begin_now(moment);
                actions.describe = true;
            }
            DomainEvent::Resumed { .. } => {
                // Ends a pause or a cancelled migration, or is the first half of a boot. For a domain that was not
                // known to run, it does not prove a start: the state will show that it runs, and STARTED that it began.
                let boot = self.detection.completes_boot(Trigger::Resumed, moment.instant);
                actions.describe = self.incarnation.phase == DomainPhase::Active && !boot;
            }
            DomainEvent::Stopped => {
                self.end();
                self.detection.forget_trigger();
                self.vm_mut().status = None;
                if let Some(held) = &mut self.held {
                    Arc::make_mut(held).status = None;
                }
                actions.read = false;
            }
            DomainEvent::Suspended => self.detection.forget_trigger(),
            DomainEvent::Defined
            | DomainEvent::Undefined
            | DomainEvent::StateChanged
            | DomainEvent::Rebooted
            | DomainEvent::DevicesChanged
            | DomainEvent::JobChanged => {}
        }
        actions.read &= self.incarnation.phase == DomainPhase::Active;
        // The other events only say that it is time to query.
        actions.lifecycle = self.calls.epoch != epoch;
        self.paced(actions, moment.instant)
    }

    fn begin_now(&mut self, moment: Moment) {
        let seen = self.incarnation.stamp(moment);
        self.begin(Some(seen));
    }

    /// An event that guests can trigger without limit: at most one reading a second.
    fn on_minor_event(&mut self, event: &DomainEvent, moment: Moment) -> Actions {
        let mut actions = Actions::default();
        if self.incarnation.phase != DomainPhase::Active {
            return actions;
        }
        let devices = *event == DomainEvent::DevicesChanged;
        let due = self.due.event_read.map_or(moment.instant, |read| moment.instant.max(read + EVENT_GAP));
        if due <= moment.instant && self.due.event_due.is_none() {
            self.due.event_read = Some(moment.instant);
            actions.read = true;
            actions.describe = devices;
        } else {
            self.due.event_due.get_or_insert(due);
            self.due.event_describe |= devices;
        }
        actions
    }

    /// Its state was read; `None`: the daemon does not know it.
    pub(super) fn on_status(&mut self, status: Option<Status>, moment: Moment, context: &DaemonContext) -> Actions {
        let mut actions = Actions::default();
        let Some(status) = status else {
            actions.remove = true;
            return actions;
        };
        if self.incarnation.phase == DomainPhase::Unknown {
            self.condition.failing = false;
        }
        let before = (self.incarnation.phase, self.vm.status, self.visible, Arc::clone(&self.vm.identity));
        if !status.state.is_active() {
            if self.incarnation.phase == DomainPhase::Active || self.incarnation.goes_on {
                self.end();
            }
            self.incarnation.phase = DomainPhase::Inactive;
        } else if self.incarnation.phase != DomainPhase::Active {
            actions = self.runs(status, context);
        }
        if self.vm.status != Some(status) {
            self.vm_mut().status = Some(status);
        }
        self.figures.state_read(moment.instant);
        if self.incarnation.phase != DomainPhase::Active {
            self.show_idle(context);
        }
        actions.lifecycle |=
            before.0 != self.incarnation.phase || before.1 != self.vm.status || before.2 != self.visible;
        actions.lifecycle |= !Arc::ptr_eq(&before.3, &self.vm.identity);
        actions
    }

    /// A list names it, and its known state may disagree.
    pub(super) fn relisted(&mut self, name: Arc<str>, id: Option<u32>) {
        if self.incarnation.phase == DomainPhase::Active {
            return;
        }
        self.rename(name);
        if self.incarnation.goes_on && self.incarnation.id.is_some() && self.incarnation.id != id {
            // The domain was restarted while the daemon was unreachable.
            self.end();
            self.incarnation.phase = DomainPhase::Unknown;
        }
    }

    /// Renames it. It is shown under the old name until its incarnation ends.
    fn rename(&mut self, name: Arc<str>) {
        self.claim.set_names([room::name_bytes(&name), room::identity_bytes(&self.vm.identity)]);
        self.name = name;
    }

    /// It runs, which was not known.
    fn runs(&mut self, status: Status, context: &DaemonContext) -> Actions {
        if self.incarnation.goes_on {
            // The daemon was unreachable. The next reading tells whether the incarnation is still the same.
            self.incarnation.phase = DomainPhase::Active;
        } else if context.vmi.is_none() && is_arriving(status) {
            // Where the Kubernetes API reports the VMI, it also reports its arrival.
            self.incarnation.phase = DomainPhase::Arriving;
            return Actions::default();
        } else {
            self.begin(None);
        }
        Actions { describe: true, read: true, lifecycle: true, ..Actions::default() }
    }
}

/// Whether it looks like the destination of a migration, or a domain being set up. A migration's source looks the same
/// at the very end, but is already known.
fn is_arriving(status: Status) -> bool {
    status.state == State::Paused && matches!(status.reason.as_str(), "migration" | "starting_up")
}
