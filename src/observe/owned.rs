//! A daemon that runs the domain of one VMI: which domain that is, and what is shown while there is none.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::daemon::{Keeper, Round};
use super::roster::{Owner, Who};
use super::track::{Phase, Surroundings, Track};
use crate::model::{Collection, DaemonId, HypervisorType, Identity, Place, Vm, VmKey};

/// How long an attempt to reach the daemon of a VMI that has just begun to run may take before it counts as failed,
/// should nobody say so: the looks at its socket before that say nothing, since a launcher starts its libvirt after its
/// VMI is scheduled. Connecting takes milliseconds, and a fresh daemon four seconds to say what it can.
const TRYING: Duration = Duration::from_secs(10);

/// Domains of one VMI that a launcher may have: one, and the one before it while that is still being forgotten. A daemon
/// that names more is not to be believed.
const DOMAINS_MAX: usize = 2;

/// What is known of the owner of a daemon.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) owner: Owner,
    /// The domain has run here and does no more. That its daemon goes after it is no news.
    ended: bool,
    /// The daemon has a domain, and it is another's.
    refused: bool,
    /// The daemon is connected, and does not say which domain it has, or how that is.
    silent: bool,
    /// A domain of the VM has run here.
    met: bool,
    /// It was said that the daemon names too many domains.
    crowded: bool,
    /// The VM without a domain.
    bare: Option<Arc<Vm>>,
    /// Whether what runs that has changed since it was last asked for.
    news: bool,
}

impl Owned {
    pub(super) fn new(owner: Owner) -> Self {
        Self { owner, ended: false, refused: false, silent: false, met: false, crowded: false, bare: None, news: false }
    }

    /// Something was said of a domain of it; `others` whether another one of it runs.
    pub(super) fn follow(&mut self, track: &Track, others: bool) {
        match track.phase {
            Phase::Active => {
                self.ended = false;
                self.met = true;
                // Its domain has said who it is; from now on it is missed by that name.
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

    /// The daemon said something of its domain when it was asked, or could not.
    pub(super) fn answers(&mut self, answered: bool) {
        self.silent = !answered;
    }

    /// The daemon does not know a domain of it any more; `others` whether another one of it runs.
    pub(super) fn domain_gone(&mut self, others: bool) {
        self.ended = !others;
    }

    /// These are the names of the domains that the daemon has. A daemon without any is not to blame: its domain may be
    /// yet to come, or gone already.
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

    /// The VM as it is shown while no domain of it is: by what the API says, and with the type `unknown` if its daemon
    /// should tell and cannot. `None` before it has a name.
    pub(super) fn bare(&mut self, daemon: &DaemonId, reach: Reach, told: Option<&Arc<Identity>>) -> Option<&Arc<Vm>> {
        let Who::Known(launcher) = &self.owner.who else { return None };
        let unreadable = self.refused || self.silent || matches!(reach, Reach::Failed | Reach::Absent);
        // Without the API's word for it, a launcher that is not there may be yet to come; until a domain was seen in it.
        let runs = self.owner.runs() && (self.owner.vmi.is_some() || self.met || reach != Reach::Absent);
        let hypervisor =
            (runs && unreadable && !self.ended && !self.owner.is_leaving()).then_some(HypervisorType::Unknown);
        let connected = match reach {
            // Nobody misses the daemon of a VM that does not run.
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
    /// It has not been tried to the end yet.
    Trying,
    /// It is connected.
    Up,
    /// It could not be connected, or was lost.
    Failed,
    /// Nobody is there.
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

    /// What is known of its owner. A VMI that runs now is read from now on; one that does not is read no more. `true` if
    /// something happened that is shown at once.
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

    /// Whether a domain of this name is one of its.
    pub(super) fn is_its(&self, domain: &str) -> bool {
        self.owned.as_ref().is_none_or(|owned| owned.owner.launcher_of(domain).is_some())
    }

    /// Whether a domain may be read. Its VM is known by name from then on.
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

    /// Whether a domain of a launcher runs, as far as is known. Of a host, which may have thousands, nobody wants to know.
    pub(super) fn any_runs(&self) -> bool {
        self.owned.is_some() && self.tracks.values().any(|track| track.incarnated)
    }

    /// Its domain may have said who it is: what has another name is not its.
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

    /// What is shown of it: its domains; of a launcher the one that runs, or the VMI without one.
    /// `true` if there is something in it that nobody was told of, and that is told at once.
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
        // Of a VMI only what runs is shown: what its launcher has defined besides, or is still taking in, is not it. Until
        // it was told who it is, that waits for its first detection.
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
