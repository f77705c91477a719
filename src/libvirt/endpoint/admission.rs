//! Decides which call may start. Pure: it is told what began, returned, was abandoned and lost its connection, and says
//! whether another call may begin. Nothing else decides that.
//!
//! ```text
//!  budget   how many calls of all domains may hang in QEMUs, or wait for one
//!  cases    our calls in each domain
//!  control  lists and states, which wait for a lock at most
//! ```
//!
//! A domain's XML is requested before its statistics: from libvirt 11 on it waits for any call that hangs in the
//! domain, and before the first request none of ours does. If it hangs all the same (behind another client's call), the
//! domain's statistics go beside it. If two hang, statistics come first in all domains: they tell within moments which
//! domains are healthy, and XML is only requested for these.

mod budget;
mod cases;
mod control;

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

pub(super) use self::budget::{AT_ONCE, Limits, WaitsFor};

use self::budget::{Budget, Room};
use self::cases::{Case, Cases, HUNG_MAX, Xml};
use self::control::{Access, Control};
use crate::source::Ask;

/// How long statistics wait for their turn with QEMU before they are read without their monitor groups, while calls
/// hang. Healthy VMs get their turn within a fraction of this; behind a hung call, each would wait three seconds more.
/// Four reads of a daemon wait at once, so that a hundred VMs are done within a few seconds.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);

/// An XML call that takes longer than this is treated as hung: a thousand times what it normally takes.
const SLOW_XML: Duration = Duration::from_millis(200);

/// Whether a call may start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It may, with only the groups that this allows.
    Start(WaitsFor),
    /// Another call for this domain, or of this kind, must return first, or be late.
    Wait,
    /// Some call must return first, or be late: later requests need not be looked at.
    Crowded,
    /// The same call hangs in this domain: this one would, too.
    Late,
    /// Too many calls hang for another.
    Full,
}

/// The calls of one daemon that have not returned.
#[derive(Debug)]
pub(super) struct Admission {
    limits: Limits,
    budget: Budget,
    cases: Cases,
    control: Control,
}

