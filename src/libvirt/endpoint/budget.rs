//! How many calls a daemon may be given at once. Pure.
//!
//! libvirtd has a pool of workers, and a call into a frozen QEMU holds one until the QEMU answers or dies. Eight such
//! calls in one burst can leave the daemon without a free worker for every client on the host; four never did, and
//! eight that began one after the other never did (measured). Hence: fewer calls at once the more have been left
//! behind, and none that can hang once eight have.

/// Calls at once while none has been left behind. Reading one by one or four at a time is as fast as one bulk call.
pub(super) const AT_ONCE: usize = 4;

/// Calls that may have been left behind in QEMUs before none that can hang is made any more.
pub(super) const ABANDONED_MAX: usize = 8;

/// Calls without monitor groups that may have been left behind: these wait for nothing but a VM's lock (somebody
/// destroys a frozen VM: 12 s), which is rare, so two of them are enough to go on with the other VMs.
pub(super) const LOCKED_MAX: usize = 2;

/// Calls without monitor groups that may run beside the others while those work through QEMUs that do not answer: a
/// worker of libvirtd is taken for less than a millisecond.
pub(super) const ASIDE: usize = 1;

/// Whether a call's groups may make it wait for a QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// It may.
    Monitor,
    /// It has only groups that libvirt answers by itself.
    NoMonitor,
}

/// What may be done with a call that wants to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// Begin, with groups as far as this reaches.
    Start(Reach),
    /// Others must return first, within their deadline.
    Wait,
    /// Too many were left behind for any call.
    Refuse,
}

/// The calls of one daemon that have not returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    at_once: usize,
    running: usize,
    /// Those of the running that cannot wait for a QEMU.
    running_free: usize,
    hung: usize,
    locked: usize,
}

impl Budget {
    /// A budget of `at_once` calls (1 to [`AT_ONCE`]).
    pub(super) fn new(at_once: usize) -> Self {
        Self { at_once: at_once.clamp(1, AT_ONCE), running: 0, running_free: 0, hung: 0, locked: 0 }
    }

    /// Whether a call may begin that would like to reach as far as `wanted`.
    pub(super) fn admit(&self, wanted: Reach) -> Admission {
        let reach = if self.hung < ABANDONED_MAX { wanted } else { Reach::NoMonitor };
        if reach == Reach::NoMonitor && self.locked >= LOCKED_MAX {
            Admission::Refuse
        } else if self.running >= self.limit() {
            Admission::Wait
        } else {
            Admission::Start(reach)
        }
    }

    /// Whether a call that has waited for long may begin without its monitor groups beside the others. With calls left
    /// behind there is one turn of three seconds after the other, and what is well must not lose its state meanwhile.
    pub(super) fn admits_aside(&self) -> bool {
        self.hung > 0 && self.running_free < ASIDE && self.locked < LOCKED_MAX
    }

    fn limit(&self) -> usize {
        self.at_once.saturating_sub(self.abandoned()).max(1)
    }

    /// A call began.
    pub(super) fn start(&mut self, reach: Reach) {
        self.running += 1;
        if reach == Reach::NoMonitor {
            self.running_free += 1;
        }
    }

    /// A running call was left behind.
    pub(super) fn abandon(&mut self, reach: Reach) {
        self.finish(reach);
        *self.slot(reach) += 1;
    }

    /// A running call returned.
    pub(super) fn finish(&mut self, reach: Reach) {
        self.running = self.running.saturating_sub(1);
        if reach == Reach::NoMonitor {
            self.running_free = self.running_free.saturating_sub(1);
        }
    }

    /// A call that had been left behind returned.
    pub(super) fn recover(&mut self, reach: Reach) {
        let slot = self.slot(reach);
        *slot = slot.saturating_sub(1);
    }

    fn slot(&mut self, reach: Reach) -> &mut usize {
        match reach {
            Reach::Monitor => &mut self.hung,
            Reach::NoMonitor => &mut self.locked,
        }
    }

    /// Calls within their deadline.
    pub(super) const fn running(&self) -> usize {
        self.running
    }

