//! Whether calls that never wait for QEMU may start: lists and states. Pure.
//!
//! They can still wait for a VM's lock, which whoever destroys a frozen VM holds for twelve seconds. One of each kind
//! runs at a time; one that is late keeps its connection, and the next uses another, so that the other VMs are not
//! delayed. The number of late calls is bounded.

use std::collections::HashSet;

use crate::source::Ask;

/// How many calls may be late: a list, the states of two VMs that are being destroyed, and one to spare.
pub(super) const LATE_MAX: usize = 4;

/// Whether a call may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// It may.
    Open,
    /// Another must return, or be late, first.
    Wait,
    /// The same call for the same domain is late: this one would be, too.
    Late,
    /// The limit of late calls is reached.
    Full,
}

/// The list and state calls that have not returned.
#[derive(Debug, Default)]
pub(super) struct Control {
    running: Vec<Ask>,
    late: HashSet<Ask>,
}

impl Control {
    /// Whether a call may begin.
    pub(super) fn access(&self, ask: Ask) -> Access {
        if self.late.contains(&ask) {
            Access::Late
        } else if self.late.len() >= LATE_MAX {
            Access::Full
        } else if self.running.iter().any(|running| same_kind(*running, ask))
            || (!self.late.is_empty() && self.late.len() + self.running.len() >= LATE_MAX)
        {
            Access::Wait
        } else {
            Access::Open
        }
    }

    /// A call began.
    pub(super) fn start(&mut self, ask: Ask) {
        self.running.push(ask);
    }

    /// A running call returned.
    pub(super) fn finish(&mut self, ask: Ask) {
        self.running.retain(|running| *running != ask);
    }

    /// A running call was abandoned.
    pub(super) fn abandon(&mut self, ask: Ask) {
        self.finish(ask);
        self.late.insert(ask);
    }

    /// An abandoned call returned.
    pub(super) fn recover(&mut self, ask: Ask) {
        self.late.remove(&ask);
    }

    /// Every connection has ended: nobody waits for these calls any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn same_kind(one: Ask, other: Ask) -> bool {
    std::mem::discriminant(&one) == std::mem::discriminant(&other)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const A: Ask = Ask::Status(Uuid::from_u128(1));
    const B: Ask = Ask::Status(Uuid::from_u128(2));

    #[test]
    fn one_of_a_kind_at_a_time() {
        let mut control = Control::default();
        control.start(A);
        assert_eq!(control.access(B), Access::Wait);
        assert_eq!(control.access(Ask::List), Access::Open);
        control.finish(A);
        assert_eq!(control.access(B), Access::Open);
    }

    #[test]
    fn a_late_state_of_one_domain_does_not_hold_up_the_others() {
        let mut control = Control::default();
        control.start(A);
        control.abandon(A);
        assert_eq!(control.access(A), Access::Late);
        assert_eq!(control.access(B), Access::Open);
        control.recover(A);
        assert_eq!(control.access(A), Access::Open);
    }

    #[test]
    fn late_calls_are_bounded() {
        let mut control = Control::default();
        for number in 10..100 {
            let asks = [Ask::Status(Uuid::from_u128(number)), Ask::List];
            for ask in asks.into_iter().filter(|ask| control.access(*ask) == Access::Open).collect::<Vec<_>>() {
                if control.access(ask) == Access::Open {
                    control.start(ask);
                }
            }
            for ask in control.running.clone() {
                control.abandon(ask);
            }
            assert!(control.late.len() <= LATE_MAX);
        }
        assert_eq!(control.access(B), Access::Full);
    }
}
