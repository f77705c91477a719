//! A daemon that runs the domain of one VMI: which domain that is, and what to show without one.

use std::sync::Arc;

use uuid::Uuid;

use super::context::DaemonContext;
use super::domain::DomainState;
use super::incarnation::DomainPhase;
use super::roster::{Owner, Who};
use crate::model::{Collection, DaemonId, HypervisorType, Identity, Place, Vm, VmKey};

/// Domains of one VMI that a launcher may have: one, and the previous one while that is being removed. A daemon that
/// names more is not trusted.
pub(super) const LAUNCHER_DOMAINS_MAX: usize = 2;

/// What is known about a daemon's owner.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) owner: Owner,
    /// The domain has ended here. Losing its daemon after that is expected.
    pub(super) ended: bool,
    /// The daemon has only another VM's domain.
    refused: bool,
    /// The daemon is connected, but does not report its domain, or that domain's state.
    silent: bool,
    /// A domain of the VM has run here.
    met: bool,
    /// It was logged that the daemon names too many domains.
    pub(super) crowded: bool,
    /// The VM without a domain.
    bare: Option<Arc<Vm>>,
    /// Whether that VM's hypervisor type has changed since it was last asked for.
    pub(super) news: bool,
}

impl Owned {
    pub(super) fn new(owner: Owner) -> Self {
        Self { owner, ended: false, refused: false, silent: false, met: false, crowded: false, bare: None, news: false }
    }

    /// Something was learned about a domain of it; `others`: whether another one of it runs.
    pub(super) fn follow(&mut self, domain: &DomainState, others: bool) {
        match domain.incarnation.phase {
            DomainPhase::Active => {
                self.ended = false;
                self.met = true;
                // Its domain has given the VM's name, by which it is shown even when unreachable.
                if matches!(self.owner.who, Who::NamedByDomain(_))
                    && let Some(launcher) = self.owner.launcher_of(&domain.name)
                {
                    self.owner.who = Who::Known(launcher);
                }
            }
            DomainPhase::Inactive => self.ended = !others,
            DomainPhase::Unknown | DomainPhase::Arriving => {}
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
    pub(super) fn listed<'a>(&mut self, context: &DaemonContext, mut names: impl Iterator<Item = &'a str> + Clone) {
        let known = names.clone().any(|name| self.owner.launcher_of(name).is_some());
        let stranger = names.find(|name| self.owner.launcher_of(name).is_none());
        let refused = stranger.is_some() && !known;
        if let Some(stranger) = stranger.filter(|_| refused && !self.refused && context.may_log()) {
            tracing::warn!(
                daemon = %context.daemon, domain = stranger, expected = self.owner.domain_name(),
                "the libvirt of this launcher runs another VM's domain, and is not read; the VMI's hypervisor type is \
                 exported as unknown. Look at what is in the pod's libvirt-runtime directory"
            );
        }
        self.refused = refused;
    }

    /// The VM as it is shown without a domain: as the API reports it, and with the type `unknown` if its daemon should
    /// report the type and cannot. `None` before it has a name.
    pub(super) fn bare(
        &mut self,
        daemon: &DaemonId,
        reach: Reachability,
        reason: Option<&Arc<str>>,
        told: Option<&Arc<Identity>>,
    ) -> Option<&Arc<Vm>> {
        let Who::Known(launcher) = &self.owner.who else { return None };
        let unreadable = self.refused || self.silent || matches!(reach, Reachability::Failed | Reachability::Absent);
        // Without the API, an absent launcher may be yet to come, unless a domain was seen in it.
        let runs = self.owner.runs() && (self.owner.vmi.is_some() || self.met || reach != Reachability::Absent);
        let hypervisor =
            (runs && unreadable && !self.ended && !self.owner.is_leaving()).then_some(HypervisorType::Unknown);
        let connected = match reach {
            // A VM that does not run needs no daemon.
            _ if !self.owner.runs() => None,
            Reachability::Trying => None,
            Reachability::Up => Some(true),
            Reachability::Failed | Reachability::Absent => Some(false),
        };
        let reason = reason.filter(|_| connected == Some(false)).cloned();
        let collection = Collection { connected, reason, ..Collection::default() };
        let same = |bare: &Arc<Vm>| {
            bare.hypervisor == hypervisor
                && bare.vmi == self.owner.vmi
                && bare.has_sidecar == self.owner.has_sidecar
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
            let (vmi, has_sidecar) = (self.owner.vmi.clone(), self.owner.has_sidecar);
            self.bare = Some(Arc::new(Vm { hypervisor, collection, vmi, has_sidecar, ..Vm::new(key, identity) }));
        }
        self.bare.as_ref()
    }
}

/// Whether a daemon can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reachability {
    /// An attempt is still under way.
    Trying,
    /// It is connected.
    Up,
    /// Connecting failed, or the connection was lost.
    Failed,
    /// Nothing is listening.
    Absent,
}
