//! How many concurrent calls a daemon may get. Pure.
//!
//! libvirtd has a pool of workers, and a call into a frozen QEMU holds one until the QEMU answers or dies. Eight such
//! calls in one burst can leave the daemon without a free worker for every client on the host; four never did, and
//! eight that began one after the other never did (measured). Hence the more calls are abandoned, the fewer run
//! concurrently, and after eight, none that can hang is started.
//!
//! This counts the daemon's workers, not our connections: a call whose connection has ended still holds its worker.

/// Concurrent calls while none is abandoned. Reading one by one or four at a time is as fast as one bulk call.
pub(in crate::libvirt::endpoint) const AT_ONCE: usize = 4;

/// How many calls may be abandoned in QEMUs before none that can hang is started.
pub(in crate::libvirt::endpoint) const ABANDONED_MAX: usize = 8;

/// How many calls without monitor groups may be abandoned: these only wait for a VM's lock (somebody destroys a frozen
/// VM: 12 s), which is rare, so two of them are enough to go on with the other VMs.
pub(super) const LOCKED_MAX: usize = 2;

/// Calls that normally hold a worker of libvirtd for less than a millisecond (without monitor groups, or for a domain's
/// XML) and so may run, one of each kind, beside others that wait for QEMUs.
const ASIDE: usize = 1;

/// Concurrent XML calls. They are answered within a fraction of a millisecond, or hang in their VM.
pub(super) const XML_AT_ONCE: usize = 2;

/// With this many hung XML calls, statistics go first.
const SLOW_XML_MAX: usize = 2;

/// How many calls one reader may have in a daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::libvirt::endpoint) struct Limits {
    /// Concurrent calls while none is abandoned.
    at_once: usize,
    /// Calls that may be abandoned in QEMUs before none that can hang is started.
    hung: usize,
    /// Calls without monitor groups that may be abandoned.
    locked: usize,
    /// Calls of each quick kind that may run beside others.
    aside: usize,
    /// With this many hung XML calls, statistics go first.
    pub(super) slow_xml: usize,
}

impl Limits {
    /// For the agent.
    pub(in crate::libvirt::endpoint) const AGENT: Self =
        Self { at_once: AT_ONCE, hung: ABANDONED_MAX, locked: LOCKED_MAX, aside: ASIDE, slow_xml: SLOW_XML_MAX };

    /// For a command that reads beside an agent. Both together must leave the daemon workers: one call in flight, two
    /// abandoned in QEMUs, and none beyond that but one that waits for a VM's lock. With one XML call that hangs,
    /// statistics go first: they return at once in a VM where a call of the agent hangs, and XML may not.
    pub(in crate::libvirt::endpoint) const BESIDE_AN_AGENT: Self =
        Self { at_once: 1, hung: 2, locked: 1, aside: 0, slow_xml: 1 };

    /// These, with at most `at_once` concurrent calls; one is always allowed.
    pub(in crate::libvirt::endpoint) fn at_most(self, at_once: usize) -> Self {
        Self { at_once: self.at_once.min(at_once).max(1), ..self }
    }
}

/// What a call may have to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::libvirt::endpoint) enum WaitsFor {
    /// Statistics that partly come from QEMU.
    Monitor,
    /// Statistics that libvirt itself has.
    NoMonitor,
    /// A domain's XML: from libvirt 11 on it waits for the holder of the domain's job.
    Xml,
}

/// Whether a call may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// It may, with only the groups that this allows.
    Start(WaitsFor),
    /// Running calls must return first.
    Wait,
    /// Too many calls are abandoned.
    None,
}

/// Calls by what they wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Count {
    monitor: usize,
    no_monitor: usize,
    xml: usize,
}

impl Count {
    const fn of(&mut self, reach: WaitsFor) -> &mut usize {
        match reach {
            WaitsFor::Monitor => &mut self.monitor,
            WaitsFor::NoMonitor => &mut self.no_monitor,
            WaitsFor::Xml => &mut self.xml,
        }
    }

