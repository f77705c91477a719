//! One daemon: its domains, and the queries sent to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;
use uuid::Uuid;

use super::detection::Cause;
use super::figures::has_figures;
use super::owned::Owned;
use super::pace::Bucket;
use super::roster::Owner;
use super::settings::{LIST_EVERY, LIST_PACE, LIST_RETRY, STRANGERS_OF_A_HOST, STRANGERS_OF_A_LAUNCHER};
use super::share::DOMAINS_MAX;
use super::told::Told;
use super::track::{CallState, Pending, Surroundings, Track};
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
pub(super) struct Keeper {
    pub(super) source: Arc<dyn Source>,
    pub(super) around: Surroundings,
    /// The owner, if the daemon belongs to one VMI.
    pub(super) owned: Option<Owned>,
    pub(super) up: bool,
    /// Counts connections, so that answers over earlier ones are discarded.
    pub(super) generation: u32,
    // Boxed: a `BTreeMap` node has room for eleven, and most daemons have one domain.
    pub(super) tracks: BTreeMap<Uuid, Box<Track>>,
    /// Pending queries about domains that are gone.
    leftover: BTreeMap<Uuid, Pending>,
    /// What is published about it.
    pub(super) shown: Arc<Daemon>,
    facts: Option<Arc<DaemonFacts>>,
    /// Whether the connection was lost and not made again since.
    pub(super) lost: bool,
    told: Told,
    /// Whether it was logged that it has too many domains.
    crowded: bool,
    /// Whether nothing was listening at the last attempt.
    pub(super) absent: bool,
    /// Whether lost events of this connection were already logged.
    pub(super) events_lost: bool,
    /// Until when earlier failed connection attempts are ignored.
    pub(super) trying_until: Option<Instant>,
    pub(super) round: Round,

    pub(super) list_call: CallState,
    /// List its domains now.
    pub(super) list_wanted: bool,
    pub(super) list_due: Option<Instant>,
    pub(super) list_backoff: Backoff,
    /// Limits the lists that events trigger.
    pub(super) lists: Bucket,
    /// Limits the unknown domains that events may name.
    pub(super) strangers: Bucket,
}

impl Keeper {
    pub(super) fn new(source: Arc<dyn Source>, around: Surroundings, owner: Option<Owner>) -> Self {
        let shown = Daemon { id: around.daemon.clone(), up: false, facts: None, domains: None };
        let now = Instant::now();
        let strangers = if owner.is_some() { STRANGERS_OF_A_LAUNCHER } else { STRANGERS_OF_A_HOST };
        let mut keeper = Self {
            source,
            around,
            owned: None,
            up: false,
            generation: 0,
            tracks: BTreeMap::new(),
            leftover: BTreeMap::new(),
            shown: Arc::new(shown),
            facts: None,
            lost: false,
            absent: false,
            told: Told::default(),
            crowded: false,
            events_lost: false,
            trying_until: None,
            round: Round::Waiting,
            list_call: CallState::Idle,
            list_wanted: false,
            list_due: None,
            list_backoff: Backoff::new(LIST_RETRY),
            lists: Bucket::new(LIST_PACE, now),
            strangers: Bucket::new(strangers, now),
        };
        if let Some(owner) = owner {
            keeper.own(owner, now);
        }
        keeper
    }

    /// Forgets its domains; answers about them are discarded.
    pub(super) fn forget(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.list_call.cancel();
        self.list_due = None;
        let all: Vec<Uuid> = self.tracks.keys().copied().collect();
        for uuid in all {
            self.remove(uuid);
        }
    }

    /// A connection was made.
    pub(super) fn connected(&mut self, facts: Arc<DaemonFacts>, now: Instant) {
        if self.told.connected(now) {
            tracing::info!(
                daemon = %self.around.daemon,
                host = %facts.host_name,
                driver = %facts.driver,
                libvirt = facts.libvirt.map(tracing::field::display),
                "connected to libvirt"
            );
        }
        self.up = true;
        self.lost = false;
        self.events_lost = false;
        self.trying_until = None;
        self.generation = self.generation.wrapping_add(1);
        self.around.host_name = Arc::clone(&facts.host_name);
        self.facts = Some(facts);
        self.list_backoff.reset();
        self.list_wanted = self.is_open();
    }

