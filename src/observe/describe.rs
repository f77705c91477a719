//! What the answer to an XML query changes of a domain.

use std::sync::Arc;

use tokio::time::Instant;

use super::context::{DaemonContext, Moment};
use super::detection::Cause;
use super::domain::DomainState;
use super::figures::rejoin;
use super::incarnation::DomainPhase;
use super::queries::{Actions, CallState};
use crate::model::{Description, HypervisorType};
use crate::source::ReadError;

impl DomainState {
    /// Handles the answer to an XML query.
    pub(super) fn on_description(
        &mut self,
        answer: Result<Option<Description>, ReadError>,
        moment: Moment,
        context: &DaemonContext,
    ) -> Actions {
        let mut actions = Actions::default();
        if self.incarnation.phase != DomainPhase::Active {
            return actions;
        }
        let before = self.vm.hypervisor;
        match answer {
            Ok(None) => {
                actions.remove = true;
                return actions;
            }
            Ok(Some(description)) => self.described(description, context),
            Err(error) => {
                context.counters.describe_failures.one();
                self.detection.failed(moment.instant);
                if matches!(error, ReadError::Disconnected { .. }) {
                    return actions; // the source reports it itself; until then the type stays
                }
                self.not_described(&error, context);
            }
        }
        if !self.visible {
            self.show(context);
            actions.lifecycle = true;
        }
        actions.lifecycle |= before != self.vm.hypervisor;
        actions
    }

    fn described(&mut self, description: Description, context: &DaemonContext) {
        let hypervisor = description.hypervisor();
        self.detection.succeeded();
        if hypervisor == HypervisorType::Unknown {
            if self.detection.is_news(Cause::Type) && context.may_log() {
                tracing::warn!(
                    domain = %self.name, uuid = %self.vm.key.uuid, domain_type = %description.domain_type,
                    "the domain's XML names a hypervisor that this version does not know; its type is exported as unknown"
                );
            }
        } else {
            self.detection.forget_logged();
        }
        let vm = self.vm_mut();
        vm.hypervisor = Some(hypervisor);
        vm.description = Some(Arc::new(description));
        rejoin(vm);
        // Names may be longer now, and fewer of them may fit.
        self.fit();
        self.count_left_out(context);
    }

    fn not_described(&mut self, error: &ReadError, context: &DaemonContext) {
        let late = matches!(error, ReadError::Deadline { .. } | ReadError::Overloaded { .. });
        let cause = match error {
            ReadError::Xml { .. } => Cause::Xml,
            _ if late => Cause::Late,
            _ => Cause::Libvirt,
        };
        if self.detection.is_news(cause) && context.may_log() {
            tracing::warn!(
                domain = %self.name, uuid = %self.vm.key.uuid, %error,
                "could not read what runs the domain; it will be tried again"
            );
        }
        // A query that is merely late says nothing new: the known type of the incarnation still holds.
        if !late || self.vm.hypervisor.is_none() {
            self.vm_mut().hypervisor = Some(HypervisorType::Unknown);
        }
    }

    /// Whether a statistic named a device missing from the XML, and it is time to query the XML again.
    pub(super) fn wants_devices(&mut self, now: Instant) -> bool {
        if self.vm.description.is_none() || self.calls.describe != CallState::Idle {
            return false; // the detection is under way
        }
        if self.is_cut() {
            return false; // the missing device was cut from the description
        }
        let disks = self.vm.disks.iter().flat_map(|disks| &disks.value);
        let nics = self.vm.nics.iter().flat_map(|nics| &nics.value);
        let unknown = disks.map(|disk| disk.value.description.is_none());
        if !unknown.chain(nics.map(|nic| nic.value.description.is_none())).any(|unknown| unknown) {
            return false;
        }
        self.detection.may_look_for_devices(now)
    }
}
