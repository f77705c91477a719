//! What is known about one domain, and its pending queries.

use std::sync::Arc;

use tokio::time::Instant;
use uuid::Uuid;

use super::condition::Condition;
use super::context::DaemonContext;
use super::detection::Detection;
use super::due::Due;
use super::figures::{Figures, has_figures, strip};
use super::incarnation::{DomainPhase, Incarnation};
use super::queries::{Actions, CallState, Pending};
use super::room;
use super::settings::{HEARTBEAT, Intervals};
use super::share::Claim;
use crate::model::{
    Collection, Description, Group, Groups, HypervisorType, Identity, MetadataLabels, Place, Timestamp, Vm, VmKey, Vmi,
};
use crate::source::ReadError;

/// One domain.
#[derive(Debug)]
pub(super) struct DomainState {
    /// What is shown of it, or will be. Shared with the snapshots: it is copied when it changes after publication.
    pub(super) vm: Arc<Vm>,
    /// Whether `vm` may be shown. Until the first detection of an incarnation is over, its identity is not known.
    pub(super) visible: bool,
    /// What is shown meanwhile: the domain as it was before, without statistics.
    pub(super) held: Option<Arc<Vm>>,
    pub(super) name: Arc<str>,
    pub(super) incarnation: Incarnation,
    pub(super) condition: Condition,
    pub(super) due: Due,
    pub(super) figures: Figures,
    /// Its part of the room that its daemon's VMs share.
    pub(super) claim: Claim,
    pub(super) detection: Detection,
    pub(super) calls: Pending,
}

impl DomainState {
    pub(super) fn new(uuid: Uuid, name: Arc<str>, context: &DaemonContext, now: Instant) -> Self {
        let key = VmKey { daemon: context.daemon.clone(), uuid };
        let identity = Arc::new(identity(uuid, &name, None, context));
        let vm = Vm { vmi: context.vmi.clone(), has_sidecar: context.has_sidecar, ..Vm::new(key, identity) };
        let mut claim = Claim::new(&context.share);
        claim.set_names([room::name_bytes(&name)]);
        Self {
            vm: Arc::new(vm),
            visible: false,
            held: None,
            name,
            incarnation: Incarnation::new(),
            condition: Condition::default(),
            due: Due::new(uuid, context, now),
            figures: Figures::default(),
            claim,
            detection: Detection::default(),
            calls: Pending::default(),
        }
    }

    /// The VM, for changes.
    pub(super) fn vm_mut(&mut self) -> &mut Vm {
        self.due.refreshed = None;
        Arc::make_mut(&mut self.vm)
    }

    /// What is shown of it.
    pub(super) fn shown(&self) -> Option<&Arc<Vm>> {
        if self.visible { Some(&self.vm) } else { self.held.as_ref() }
    }

    /// Its owner has changed: the VMI in the Kubernetes API, or whether a sidecar pushes it.
    pub(super) fn set_owner(&mut self, vmi: Option<&Arc<Vmi>>, has_sidecar: bool) {
        for vm in [Some(&mut self.vm), self.held.as_mut()].into_iter().flatten() {
            let vm = Arc::make_mut(vm);
            vm.vmi = vmi.cloned();
            vm.has_sidecar = has_sidecar;
        }
    }

    /// Whether a limit cut anything from it.
    pub(super) fn is_cut(&self) -> bool {
        self.figures.left_out() > 0 || self.vm.description.as_ref().is_some_and(|description| description.left_out > 0)
    }

    /// A new incarnation begins; `seen` is its start, if observed. The old one's statistics are dropped. The domain is
    /// shown by its old identity, with its state only, until the new identity is known.
    pub(super) fn begin(&mut self, seen: Option<Timestamp>) {
        self.end();
        if self.visible {
            self.held = Some(Arc::clone(&self.vm));
        }
        if self.vm.status.is_some_and(|status| !status.state.is_active()) {
            self.vm_mut().status = None; // that was before it began
        }
        self.visible = false;
        self.incarnation.phase = DomainPhase::Active;
        self.incarnation.goes_on = true;
        self.incarnation.seen = seen;
    }

