//! Which domains have our calls in them, and which of these are stuck. Pure.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::budget::WaitsFor;

/// Statistics calls that may hang in one domain. The first holds the domain's job, so the second returns at once
/// without QEMU, which is how a stuck VM is still read. The second only hangs if it waits for the VM's lock, or if the
/// first has ended meanwhile.
pub(super) const HUNG_MAX: usize = 2;

/// How long a worker that only waits for a VM's lock is believed to hang after its connection has ended: twice the
/// longest time that such a lock was seen held.
pub(super) const LOCKED_FOR: Duration = Duration::from_secs(30);

/// How many domains are remembered, while an XML call is out, only for whether QEMU took part in their statistics: a
/// waiting XML call needs that at once, or never.
const REMEMBERED_MAX: usize = 256;

/// Our one XML call in a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Xml {
    /// There is none.
    #[default]
    None,
    /// It began then, and is within its deadline.
    Running(Instant),
    /// It was abandoned.
    Late,
}

/// Our calls in one domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Case {
    /// A statistics call runs.
    pub(super) reading: bool,
    /// Abandoned statistics calls that may still return.
    hung: Vec<WaitsFor>,
    /// Calls whose connection has ended, and when: they never return, and the daemon's workers may still hang.
    orphans: Vec<(WaitsFor, Instant)>,
    xml: Xml,
    /// One of our calls is known to hang in it.
    pub(super) stuck: bool,
    /// Whether QEMU took part in its last statistics; `None` before the first.
    pub(super) whole: Option<bool>,
}

impl Case {
    /// How many statistics calls hang in it, as far as another one is concerned. Those without a connection count as
    /// one: only another call can tell whether they still hang.
    pub(super) fn hung(&self) -> usize {
        self.hung.len() + usize::from(self.has_orphans())
    }

    /// Whether another call tells if workers of calls without a connection still hang: it returns at once, without
    /// QEMU, if one of them holds the domain's job.
    pub(super) fn is_to_be_tried(&self) -> bool {
        self.hung.is_empty() && self.has_orphans()
    }

    /// Its XML call.
    pub(super) const fn xml(&self) -> Xml {
        self.xml
    }

    fn has_orphans(&self) -> bool {
        self.orphans.iter().any(|(reach, _)| *reach != WaitsFor::Xml)
    }

    /// Whether there is nothing to remember.
    fn is_over(&self) -> bool {
        !self.reading && self.hung.is_empty() && self.orphans.is_empty() && self.xml == Xml::None && !self.stuck
    }
}

/// Every domain with a call of ours, now or lately.
#[derive(Debug, Default)]
pub(super) struct Cases {
    cases: HashMap<Uuid, Case>,
    /// Domains with an XML call, which are few.
    with_xml: Vec<Uuid>,
}

impl Cases {
    /// Our calls in a domain.
    pub(super) fn of(&self, domain: Uuid) -> Option<&Case> {
        self.cases.get(&domain)
    }

    fn case(&mut self, domain: Uuid) -> &mut Case {
        self.cases.entry(domain).or_default()
    }

    fn set_xml(&mut self, domain: Uuid, xml: Xml) {
        self.case(domain).xml = xml;
        self.with_xml.retain(|other| *other != domain);
        if xml != Xml::None {
            self.with_xml.push(domain);
        }
    }

    /// A call began.
    pub(super) fn start(&mut self, domain: Uuid, reach: WaitsFor, now: Instant) {
        if reach == WaitsFor::Xml {
            self.set_xml(domain, Xml::Running(now));
        } else {
            self.case(domain).reading = true;
        }
    }

    /// A running call returned; `whole`: whether QEMU took part, if known.
    pub(super) fn finish(&mut self, domain: Uuid, reach: WaitsFor, whole: Option<bool>) {
        if reach == WaitsFor::Xml {
            self.set_xml(domain, Xml::None);
        }
        let case = self.case(domain);
        if reach != WaitsFor::Xml {
            case.reading = false;
        }
        case.whole = whole.or(case.whole);
        self.tidy();
    }

    /// The running call was abandoned. Returns the kind of an earlier one that no longer hangs: if it did, this one
    /// would have returned.
    pub(super) fn abandon(&mut self, domain: Uuid, reach: WaitsFor) -> Option<WaitsFor> {
        if reach == WaitsFor::Xml {
            self.set_xml(domain, Xml::Late);
            return None;
        }
        let case = self.case(domain);
        case.reading = false;
        case.hung.push(reach);
        case.whole = Some(false);
        let over = case.orphans.iter().position(|(orphan, _)| *orphan != WaitsFor::Xml)?;
        Some(case.orphans.swap_remove(over).0)
    }