    /// The daemon reported its hypervisor version.
    pub(super) fn has_hypervisor(&mut self, version: Version) {
        if let Some(facts) = &mut self.facts {
            Arc::make_mut(facts).hypervisor = Some(version);
        }
    }

    /// The connection was lost, or could not be made. `true` if it was up.
    pub(super) fn disconnected(&mut self, reason: &str, absent: bool, now: Instant) -> bool {
        self.round = Round::Done;
        self.trying_until = None;
        self.absent = absent;
        if !std::mem::replace(&mut self.up, false) {
            // Expected, so not logged: failures before its VMI runs, and absence after a loss.
            if self.is_open() && !(self.lost && absent) && self.told.disconnected(reason, now) {
                tracing::warn!(daemon = %self.around.daemon, reason, "could not reach libvirt; it will be tried again");
            }
            return false;
        }
        self.lost = true;
        self.generation = self.generation.wrapping_add(1);
        self.list_call.cancel();
        self.list_due = None;
        let before = self.tracks.len();
        // A VM that is migrating away leaves nothing to show here.
        let leaving = self.owned.as_ref().is_some_and(|owned| owned.owner.is_leaving());
        let lost: Vec<Uuid> = self
            .tracks
            .iter_mut()
            .filter_map(|(uuid, track)| (!track.daemon_lost() || leaving).then_some(*uuid))
            .collect();
        for uuid in lost {
            self.remove(uuid);
        }
        let missed = self.is_missed();
        let told = missed && self.told.disconnected(reason, now);
        for track in self.tracks.values_mut() {
            if track.detection.is_news(Cause::Unreachable) && told && self.around.may_log() {
                tracing::info!(
                    domain = %track.name, uuid = %track.vm.key.uuid,
                    "libvirt cannot be reached; the domain's hypervisor type is exported as unknown until it can"
                );
            }
        }
        if told {
            tracing::warn!(
                daemon = %self.around.daemon, reason, domains = before, running = self.tracks.len(),
                "lost libvirt; connecting again until it answers, and the last readings are shown until they are three \
                 intervals old"
            );
        } else {
            tracing::debug!(daemon = %self.around.daemon, reason, missed, "lost libvirt");
        }
        true
    }

    /// Lists the domains because of an event: now, or as soon as the limit allows.
    pub(super) fn list_soon(&mut self, now: Instant) {
        if self.lists.take(now) {
            self.list_wanted = true;
        } else {
            self.list_by(self.lists.next());
        }
    }

    fn list_by(&mut self, by: Instant) {
        self.list_due = Some(self.list_due.map_or(by, |due| due.min(by)));
    }

    /// The list succeeded or failed.
    pub(super) fn listed(&mut self, succeeded: bool, now: Instant) {
        if let Some(owned) = &mut self.owned {
            owned.answers(succeeded);
        }
        if succeeded {
            self.list_backoff.reset();
            // An event may have asked for an earlier one.
            self.list_by(now + LIST_EVERY);
            if self.round == Round::Waiting {
                self.round = Round::Reading;
            }
        } else {
            let again = now + self.list_backoff.fail();
            self.list_by(again);
            self.round = Round::Done;
        }
    }

    /// Whether its first round of reads is done.
    pub(super) fn round_is_done(&mut self) -> bool {
        if !self.is_open() {
            return true;
        }
        if self.round == Round::Reading && self.tracks.values().all(|track| track.settled()) {
            self.round = Round::Done;
        }
        self.round == Round::Done
    }

    /// Whether each of its VMs is identified, or cannot be.
    pub(super) fn is_known(&self) -> bool {
        match self.round {
            _ if !self.is_open() => true,
            Round::Waiting => false,
            Round::Reading => self.tracks.values().all(|track| track.is_known()),
            Round::Done => true,
        }
    }

