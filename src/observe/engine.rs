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
use super::track::{Moment, Phase, Track, Wants};
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
    timers: BTreeSet<(Instant, usize, Uuid)>,
    /// When which daemon's domains must be listed.
    lists: BTreeSet<(Instant, usize)>,
    /// The daemons of which something may have to be asked: those of all others are asked nothing, so that a turn costs
    /// what happened in it, however many daemons there are.
    pub(super) ready: BTreeSet<usize>,
    calls: Calls,
    reads_in_flight: usize,
    /// The daemon whose turn it is to make a read.
    turn: usize,
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
            lists: BTreeSet::new(),
            ready: BTreeSet::new(),
            calls: Calls::default(),
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
                () = shutdown.cancelled() => break,
                Some((place, event)) = self.events.recv() => self.on_event(place, event),
                Some((call, said)) = self.calls.next(), if !self.calls.is_empty() => self.on_answer(call, said),
                change = roster_change(&mut self.roster) => self.on_change(change),
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
        let list = self.lists.first().map(|(at, _)| *at);
        [timer, list].into_iter().flatten().fold(self.publisher.due(now), Instant::min)
    }

    /// What else is there already, so that a burst makes one snapshot.
    fn take_in_the_rest(&mut self) {
        for _ in 0..TURN_BATCH {
            let change = self.roster.as_mut().and_then(|roster| roster.try_recv().ok());
            let event = self.events.try_recv().ok();
            let answer = self.calls.try_next();
            if change.is_none() && event.is_none() && answer.is_none() {
                return;
            }
            if change.is_some() {
                self.on_change(change);
            }
            if let Some((place, event)) = event {
                self.on_event(place, event);
            }
            if let Some((call, said)) = answer {
                self.on_answer(call, said);
            }
        }
    }

    /// Looks at every domain and daemon whose time has come.
    fn fire(&mut self) {
        let now = Instant::now();
        while let Some((_, place, uuid)) = self.timers.first().filter(|(at, ..)| *at <= now).copied() {
            self.timers.pop_first();
            let Some(keeper) = self.keepers.get_mut(&place) else { continue };
            let Some(track) = keeper.tracks.get_mut(&uuid) else { continue };
            track.wake = None;
            let wants = track.on_wake(now, &keeper.around);
            if track.is_due(now, &keeper.around) {
                keeper.ask_due_reading(uuid);
            }
            self.follow(place, uuid, wants);
        }
        while let Some((at, place)) = self.lists.first().filter(|(at, _)| *at <= now).copied() {
            self.lists.pop_first();
            let Some(keeper) = self.keepers.get_mut(&place).filter(|keeper| keeper.up) else { continue };
            if keeper.list_due.take_if(|due| *due == at).is_some() {
                keeper.list_call.request();
                self.ready.insert(place);
            }
        }
    }

    /// Makes the calls for which there is room.
    fn dispatch(&mut self) {
        let mut control = Vec::new();
        for place in &self.ready {
            let Some(keeper) = self.keepers.get_mut(place) else { continue };
            while let Some((ask, epoch)) = keeper.next_control() {
                keeper.control_in_flight += 1;
                control.push((*place, ask, epoch));
            }
        }
        for (place, ask, epoch) in control {
            self.launch(place, ask, epoch);
        }
        // One each in turn, so that a daemon with a long queue does not keep the others waiting.
        let now = Instant::now();
        let mut without = 0;
        while without < self.ready.len() && self.reads_in_flight < self.settings.parallel_reads.max(1) {
            let Some(place) = self.ready.range(self.turn..).next().copied() else {
                self.turn = 0;
                continue;
            };
            self.turn = place + 1;
            let next = self.keepers.get_mut(&place).and_then(|keeper| {
                let next = keeper.next_read(now)?;
                keeper.reads_in_flight += 1;
                Some(next)
            });
            match next {
                Some((ask, epoch)) => {
                    without = 0;
                    self.reads_in_flight += 1;
                    self.launch(place, ask, epoch);
                }
                None => without += 1,
            }
        }
        self.ready.retain(|place| self.keepers.get(place).is_some_and(Keeper::has_more_to_ask));
        self.health.in_flight.set(u64::try_from(self.reads_in_flight).unwrap_or(u64::MAX));
    }

    fn launch(&mut self, place: usize, ask: Ask, epoch: u32) {
        let Some(keeper) = self.keepers.get(&place) else { return };
        match ask {
            Ask::List => self.health.lists.one(),
            Ask::Status(_) => self.health.status_queries.one(),
            Ask::Describe(_) => self.health.describe_queries.one(),
            Ask::Read(..) => {} // counted when it is answered
        }
        let call = Call { daemon: place, generation: keeper.generation, epoch, ask, launched: Instant::now() };
        self.calls.launch(&keeper.source, call);
    }

    fn on_event(&mut self, place: usize, event: SourceEvent) {
        let moment = self.moment();
        let Some(keeper) = self.keepers.get_mut(&place) else { return };
        self.ready.insert(place);
        match event {
            SourceEvent::Connected(facts) => {
                if keeper.up {
                    keeper.disconnected("connected anew");
                }
                keeper.connected(facts);
                self.disarm(place);
                self.publisher.lifecycle();
            }
            SourceEvent::Disconnected { reason } => {
                if keeper.disconnected(&reason) {
                    self.disarm(place);
                    self.publisher.lifecycle();
                } else {
                    self.publisher.changed();
                }
            }
            _ if !keeper.up || !keeper.is_open() => {}
            SourceEvent::EventsLost => {
                tracing::warn!(daemon = %keeper.around.daemon, "events were lost; every domain is read afresh");
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
                if (event.is_lifecycle() || known) && keeper.accepts(&name) {
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
        let Some(keeper) = self.keepers.get_mut(&call.daemon) else { return };
        self.ready.insert(call.daemon);
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
            (Said::Status(Ok(status)), _) => track.on_status(status, moment, around),
            (Said::Status(Err(error)), _) => {
                if matches!(error, ReadError::Deadline { .. }) {
                    self.health.deadlines.one();
                }
                track.status_failed();
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
        self.lists.extend(keeper.listed(answer.is_ok(), moment.instant).map(|due| (due, place)));
        self.publisher.changed();
        let listed = match answer {
            Ok(listed) => listed,
            Err(error) => {
                tracing::warn!(daemon = %keeper.around.daemon, %error, "could not list the domains; it will be tried again");
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
            if !keeper.accepts(&domain.name) {
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
    fn follow(&mut self, place: usize, uuid: Uuid, wants: Wants) {
        let Some(keeper) = self.keepers.get_mut(&place) else { return };
        self.ready.insert(place);
        if wants.remove {
            let Some(track) = keeper.remove(uuid) else { return };
            if let Some(owned) = &mut keeper.owned {
                owned.domain_gone();
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
        let Some(track) = keeper.tracks.get_mut(&uuid) else { return };
        if let Some(owned) = &mut keeper.owned {
            owned.follow(track);
        }
        let wake = keeper.up.then(|| track.next_wake(&keeper.around)).flatten();
        if track.wake != wake {
            if let Some(before) = std::mem::replace(&mut track.wake, wake) {
                self.timers.remove(&(before, place, uuid));
            }
            self.timers.extend(wake.map(|wake| (wake, place, uuid)));
        }
    }

    /// Forgets the timers of a daemon and its domains.
    pub(super) fn disarm(&mut self, place: usize) {
        self.lists.retain(|(_, daemon)| *daemon != place);
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
