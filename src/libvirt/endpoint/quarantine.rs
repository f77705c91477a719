//! Which domains have calls of ours in them, and which of these are stuck. Pure.

use std::collections::HashMap;

use uuid::Uuid;

/// What may be done with a read of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Call.
    Open,
    /// A call runs in it: wait until that one has returned or gone past its deadline.
    Wait,
    /// Two calls hang in it: make no third.
    Closed,
}

/// The calls of ours in one domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Case {
    running: bool,
    hung: usize,
    stuck: bool,
}

/// Calls that may hang in one domain. The first holds the domain's job, so the second returns at once without the
/// QEMU, and that is how a stuck VM is still read. It hangs too only if it waits for the VM's lock, or if the first
/// has ended meanwhile.
const HUNG_MAX: usize = 2;

/// Every domain in which there is a call of ours.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    cases: HashMap<Uuid, Case>,
}

impl Quarantine {
    /// Whether a call may begin in the domain.
    pub(super) fn access(&self, domain: Uuid) -> Access {
        match self.cases.get(&domain) {
            Some(Case { running: true, .. }) => Access::Wait,
            Some(Case { hung, .. }) if *hung >= HUNG_MAX => Access::Closed,
            _ => Access::Open,
        }
    }

    /// A call began.
    pub(super) fn start(&mut self, domain: Uuid) {
        self.cases.entry(domain).or_default().running = true;
    }

    /// The running call was left behind.
    pub(super) fn abandon(&mut self, domain: Uuid) {
        let case = self.cases.entry(domain).or_default();
        case.running = false;
        case.hung += 1;
    }

    /// A call of ours hangs in the domain while the daemon answers: it is stuck. True if it was not before.
    pub(super) fn condemn(&mut self, domain: Uuid) -> bool {
        let case = self.cases.entry(domain).or_default();
        !std::mem::replace(&mut case.stuck, true)
    }

    /// The running call returned.
    pub(super) fn finish(&mut self, domain: Uuid) {
        if let Some(case) = self.cases.get_mut(&domain) {
            case.running = false;
        }
        self.tidy(domain);
    }

    /// A call that had been left behind returned. True if the domain was stuck and is no longer: it was the last.
    pub(super) fn recover(&mut self, domain: Uuid) -> bool {
        let Some(case) = self.cases.get_mut(&domain) else { return false };
        case.hung = case.hung.saturating_sub(1);
        let healed = case.hung == 0 && std::mem::replace(&mut case.stuck, false);
        self.tidy(domain);
        healed
    }

    /// Whether a call of ours is known to hang in the domain.
    pub(super) fn is_stuck(&self, domain: Uuid) -> bool {
        self.cases.get(&domain).is_some_and(|case| case.stuck)
    }

    /// How many domains are stuck.
    pub(super) fn stuck(&self) -> usize {
        self.cases.values().filter(|case| case.stuck).count()
    }

    /// Nothing is known of any domain any more; the calls that have not returned are still there.
    pub(super) fn acquit_all(&mut self) {
        for case in self.cases.values_mut() {
            case.stuck = false;
        }
    }

    fn tidy(&mut self, domain: Uuid) {
        if self.cases.get(&domain) == Some(&Case::default()) {
            self.cases.remove(&domain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);

    #[test]
    fn one_call_at_a_time_in_a_domain_that_answers() {
        let mut quarantine = Quarantine::default();
        assert_eq!(quarantine.access(A), Access::Open);
        quarantine.start(A);
        assert_eq!(quarantine.access(A), Access::Wait);
        assert_eq!(quarantine.access(B), Access::Open);
        quarantine.finish(A);
        assert_eq!(quarantine.access(A), Access::Open);
        assert!(quarantine.cases.is_empty(), "nothing is kept of a healthy domain");
    }

    #[test]
    fn beside_one_hung_call_a_second_goes_and_a_third_does_not() {
        let mut quarantine = Quarantine::default();
        for expected in [Access::Open, Access::Closed] {
            quarantine.start(A);
            quarantine.abandon(A);
            quarantine.condemn(A);
            assert_eq!(quarantine.access(A), expected);
        }
    }

    #[test]
    fn a_domain_is_healed_when_its_last_hung_call_returns() {
        let mut quarantine = Quarantine::default();
        for first in [true, false] {
            quarantine.start(A);
            quarantine.abandon(A);
            assert_eq!(quarantine.condemn(A), first, "reported once");
        }
        assert!(!quarantine.recover(A));
        assert!(quarantine.is_stuck(A));
        assert!(quarantine.recover(A));
        assert!(!quarantine.is_stuck(A));
        assert!(quarantine.cases.is_empty());
    }

    #[test]
    fn a_domain_whose_call_was_only_lost_with_its_daemon_is_not_stuck() {
        let mut quarantine = Quarantine::default();
        quarantine.start(A);
        quarantine.abandon(A);
        quarantine.condemn(A);
        quarantine.acquit_all();
        assert_eq!(quarantine.stuck(), 0);
        assert!(!quarantine.recover(A), "nothing to report");
    }
}