    /// Calls that were left behind.
    pub(super) const fn abandoned(&self) -> usize {
        self.hung + self.locked
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn abandoned(count: usize) -> Budget {
        let mut budget = Budget::new(AT_ONCE);
        for _ in 0..count {
            budget.start(Reach::Monitor);
            budget.abandon(Reach::Monitor);
        }
        budget
    }

    fn startable(mut budget: Budget, wanted: Reach) -> usize {
        let mut started = 0;
        while let Admission::Start(reach) = budget.admit(wanted) {
            budget.start(reach);
            started += 1;
        }
        started
    }

    #[test]
    fn four_at_once_and_one_less_for_each_that_was_left_behind_but_never_none() {
        let at_once: Vec<usize> = (0..=8).map(|count| startable(abandoned(count), Reach::Monitor)).collect();
        assert_eq!(at_once, [4, 3, 2, 1, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn when_eight_were_left_behind_the_others_are_read_without_the_monitor() {
        assert_eq!(abandoned(7).admit(Reach::Monitor), Admission::Start(Reach::Monitor));
        assert_eq!(abandoned(8).admit(Reach::Monitor), Admission::Start(Reach::NoMonitor));
        let mut healed = abandoned(8);
        healed.recover(Reach::Monitor);
        assert_eq!(healed.admit(Reach::Monitor), Admission::Start(Reach::Monitor));
    }

    #[test]
    fn one_call_without_the_monitor_runs_beside_those_that_hang() {
        let mut budget = abandoned(4);
        budget.start(Reach::Monitor);
        assert_eq!(budget.admit(Reach::Monitor), Admission::Wait);
        assert!(budget.admits_aside());
        budget.start(Reach::NoMonitor);
        assert!(!budget.admits_aside(), "one at a time");
        budget.finish(Reach::NoMonitor);
        assert!(budget.admits_aside());
        assert!(!Budget::new(AT_ONCE).admits_aside(), "while nothing hangs everything has its turn");
    }

    #[test]
    fn calls_that_wait_for_a_lock_are_bounded_too() {
        let mut budget = abandoned(8);
        for _ in 0..LOCKED_MAX {
            assert_eq!(budget.admit(Reach::Monitor), Admission::Start(Reach::NoMonitor));
            budget.start(Reach::NoMonitor);
            budget.abandon(Reach::NoMonitor);
        }
        assert_eq!(budget.admit(Reach::Monitor), Admission::Refuse);
        budget.recover(Reach::NoMonitor);
        assert_eq!(budget.admit(Reach::NoMonitor), Admission::Start(Reach::NoMonitor));
    }

    /// A launcher has one VM: while a call hangs in it, the next must find a place, since it is the one that still reads.
    #[test]
    fn one_at_a_time_leaves_a_place_beside_those_that_hang() {
        let mut budget = Budget::new(1);
        for hung in 0..ABANDONED_MAX {
            assert_eq!(startable(budget, Reach::Monitor), 1, "beside {hung}");
            budget.start(Reach::Monitor);
            budget.abandon(Reach::Monitor);
        }
        assert_eq!(budget.admit(Reach::Monitor), Admission::Start(Reach::NoMonitor));
    }

    #[test]
    fn a_smaller_budget_can_be_asked_for_but_not_a_larger_one() {
        assert_eq!(startable(Budget::new(1), Reach::Monitor), 1);
        assert_eq!(startable(Budget::new(0), Reach::Monitor), 1);
        assert_eq!(startable(Budget::new(100), Reach::Monitor), AT_ONCE);
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Start(bool),
        Abandon(usize),
        Return(usize),
    }

    proptest! {
        #[test]
        fn the_limits_hold_in_any_order(steps in proptest::collection::vec(
            prop_oneof![
                any::<bool>().prop_map(Step::Start),
                any::<usize>().prop_map(Step::Abandon),
                any::<usize>().prop_map(Step::Return),
            ],
            0..200,
        )) {
            let mut budget = Budget::new(AT_ONCE);
            // Each call that has not returned: how far it reaches, whether it was left behind.
            let mut calls: Vec<(Reach, bool)> = Vec::new();
            for step in steps {
                match step {
                    Step::Start(monitor) => {
                        let wanted = if monitor { Reach::Monitor } else { Reach::NoMonitor };
                        let reach = match budget.admit(wanted) {
                            Admission::Start(reach) => Some(reach),
                            Admission::Wait => budget.admits_aside().then_some(Reach::NoMonitor),
                            Admission::Refuse => None,
                        };
                        if let Some(reach) = reach {
                            budget.start(reach);
                            calls.push((reach, false));
                        }
                    }
                    Step::Abandon(index) if !calls.is_empty() => {
                        let index = index % calls.len();
                        if !calls[index].1 {
                            calls[index].1 = true;
                            budget.abandon(calls[index].0);
                        }
                    }
                    Step::Return(index) if !calls.is_empty() => {
                        let (reach, left_behind) = calls.remove(index % calls.len());
                        if left_behind { budget.recover(reach) } else { budget.finish(reach) }
                    }
                    _ => {}
                }
                let hung = calls.iter().filter(|call| **call == (Reach::Monitor, true)).count();
                let may_hang = calls.iter().filter(|call| call.0 == Reach::Monitor).count();
                let running = calls.iter().filter(|call| !call.1).count();
                prop_assert!(hung <= ABANDONED_MAX);
                prop_assert!(may_hang <= ABANDONED_MAX);
                prop_assert!(running <= AT_ONCE);
                prop_assert!(calls.len() <= ABANDONED_MAX + LOCKED_MAX + 1);
                let waiting_for_qemus = calls.iter().filter(|call| **call == (Reach::Monitor, false)).count();
                prop_assert!(waiting_for_qemus <= AT_ONCE);
                prop_assert_eq!(running, budget.running());
                prop_assert_eq!(calls.len() - running, budget.abandoned());
            }
        }
    }
}
