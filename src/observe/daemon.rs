//! One daemon: its domains, and the queries sent to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;
use uuid::Uuid;

use super::arrival::Arrival;
use super::context::DaemonContext;
use super::detection::Cause;
use super::domain::DomainState;
use super::owned::Owned;
use super::pace::Bucket;
use super::queries::{CallState, Pending};
use super::roster::Owner;
use super::settings::{LIST_EVERY, LIST_PACE, LIST_RETRY, STRANGERS_OF_A_HOST, STRANGERS_OF_A_LAUNCHER};
use super::share::DOMAINS_MAX;
use super::told::Told;
use crate::backoff::Backoff;
use crate::model::{Daemon, DaemonFacts, State, Version};
use crate::source::{Ask, Source};

/// Progress of a daemon's first round of reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// Nothing has been heard from it.
    Waiting,
    /// Its domains are known, and are being read.
    Reading,
    /// Every domain was read or failed, or the daemon failed.
    Done,
}

/// One daemon.
pub(super) struct DaemonState {
    pub(super) source: Arc<dyn Source>,
    pub(super) context: DaemonContext,
    /// The owner, if the daemon belongs to one VMI.
    pub(super) owned: Option<Owned>,
    pub(super) connection: ConnectionState,
    pub(super) listing: Listing,
    // Boxed: a `BTreeMap` node has room for eleven, and most daemons have one domain.
    pub(super) domains: BTreeMap<Uuid, Box<DomainState>>,
    /// Pending queries about domains that are gone.
    leftover: BTreeMap<Uuid, Pending>,
    /// What is published about it.
    pub(super) shown: Arc<Daemon>,
    told: Told,
    /// Whether it was logged that it has too many domains.
    crowded: bool,
    pub(super) round: Round,
}

/// The connection to a daemon.
#[derive(Debug, Default)]
pub(super) struct ConnectionState {
    pub(super) up: bool,
    /// Counts connections, so that answers over earlier ones are discarded.
    pub(super) generation: u32,
    facts: Option<Arc<DaemonFacts>>,
    /// Why there is none; `None` before the first attempt.
    pub(super) reason: Option<Arc<str>>,
    /// Whether it was lost and not made again since.
    pub(super) lost: bool,
    /// Whether nothing was listening at the last attempt.
    pub(super) absent: bool,
    /// Whether lost events of this connection were already logged.
    pub(super) events_lost: bool,
    /// Until when earlier failed connection attempts are ignored.
    pub(super) trying_until: Option<Instant>,
    /// Until when it need not be there.
    pub(super) arrival: Arrival,
}

/// When a daemon's domains are listed.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) call: CallState,
    /// List its domains now.
    pub(super) wanted: bool,
    pub(super) due: Option<Instant>,
    pub(super) backoff: Backoff,
    /// Limits the lists that events trigger.
    pub(super) pace: Bucket,
    /// Limits the unknown domains that events may name.
    pub(super) strangers: Bucket,
}

/// The longest reason that is kept: a sentence or two.
const LONGEST_REASON: usize = 400;

fn shortened(reason: &str) -> Arc<str> {
    reason.chars().take(LONGEST_REASON).collect::<String>().into()
}

impl DaemonState {
    pub(super) fn new(source: Arc<dyn Source>, context: DaemonContext, owner: Option<Owner>) -> Self {
        let shown = Daemon { id: context.daemon.clone(), up: false, reason: None, facts: None, domains: None };
        let now = Instant::now();
        let strangers = if owner.is_some() { STRANGERS_OF_A_LAUNCHER } else { STRANGERS_OF_A_HOST };
        let mut daemon = Self {
            source,
            context,
            owned: None,
            connection: ConnectionState::default(),
            listing: Listing {
                call: CallState::Idle,
                wanted: false,
                due: None,
                backoff: Backoff::new(LIST_RETRY),
                pace: Bucket::new(LIST_PACE, now),
                strangers: Bucket::new(strangers, now),
            },
            domains: BTreeMap::new(),
            leftover: BTreeMap::new(),
            shown: Arc::new(shown),
            told: Told::default(),
            crowded: false,
            round: Round::Waiting,
        };
        if let Some(owner) = owner {
            daemon.own(owner, now);
            daemon.connection.arrival = Arrival::by(now + daemon.context.not_yet);
        }
        daemon
    }

    /// Forgets its domains; answers about them are discarded.
    pub(super) fn forget(&mut self) {
        self.connection.generation = self.connection.generation.wrapping_add(1);
        self.listing.call.cancel();
        self.listing.due = None;
        let all: Vec<Uuid> = self.domains.keys().copied().collect();
        for uuid in all {
            self.remove(uuid);
        }
    }

