//! What really runs a VM, and which devices it has: one XML query per detection.

use std::sync::Arc;

use tokio::time::Instant;

use super::figures::rejoin;
use super::settings::{BOOT_PAIR, DESCRIBE_RETRY, UNKNOWN_DEVICE_GAP};
use super::track::{CallState, Moment, Phase, Surroundings, Track, Wants};
use crate::backoff::Backoff;
use crate::model::{Description, HypervisorType};
use crate::source::ReadError;

/// An event that triggers a detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    /// STARTED
    Started,
    /// RESUMED
    Resumed,
}

/// The progress of a VM's detection.
#[derive(Debug)]
pub(super) struct Detection {
    backoff: Backoff,
    /// Whether a query has succeeded since this began.
    done: bool,
    retry_at: Option<Instant>,
    trigger: Option<(Trigger, Instant)>,
    /// When a device missing from the XML last triggered a query.
    unknown_device: Option<Instant>,
    /// The cause that was logged last: a repeat is not logged, until a detection succeeds.
    logged: Option<Cause>,
}

/// Why the type is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The XML could not be understood.
    Xml,
    /// libvirt failed.
    Libvirt,
    /// The query did not return in time.
    Late,
    /// The daemon cannot be reached.
    Unreachable,
    /// The XML was understood, but its type is not a known one.
    Type,
}

impl Default for Detection {
    fn default() -> Self {
        Self {
            backoff: Backoff::new(DESCRIBE_RETRY),
            done: false,
            retry_at: None,
            trigger: None,
            unknown_device: None,
            logged: None,
        }
    }
}

impl Detection {
    /// A new incarnation, or a new connection: nothing is under way.
    pub(super) fn restart(&mut self) {
        *self = Self { logged: self.logged, trigger: self.trigger, ..Self::default() };
    }

    /// The detection may be of an earlier incarnation.
    pub(super) fn doubt(&mut self) {
        self.done = false;
    }

    /// Whether this event is the other half of a boot whose first half came just before. If not, it is remembered as a
    /// first half itself.
    pub(super) fn completes_boot(&mut self, trigger: Trigger, now: Instant) -> bool {
        let other = self.trigger.take();
        if other.is_some_and(|(other, at)| other != trigger && now.saturating_duration_since(at) <= BOOT_PAIR) {
            return true;
        }
        self.trigger = Some((trigger, now));
        false
    }

    /// Forgets the first half.
    pub(super) fn forget_trigger(&mut self) {
        self.trigger = None;
    }

    /// Whether a query has succeeded since the incarnation, or the connection, began.
    pub(super) const fn is_done(&self) -> bool {
        self.done
    }

    /// When a failed query is retried.
    pub(super) const fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Whether it is time to retry.
    pub(super) fn take_retry(&mut self, now: Instant) -> bool {
        self.retry_at.take_if(|at| *at <= now).is_some()
    }

    fn failed(&mut self, now: Instant) {
        self.retry_at = Some(now + self.backoff.fail());
    }

    /// Whether to log this cause.
    pub(super) fn is_news(&mut self, cause: Cause) -> bool {
        self.logged.replace(cause) != Some(cause)
    }
}

impl Track {
    /// Handles the answer to an XML query.
    pub(super) fn on_description(
        &mut self,
        answer: Result<Option<Description>, ReadError>,
        moment: Moment,
        around: &Surroundings,
    ) -> Wants {
        let mut wants = Wants::default();
        if self.phase != Phase::Active {
            return wants;
        }
        let before = self.vm.hypervisor;
        match answer {
            Ok(None) => {
                wants.remove = true;
                return wants;
            }
            Ok(Some(description)) => self.described(description, around),
            Err(error) => {
                around.health.describe_failures.one();
                self.detection.failed(moment.instant);
                if matches!(error, ReadError::Disconnected { .. }) {
                    return wants; // the source reports it itself; until then the type stays
                }
                self.not_described(&error, around);
            }
        }
        if !self.visible {
            self.show(around);
            wants.lifecycle = true;
        }
        wants.lifecycle |= before != self.vm.hypervisor;
        wants
    }

    fn described(&mut self, description: Description, around: &Surroundings) {
        let hypervisor = description.hypervisor();
        self.detection.backoff.reset();
        self.detection.done = true;
        self.detection.retry_at = None;
        if hypervisor == HypervisorType::Unknown {
            if self.detection.is_news(Cause::Type) && around.may_log() {
                tracing::warn!(
                    domain = %self.name, uuid = %self.vm.key.uuid, domain_type = %description.domain_type,
                    "the domain's XML names a hypervisor that this version does not know; its type is exported as unknown"
                );
            }
        } else {
            self.detection.logged = None;
        }
        let vm = self.vm_mut();
        vm.hypervisor = Some(hypervisor);
        vm.description = Some(Arc::new(description));
        rejoin(vm);
        // Names may be longer now, and fewer of them may fit.
        self.fit();
        self.count_left_out(around);
    }

    fn not_described(&mut self, error: &ReadError, around: &Surroundings) {
        let late = matches!(error, ReadError::Deadline { .. } | ReadError::Overloaded { .. });
        let cause = match error {
            ReadError::Xml { .. } => Cause::Xml,
            _ if late => Cause::Late,
            _ => Cause::Libvirt,
        };
        if self.detection.is_news(cause) && around.may_log() {
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
        let asked = self.detection.unknown_device;
        if asked.is_some_and(|at| now.saturating_duration_since(at) < UNKNOWN_DEVICE_GAP) {
            return false;
        }
        self.detection.unknown_device = Some(now);
        true
    }
}
