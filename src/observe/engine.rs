//! The loop: takes in events and answers, makes the calls that are due, publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::calls::{Ask, Call, Calls, Said};
use super::daemon::Keeper;
use super::health::Health;
use super::members::roster_change;
use super::publish::Publisher;
use super::roster::{Feed, Roster};
use super::settings::{EVENT_QUEUE, Settings, TURN_BATCH};
use super::slots::Slots;
use super::track::{Moment, Phase, Track, Wants};
use super::turns::LIST_TIMER;
use crate::clock::Clock;
use crate::model::DaemonId;
use crate::snapshot::Snapshot;
use crate::source::{Listed, ReadError, SourceEvent, Stats};

/// Everything the loop owns.
pub(super) struct Engine {
    clock: Arc<dyn Clock>,
    pub(super) health: Arc<Health>,
    /// The daemons by their places. A place is never given twice, so that what comes late for one that is gone finds
    /// nobody.
    pub(super) keepers: BTreeMap<usize, Keeper>,
    /// The daemons' places by their ids, which is the order of their VMs' keys.
    pub(super) places: BTreeMap<DaemonId, usize>,
    pub(super) next_place: usize,
    /// Who is to be read, while that can change.
    pub(super) roster: Option<mpsc::Receiver<Roster>>,
    /// Whether every daemon that was there at the start has been named.
    pub(super) rostered: bool,
    pub(super) settings: Settings,
    pub(super) epoch: Instant,
    /// When which domain must be looked at.
    pub(super) timers: BTreeSet<(Instant, usize, Uuid)>,
    pub(super) calls: Calls,
    /// Places of daemons that may have calls to be made.
    pub(super) waiting: BTreeSet<usize>,
    pub(super) slots: Slots,
    pub(super) reads_in_flight: usize,
    /// The daemon whose turn it is to make a read.
    pub(super) turn: usize,
    pub(super) publisher: Publisher,
    events: mpsc::Receiver<(usize, SourceEvent)>,
    pub(super) forward: mpsc::Sender<(usize, SourceEvent)>,
    /// Carry the sources' events here; each ends with its daemon, all with the engine.
    pub(super) forwarders: JoinSet<()>,
}

impl Engine {
    pub(super) fn new(
        settings: &Settings,
        sources: Vec<Feed>,
        roster: Option<mpsc::Receiver<Roster>>,
        clock: Arc<dyn Clock>,
        snapshots: watch::Sender<Arc<Snapshot>>,
        health: Arc<Health>,
    ) -> Self {
        let (forward, events) = mpsc::channel(EVENT_QUEUE);
        let mut engine = Self {
            publisher: Publisher::new(snapshots, Arc::clone(&health)),
            clock,
            health,
            keepers: BTreeMap::new(),
            places: BTreeMap::new(),
            next_place: 0,
            rostered: roster.is_none(),
            roster,
            settings: settings.clone(),
            epoch: Instant::now(),
            timers: BTreeSet::new(),
            calls: Calls::default(),
            waiting: BTreeSet::new(),
            slots: Slots::new(settings.parallel_reads),
            reads_in_flight: 0,
            turn: 0,
            events,
            forward,
            forwarders: JoinSet::new(),
        };
        for feed in sources {
            engine.add(feed);
        }
        engine
    }

