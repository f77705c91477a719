//! A daemon that runs the domain of one VMI: which domain that is, and what to show without one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::daemon::{Keeper, Round};
use super::roster::{Owner, Who};
use super::track::{Phase, Surroundings, Track};
use crate::model::{Collection, DaemonId, HypervisorType, Identity, Place, Vm, VmKey};

/// How long connecting to the daemon of a VMI that has just begun to run may take before it counts as failed without a
/// reported failure. Attempts before that tell nothing, since a launcher starts its libvirt after its VMI is scheduled.
/// Connecting takes milliseconds; a fresh daemon takes four seconds to report its capabilities.
const TRYING: Duration = Duration::from_secs(10);

/// Domains of one VMI that a launcher may have: one, and the previous one while that is being removed. A daemon that
/// names more is not trusted.
const DOMAINS_MAX: usize = 2;

/// What is known about a daemon's owner.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) owner: Owner,
    /// The domain has ended here. Losing its daemon after that is expected.
    ended: bool,
    /// The daemon has only another VM's domain.
    refused: bool,
    /// The daemon is connected, but does not report its domain, or that domain's state.
    silent: bool,
    /// A domain of the VM has run here.
    met: bool,
    /// It was logged that the daemon names too many domains.
    crowded: bool,
    /// The VM without a domain.
    bare: Option<Arc<Vm>>,
    /// Whether that VM's hypervisor type has changed since it was last asked for.
    news: bool,
}

impl Owned {
    pub(super) fn new(owner: Owner) -> Self {
        Self { owner, ended: false, refused: false, silent: false, met: false, crowded: false, bare: None, news: false }
    }

    /// Something was learned about a domain of it; `others`: whether another one of it runs.
    pub(super) fn follow(&mut self, track: &Track, others: bool) {
        match track.phase {
            Phase::Active => {
                self.ended = false;
                self.met = true;
                // Its domain has given the VM's name, by which it is shown even when unreachable.
                if matches!(self.owner.who, Who::NamedByDomain(_))
                    && let Some(launcher) = self.owner.launcher_of(&track.name)
                {
                    self.owner.who = Who::Known(launcher);
                }
            }
            Phase::Inactive => self.ended = !others,
            Phase::Unknown | Phase::Arriving => {}
        }
    }

    /// The daemon answered a query about its domains, or could not.
    pub(super) fn answers(&mut self, answered: bool) {
        self.silent = !answered;
    }

    /// The daemon no longer knows a domain of it; `others`: whether another one of it runs.
    pub(super) fn domain_gone(&mut self, others: bool) {
        self.ended = !others;
    }

    /// Takes the names of the daemon's domains. A daemon without any is not refused: its domain may be yet to come, or
    /// gone already.
    pub(super) fn listed<'a>(&mut self, around: &Surroundings, mut names: impl Iterator<Item = &'a str> + Clone) {
        let known = names.clone().any(|name| self.owner.launcher_of(name).is_some());
        let stranger = names.find(|name| self.owner.launcher_of(name).is_none());
        let refused = stranger.is_some() && !known;
        if let Some(stranger) = stranger.filter(|_| refused && !self.refused && around.may_log()) {
            tracing::warn!(
                daemon = %around.daemon, domain = stranger, expected = self.owner.domain_name(),
                "the libvirt of this launcher runs another VM's domain, and is not read; the VMI's hypervisor type is \
                 exported as unknown. Look at what is in the pod's libvirt-runtime directory"
            );
        }
        self.refused = refused;
    }

    /// The VM as it is shown without a domain: as the API reports it, and with the type `unknown` if its daemon should
    /// report the type and cannot. `None` before it has a name.
    pub(super) fn bare(&mut self, daemon: &DaemonId, reach: Reach, told: Option<&Arc<Identity>>) -> Option<&Arc<Vm>> {
        let Who::Known(launcher) = &self.owner.who else { return None };
        let unreadable = self.refused || self.silent || matches!(reach, Reach::Failed | Reach::Absent);
        // Without the API, an absent launcher may be yet to come, unless a domain was seen in it.
        let runs = self.owner.runs() && (self.owner.vmi.is_some() || self.met || reach != Reach::Absent);
        let hypervisor =
            (runs && unreadable && !self.ended && !self.owner.is_leaving()).then_some(HypervisorType::Unknown);
        let connected = match reach {
            // A VM that does not run needs no daemon.
            _ if !self.owner.runs() => None,
            Reach::Trying => None,
            Reach::Up => Some(true),
            Reach::Failed | Reach::Absent => Some(false),
        };
        let collection = Collection { connected, ..Collection::default() };
        let same = |bare: &Arc<Vm>| {
            bare.hypervisor == hypervisor
                && bare.vmi == self.owner.vmi
                && bare.collection == collection
                && told.is_none_or(|told| Arc::ptr_eq(told, &bare.identity))
        };
        if !self.bare.as_ref().is_some_and(same) {
            self.news |= self.bare.as_ref().is_some_and(|bare| bare.hypervisor != hypervisor);
            let key = VmKey { daemon: daemon.clone(), uuid: Uuid::nil() };
            let identity = told.cloned().unwrap_or_else(|| {
                Arc::new(Identity {
                    name: self.owner.domain_name().into(),
                    uuid: None,
                    domain_type: None,
                    arch: None,
                    place: Place::Launcher(Arc::clone(launcher)),
                })
            });
            self.bare =
                Some(Arc::new(Vm { hypervisor, collection, vmi: self.owner.vmi.clone(), ..Vm::new(key, identity) }));
        }
        self.bare.as_ref()
    }
}

