//! What is known about one domain, and its pending queries.

use std::sync::Arc;

use tokio::time::Instant;
use uuid::Uuid;

use super::detection::Detection;
use super::figures::{Figures, has_figures, strip};
use super::lines::Lines;
use super::pace::{Bucket, Owed};
use super::schedule::Schedule;
use super::settings::{EVENT_PACE, HEARTBEAT, Intervals, STAMP_STEP};
use super::share::{Claim, Share};
use crate::model::{
    Collection, DaemonId, Description, Group, Groups, HypervisorType, Identity, Launcher, Place, Timestamp, Vm, VmKey,
    Vmi,
};
use crate::source::ReadError;

/// A domain's phase. The diagram is in the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its state is not known yet (on this connection).
    Unknown,
    /// It does not run: only its state is known.
    Inactive,
    /// It is migrating in, or still being set up: its statistics are not its own yet.
    Arriving,
    /// It runs here.
    Active,
}

/// A query about a domain. There is at most one of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum CallState {
    /// None.
    #[default]
    Idle,
    /// It is sent at the end of this loop iteration.
    Wanted,
    /// It is in flight.
    Out,
    /// It is in flight, and must be repeated: its answer may be outdated.
    OutAgain,
}

impl CallState {
    /// Requests it. `true` if the caller must queue it. If it is in flight, it is repeated after its answer.
    pub(super) fn request(&mut self) -> bool {
        match self {
            Self::Idle => {
                *self = Self::Wanted;
                return true;
            }
            Self::Out => *self = Self::OutAgain,
            Self::Wanted | Self::OutAgain => {}
        }
        false
    }

    /// It is sent now, if it is still wanted.
    pub(super) fn go(&mut self) -> bool {
        let wanted = *self == Self::Wanted;
        if wanted {
            *self = Self::Out;
        }
        wanted
    }

    /// It was answered. `true` if it must be repeated.
    pub(super) fn returned(&mut self) -> bool {
        let again = *self == Self::OutAgain;
        *self = Self::Idle;
        again
    }

    /// It need not be sent, or not repeated.
    pub(super) fn cancel(&mut self) {
        *self = match self {
            Self::Idle | Self::Wanted => Self::Idle,
            Self::Out | Self::OutAgain => Self::Out,
        };
    }
}

/// The queries about one domain. They outlive the domain's data: a domain that goes and comes back while a query about
/// it is in flight waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Pending {
    pub(super) status: CallState,
    pub(super) describe: CallState,
    pub(super) read: CallState,
    /// Counts incarnations and their ends, so that answers about an earlier one are discarded.
    pub(super) epoch: u32,
}

impl Pending {
    /// None of them need be sent or repeated.
    pub(super) fn cancel(&mut self) {
        self.status.cancel();
        self.describe.cancel();
        self.read.cancel();
    }

    /// Whether a query is pending.
    pub(super) fn any(&self) -> bool {
        [self.status, self.describe, self.read].into_iter().any(|call| call != CallState::Idle)
    }
}

/// What to do about a domain after something happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wants {
    /// Ask for its state.
    pub(super) status: bool,
    /// Ask for its XML.
    pub(super) describe: bool,
    /// Read it at once, all groups.
    pub(super) read: bool,
    /// It is gone.
    pub(super) remove: bool,
    /// Something happened that is shown at once.
    pub(super) lifecycle: bool,
}

/// The same moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// On the monotonic clock: for waits and ages.
    pub(super) instant: Instant,
    /// On the wall clock: for timestamps.
    pub(super) stamp: Timestamp,
}

/// What all domains of a daemon have in common.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    pub(super) daemon: DaemonId,
    /// The host's name, as the daemon reports it.
    pub(super) host_name: Arc<str>,
    /// Where the VMI runs, if the daemon is a launcher's.
    pub(super) launcher: Option<Arc<Launcher>>,
    /// The VMI, as the Kubernetes API reports it.
    pub(super) vmi: Option<Arc<Vmi>>,
    /// The identity of a launcher's VM. A pod runs one incarnation of one VM, so the first identity published stays.
    pub(super) told: Option<Arc<Identity>>,
    pub(super) intervals: Intervals,
    pub(super) groups: Groups,
    pub(super) epoch: Instant,
    pub(super) health: Arc<super::Health>,
    pub(super) lines: Arc<Lines>,
    pub(super) share: Arc<Share>,
}