    /// Turns until it is told to stop, or nobody reads snapshots any more.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let now = Instant::now();
            let wake = self.wake(now);
            tokio::select! {
                // Who is to be read comes before what they say.
                biased;
                () = shutdown.cancelled() => break,
                change = roster_change(&mut self.roster) => self.on_change(change),
                Some((place, event)) = self.events.recv() => self.on_event(place, event),
                Some((call, said)) = self.calls.next(), if !self.calls.is_empty() => self.on_answer(call, said),
                Some(_) = self.forwarders.join_next(), if !self.forwarders.is_empty() => {}
                () = tokio::time::sleep_until(wake) => {}
            }
            self.take_in_the_rest();
            self.fire();
            self.dispatch();
            let moment = self.moment();
            if self.publisher.due(moment.instant) <= moment.instant {
                self.publish(moment);
            }
            self.health.turn(moment.instant);
        }
        // The last export shows what came in since the last snapshot.
        let moment = self.moment();
        self.publish(moment);
    }

    fn publish(&mut self, moment: Moment) {
        self.publisher.publish(&mut self.keepers, &self.places, self.rostered, moment);
    }

    fn moment(&self) -> Moment {
        Moment { instant: Instant::now(), stamp: self.clock.now() }
    }

    /// The next time at which something must be done though nothing happens.
    fn wake(&self, now: Instant) -> Instant {
        let timer = self.timers.first().map(|(at, ..)| *at);
        // Nobody waits for a place who has nothing to read.
        let place = self.slots.next().filter(|_| !self.waiting.is_empty());
        [timer, place].into_iter().flatten().fold(self.publisher.due(now), Instant::min)
    }

    /// What else is there already, so that a burst makes one snapshot.
    fn take_in_the_rest(&mut self) {
        for _ in 0..TURN_BATCH {
            let Some(change) = self.roster.as_mut().and_then(|roster| roster.try_recv().ok()) else { break };
            self.on_change(Some(change));
        }
        for _ in 0..TURN_BATCH {
            let event = self.events.try_recv().ok();
            let answer = self.calls.try_next();
            if event.is_none() && answer.is_none() {
                return;
            }
            if let Some((place, event)) = event {
                self.on_event(place, event);
            }
            if let Some((call, said)) = answer {
                self.on_answer(call, said);
            }
        }
    }

    fn on_event(&mut self, place: usize, event: SourceEvent) {
        let moment = self.moment();
        self.waiting.insert(place);
        let Some(keeper) = self.keepers.get_mut(&place) else { return };
        match event {
            SourceEvent::Connected(facts) => {
                if keeper.up {
                    keeper.disconnected("connected anew", false);
                }
                keeper.connected(facts);
                self.disarm(place);
                self.publisher.lifecycle();
            }
            SourceEvent::Disconnected { reason, absent } => {
                if keeper.disconnected(&reason, absent) {
                    self.disarm(place);
                    self.publisher.lifecycle();
                } else {
                    self.publisher.changed();
                }
            }
            _ if !keeper.up || !keeper.is_open() => {}
            SourceEvent::EventsLost => {
                if !std::mem::replace(&mut keeper.events_lost, true) {
                    tracing::warn!(
                        daemon = %keeper.around.daemon,
                        "events were lost; every domain is read afresh, now and whenever it happens again on this connection"
                    );
                }
                keeper.list_call.request();
                keeper.tracks.values_mut().for_each(Track::doubt);
                let all: Vec<Uuid> = keeper.tracks.keys().copied().collect();
                for uuid in all {
                    self.follow(place, uuid, Wants { status: true, read: true, ..Wants::default() });
                }
            }
            SourceEvent::Domain { uuid, name, event } => {
                // What is not worth a reading of a domain that we know is no news of one that we do not.
                let known = keeper.tracks.contains_key(&uuid);
                if (event.is_lifecycle() || known) && keeper.accepts(uuid, &name) {
                    let wants = keeper.track(uuid, &name, moment.instant).on_event(&event, &name, moment);
                    self.follow(place, uuid, wants);
                }
            }
            SourceEvent::Late { uuid, stats } => {
                self.health.late_answers.one();
                if let Some(track) = keeper.tracks.get_mut(&uuid) {
                    let wants = track.on_late(stats.map(|stats| *stats), moment, &keeper.around);
                    self.follow(place, uuid, wants);
                }
            }
        }
    }

    fn on_answer(&mut self, call: Call, said: Said) {
        let moment = self.moment();
        if matches!(call.ask, Ask::Read(..)) {
            self.reads_in_flight -= 1;
        }
        if let Some(slot) = call.slot {
            self.slots.give_back(slot);
        }
        self.waiting.insert(call.daemon);
        let Some(keeper) = self.keepers.get_mut(&call.daemon) else { return };
        keeper.returned(call.ask);
        if let (Ask::Read(_, groups), Said::Read(answer)) = (call.ask, &said) {
            count(&self.health, answer, groups, moment.instant - call.launched);
        }
        let outdated = call.generation != keeper.generation || !keeper.up;
        let uuid = match call.ask {
            Ask::List if outdated => return,
            Ask::List => {
                if let Said::List(answer) = said {
                    self.on_list(call.daemon, answer, moment);
                }
                return;
            }
            Ask::Status(uuid) | Ask::Describe(uuid) | Ask::Read(uuid, _) => uuid,
        };
        let Some(track) = keeper.tracks.get_mut(&uuid) else { return };
        if outdated || call.epoch != track.calls.epoch {
            self.health.discarded.one();
            // It belongs to what has ended. Whatever began since has asked for itself.
            return self.follow(call.daemon, uuid, Wants::default());
        }
        let around = &keeper.around;
        let wants = match (said, call.ask) {
            (Said::Status(Ok(status)), _) => {
                if let Some(owned) = &mut keeper.owned {
                    owned.answers(true);
                }
                track.on_status(status, moment, around)
            }
            (Said::Status(Err(error)), _) => {
                if matches!(error, ReadError::Deadline { .. }) {
                    self.health.deadlines.one();
                }
                track.status_failed(&error);
                if let Some(owned) = &mut keeper.owned {
                    owned.answers(track.shown().is_some());
                }
                Wants::default()
            }
            (Said::Describe(answer), _) => {
                track.on_description(answer.map(|said| said.map(|said| *said)), moment, around)
            }
            (Said::Read(answer), Ask::Read(_, asked)) => {
                track.on_stats(answer.map(|said| said.map(|said| *said)), asked, call.launched, moment, around)
            }
            (Said::Read(_) | Said::List(_), _) => Wants::default(),
        };
        self.publisher.changed();
        self.follow(call.daemon, uuid, wants);
    }

    fn on_list(&mut self, place: usize, answer: Result<Vec<Listed>, ReadError>, moment: Moment) {
        let Some(keeper) = self.keepers.get_mut(&place) else { return };
        let first_failure = keeper.list_failures == 0;
        keeper.listed(answer.is_ok(), moment.instant);
        self.timers.extend(keeper.list_due.map(|due| (due, place, LIST_TIMER)));
        self.publisher.changed();
        let listed = match answer {
            Ok(listed) => listed,
            Err(error) => {
                if first_failure {
                    tracing::warn!(daemon = %keeper.around.daemon, %error, "could not list the domains; it will be tried again");
                }
                return;
            }
        };
        // A list is older than the events that came while it was made: it only says whom to ask.
        let mut known: BTreeSet<Uuid> = keeper.tracks.keys().copied().collect();
        let mut ask: Vec<(Uuid, Wants)> = Vec::new();
        let status = Wants { status: true, ..Wants::default() };
        if let Some(owned) = &mut keeper.owned {
            owned.listed(&keeper.around.daemon, listed.iter().map(|domain| &*domain.name));
        }
        for domain in listed {
            if !keeper.accepts(domain.uuid, &domain.name) {
                continue;
            }
            known.remove(&domain.uuid);
            let track = keeper.track(domain.uuid, &domain.name, moment.instant);
            match (track.phase, domain.id) {
                (Phase::Active, Some(id)) if track.id.is_none_or(|known| known == id) => {}
                // Another id: the reading that says so begins the new incarnation.
                (Phase::Active, Some(_)) => ask.push((domain.uuid, Wants { read: true, ..status })),
                (Phase::Inactive, None) if track.name == domain.name => {}
                _ => {
                    track.relisted(domain.name, domain.id);
                    ask.push((domain.uuid, status));
                }
            }
        }
        ask.extend(known.into_iter().map(|uuid| (uuid, status)));
        for (uuid, wants) in ask {
            self.follow(place, uuid, wants);
        }
    }

    /// Does what is to be done about a domain, and sets its timer.
    pub(super) fn follow(&mut self, place: usize, uuid: Uuid, wants: Wants) {
        self.waiting.insert(place);
        let Some(keeper) = self.keepers.get_mut(&place) else { return };
        if wants.remove {
            let Some(track) = keeper.remove(uuid) else { return };
            let others = keeper.any_runs();
            if let Some(owned) = &mut keeper.owned {
                owned.domain_gone(others);
            }
            if let Some(wake) = track.wake {
                self.timers.remove(&(wake, place, uuid));
            }
            if track.shown().is_some() {
                self.publisher.lifecycle();
            }
            return;
        }
        if wants.lifecycle {
            self.publisher.lifecycle();
        }
        if wants.status {
            keeper.ask_status(uuid);
        }
        if wants.describe {
            keeper.ask_description(uuid);
        }
        if wants.read {
            keeper.ask_reading(uuid);
        }
        let others = keeper.any_runs();
        if let (Some(owned), Some(track)) = (&mut keeper.owned, keeper.tracks.get(&uuid)) {
            owned.follow(track, others);
            keeper.settle_name();
        }
        let Some(track) = keeper.tracks.get_mut(&uuid) else { return };
        let wake = keeper.up.then(|| track.next_wake(&keeper.around)).flatten();
        if track.wake != wake {
            if let Some(before) = std::mem::replace(&mut track.wake, wake) {
                self.timers.remove(&(before, place, uuid));
            }
            self.timers.extend(wake.map(|wake| (wake, place, uuid)));
        }
    }

    /// Forgets the timers of a daemon's domains.
    pub(super) fn disarm(&mut self, place: usize) {
        self.timers.retain(|(_, daemon, _)| *daemon != place);
    }
}

fn count(
    health: &Health,
    answer: &Result<Option<Box<Stats>>, ReadError>,
    groups: crate::model::Groups,
    took: std::time::Duration,
) {
    match answer {
        Ok(_) => health.answered(groups, took),
        Err(error) => {
            health.reading_failures.one();
            if matches!(error, ReadError::Deadline { .. }) {
                health.deadlines.one();
            }
        }
    }
}