    /// A connection was made.
    pub(super) fn connected(&mut self, facts: Arc<DaemonFacts>, now: Instant) {
        if self.told.connected(now) {
            tracing::info!(
                daemon = %self.context.daemon,
                host = %facts.host_name,
                driver = %facts.driver,
                libvirt = facts.libvirt.map(tracing::field::display),
                "connected to libvirt"
            );
        }
        self.connection.up = true;
        self.connection.lost = false;
        self.connection.events_lost = false;
        self.connection.trying_until = None;
        self.connection.arrival.over();
        self.connection.generation = self.connection.generation.wrapping_add(1);
        self.context.host_name = Arc::clone(&facts.host_name);
        self.context.libvirt = facts.libvirt;
        self.connection.facts = Some(facts);
        self.listing.backoff.reset();
        self.listing.wanted = self.is_open();
    }

    /// The daemon reported its hypervisor version.
    pub(super) fn has_hypervisor(&mut self, version: Version) {
        if let Some(facts) = &mut self.connection.facts {
            Arc::make_mut(facts).hypervisor = Some(version);
        }
    }

    /// The connection was lost, or could not be made. `true` if it was up.
    pub(super) fn disconnected(&mut self, reason: &str, absent: bool, now: Instant) -> bool {
        self.round = Round::Done;
        self.connection.trying_until = None;
        self.connection.absent = absent;
        if self.connection.reason.as_deref() != Some(reason) {
            self.connection.reason = Some(shortened(reason));
        }
        if !std::mem::replace(&mut self.connection.up, false) {
            self.not_reached(reason, absent, now);
            return false;
        }
        self.connection.lost = true;
        self.connection.generation = self.connection.generation.wrapping_add(1);
        self.listing.call.cancel();
        self.listing.due = None;
        let before = self.domains.len();
        // A VM that is migrating away leaves nothing to show here.
        let leaving = self.owned.as_ref().is_some_and(|owned| owned.owner.is_leaving());
        let lost: Vec<Uuid> = self
            .domains
            .iter_mut()
            .filter_map(|(uuid, domain)| (!domain.daemon_lost() || leaving).then_some(*uuid))
            .collect();
        for uuid in lost {
            self.remove(uuid);
        }
        let missed = self.is_missed();
        let told = missed && self.told.disconnected(reason, now);
        let mut running: usize = 0;
        for domain in self.domains.values_mut().filter(|domain| domain.visible) {
            running += 1;
            if domain.detection.is_news(Cause::Unreachable) && told && self.context.may_log() {
                tracing::info!(
                    domain = %domain.name, uuid = %domain.vm.key.uuid,
                    "libvirt cannot be reached; the domain's hypervisor type is exported as unknown until it can"
                );
            }
        }
        if told {
            tracing::warn!(
                daemon = %self.context.daemon, reason, domains = before, running,
                "lost libvirt; connecting again until it answers, and the last readings are shown until they are three \
                 intervals old"
            );
        } else {
            tracing::debug!(daemon = %self.context.daemon, reason, missed, "lost libvirt");
        }
        true
    }

    /// Logs that connecting has failed. Expected, so not logged: failures before its VMI runs and after its domain has
    /// ended or while that leaves, and absence after a loss.
    fn not_reached(&mut self, reason: &str, absent: bool, now: Instant) {
        if !self.is_missed() || (self.connection.lost && absent) {
            return;
        }
        if !absent {
            self.connection.arrival.over();
        }
        if !self.told.disconnected(reason, now) {
            return;
        }
        if absent && self.connection.arrival.is_early(reason, now) {
            tracing::info!(daemon = %self.context.daemon, reason, "libvirt is not there yet; it will be tried again");
        } else {
            self.warn_unreached(reason);
        }
    }

    /// Warns if its VM should run and nothing has listened for too long.
    fn warn_if_overdue(&mut self, now: Instant) {
        if self.is_missed()
            && let Some(reason) = self.connection.arrival.overdue(now)
        {
            self.warn_unreached(&reason);
        }
    }

    fn warn_unreached(&self, reason: &str) {
        tracing::warn!(daemon = %self.context.daemon, reason, "could not reach libvirt; it will be tried again");
    }

    /// Lists the domains because of an event: now, or as soon as the limit allows.
    pub(super) fn list_soon(&mut self, now: Instant) {
        if self.listing.pace.take(now) {
            self.listing.wanted = true;
        } else {
            self.list_by(self.listing.pace.next());
        }
    }

    fn list_by(&mut self, by: Instant) {
        self.listing.due = Some(self.listing.due.map_or(by, |due| due.min(by)));
    }