impl Surroundings {
    /// Whether more may be logged about this daemon's domains.
    pub(super) fn may_log(&self) -> bool {
        self.lines.one(&self.daemon)
    }
}

/// One domain.
#[derive(Debug)]
pub(super) struct Track {
    /// What is shown of it, or will be. Shared with the snapshots: it is copied when it changes after publication.
    pub(super) vm: Arc<Vm>,
    /// Whether `vm` may be shown. Until the first detection of an incarnation is over, its identity is not known.
    pub(super) visible: bool,
    /// What is shown meanwhile: the domain as it was before, without statistics.
    pub(super) held: Option<Arc<Vm>>,
    pub(super) name: Arc<str>,
    pub(super) phase: Phase,
    /// Whether an incarnation goes on; it does while the daemon is unreachable.
    pub(super) incarnated: bool,
    /// The domain's id in this incarnation, once a reading gave it.
    pub(super) id: Option<u32>,
    /// When the incarnation began, if that was seen.
    pub(super) seen: Option<Timestamp>,
    /// Whether a counter that went back means another incarnation: after a reconnect or lost events.
    pub(super) verify: bool,
    pub(super) figures: Figures,
    /// Its part of the room that its daemon's VMs share.
    pub(super) claim: Claim,
    pub(super) detection: Detection,
    last_stamp: Timestamp,

    pub(super) schedule: Schedule,
    pub(super) wake: Option<Instant>,
    pub(super) calls: Pending,
    /// Whether a reading of this incarnation (or, at first, of its state) was answered or failed.
    pub(super) attempted: bool,
    /// Whether the last reading failed: it is logged once.
    pub(super) failing: bool,
    /// Limits the queries that lifecycle events trigger; `owed` holds those that must wait.
    pub(super) pace: Bucket,
    pub(super) owed: Option<Owed>,
    /// When other events last triggered a reading, and when they do next.
    pub(super) event_read: Option<Instant>,
    pub(super) event_due: Option<Instant>,
    pub(super) event_describe: bool,

    /// A call into its QEMU hangs.
    pub(super) hung: bool,
    /// Another client's job has kept the agent out for too long.
    pub(super) busy_long: bool,
    pub(super) complete: Option<bool>,
    /// Whether it was already logged that a limit cut something.
    pub(super) cut_told: bool,
    pub(super) busy_since: Option<Instant>,
    pub(super) job_active: bool,
    /// When the call that was abandoned was launched.
    pub(super) left_behind: Option<Instant>,

    refreshed: Option<Instant>,
}

impl Track {
    pub(super) fn new(uuid: Uuid, name: Arc<str>, around: &Surroundings, now: Instant) -> Self {
        let key = VmKey { daemon: around.daemon.clone(), uuid };
        let identity = Arc::new(identity(uuid, &name, None, around));
        let vm = Vm { vmi: around.vmi.clone(), ..Vm::new(key, identity) };
        let mut claim = Claim::new(&around.share);
        claim.set_names([&name]);
        Self {
            vm: Arc::new(vm),
            visible: false,
            held: None,
            name,
            phase: Phase::Unknown,
            incarnated: false,
            id: None,
            seen: None,
            verify: false,
            figures: Figures::default(),
            claim,
            detection: Detection::default(),
            last_stamp: Timestamp::default(),
            schedule: Schedule::new(uuid, around.epoch, now, &around.intervals),
            wake: None,
            calls: Pending::default(),
            attempted: false,
            failing: false,
            pace: Bucket::new(EVENT_PACE, now),
            owed: None,
            event_read: None,
            event_due: None,
            event_describe: false,
            hung: false,
            busy_long: false,
            complete: None,
            cut_told: false,
            busy_since: None,
            job_active: false,
            left_behind: None,
            refreshed: None,
        }
    }

    /// The VM, for changes.
    pub(super) fn vm_mut(&mut self) -> &mut Vm {
        self.refreshed = None;
        Arc::make_mut(&mut self.vm)
    }