    /// The incarnation ends, if there is one: everything that belonged to it is dropped, except the state and the
    /// identity.
    pub(super) fn end(&mut self) {
        strip(self.vm_mut());
        self.calls.epoch = self.calls.epoch.wrapping_add(1);
        self.incarnation.phase = DomainPhase::Inactive;
        self.incarnation.goes_on = false;
        self.incarnation.id = None;
        self.incarnation.seen = None;
        self.incarnation.verify = false;
        self.figures = Figures::default();
        self.claim.set_shown(0, false);
        self.detection.restart();
        self.condition.attempted = false;
        self.due.event_due = None;
        self.due.event_describe = false;
        self.condition.hung = false;
        self.condition.busy_long = false;
        self.condition.complete = None;
        self.condition.busy_since = None;
        self.condition.job_active = false;
        self.condition.left_behind = None;
    }

    /// Shows the VM by the identity known now, which stays the same until the incarnation ends.
    pub(super) fn show(&mut self, context: &DaemonContext) {
        let identity = context.told.clone().unwrap_or_else(|| Arc::new(self.identity(context)));
        self.claim.set_names([room::identity_bytes(&identity)]);
        self.vm_mut().identity = identity;
        self.visible = true;
        self.held = None;
    }

    /// The identity known now, without labels for which there is no room.
    fn identity(&mut self, context: &DaemonContext) -> Identity {
        let mut identity = identity(self.vm.key.uuid, &self.name, self.vm.description.as_deref(), context);
        if !self.claim.takes(room::identity_bytes(&identity))
            && identity.place.drop_labels()
            && let Some(description) = &mut self.vm_mut().description
        {
            let description = Arc::make_mut(description);
            description.left_out = description.left_out.saturating_add(1);
        }
        identity
    }

    /// A domain that does not run, or is still migrating in, is shown as soon as its state is known, and again after a
    /// rename.
    pub(super) fn show_idle(&mut self, context: &DaemonContext) {
        if !self.visible || self.vm.identity.name != self.name {
            self.show(context);
        }
    }

    /// Events were lost: the next reading must tell whether the incarnation goes on, and whether the detection still
    /// holds.
    pub(super) fn doubt(&mut self) {
        self.incarnation.verify = self.incarnation.goes_on;
        self.detection.doubt();
    }

    /// Its state could not be read.
    pub(super) fn status_failed(&mut self, error: &ReadError, context: &DaemonContext) {
        self.condition.attempted |= self.incarnation.phase == DomainPhase::Unknown;
        if self.shown().is_none() && !std::mem::replace(&mut self.condition.failing, true) && context.may_log() {
            tracing::warn!(
                domain = %self.name, uuid = %self.vm.key.uuid, %error,
                "could not read the domain's state; it will be tried again"
            );
        }
    }

    /// How well it can be read has changed.
    pub(super) fn touch(&mut self) {
        self.due.refreshed = None;
    }

    /// The daemon cannot be reached. Readings stay until they are too old. `false`: nothing of it is worth keeping.
    ///
    /// A domain whose readings are too old already, such as one that has just hung, is kept out of sight.
    pub(super) fn daemon_lost(&mut self) -> bool {
        self.calls.cancel();
        self.due.wake = None;
        self.due.owed = None;
        self.due.event_due = None;
        if !(self.incarnation.goes_on && (self.visible || self.detection.remembers())) {
            return false;
        }
        self.incarnation.phase = DomainPhase::Unknown;
        self.incarnation.verify = true;
        self.condition.hung = false;
        self.condition.busy_long = false;
        self.condition.busy_since = None;
        self.condition.left_behind = None;
        self.condition.complete = Some(false);
        self.detection.lost(self.vm.hypervisor);
        let vm = self.vm_mut();
        vm.status = None;
        vm.hypervisor = Some(HypervisorType::Unknown);
        self.hide_without_figures();
        true
    }

    /// Without a daemon and figures nothing of it is shown any more. What tells whether its incarnation goes on, and the
    /// type that it had, stay. Returns whether it was shown.
    pub(super) fn hide_without_figures(&mut self) -> bool {
        let hides = self.visible && !has_figures(&self.vm);
        if hides {
            self.visible = false;
            self.held = None;
        }
        hides
    }

