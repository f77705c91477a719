//! What may be called when. Pure: it is told what began, returned, was left behind and lost its connection, and says
//! whether another call may begin. Nothing else decides that.
//!
//! ```text
//!  budget   how many calls of all domains may hang in QEMUs, or wait for one
//!  cases    what is going on in each domain
//!  control  lists and states, which wait for a lock at most
//! ```
//!
//! A domain's XML is asked for before its statistics: from libvirt 11 on it waits for any call that hangs in the domain,
//! and of a domain that is not asked yet none of ours does. Where two XML calls hang all the same (in calls of others),
//! statistics come first: they tell within moments which domains are well, and only of these the XML is asked for.

mod budget;
mod cases;
mod control;

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

pub(super) use self::budget::{AT_ONCE, Reach};

use self::budget::{Budget, Room};
use self::cases::{Case, Cases, HUNG_MAX, Xml};
use self::control::{Access, Control};
use crate::source::Ask;

/// How long statistics wait for their QEMU's turn before they are read without their monitor groups, while calls hang.
/// Healthy VMs have their turn within a fraction of this; behind a call that hangs, each would wait three seconds more.
/// Four reads of a daemon wait at once, so that a hundred VMs are through within a few seconds.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);

/// An XML call that is out for longer than this looks like one that hangs: a thousand times what it takes.
const SLOW_XML: Duration = Duration::from_millis(200);

/// So many XML calls that hang make statistics go first.
const SLOW_XML_MAX: usize = 2;

/// What may be done with a question now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Call, with groups as far as this reaches.
    Start(Reach),
    /// Another call for this domain, or of this kind, must return first, or be late.
    Wait,
    /// Some call must return first, or be late, whichever: those behind need not be looked at.
    Crowded,
    /// The same call hangs in this domain: it would, too.
    Late,
    /// Too many calls hang for any other.
    Full,
}

/// The calls of one daemon that have not returned.
#[derive(Debug)]
pub(super) struct Admission {
    budget: Budget,
    cases: Cases,
    control: Control,
}

impl Admission {
    /// With so many statistics calls at once, 1 to [`AT_ONCE`].
    pub(super) fn new(at_once: usize) -> Self {
        Self { budget: Budget::new(at_once), cases: Cases::default(), control: Control::default() }
    }

    /// Whose turn it is.
    ///
    /// `waited` is how long the question has; `xml_waits` whether the domain's XML was asked for and waits, too.
    pub(super) fn turn(&self, ask: Ask, waited: Duration, xml_waits: bool, now: Instant) -> Turn {
        match ask {
            Ask::List | Ask::Status(_) => match self.control.access(ask) {
                Access::Open => Turn::Start(Reach::NoMonitor),
                Access::Wait => Turn::Wait,
                Access::Late => Turn::Late,
                Access::Full => Turn::Full,
            },
            Ask::Describe(domain) => self.describe(domain, now),
            Ask::Read(domain, groups) => {
                let wanted = if groups.needs_monitor() { Reach::Monitor } else { Reach::NoMonitor };
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

    fn read(&self, domain: Uuid, wanted: Reach, waited: Duration, xml_waits: bool, now: Instant) -> Turn {
        let case = self.cases.of(domain);
        if case.is_some_and(|case| case.reading) {
            return Turn::Wait;
        }
        if case.is_some_and(|case| case.hung() >= HUNG_MAX) {
            return Turn::Late;
        }
        if case.is_some_and(|case| matches!(case.xml(), Xml::Running(_))) || (xml_waits && !self.statistics_first(now))
        {
            return Turn::Wait;
        }
        let room = match case {
            Some(case) if case.is_to_be_tried() => self.budget.trial(wanted),
            _ => self.budget.stats(wanted),
        };
        match room {
            Room::Wait if waited >= PATIENCE && self.budget.stats_aside() => Turn::Start(Reach::NoMonitor),
            room => turn(room),
        }
    }

    /// Whether a domain's XML waits for its statistics, and not the other way round.
    fn statistics_first(&self, now: Instant) -> bool {
        let since = now.checked_sub(SLOW_XML).unwrap_or(now);
        self.cases.slow_xml(since) >= SLOW_XML_MAX
    }

    /// When XML calls that are out begin to look like ones that hang, which may let others go first.
    pub(super) fn slow_xml_at(&self) -> impl Iterator<Item = Instant> {
        self.cases.xml_since().map(|since| since + SLOW_XML)
    }

    /// A call began.
    pub(super) fn start(&mut self, ask: Ask, reach: Reach, now: Instant) {
        match ask {
            Ask::List | Ask::Status(_) => self.control.start(ask),
            Ask::Describe(domain) | Ask::Read(domain, _) => {
                self.budget.start(reach);
                self.cases.start(domain, reach, now);
            }
        }
    }

    /// A call returned within its deadline. `whole`: whether the domain's QEMU took part in the answer, if it was asked.
    pub(super) fn finish(&mut self, ask: Ask, reach: Reach, whole: Option<bool>) {
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

    /// A call is left behind.
    pub(super) fn abandon(&mut self, ask: Ask, reach: Reach) {
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

    /// A call that was left behind has returned. True if its domain was stuck and is no longer.
    pub(super) fn recover(&mut self, ask: Ask, reach: Reach) -> bool {
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

    /// The connection of a call has ended, and it had no answer: the daemon's worker may hang on. `behind` whether it had
    /// been left behind before.
    pub(super) fn orphan(&mut self, ask: Ask, reach: Reach, behind: bool, now: Instant) {
        match ask {
            // What waits for a lock does so for seconds.
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

    /// A domain has answered as a whole, or its QEMU is gone: no worker hangs in it for a call whose connection has ended.
    pub(super) fn freed(&mut self, domain: Uuid) {
        for reach in self.cases.adopt(domain) {
            self.budget.recover(reach);
        }
    }

    /// Forgets the workers that waited for a lock without a connection: they have it, or have given up.
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

    /// Every connection has ended. Those who still hang are not blamed before they have had their time again.
    pub(super) fn disconnected(&mut self) {
        self.control.clear();
        self.cases.acquit_all();
    }

    /// The domains in which workers hang for calls whose connections have ended.
    pub(super) fn orphaned(&self) -> Vec<Uuid> {
        self.cases.orphaned()
    }

    /// A call of ours hangs in the domain while the daemon answers: it is stuck. True if it was not before.
    pub(super) fn condemn(&mut self, domain: Uuid) -> bool {
        self.cases.condemn(domain)
    }

    /// Whether a call of ours is known to hang in the domain.
    pub(super) fn is_stuck(&self, domain: Uuid) -> bool {
        self.cases.of(domain).is_some_and(|case: &Case| case.stuck)
    }

    /// How many domains are stuck.
    pub(super) fn stuck(&self) -> usize {
        self.cases.stuck()
    }

    /// Calls for statistics or XML within their deadline.
    pub(super) const fn running(&self) -> usize {
        self.budget.running()
    }

    /// Calls for statistics or XML that were left behind.
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