    /// The state of this query; `None` for an unknown domain.
    pub(super) fn state_of(&mut self, ask: Ask) -> Option<&mut CallState> {
        let Some(uuid) = ask.domain() else { return Some(&mut self.list_call) };
        let calls = match self.tracks.get_mut(&uuid) {
            Some(track) => &mut track.calls,
            None => self.leftover.get_mut(&uuid)?,
        };
        Some(match ask {
            Ask::List => &mut self.list_call,
            Ask::Status(_) => &mut calls.status,
            Ask::Describe(_) => &mut calls.describe,
            Ask::Read(..) => &mut calls.read,
        })
    }

    /// Whether a host's limits allow a domain of this name.
    pub(super) fn has_room(&mut self, uuid: Uuid, name: &str) -> bool {
        let fits = match self.tracks.get(&uuid) {
            Some(track) => track.claim.takes_name(name),
            None => self.tracks.len() < DOMAINS_MAX && self.around.share.takes_name(name),
        };
        if !fits {
            self.around.health.domains_left_out.one();
            if !std::mem::replace(&mut self.crowded, true) && self.around.may_log() {
                tracing::warn!(
                    daemon = %self.around.daemon, domain = name, domains = self.tracks.len(),
                    "the daemon has more domains, or longer names of them, than one may have; the others are not read"
                );
            }
        }
        fits
    }

    /// The domain, which may be new.
    pub(super) fn track(&mut self, uuid: Uuid, name: &Arc<str>, now: Instant) -> &mut Track {
        self.tracks.entry(uuid).or_insert_with(|| {
            let mut track = Track::new(uuid, Arc::clone(name), &self.around, now);
            if let Some(pending) = self.leftover.remove(&uuid) {
                track.calls = Pending { epoch: pending.epoch.wrapping_add(1), ..pending };
            }
            Box::new(track)
        })
    }

    /// The domain is gone.
    pub(super) fn remove(&mut self, uuid: Uuid) -> Option<Box<Track>> {
        let mut track = self.tracks.remove(&uuid)?;
        track.calls.cancel();
        if track.calls.any() {
            self.leftover.insert(uuid, track.calls);
        }
        Some(track)
    }

    /// A query was answered. `true` if it must be repeated.
    pub(super) fn returned(&mut self, ask: Ask) -> bool {
        let again = self.state_of(ask).is_some_and(CallState::returned);
        let Some(uuid) = ask.domain() else { return again };
        if self.leftover.get(&uuid).is_some_and(|calls| !calls.any()) {
            self.leftover.remove(&uuid);
        }
        again && self.tracks.contains_key(&uuid)
    }

    /// Drops stale readings and, while the daemon is unreachable, domains without any. Returns how many VMs were
    /// dropped.
    pub(super) fn age(&mut self, now: Instant) -> u64 {
        let mut gone = Vec::new();
        for (uuid, track) in &mut self.tracks {
            track.refresh(now, &self.around.intervals);
            if !self.up && !has_figures(&track.vm) {
                gone.push(*uuid);
            }
        }
        for uuid in &gone {
            self.remove(*uuid);
        }
        u64::try_from(gone.len()).unwrap_or(u64::MAX)
    }

    /// Updates what is published about it.
    pub(super) fn refresh(&mut self) {
        let domains = self.up.then(|| {
            let mut counts = [0_u64; State::ALL.len()];
            for state in self.tracks.values().filter_map(|track| track.vm.status).map(|status| status.state) {
                if let Some(place) = State::ALL.iter().position(|each| *each == state) {
                    counts[place] += 1;
                }
            }
            counts
        });
        let daemon = Daemon { id: self.around.daemon.clone(), up: self.up, facts: self.facts.clone(), domains };
        if *self.shown != daemon {
            self.shown = Arc::new(daemon);
        }
    }
}