    /// The list succeeded or failed.
    pub(super) fn listed(&mut self, succeeded: bool, now: Instant) {
        if let Some(owned) = &mut self.owned {
            owned.answers(succeeded);
        }
        if succeeded {
            self.listing.backoff.reset();
            // An event may have asked for an earlier one.
            self.list_by(now + LIST_EVERY);
            if self.round == Round::Waiting {
                self.round = Round::Reading;
            }
        } else {
            let again = now + self.listing.backoff.fail();
            self.list_by(again);
            self.round = Round::Done;
        }
    }

    /// Whether its first round of reads is done.
    pub(super) fn round_is_done(&mut self) -> bool {
        if !self.is_open() {
            return true;
        }
        if self.round == Round::Reading && self.domains.values().all(|domain| domain.settled()) {
            self.round = Round::Done;
        }
        self.round == Round::Done
    }

    /// Whether each of its VMs is identified, or cannot be.
    pub(super) fn is_known(&self) -> bool {
        match self.round {
            _ if !self.is_open() => true,
            Round::Waiting => false,
            Round::Reading => self.domains.values().all(|domain| domain.is_known()),
            Round::Done => true,
        }
    }

    /// The state of this query; `None` for an unknown domain.
    pub(super) fn state_of(&mut self, ask: Ask) -> Option<&mut CallState> {
        let Some(uuid) = ask.domain() else { return Some(&mut self.listing.call) };
        let calls = match self.domains.get_mut(&uuid) {
            Some(domain) => &mut domain.calls,
            None => self.leftover.get_mut(&uuid)?,
        };
        Some(match ask {
            Ask::List => &mut self.listing.call,
            Ask::Status(_) => &mut calls.status,
            Ask::Describe(_) => &mut calls.describe,
            Ask::Read(..) => &mut calls.read,
        })
    }

    /// Whether a host's limits allow a domain of this name.
    pub(super) fn has_room(&mut self, uuid: Uuid, name: &str) -> bool {
        let fits = match self.domains.get(&uuid) {
            Some(domain) => domain.claim.takes_name(name),
            None => self.domains.len() < DOMAINS_MAX && self.context.share.takes_name(name),
        };
        if !fits {
            self.context.counters.domains_left_out.one();
            if !std::mem::replace(&mut self.crowded, true) && self.context.may_log() {
                tracing::warn!(
                    daemon = %self.context.daemon, domain = name, domains = self.domains.len(),
                    "the daemon has more domains, or longer names of them, than one may have; the others are not read"
                );
            }
        }
        fits
    }

    /// The domain, which may be new.
    pub(super) fn domain(&mut self, uuid: Uuid, name: &Arc<str>, now: Instant) -> &mut DomainState {
        self.domains.entry(uuid).or_insert_with(|| {
            let mut domain = DomainState::new(uuid, Arc::clone(name), &self.context, now);
            if let Some(pending) = self.leftover.remove(&uuid) {
                domain.calls = Pending { epoch: pending.epoch.wrapping_add(1), ..pending };
            }
            Box::new(domain)
        })
    }

    /// The domain is gone.
    pub(super) fn remove(&mut self, uuid: Uuid) -> Option<Box<DomainState>> {
        let mut domain = self.domains.remove(&uuid)?;
        domain.calls.cancel();
        if domain.calls.any() {
            self.leftover.insert(uuid, domain.calls);
        }
        Some(domain)
    }

    /// A query was answered. `true` if it must be repeated.
    pub(super) fn returned(&mut self, ask: Ask) -> bool {
        let again = self.state_of(ask).is_some_and(CallState::returned);
        let Some(uuid) = ask.domain() else { return again };
        if self.leftover.get(&uuid).is_some_and(|calls| !calls.any()) {
            self.leftover.remove(&uuid);
        }
        again && self.domains.contains_key(&uuid)
    }

    /// Drops stale readings and, while the daemon is unreachable, hides domains without any. Returns how many VMs were
    /// hidden.
    pub(super) fn age(&mut self, now: Instant) -> u64 {
        self.warn_if_overdue(now);
        let mut gone = 0;
        for domain in self.domains.values_mut() {
            domain.refresh(now, &self.context.intervals);
            if !self.connection.up {
                gone += u64::from(domain.hide_without_figures());
            }
        }
        gone
    }

    /// Updates what is published about it.
    pub(super) fn refresh(&mut self) {
        let domains = self.connection.up.then(|| {
            let mut counts = [0_u64; State::ALL.len()];
            for state in self.domains.values().filter_map(|domain| domain.vm.status).map(|status| status.state) {
                if let Some(place) = State::ALL.iter().position(|each| *each == state) {
                    counts[place] += 1;
                }
            }
            counts
        });
        let daemon = Daemon {
            id: self.context.daemon.clone(),
            up: self.connection.up,
            reason: self.connection.reason.clone().filter(|_| !self.connection.up),
            facts: self.connection.facts.clone(),
            domains,
        };
        if *self.shown != daemon {
            self.shown = Arc::new(daemon);
        }
    }
}
