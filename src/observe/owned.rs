//! A daemon that runs the domain of one VMI: which domain that is, and what is shown while there is none.

use std::sync::Arc;

use uuid::Uuid;

use super::roster::{Owner, Who};
use super::track::{Phase, Track};
use crate::model::{Collection, DaemonId, HypervisorType, Identity, Place, Vm, VmKey};

/// What is known of the owner of a daemon.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) owner: Owner,
    /// The domain has run here and does no more. That its daemon goes after it is no news.
    ended: bool,
    /// The daemon has a domain, and it is another's.
    refused: bool,
    /// The VM without a domain.
    bare: Option<Arc<Vm>>,
}

impl Owned {
    pub(super) fn new(owner: Owner) -> Self {
        Self { owner, ended: false, refused: false, bare: None }
    }

    /// Something was said of a domain of it.
    pub(super) fn follow(&mut self, track: &Track) {
        match track.phase {
            Phase::Active => self.ended = false,
            Phase::Inactive => self.ended = true,
            Phase::Unknown | Phase::Arriving => {}
        }
    }

    /// The daemon does not know its domain any more.
    pub(super) fn domain_gone(&mut self) {
        self.ended = true;
    }

    /// These are the names of the domains that the daemon has. A daemon without any is not to blame: its domain may be
    /// yet to come, or gone already.
    pub(super) fn listed<'a>(&mut self, daemon: &DaemonId, mut names: impl Iterator<Item = &'a str> + Clone) {
        let known = names.clone().any(|name| self.owner.launcher_of(name).is_some());
        let stranger = names.find(|name| self.owner.launcher_of(name).is_none());
        let refused = stranger.is_some() && !known;
        if let Some(stranger) = stranger.filter(|_| refused && !self.refused) {
            tracing::warn!(
                %daemon, domain = stranger, expected = self.owner.domain_name(),
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
        let unreadable = self.refused || reach == Reach::Failed;
        let hypervisor = (self.owner.runs() && unreadable && !self.ended && !self.owner.is_leaving())
            .then_some(HypervisorType::Unknown);
        let connected = match reach {
            // Nobody misses the daemon of a VM that does not run.
            _ if !self.owner.runs() => None,
            Reach::Trying => None,
            Reach::Up => Some(true),
            Reach::Failed => Some(false),
        };
        let collection = Collection { connected, ..Collection::default() };
        let same = |bare: &Arc<Vm>| {
            bare.hypervisor == hypervisor && bare.vmi == self.owner.vmi && bare.collection == collection
        };
        if !self.bare.as_ref().is_some_and(same) {
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
}
