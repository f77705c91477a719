//! What really runs a VM, and which devices it has: one XML query per detection.

use tokio::time::Instant;

use super::settings::{BOOT_PAIR, DESCRIBE_RETRY, UNKNOWN_DEVICE_GAP};
use crate::backoff::Backoff;
use crate::model::HypervisorType;

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
    /// The type before the daemon was lost. It holds again once a reading shows that the incarnation went on: the XML
    /// may be long in coming, because from libvirt 11 on it waits for a QEMU that hangs.
    former: Option<HypervisorType>,
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
            former: None,
        }
    }
}

impl Detection {
    /// A new incarnation, or a new connection: nothing is under way.
    pub(super) fn restart(&mut self) {
        *self = Self { logged: self.logged, trigger: self.trigger, ..Self::default() };
    }

    /// The daemon is lost: it begins anew. `shown` is the type until now.
    pub(super) fn lost(&mut self, shown: Option<HypervisorType>) {
        let former = shown.filter(|shown| *shown != HypervisorType::Unknown).or(self.former);
        self.restart();
        self.forget_trigger();
        self.former = former;
    }

    /// Whether the type of before the loss may hold again.
    pub(super) const fn remembers(&self) -> bool {
        self.former.is_some()
    }

    /// The incarnation has gone on since the daemon was lost. Returns the type that it had, unless a query has told it.
    pub(super) fn gone_on(&mut self) -> Option<HypervisorType> {
        self.former.take().filter(|_| !self.done)
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

    /// A query has failed.
    pub(super) fn failed(&mut self, now: Instant) {
        self.retry_at = Some(now + self.backoff.fail());
    }

    /// A query has succeeded.
    pub(super) fn succeeded(&mut self) {
        self.backoff.reset();
        self.done = true;
        self.retry_at = None;
    }

    /// The next failure is logged, whatever its cause.
    pub(super) const fn forget_logged(&mut self) {
        self.logged = None;
    }

    /// Whether it is time to query the XML again for a device that it lacks. If so, this is remembered.
    pub(super) fn may_look_for_devices(&mut self, now: Instant) -> bool {
        if self.unknown_device.is_some_and(|at| now.saturating_duration_since(at) < UNKNOWN_DEVICE_GAP) {
            return false;
        }
        self.unknown_device = Some(now);
        true
    }

    /// Whether to log this cause.
    pub(super) fn is_news(&mut self, cause: Cause) -> bool {
        self.logged.replace(cause) != Some(cause)
    }
}