impl Admission {
    /// Within these limits.
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, budget: Budget::new(limits), cases: Cases::default(), control: Control::default() }
    }

    /// Whether a request may start.
    ///
    /// `waited` is how long the request has; `xml_waits` whether a request for the domain's XML waits, too.
    pub(super) fn turn(&self, ask: Ask, waited: Duration, xml_waits: bool, now: Instant) -> Turn {
        match ask {
            Ask::List | Ask::Status(_) => match self.control.access(ask) {
                Access::Open => Turn::Start(WaitsFor::NoMonitor),
                Access::Wait => Turn::Wait,
                Access::Late => Turn::Late,
                Access::Full => Turn::Full,
            },
            Ask::Describe(domain) => self.describe(domain, now),
            Ask::Read(domain, groups) => {
                let wanted = if groups.needs_monitor() { WaitsFor::Monitor } else { WaitsFor::NoMonitor };
                self.read(domain, wanted, waited, xml_waits, now)
            }
        }
    }

    fn describe(&self, domain: Uuid, now: Instant) -> Turn {
        let case = self.cases.of(domain);
        match case.map(Case::xml).unwrap_or_default() {
            Xml::Running(_) => return Turn::Wait,
            Xml::Late => return Turn::Late,
            Xml::None => {}
        }
        let mut well = false;
        if self.statistics_first(now) {
            match case.and_then(|case| case.whole) {
                Some(true) => well = true,
                Some(false) => return Turn::Late,
                None => return Turn::Wait,
            }
        }
        turn(self.budget.xml(well))
    }

    fn read(&self, domain: Uuid, wanted: WaitsFor, waited: Duration, xml_waits: bool, now: Instant) -> Turn {
        let case = self.cases.of(domain);
        if case.is_some_and(|case| case.reading) {
            return Turn::Wait;
        }
        if case.is_some_and(|case| case.hung() >= HUNG_MAX) {
            return Turn::Late;
        }
        // One that looks hung waits for another client's call, and so would not wait for this one.
        let goes_first =
            |case: &Case| matches!(case.xml(), Xml::Running(since) if now.saturating_duration_since(since) < SLOW_XML);
        if case.is_some_and(goes_first) || (xml_waits && !self.statistics_first(now)) {
            return Turn::Wait;
        }
        let room = match case {
            Some(case) if case.is_to_be_tried() => self.budget.trial(wanted),
            _ => self.budget.stats(wanted),
        };
        match room {
            Room::Wait if waited >= PATIENCE && self.budget.stats_aside() => Turn::Start(WaitsFor::NoMonitor),
            room => turn(room),
        }
    }

    /// Whether a domain's XML waits for its statistics, and not the other way round.
    fn statistics_first(&self, now: Instant) -> bool {
        let since = now.checked_sub(SLOW_XML).unwrap_or(now);
        self.cases.slow_xml(since) >= self.limits.slow_xml
    }

    /// When running XML calls begin to be treated as hung, which may let others go first.
    pub(super) fn slow_xml_at(&self) -> impl Iterator<Item = Instant> {
        self.cases.xml_since().map(|since| since + SLOW_XML)
    }

    /// A call began.
    pub(super) fn start(&mut self, ask: Ask, reach: WaitsFor, now: Instant) {
        match ask {
            Ask::List | Ask::Status(_) => self.control.start(ask),
            Ask::Describe(domain) | Ask::Read(domain, _) => {
                self.budget.start(reach);
                self.cases.start(domain, reach, now);
            }
        }
    }

    /// A call returned within its deadline. `whole`: whether the domain's QEMU took part in the answer, if asked.
    pub(super) fn finish(&mut self, ask: Ask, reach: WaitsFor, whole: Option<bool>) {
        match ask {
            Ask::List | Ask::Status(_) => self.control.finish(ask),
            Ask::Describe(domain) | Ask::Read(domain, _) => {
                self.budget.finish(reach);
                self.cases.finish(domain, reach, whole);
                if whole == Some(true) {
                    self.freed(domain);
                }
            }
        }
    }

    /// A call is abandoned.
    pub(super) fn abandon(&mut self, ask: Ask, reach: WaitsFor) {
        match ask {
            Ask::List | Ask::Status(_) => self.control.abandon(ask),
            Ask::Describe(domain) | Ask::Read(domain, _) => {
                self.budget.abandon(reach);
                if let Some(over) = self.cases.abandon(domain, reach) {
                    self.budget.recover(over);
                }
            }
        }
    }

    /// An abandoned call has returned. True if its domain was stuck and is no longer.
    pub(super) fn recover(&mut self, ask: Ask, reach: WaitsFor) -> bool {
        match ask {
            Ask::List | Ask::Status(_) => {
                self.control.recover(ask);
                false
            }
            Ask::Describe(domain) | Ask::Read(domain, _) => {
                self.budget.recover(reach);
                self.cases.recover(domain, reach)
            }
        }
    }

    /// The connection of an unanswered call has ended: the daemon's worker may still hang. `behind`: the call was
    /// already abandoned.
    pub(super) fn orphan(&mut self, ask: Ask, reach: WaitsFor, behind: bool, now: Instant) {
        match ask {
            // A wait for a lock lasts seconds.
            Ask::List | Ask::Status(_) if behind => self.control.recover(ask),
            Ask::List | Ask::Status(_) => self.control.finish(ask),
            Ask::Describe(domain) | Ask::Read(domain, _) => {
                if !behind {
                    self.budget.abandon(reach);
                }
                if !self.cases.orphan(domain, reach, now) {
                    self.budget.recover(reach);
                }
            }
        }
    }

    /// A domain's QEMU has answered or is gone: no worker hangs in it for a call whose connection has ended.
    pub(super) fn freed(&mut self, domain: Uuid) {
        for reach in self.cases.adopt(domain) {
            self.budget.recover(reach);
        }
    }

    /// Forgets the workers that waited for a lock without a connection: they got it, or have given up.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.budget.abandoned() > 0 {
            for reach in self.cases.expire(now) {
                self.budget.recover(reach);
            }
        }
    }

    /// The daemon is another process: none of its workers hangs for us.
    pub(super) fn freed_all(&mut self) {
        for domain in self.cases.orphaned() {
            self.freed(domain);
        }
    }

    /// Every connection has ended. Domains where calls still hang are not blamed before another deadline has passed.
    pub(super) fn disconnected(&mut self) {
        self.control.clear();
        self.cases.acquit_all();
    }

    /// The domains in which workers hang for calls whose connections have ended.
    pub(super) fn orphaned(&self) -> Vec<Uuid> {
        self.cases.orphaned()
    }

    /// Marks a domain as stuck: our call hangs in it while the daemon answers. True if it was not before.
    pub(super) fn condemn(&mut self, domain: Uuid) -> bool {
        self.cases.condemn(domain)
    }

    /// Whether one of our calls is known to hang in the domain.
    pub(super) fn is_stuck(&self, domain: Uuid) -> bool {
        self.cases.of(domain).is_some_and(|case: &Case| case.stuck)
    }

    /// How many domains are stuck.
    #[cfg(test)]
    pub(super) fn stuck(&self) -> usize {
        self.cases.stuck()
    }

    /// Calls for statistics or XML within their deadline.
    pub(super) const fn running(&self) -> usize {
        self.budget.running()
    }

    /// Abandoned calls for statistics or XML.
    pub(super) const fn abandoned(&self) -> usize {
        self.budget.abandoned()
    }
}

const fn turn(room: Room) -> Turn {
    match room {
        Room::Start(reach) => Turn::Start(reach),
        Room::Wait => Turn::Crowded,
        Room::None => Turn::Full,
    }
}