    /// What is shown of it.
    pub(super) fn shown(&self) -> Option<&Arc<Vm>> {
        if self.visible { Some(&self.vm) } else { self.held.as_ref() }
    }

    /// The VMI has changed in the Kubernetes API.
    pub(super) fn set_vmi(&mut self, vmi: Option<&Arc<Vmi>>) {
        for vm in [Some(&mut self.vm), self.held.as_mut()].into_iter().flatten() {
            Arc::make_mut(vm).vmi = vmi.cloned();
        }
    }

    /// Whether a hang or a long job prevents reading it in full.
    pub(super) const fn is_stuck(&self) -> bool {
        self.hung || self.busy_long
    }

    /// Whether a limit cut anything from it.
    pub(super) fn is_cut(&self) -> bool {
        self.figures.left_out() > 0 || self.vm.description.as_ref().is_some_and(|description| description.left_out > 0)
    }

    /// A timestamp for what arrives now: after every earlier one of this VM, whatever the wall clock does.
    pub(super) fn stamp(&mut self, moment: Moment) -> Timestamp {
        self.last_stamp = moment.stamp.max(self.last_stamp.after(STAMP_STEP));
        self.last_stamp
    }

    /// The newest timestamp it was given.
    pub(super) const fn last_stamp(&self) -> Timestamp {
        self.last_stamp
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
        self.phase = Phase::Active;
        self.incarnated = true;
        self.seen = seen;
    }

    /// The incarnation ends, if there is one: everything that belonged to it is dropped, except the state and the
    /// identity.
    pub(super) fn end(&mut self) {
        strip(self.vm_mut());
        self.calls.epoch = self.calls.epoch.wrapping_add(1);
        self.phase = Phase::Inactive;
        self.incarnated = false;
        self.id = None;
        self.seen = None;
        self.verify = false;
        self.figures = Figures::default();
        self.claim.set_shown(0, false);
        self.detection.restart();
        self.attempted = false;
        self.event_due = None;
        self.event_describe = false;
        self.hung = false;
        self.busy_long = false;
        self.complete = None;
        self.busy_since = None;
        self.job_active = false;
        self.left_behind = None;
    }

    /// Shows the VM by the identity known now, which stays the same until the incarnation ends.
    pub(super) fn show(&mut self, around: &Surroundings) {
        let description = self.vm.description.clone();
        let identity = around
            .told
            .clone()
            .unwrap_or_else(|| Arc::new(identity(self.vm.key.uuid, &self.name, description.as_deref(), around)));
        self.vm_mut().identity = identity;
        self.claim.set_names([&self.name]);
        self.visible = true;
        self.held = None;
    }

    /// A domain that does not run, or is still migrating in, is shown as soon as its state is known, and again after a
    /// rename.
    pub(super) fn show_idle(&mut self, around: &Surroundings) {
        if !self.visible || self.vm.identity.name != self.name {
            self.show(around);
        }
    }

    /// Events were lost: the next reading must tell whether the incarnation goes on, and whether the detection still
    /// holds.
    pub(super) fn doubt(&mut self) {
        self.verify = self.incarnated;
        self.detection.doubt();
    }

    /// Its state could not be read.
    pub(super) fn status_failed(&mut self, error: &ReadError, around: &Surroundings) {
        self.attempted |= self.phase == Phase::Unknown;
        if self.shown().is_none() && !std::mem::replace(&mut self.failing, true) && around.may_log() {
            tracing::warn!(
                domain = %self.name, uuid = %self.vm.key.uuid, %error,
                "could not read the domain's state; it will be tried again"
            );
        }
    }

    /// How well it can be read has changed.
    pub(super) fn touch(&mut self) {
        self.refreshed = None;
    }

    /// The daemon cannot be reached. Readings stay until they are too old. `false`: nothing of it is worth keeping.
    pub(super) fn daemon_lost(&mut self) -> bool {
        self.calls.cancel();
        self.wake = None;
        self.owed = None;
        self.event_due = None;
        if !(self.incarnated && self.visible && has_figures(&self.vm)) {
            return false;
        }
        self.phase = Phase::Unknown;
        self.verify = true;
        self.hung = false;
        self.busy_long = false;
        self.busy_since = None;
        self.left_behind = None;
        self.complete = Some(false);
        self.detection.restart();
        self.detection.forget_trigger();
        let vm = self.vm_mut();
        vm.status = None;
        vm.hypervisor = Some(HypervisorType::Unknown);
        true
    }