    const fn all(self) -> usize {
        self.monitor + self.no_monitor + self.xml
    }
}

/// The calls of one daemon that have not returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    limits: Limits,
    running: Count,
    behind: Count,
}

impl Budget {
    /// A budget within these limits.
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, running: Count::default(), behind: Count::default() }
    }

    /// Whether statistics may be asked for; `wanted` is [`WaitsFor::Monitor`] or [`WaitsFor::NoMonitor`].
    pub(super) fn stats(&self, wanted: WaitsFor) -> Room {
        let reach = if self.hung() < self.limits.hung { wanted } else { WaitsFor::NoMonitor };
        if reach == WaitsFor::NoMonitor && self.behind.no_monitor >= self.limits.locked {
            Room::None
        } else if self.running.all() >= self.limit() || (reach == WaitsFor::Monitor && self.is_full()) {
            Room::Wait
        } else {
            Room::Start(reach)
        }
    }

    /// Whether statistics may be asked for in a domain where calls that lost their connection are believed to hang.
    /// They may, even at the limit of hung calls: only another call can show that they no longer hang.
    pub(super) fn trial(&self, wanted: WaitsFor) -> Room {
        if self.hung() < self.limits.hung {
            self.stats(wanted)
        } else if self.running.all() >= self.limit() {
            Room::Wait
        } else {
            Room::Start(wanted)
        }
    }

    /// Whether statistics that have waited for long may be asked for without their monitor groups, beside the others.
    /// While calls hang, each turn can take three seconds, and healthy VMs must not lose their state meanwhile.
    pub(super) const fn stats_aside(&self) -> bool {
        self.hung() > 0 && self.running.no_monitor < self.limits.aside && self.behind.no_monitor < self.limits.locked
    }

    /// Whether a domain's XML may be asked for. At the limit of hung calls, only if none of them is for XML: before
    /// libvirt 11 XML calls never hang, and a VM's type must not wait for others' QEMUs. (Not beside an agent: it knows
    /// the type.) `well`: the domain's QEMU has just answered, so that this call waits for nothing.
    pub(super) fn xml(&self, well: bool) -> Room {
        let beside = self.limits.aside;
        let first = self.running.xml < beside;
        let aside = first || (well && beside > 0 && self.running.xml < XML_AT_ONCE + beside);
        if self.is_full() && !(first && self.behind.xml == 0) {
            if self.hung() >= self.limits.hung { Room::None } else { Room::Wait }
        } else if aside || (self.running.xml < XML_AT_ONCE && self.running.all() < self.limit()) {
            Room::Start(WaitsFor::Xml)
        } else {
            Room::Wait
        }
    }

    /// Whether the limit of calls that hang, or might, is reached.
    const fn is_full(&self) -> bool {
        self.hung() + self.running.monitor + self.running.xml >= self.limits.hung
    }

    fn limit(&self) -> usize {
        self.limits.at_once.saturating_sub(self.abandoned()).max(1)
    }

    /// Calls that hang in a QEMU.
    const fn hung(&self) -> usize {
        self.behind.monitor + self.behind.xml
    }

    /// A call began.
    pub(super) const fn start(&mut self, reach: WaitsFor) {
        *self.running.of(reach) += 1;
    }

    /// A running call was abandoned.
    pub(super) const fn abandon(&mut self, reach: WaitsFor) {
        self.finish(reach);
        *self.behind.of(reach) += 1;
    }

    /// A running call returned.
    pub(super) const fn finish(&mut self, reach: WaitsFor) {
        let running = self.running.of(reach);
        *running = running.saturating_sub(1);
    }

    /// An abandoned call has returned, or its worker is known to be free.
    pub(super) const fn recover(&mut self, reach: WaitsFor) {
        let behind = self.behind.of(reach);
        *behind = behind.saturating_sub(1);
    }

    /// Running calls.
    pub(super) const fn running(&self) -> usize {
        self.running.all()
    }

    /// Abandoned calls.
    pub(super) const fn abandoned(&self) -> usize {
        self.behind.all()
    }
}

#[cfg(test)]
mod tests;