    /// Drops stale readings and updates the ages: once a second, and after each change. Called for every snapshot.
    pub(super) fn refresh(&mut self, now: Instant, intervals: &Intervals) {
        if self.due.refreshed.is_some_and(|before| now.saturating_duration_since(before) < HEARTBEAT) {
            return;
        }
        self.expire(now, intervals);
        // An incarnation with unknown state means that its daemon is unreachable.
        let connected = Some(!(self.incarnation.goes_on && self.incarnation.phase == DomainPhase::Unknown));
        let collection = if self.incarnation.goes_on {
            let ages = self.figures.ages(now);
            let complete = self.condition.complete.map(|complete| complete && !self.is_cut());
            Collection { connected, reason: None, stuck: self.condition.is_stuck(), complete, ages }
        } else {
            Collection { connected, ..Collection::default() }
        };
        if self.vm.collection != collection {
            Arc::make_mut(&mut self.vm).collection = collection;
        }
        self.due.refreshed = Some(now);
    }

    /// Whether its first round of reads is done.
    pub(super) fn settled(&self) -> bool {
        self.is_known() && (self.incarnation.phase != DomainPhase::Active || self.condition.attempted)
    }

    /// All groups, for a reading triggered by an event.
    pub(super) fn take_all(&mut self, now: Instant, context: &DaemonContext) -> Groups {
        self.due.schedule.take(context.groups, now, &context.intervals);
        context.groups
    }

    /// The groups that are due by `until`, for a scheduled reading; `None` if there are none, or a reading is in
    /// flight.
    pub(super) fn take_due(&mut self, until: Instant, context: &DaemonContext) -> Option<Groups> {
        if self.incarnation.phase != DomainPhase::Active || self.calls.read != CallState::Idle {
            return None;
        }
        let groups = self.due.schedule.due(context.groups, until);
        self.due.schedule.take(groups, until, &context.intervals);
        (!groups.is_empty()).then_some(groups)
    }

    /// When it must next be looked at.
    pub(super) fn next_wake(&self, context: &DaemonContext) -> Option<Instant> {
        let asked = match self.incarnation.phase {
            DomainPhase::Active => {
                let due = self.due.schedule.next(context.groups).filter(|_| self.calls.read == CallState::Idle);
                let retry = self.detection.retry_at().filter(|_| self.calls.describe == CallState::Idle);
                [due, retry, self.due.event_due].into_iter().flatten().min()
            }
            DomainPhase::Inactive | DomainPhase::Arriving | DomainPhase::Unknown => {
                let state: Groups = [Group::State].into_iter().collect();
                self.due.schedule.next(state).filter(|_| self.calls.status == CallState::Idle)
            }
        };
        asked.into_iter().chain(self.due.owed.map(|owed| owed.due)).min()
    }

    /// The time that `next_wake` gave has come.
    pub(super) fn on_wake(&mut self, now: Instant, context: &DaemonContext) -> Actions {
        let mut actions = self.take_owed(now);
        if self.incarnation.phase != DomainPhase::Active {
            self.due.schedule.take(Groups::all(), now, &context.intervals);
            actions.status = true;
            return actions;
        }
        if self.due.event_due.is_some_and(|due| due <= now) {
            self.due.event_due = None;
            self.due.event_read = Some(now);
            actions.read = true;
            actions.describe |= std::mem::take(&mut self.due.event_describe);
        }
        actions.describe |= self.detection.take_retry(now);
        actions
    }
}

fn identity(uuid: Uuid, name: &Arc<str>, description: Option<&Description>, context: &DaemonContext) -> Identity {
    Identity {
        name: Arc::clone(name),
        uuid: Some(uuid),
        domain_type: description.map(|description| Arc::clone(&description.domain_type)),
        arch: description.and_then(|description| description.arch.clone()),
        place: match &context.launcher {
            Some(launcher) => Place::Launcher(Arc::clone(launcher)),
            None => {
                let metadata = description.and_then(|description| description.metadata.clone());
                Place::Host {
                    host_name: Arc::clone(&context.host_name),
                    uri: Arc::clone(&context.daemon.0),
                    labels: metadata.as_deref().map_or_else(MetadataLabels::default, |metadata| {
                        MetadataLabels::of(metadata, &context.metadata_labels)
                    }),
                    metadata,
                }
            }
        },
    }
}
