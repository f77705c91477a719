//! A daemon that belongs to one VMI.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::arrival::Arrival;
use super::daemon::{DaemonState, Round};
use super::domain::DomainState;
use super::incarnation::DomainPhase;
use super::owned::{LAUNCHER_DOMAINS_MAX, Owned, Reachability};
use super::roster::{Owner, Who};
use crate::model::Vm;

/// How long connecting to the daemon of a VMI that has just begun to run may take before it counts as failed without a
/// reported failure. Attempts before that tell nothing, since a launcher starts its libvirt after its VMI is scheduled.
/// Connecting takes milliseconds; a fresh daemon takes four seconds to report its capabilities.
const TRYING: Duration = Duration::from_secs(10);

impl DaemonState {
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
        let moved = match (&self.context.vmi, &owner.vmi) {
            (Some(before), Some(after)) => after.has_moved_on_from(before),
            _ => true,
        };
        self.context.vmi.clone_from(&owner.vmi);
        self.context.has_sidecar = owner.has_sidecar;
        if let Who::Known(launcher) = &owner.who {
            self.context.launcher = Some(Arc::clone(launcher));
        }
        for domain in self.domains.values_mut() {
            domain.set_owner(owner.vmi.as_ref(), owner.has_sidecar);
        }
        match &mut self.owned {
            Some(owned) => owned.owner = owner,
            None => self.owned = Some(Owned::new(owner)),
        }
        match (was_open, self.is_open()) {
            (false, true) if self.connection.up => {
                self.listing.wanted = true;
            }
            (false, true) => {
                self.connection.lost = false;
                self.connection.trying_until = Some(now + TRYING);
                self.connection.arrival = Arrival::by(now + self.context.not_yet);
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

    /// Whether a host's domain of this name is to be as if it did not exist.
    pub(super) fn leaves_out(&self, domain: &str) -> bool {
        self.owned.is_none() && !self.context.choice.wants(domain)
    }

    /// Whether a domain may be read. If its VM is known by name, notes its launcher.
    pub(super) fn accepts(&mut self, uuid: Uuid, domain: &str) -> bool {
        let Some(owned) = &mut self.owned else { return self.has_room(uuid, domain) };
        let Some(launcher) = owned.owner.launcher_of(domain).filter(|_| owned.owner.runs()) else { return false };
        if self.domains.len() >= LAUNCHER_DOMAINS_MAX && !self.domains.contains_key(&uuid) {
            let idle = self
                .domains
                .iter()
                .find(|(_, domain)| domain.incarnation.phase == DomainPhase::Inactive)
                .map(|(uuid, _)| *uuid);
            let Some(idle) = idle else {
                if !std::mem::replace(&mut owned.crowded, true) {
                    tracing::warn!(
                        daemon = %self.context.daemon, domain,
                        "the libvirt of this launcher names one domain after the other by the VM's name; those after the \
                         first are not read. Look at what runs in the pod"
                    );
                }
                return false;
            };
            self.remove(idle);
        }
        if matches!(self.owned, Some(Owned { owner: Owner { who: Who::Known(_), .. }, .. })) {
            self.context.launcher.get_or_insert(launcher);
        }
        true
    }

    /// Whether any domain of a launcher runs. Not computed for a host, which may have thousands: nothing needs it.
    pub(super) fn any_runs(&self) -> bool {
        self.owned.is_some() && self.domains.values().any(|domain| domain.incarnation.goes_on)
    }

    /// Once its domain has given the VM's name, drops domains with another name.
    pub(super) fn settle_name(&mut self) {
        let Some(Owned { owner, .. }) = &self.owned else { return };
        let Who::Known(launcher) = &owner.who else { return };
        if self.context.launcher.is_some() {
            return;
        }
        self.context.launcher = Some(Arc::clone(launcher));
        let others = self.domains.iter().filter(|(_, domain)| owner.launcher_of(&domain.name).is_none());
        let others: Vec<Uuid> = others.map(|(uuid, _)| *uuid).collect();
        for uuid in others {
            self.remove(uuid);
        }
    }

    /// Collects what is shown of it: its domains; for a launcher, the one that runs, or the VMI without one. `true` if
    /// a change in this has yet to be published at once.
    pub(super) fn shown_vms(&mut self, now: Instant, vms: &mut Vec<Arc<Vm>>) -> bool {
        let reach = match (self.connection.up, self.round) {
            (true, _) => Reachability::Up,
            (false, Round::Waiting) => Reachability::Trying,
            (false, _) if self.connection.trying_until.is_some_and(|until| now < until) => Reachability::Trying,
            (false, _) if self.connection.absent => Reachability::Absent,
            (false, _) => Reachability::Failed,
        };
        let Some(owned) = &mut self.owned else {
            vms.extend(self.domains.values().filter_map(|domain| domain.shown()).cloned());
            return false;
        };
        let told = &mut self.context.told;
        // Of a VMI only the running domain is shown, not others that its launcher has defined or receives by migration.
        // Until an identity was published, that waits for the first detection.
        let runs = |domain: &DomainState| {
            matches!(domain.incarnation.phase, DomainPhase::Active | DomainPhase::Unknown)
                && (domain.visible || told.is_some())
        };
        if let Some(vm) = self.domains.values().filter(|domain| runs(domain)).find_map(|domain| domain.shown()) {
            told.get_or_insert_with(|| Arc::clone(&vm.identity));
            vms.push(Arc::clone(vm));
            return false;
        }
        if let Some(vm) = owned.bare(&self.context.daemon, reach, self.connection.reason.as_ref(), told.as_ref()) {
            if vm.hypervisor.is_some() {
                told.get_or_insert_with(|| Arc::clone(&vm.identity));
            }
            vms.push(Arc::clone(vm));
        }
        std::mem::take(&mut owned.news)
    }
}