/// Whether a daemon can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// An attempt is still under way.
    Trying,
    /// It is connected.
    Up,
    /// Connecting failed, or the connection was lost.
    Failed,
    /// Nothing is listening.
    Absent,
}

impl Keeper {
    /// Whether its domains may be read.
    pub(super) fn is_open(&self) -> bool {
        self.owned.as_ref().is_none_or(|owned| owned.owner.runs())
    }

    /// Whether its loss is worth a warning: its VM should run here.
    pub(super) fn is_missed(&self) -> bool {
        self.owned.as_ref().is_none_or(|owned| owned.owner.runs() && !owned.ended && !owned.owner.is_leaving())
    }

    /// Sets its owner. A VMI that runs now is read from now on; one that does not is no longer read. `true` if this
    /// must be shown at once.
    pub(super) fn own(&mut self, owner: Owner, now: Instant) -> bool {
        let was_open = self.is_open();
        let moved = match (&self.around.vmi, &owner.vmi) {
            (Some(before), Some(after)) => after.has_moved_on_from(before),
            _ => true,
        };
        self.around.vmi.clone_from(&owner.vmi);
        if let Who::Known(launcher) = &owner.who {
            self.around.launcher = Some(Arc::clone(launcher));
        }
        for track in self.tracks.values_mut() {
            track.set_vmi(owner.vmi.as_ref());
        }
        match &mut self.owned {
            Some(owned) => owned.owner = owner,
            None => self.owned = Some(Owned::new(owner)),
        }
        match (was_open, self.is_open()) {
            (false, true) if self.up => {
                self.list_wanted = true;
            }
            (false, true) => {
                self.lost = false;
                self.trying_until = Some(now + TRYING);
            }
            (true, false) => self.forget(),
            _ => return moved,
        }
        true
    }

    /// Whether a domain of this name belongs to it.
    pub(super) fn is_its(&self, domain: &str) -> bool {
        self.owned.as_ref().is_none_or(|owned| owned.owner.launcher_of(domain).is_some())
    }

    /// Whether a domain may be read. If its VM is known by name, notes its launcher.
    pub(super) fn accepts(&mut self, uuid: Uuid, domain: &str) -> bool {
        let Some(owned) = &mut self.owned else { return self.has_room(uuid, domain) };
        let Some(launcher) = owned.owner.launcher_of(domain).filter(|_| owned.owner.runs()) else { return false };
        if self.tracks.len() >= DOMAINS_MAX && !self.tracks.contains_key(&uuid) {
            let idle = self.tracks.iter().find(|(_, track)| track.phase == Phase::Inactive).map(|(uuid, _)| *uuid);
            let Some(idle) = idle else {
                if !std::mem::replace(&mut owned.crowded, true) {
                    tracing::warn!(
                        daemon = %self.around.daemon, domain,
                        "the libvirt of this launcher names one domain after the other by the VM's name; those after the \
                         first are not read. Look at what runs in the pod"
                    );
                }
                return false;
            };
            self.remove(idle);
        }
        if matches!(self.owned, Some(Owned { owner: Owner { who: Who::Known(_), .. }, .. })) {
            self.around.launcher.get_or_insert(launcher);
        }
        true
    }

    /// Whether any domain of a launcher runs. Not computed for a host, which may have thousands: nothing needs it.
    pub(super) fn any_runs(&self) -> bool {
        self.owned.is_some() && self.tracks.values().any(|track| track.incarnated)
    }

    /// Once its domain has given the VM's name, drops domains with another name.
    pub(super) fn settle_name(&mut self) {
        let Some(Owned { owner, .. }) = &self.owned else { return };
        let Who::Known(launcher) = &owner.who else { return };
        if self.around.launcher.is_some() {
            return;
        }
        self.around.launcher = Some(Arc::clone(launcher));
        let others = self.tracks.iter().filter(|(_, track)| owner.launcher_of(&track.name).is_none());
        let others: Vec<Uuid> = others.map(|(uuid, _)| *uuid).collect();
        for uuid in others {
            self.remove(uuid);
        }
    }

    /// Collects what is shown of it: its domains; for a launcher, the one that runs, or the VMI without one. `true` if
    /// a change in this has yet to be published at once.
    pub(super) fn shown_vms(&mut self, now: Instant, vms: &mut Vec<Arc<Vm>>) -> bool {
        let reach = match (self.up, self.round) {
            (true, _) => Reach::Up,
            (false, Round::Waiting) => Reach::Trying,
            (false, _) if self.trying_until.is_some_and(|until| now < until) => Reach::Trying,
            (false, _) if self.absent => Reach::Absent,
            (false, _) => Reach::Failed,
        };
        let Some(owned) = &mut self.owned else {
            vms.extend(self.tracks.values().filter_map(|track| track.shown()).cloned());
            return false;
        };
        let told = &mut self.around.told;
        // Of a VMI only the running domain is shown, not what its launcher has defined besides, or is receiving by
        // migration. Until an identity was published, that waits for the first detection.
        let runs =
            |track: &Track| matches!(track.phase, Phase::Active | Phase::Unknown) && (track.visible || told.is_some());
        if let Some(vm) = self.tracks.values().filter(|track| runs(track)).find_map(|track| track.shown()) {
            told.get_or_insert_with(|| Arc::clone(&vm.identity));
            vms.push(Arc::clone(vm));
            return false;
        }
        if let Some(vm) = owned.bare(&self.around.daemon, reach, told.as_ref()) {
            if vm.hypervisor.is_some() {
                told.get_or_insert_with(|| Arc::clone(&vm.identity));
            }
            vms.push(Arc::clone(vm));
        }
        std::mem::take(&mut owned.news)
    }
}
