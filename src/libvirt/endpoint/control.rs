//! Which calls that ask for no statistics may begin. Pure.
//!
//! List, state and XML never wait for a QEMU, but for a VM's lock, which somebody who destroys a frozen VM holds for
//! twelve seconds. One of each kind runs at a time; one that is late keeps its connection, and the next goes through
//! another, so that the other VMs are not held up. How many may be late is bounded.

use std::collections::HashSet;

use uuid::Uuid;

use super::counters::CallKind;

/// Calls that may be late at once: a list, and state and XML of a VM that is being destroyed, and one to spare.
pub(super) const LATE_MAX: usize = 4;

/// What may be done with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ControlAccess {
    /// Call.
    Open,
    /// One of its kind runs: it returns, or is late soon.
    Wait,
    /// The same call for the same domain is late: it would be too.
    Late,
    /// As many calls are late as may be.
    Full,
}

/// The calls that have not returned.
#[derive(Debug, Default)]
pub(super) struct Control {
    running: HashSet<CallKind>,
    late: HashSet<(CallKind, Option<Uuid>)>,
}

impl Control {
    /// Whether a call may begin.
    pub(super) fn access(&self, kind: CallKind, domain: Option<Uuid>) -> ControlAccess {
        if self.late.contains(&(kind, domain)) {
            ControlAccess::Late
        } else if self.late.len() + self.running.len() >= LATE_MAX && !self.late.is_empty() {
            if self.late.len() >= LATE_MAX { ControlAccess::Full } else { ControlAccess::Wait }
        } else if self.running.contains(&kind) {
            ControlAccess::Wait
        } else {
            ControlAccess::Open
        }
    }

    /// A call began.
    pub(super) fn start(&mut self, kind: CallKind) {
        self.running.insert(kind);
    }

    /// A running call returned.
    pub(super) fn finish(&mut self, kind: CallKind) {
        self.running.remove(&kind);
    }

    /// A running call was left behind.
    pub(super) fn abandon(&mut self, kind: CallKind, domain: Option<Uuid>) {
        self.running.remove(&kind);
        self.late.insert((kind, domain));
    }

    /// A call that had been left behind returned.
    pub(super) fn recover(&mut self, kind: CallKind, domain: Option<Uuid>) {
        self.late.remove(&(kind, domain));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Option<Uuid> = Some(Uuid::from_u128(1));
    const B: Option<Uuid> = Some(Uuid::from_u128(2));

    #[test]
    fn one_of_a_kind_at_a_time() {
        let mut control = Control::default();
        control.start(CallKind::Status);
        assert_eq!(control.access(CallKind::Status, B), ControlAccess::Wait);
        assert_eq!(control.access(CallKind::Describe, B), ControlAccess::Open);
        control.finish(CallKind::Status);
        assert_eq!(control.access(CallKind::Status, B), ControlAccess::Open);
    }

    #[test]
    fn a_late_state_of_one_domain_does_not_hold_up_the_others() {
        let mut control = Control::default();
        control.start(CallKind::Status);
        control.abandon(CallKind::Status, A);
        assert_eq!(control.access(CallKind::Status, A), ControlAccess::Late);
        assert_eq!(control.access(CallKind::Status, B), ControlAccess::Open);
        control.recover(CallKind::Status, A);
        assert_eq!(control.access(CallKind::Status, A), ControlAccess::Open);
    }

    #[test]
    fn late_calls_are_bounded() {
        let mut control = Control::default();
        for number in 0..100 {
            let domain = Some(Uuid::from_u128(number));
            for kind in [CallKind::Status, CallKind::Describe, CallKind::List] {
                if control.access(kind, domain) == ControlAccess::Open {
                    control.start(kind);
                }
            }
            for kind in [CallKind::Status, CallKind::Describe, CallKind::List] {
                if control.running.contains(&kind) {
                    control.abandon(kind, domain);
                }
            }
            assert!(control.late.len() <= LATE_MAX);
        }
        assert_eq!(control.access(CallKind::Status, B), ControlAccess::Full);
    }
}
