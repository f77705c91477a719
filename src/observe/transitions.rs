//! Changes a domain's phase as libvirt reports its events and state.

use std::sync::Arc;

use super::detection::Trigger;
use super::settings::EVENT_GAP;
use super::track::{Moment, Phase, Surroundings, Track, Wants};
use crate::model::{State, Status};
use crate::source::DomainEvent;

impl Track {
    /// Something happened to the domain.
    pub(super) fn on_event(&mut self, event: &DomainEvent, name: &Arc<str>, moment: Moment) -> Wants {
        if !event.is_lifecycle() {
            return self.on_minor_event(event, moment);
        }
        // A rename undefines the old name and defines the new one.
        if *event != DomainEvent::Undefined {
            self.rename(Arc::clone(name));
        }
        let epoch = self.calls.epoch;
        let mut wants = Wants { status: true, read: true, ..Wants::default() };
        match *event {
            DomainEvent::Started { incoming_migration: true } => {
                self.end();
                self.phase = Phase::Arriving;
                wants.read = false;
            }
            DomainEvent::Started { incoming_migration: false } => {
                let boot = self.detection.completes_boot(Trigger::Started, moment.instant);
                if boot && self.phase == Phase::Active {
                    // Its RESUMED came first, and its state was read in between: detection is already running.
                    if self.id.is_none() {
                        self.seen = Some(self.stamp(moment));
                    }
                } else {
                    self.begin_now(moment);
                    self.detection.completes_boot(Trigger::Started, moment.instant);
                    wants.describe = true;
                }
            }
            DomainEvent::Resumed { migrated: true } if self.phase == Phase::Arriving => {
                self.begin_now(moment);
                wants.describe = true;
            }
            DomainEvent::Resumed { .. } => {
                // Ends a pause or a cancelled migration, or is the first half of a boot. For a domain that was not
                // known to run, it does not prove a start: the state will show that it runs, and STARTED that it began.
                let boot = self.detection.completes_boot(Trigger::Resumed, moment.instant);
                wants.describe = self.phase == Phase::Active && !boot;
            }
            DomainEvent::Stopped => {
                self.end();
                self.detection.forget_trigger();
                self.vm_mut().status = None;
                if let Some(held) = &mut self.held {
                    Arc::make_mut(held).status = None;
                }
                wants.read = false;
            }
            DomainEvent::Suspended => self.detection.forget_trigger(),
            DomainEvent::Defined
            | DomainEvent::Undefined
            | DomainEvent::StateChanged
            | DomainEvent::Rebooted
            | DomainEvent::DevicesChanged
            | DomainEvent::JobChanged => {}
        }
        wants.read &= self.phase == Phase::Active;
        // The other events only say that it is time to query.
        wants.lifecycle = self.calls.epoch != epoch;
        self.paced(wants, moment.instant)
    }

    fn begin_now(&mut self, moment: Moment) {
        let seen = self.stamp(moment);
        self.begin(Some(seen));
    }

    /// An event that guests can trigger without limit: at most one reading a second.
    fn on_minor_event(&mut self, event: &DomainEvent, moment: Moment) -> Wants {
        let mut wants = Wants::default();
        if self.phase != Phase::Active {
            return wants;
        }
        let devices = *event == DomainEvent::DevicesChanged;
        let due = self.event_read.map_or(moment.instant, |read| moment.instant.max(read + EVENT_GAP));
        if due <= moment.instant && self.event_due.is_none() {
            self.event_read = Some(moment.instant);
            wants.read = true;
            wants.describe = devices;
        } else {
            self.event_due.get_or_insert(due);
            self.event_describe |= devices;
        }
        wants
    }

    /// Its state was read; `None`: the daemon does not know it.
    pub(super) fn on_status(&mut self, status: Option<Status>, moment: Moment, around: &Surroundings) -> Wants {
        let mut wants = Wants::default();
        let Some(status) = status else {
            wants.remove = true;
            return wants;
        };
        if self.phase == Phase::Unknown {
            self.failing = false;
        }
        let before = (self.phase, self.vm.status, self.visible, Arc::clone(&self.vm.identity));
        if !status.state.is_active() {
            if self.phase == Phase::Active || self.incarnated {
                self.end();
            }
            self.phase = Phase::Inactive;
        } else if self.phase != Phase::Active {
            wants = self.runs(status, around);
        }
        if self.vm.status != Some(status) {
            self.vm_mut().status = Some(status);
        }
        self.figures.state_read(moment.instant);
        if self.phase != Phase::Active {
            self.show_idle(around);
        }
        wants.lifecycle |= before.0 != self.phase || before.1 != self.vm.status || before.2 != self.visible;
        wants.lifecycle |= !Arc::ptr_eq(&before.3, &self.vm.identity);
        wants
    }

    /// A list names it, and its known state may disagree.
    pub(super) fn relisted(&mut self, name: Arc<str>, id: Option<u32>) {
        if self.phase == Phase::Active {
            return;
        }
        self.rename(name);
        if self.incarnated && self.id.is_some() && self.id != id {
            // The domain was restarted while the daemon was unreachable.
            self.end();
            self.phase = Phase::Unknown;
        }
    }

    /// Renames it. It is shown under the old name until its incarnation ends.
    fn rename(&mut self, name: Arc<str>) {
        self.claim.set_names([&name, &self.vm.identity.name]);
        self.name = name;
    }

    /// It runs, which was not known.
    fn runs(&mut self, status: Status, around: &Surroundings) -> Wants {
        if self.incarnated {
            // The daemon was unreachable. The next reading tells whether the incarnation is still the same.
            self.phase = Phase::Active;
        } else if around.vmi.is_none() && is_arriving(status) {
            // Where the Kubernetes API reports the VMI, it also reports its arrival.
            self.phase = Phase::Arriving;
            return Wants::default();
        } else {
            self.begin(None);
        }
        Wants { describe: true, read: true, lifecycle: true, ..Wants::default() }
    }
}

/// Whether it looks like the destination of a migration, or a domain being set up. A migration's source looks the same
/// at the very end, but is already known.
fn is_arriving(status: Status) -> bool {
    status.state == State::Paused && matches!(status.reason.as_str(), "migration" | "starting_up")
}