    /// Drops stale readings and updates the ages: once a second, and after each change. Called for every snapshot.
    pub(super) fn refresh(&mut self, now: Instant, intervals: &Intervals) {
        if self.refreshed.is_some_and(|before| now.saturating_duration_since(before) < HEARTBEAT) {
            return;
        }
        self.expire(now, intervals);
        // An incarnation with unknown state means that its daemon is unreachable.
        let connected = Some(!(self.incarnated && self.phase == Phase::Unknown));
        let collection = if self.incarnated {
            let ages = self.figures.ages(now);
            let complete = self.complete.map(|complete| complete && !self.is_cut());
            Collection { connected, stuck: self.is_stuck(), complete, ages }
        } else {
            Collection { connected, ..Collection::default() }
        };
        if self.vm.collection != collection {
            Arc::make_mut(&mut self.vm).collection = collection;
        }
        self.refreshed = Some(now);
    }

    /// Whether its first round of reads is done.
    pub(super) fn settled(&self) -> bool {
        self.is_known() && (self.phase != Phase::Active || self.attempted)
    }

    /// All groups, for a reading triggered by an event.
    pub(super) fn take_all(&mut self, now: Instant, around: &Surroundings) -> Groups {
        self.schedule.take(around.groups, now, &around.intervals);
        around.groups
    }

    /// The groups that are due by `until`, for a scheduled reading; `None` if there are none, or a reading is in
    /// flight.
    pub(super) fn take_due(&mut self, until: Instant, around: &Surroundings) -> Option<Groups> {
        if self.phase != Phase::Active || self.calls.read != CallState::Idle {
            return None;
        }
        let groups = self.schedule.due(around.groups, until);
        self.schedule.take(groups, until, &around.intervals);
        (!groups.is_empty()).then_some(groups)
    }

    /// When it must next be looked at.
    pub(super) fn next_wake(&self, around: &Surroundings) -> Option<Instant> {
        let asked = match self.phase {
            Phase::Active => {
                let due = self.schedule.next(around.groups).filter(|_| self.calls.read == CallState::Idle);
                let retry = self.detection.retry_at().filter(|_| self.calls.describe == CallState::Idle);
                [due, retry, self.event_due].into_iter().flatten().min()
            }
            Phase::Inactive | Phase::Arriving | Phase::Unknown => {
                let state: Groups = [Group::State].into_iter().collect();
                self.schedule.next(state).filter(|_| self.calls.status == CallState::Idle)
            }
        };
        asked.into_iter().chain(self.owed.map(|owed| owed.due)).min()
    }

    /// The time that `next_wake` gave has come.
    pub(super) fn on_wake(&mut self, now: Instant, around: &Surroundings) -> Wants {
        let mut wants = self.take_owed(now);
        if self.phase != Phase::Active {
            self.schedule.take(Groups::all(), now, &around.intervals);
            wants.status = true;
            return wants;
        }
        if self.event_due.is_some_and(|due| due <= now) {
            self.event_due = None;
            self.event_read = Some(now);
            wants.read = true;
            wants.describe |= std::mem::take(&mut self.event_describe);
        }
        wants.describe |= self.detection.take_retry(now);
        wants
    }
}

fn identity(uuid: Uuid, name: &Arc<str>, description: Option<&Description>, around: &Surroundings) -> Identity {
    Identity {
        name: Arc::clone(name),
        uuid: Some(uuid),
        domain_type: description.map(|description| Arc::clone(&description.domain_type)),
        arch: description.and_then(|description| description.arch.clone()),
        place: match &around.launcher {
            Some(launcher) => Place::Launcher(Arc::clone(launcher)),
            None => Place::Host { host_name: Arc::clone(&around.host_name), uri: Arc::clone(&around.daemon.0) },
        },
    }
}