    /// An abandoned call returned. True if it was the last, and the domain is no longer stuck.
    pub(super) fn recover(&mut self, domain: Uuid, reach: WaitsFor) -> bool {
        if reach == WaitsFor::Xml {
            self.set_xml(domain, Xml::None);
        } else {
            let case = self.case(domain);
            if let Some(at) = case.hung.iter().position(|hung| *hung == reach) {
                case.hung.swap_remove(at);
            }
        }
        self.heal(domain)
    }

    /// The connection of an unanswered call has ended: the daemon's worker may still hang. Returns whether it counts:
    /// at most [`HUNG_MAX`] of a kind do per domain.
    pub(super) fn orphan(&mut self, domain: Uuid, reach: WaitsFor, now: Instant) -> bool {
        if reach == WaitsFor::Xml {
            self.set_xml(domain, Xml::Late);
        }
        let case = self.case(domain);
        if let Some(at) = case.hung.iter().position(|hung| *hung == reach) {
            case.hung.swap_remove(at);
        } else if reach != WaitsFor::Xml {
            case.reading = false;
        }
        let alike =
            case.orphans.iter().filter(|(orphan, _)| (*orphan == WaitsFor::Xml) == (reach == WaitsFor::Xml)).count();
        let counts = alike < HUNG_MAX;
        if counts {
            case.orphans.push((reach, now));
        }
        counts
    }

    /// Forgets calls that waited for a lock, without a connection, for longer than anybody holds one. Returns their
    /// kinds.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<WaitsFor> {
        let mut over = Vec::new();
        let mut free = Vec::new();
        for (domain, case) in &mut self.cases {
            let before = case.orphans.len();
            case.orphans.retain(|(reach, since)| {
                let waits = *reach != WaitsFor::NoMonitor || now.saturating_duration_since(*since) < LOCKED_FOR;
                if !waits {
                    over.push(*reach);
                }
                waits
            });
            if case.orphans.len() < before {
                free.push(*domain);
            }
        }
        for domain in free {
            self.heal(domain);
        }
        over
    }

    /// Workers that hung in the domain without a connection are free: its QEMU answered, or is gone. Returns the kinds
    /// of their calls.
    pub(super) fn adopt(&mut self, domain: Uuid) -> Vec<WaitsFor> {
        let Some(case) = self.cases.get_mut(&domain) else { return Vec::new() };
        let orphans: Vec<WaitsFor> = std::mem::take(&mut case.orphans).into_iter().map(|(reach, _)| reach).collect();
        if orphans.contains(&WaitsFor::Xml) {
            self.set_xml(domain, Xml::None);
        }
        if !orphans.is_empty() {
            self.heal(domain);
        }
        orphans
    }

    /// All domains where workers hang without a connection.
    pub(super) fn orphaned(&self) -> Vec<Uuid> {
        self.cases.iter().filter(|(_, case)| !case.orphans.is_empty()).map(|(domain, _)| *domain).collect()
    }

    fn heal(&mut self, domain: Uuid) -> bool {
        let Some(case) = self.cases.get_mut(&domain) else { return false };
        let healed = case.hung() == 0 && std::mem::replace(&mut case.stuck, false);
        self.tidy();
        healed
    }

    /// Marks a domain as stuck: our call hangs in it while the daemon answers. True if it was not before.
    pub(super) fn condemn(&mut self, domain: Uuid) -> bool {
        !std::mem::replace(&mut self.case(domain).stuck, true)
    }

    /// No domain counts as stuck any more; hung calls are kept.
    pub(super) fn acquit_all(&mut self) {
        for case in self.cases.values_mut() {
            case.stuck = false;
        }
        self.cases.retain(|_, case| !case.is_over());
    }

    /// How many domains are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.cases.len()
    }

    /// How many domains are stuck.
    #[cfg(test)]
    pub(super) fn stuck(&self) -> usize {
        self.cases.values().filter(|case| case.stuck).count()
    }

    /// When the XML calls started that are within their deadline.
    pub(super) fn xml_since(&self) -> impl Iterator<Item = Instant> {
        self.xml_calls().filter_map(|xml| match xml {
            Xml::Running(since) => Some(since),
            Xml::None | Xml::Late => None,
        })
    }

    /// How many XML calls are late, or look late because they started by `since`.
    pub(super) fn slow_xml(&self, since: Instant) -> usize {
        let slow = |xml: &Xml| match xml {
            Xml::None => false,
            Xml::Running(began) => *began <= since,
            Xml::Late => true,
        };
        self.xml_calls().filter(slow).count()
    }

    fn xml_calls(&self) -> impl Iterator<Item = Xml> {
        self.with_xml.iter().filter_map(|domain| self.cases.get(domain)).map(Case::xml)
    }

    /// Forgets what is over. While an XML call is out, a few domains are remembered, for whether QEMU took part.
    fn tidy(&mut self) {
        if self.with_xml.is_empty() || self.cases.len() > REMEMBERED_MAX {
            self.cases.retain(|_, case| !case.is_over());
        }
    }
}
