//! The loop: takes in events and answers, sends due queries, publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::calls::{Call, Calls};
use super::daemon::Keeper;
use super::first::First;
use super::health::Health;
use super::members::roster_change;
use super::publish::Publisher;
use super::roster::{Feed, Roster};
use super::settings::{EVENT_QUEUE, Settings, TURN_BATCH};
use super::share::{DOMAINS_MAX, Pool};
use super::track::{CallState, Moment, Phase, Wants};
use super::turns::LIST_TIMER;
use crate::clock::Clock;
use crate::model::{DaemonId, Groups};
use crate::snapshot::Snapshot;
use crate::source::{Ask, Order, ReadError, Said, SourceEvent};

/// Everything the loop owns.
pub(super) struct Engine {
    clock: Arc<dyn Clock>,
    pub(super) health: Arc<Health>,
    /// The daemons, by number (their place). Numbers are never reused, so that a late answer for a removed daemon finds
    /// nothing.
    pub(super) keepers: BTreeMap<usize, Keeper>,
    /// The daemons' places by their ids, which is the order of their VMs' keys.
    pub(super) places: BTreeMap<DaemonId, usize>,
    pub(super) next_place: usize,
    /// Changes of daemons, while any can come.
    pub(super) roster: Option<mpsc::Receiver<Roster>>,
    /// Whether every daemon present at startup has been added.
    pub(super) rostered: bool,
    pub(super) settings: Settings,
    pub(super) epoch: Instant,
    /// The room on the metrics page that daemons share.
    pub(super) pool: Arc<Pool>,
    /// Timers: when to handle which domain.
    pub(super) timers: BTreeSet<(Instant, usize, Uuid)>,
    calls: Calls,
    /// Queries to send at the end of this iteration, so that a burst of events sends each once.
    pub(super) outgoing: Vec<(usize, Ask)>,
    /// The readings that wait until the VMs are identified.
    pub(super) first: First,
    pub(super) publisher: Publisher,
    events: mpsc::Receiver<(usize, SourceEvent)>,
    pub(super) forward: mpsc::Sender<(usize, SourceEvent)>,
    /// Forward the sources' events here; each ends with its daemon, all with the engine.
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
            pool: Arc::default(),
            timers: BTreeSet::new(),
            calls: Calls::default(),
            outgoing: Vec::new(),
            first: First::new(Instant::now()),
            events,
            forward,
            forwarders: JoinSet::new(),
        };
        for feed in sources {
            engine.add(feed);
        }
        engine
    }

    /// Runs until `shutdown` is cancelled.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let now = Instant::now();
            let wake = self.wake(now);
            self.health.pulse.promise(wake);
            tokio::select! {
                // Changes of daemons come before their events.
                biased;
                () = shutdown.cancelled() => break,
                change = roster_change(&mut self.roster) => self.on_change(change),
                Some((place, event)) = self.events.recv() => self.on_event(place, event),
                Some((call, answer)) = self.calls.next(), if !self.calls.is_empty() => self.on_answer(call, answer),
                Some(_) = self.forwarders.join_next(), if !self.forwarders.is_empty() => {}
                () = tokio::time::sleep_until(wake) => {}
            }
            self.take_in_the_rest();
            self.fire();
            self.send_out();
            let moment = self.moment();
            if self.publisher.due(moment.instant) <= moment.instant {
                self.publish(moment);
            }
            self.begin_to_read(moment.instant);
            self.health.turns.one();
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

    /// When something must be done next, even if nothing happens.
    fn wake(&self, now: Instant) -> Instant {
        let timer = self.timers.first().map(|(at, ..)| *at);
        let others = timer.into_iter().chain(self.first.wake());
        others.fold(self.publisher.due(now), Instant::min)
    }

    /// Takes in what else is waiting, so that a burst makes one snapshot.
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
            if let Some((call, answer)) = answer {
                self.on_answer(call, answer);
            }
        }
    }

    fn on_event(&mut self, place: usize, event: SourceEvent) {
        let moment = self.moment();
        self.publisher.touch(place);
        let Some(keeper) = self.keepers.get_mut(&place) else { return };
        match event {
            SourceEvent::Connected(facts) => {
                if keeper.up {
                    keeper.disconnected("connected anew", false, moment.instant);
                }
                keeper.connected(facts, moment.instant);
                self.first.heard(moment.instant);
                self.disarm(place);
                self.publisher.lifecycle();
                self.list_if_wanted(place);
            }
            SourceEvent::Disconnected { reason, absent } => {
                if keeper.disconnected(&reason, absent, moment.instant) {
                    self.disarm(place);
                    self.publisher.lifecycle();
                } else {
                    self.publisher.changed();
                }
            }
            SourceEvent::Hypervisor(version) => {
                keeper.has_hypervisor(version);
                self.publisher.changed();
            }
            _ if !keeper.up || !keeper.is_open() => {}
            SourceEvent::EventsLost => {
                if !std::mem::replace(&mut keeper.events_lost, true) && keeper.around.may_log() {
                    tracing::warn!(
                        daemon = %keeper.around.daemon,
                        "events were lost; every domain is read afresh, now and whenever it happens again on this connection"
                    );
                }
                let mut all = Vec::new();
                for (uuid, track) in &mut keeper.tracks {
                    track.doubt();
                    let wants = Wants { status: true, read: true, ..Wants::default() };
                    all.push((*uuid, track.paced(wants, moment.instant)));
                }
                self.list_soon(place, moment.instant);
                for (uuid, wants) in all {
                    self.follow(place, uuid, wants);
                }
            }
            SourceEvent::Domain { uuid, name, event } => {
                // Only a lifecycle event is worth a query about an unknown domain.
                let known = keeper.tracks.contains_key(&uuid);
                let may_be_news = known || (event.is_lifecycle() && keeper.is_its(&name));
                if may_be_news && !known && !keeper.strangers.take(moment.instant) {
                    return self.list_soon(place, moment.instant);
                }
                if may_be_news && keeper.accepts(uuid, &name) {
                    let track = keeper.track(uuid, &name, moment.instant);
                    let wants = track.on_event(&event, &name, moment);
                    if track.owed.is_some() {
                        self.publisher.changed();
                    }
                    self.follow(place, uuid, wants);
                }
            }
            SourceEvent::LateDescription { uuid, description } => {
                if let Some(track) = keeper.tracks.get_mut(&uuid) {
                    let wants = track.on_description(Ok(Some(*description)), moment, &keeper.around);
                    self.publisher.changed();
                    self.follow(place, uuid, wants);
                }
            }
            SourceEvent::Late { uuid, stats } => {
                if let Some(track) = keeper.tracks.get_mut(&uuid) {
                    let wants = track.on_late(stats.map(|stats| *stats), moment, &keeper.around);
                    self.follow(place, uuid, wants);
                }
            }
        }
    }

    fn on_answer(&mut self, call: Call, answer: Result<Said, ReadError>) {
        let moment = self.moment();
        if let Ask::Read(_, groups) = call.ask {
            self.count(&answer, groups);
        } else {
            self.first.heard(moment.instant);
        }
        let place = call.daemon;
        self.publisher.touch(place);
        let Some(keeper) = self.keepers.get_mut(&place) else { return };
        let again = keeper.returned(call.ask);
        let outdated = call.generation != keeper.generation || !keeper.up;
        match call.ask.domain() {
            None if outdated => {}
            None => self.on_list(place, answer, moment),
            Some(uuid) => self.on_answer_of(uuid, call, answer, outdated, moment),
        }
        if again {
            match call.ask {
                Ask::Read(uuid, _) => self.ask(place, reading_of(uuid)),
                ask => self.ask(place, ask),
            }
        }
    }

    /// A query about a domain was answered.
    fn on_answer_of(
        &mut self,
        uuid: Uuid,
        call: Call,
        answer: Result<Said, ReadError>,
        outdated: bool,
        moment: Moment,
    ) {
        let place = call.daemon;
        let Some(keeper) = self.keepers.get_mut(&place) else { return };
        let Some(track) = keeper.tracks.get_mut(&uuid) else { return };
        if outdated || call.epoch != track.calls.epoch {
            // Its incarnation or connection has ended. The new one sends its own queries.
            return self.follow(place, uuid, Wants::default());
        }
        let around = &keeper.around;
        let wants = match (call.ask, answer) {
            (Ask::Status(_), Ok(Said::Status(status))) => {
                if let Some(owned) = &mut keeper.owned {
                    owned.answers(true);
                }
                track.on_status(status, moment, around)
            }
            (Ask::Status(_), Err(error)) => {
                track.status_failed(&error, &keeper.around);
                if let Some(owned) = &mut keeper.owned {
                    owned.answers(track.shown().is_some());
                }
                Wants::default()
            }
            (Ask::Describe(_), Ok(Said::Described(description))) => {
                track.on_description(Ok(description.map(|description| *description)), moment, around)
            }
            (Ask::Describe(_), Err(error)) => track.on_description(Err(error), moment, around),
            (Ask::Read(_, asked), Ok(Said::Stats(stats))) => {
                let began = stats.as_ref().and_then(|stats| moment.instant.checked_sub(stats.took));
                track.on_stats(Ok(stats.map(|stats| *stats)), asked, began.unwrap_or(call.asked), moment, around)
            }
            (Ask::Read(_, asked), Err(error)) => track.on_stats(Err(error), asked, call.asked, moment, around),
            // An answer of another kind than the query is ignored.
            _ => Wants::default(),
        };
        self.publisher.changed();
        self.follow(place, uuid, wants);
    }

    fn on_list(&mut self, place: usize, answer: Result<Said, ReadError>, moment: Moment) {
        let Some(keeper) = self.keepers.get_mut(&place) else { return };
        let first_failure = !keeper.list_backoff.is_failing();
        keeper.listed(answer.is_ok(), moment.instant);
        self.timers.extend(keeper.list_due.map(|due| (due, place, LIST_TIMER)));
        self.publisher.changed();
        let listed = match answer {
            Ok(Said::Listed(mut listed)) => {
                if listed.len() > DOMAINS_MAX {
                    // If there is not room for all, those that run come first.
                    listed.sort_by_key(|domain| domain.id.is_none());
                }
                listed
            }
            // An answer of another kind than the query is ignored.
            Ok(_) => return,
            Err(error) => {
                // The source itself reports that it is disconnected.
                let news = first_failure && !matches!(error, ReadError::Disconnected { .. });
                if news && keeper.around.may_log() {
                    tracing::warn!(daemon = %keeper.around.daemon, %error, "could not list the domains; it will be tried again");
                }
                return;
            }
        };
        // A list is older than the events that came while it was made: it only selects domains to query.
        let mut known: BTreeSet<Uuid> = keeper.tracks.keys().copied().collect();
        let mut ask: Vec<(Uuid, Wants)> = Vec::new();
        let status = Wants { status: true, ..Wants::default() };
        if let Some(owned) = &mut keeper.owned {
            owned.listed(&keeper.around, listed.iter().map(|domain| &*domain.name));
        }
        for domain in listed {
            if !keeper.accepts(domain.uuid, &domain.name) {
                continue;
            }
            known.remove(&domain.uuid);
            let track = keeper.track(domain.uuid, &domain.name, moment.instant);
            match (track.phase, domain.id) {
                (Phase::Active, Some(id)) if track.id.is_none_or(|known| known == id) => {}
                // Another id: the reading that confirms it begins the new incarnation.
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

    /// Carries out what a domain needs, and sets its timer.
    pub(super) fn follow(&mut self, place: usize, uuid: Uuid, wants: Wants) {
        self.publisher.touch(place);
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
            self.ask(place, Ask::Status(uuid));
        }
        if wants.describe {
            self.ask(place, Ask::Describe(uuid));
        }
        if wants.read {
            self.ask(place, reading_of(uuid));
        }
        let Some(keeper) = self.keepers.get_mut(&place) else { return };
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

    /// Lists a daemon's domains, if that is wanted.
    pub(super) fn list_if_wanted(&mut self, place: usize) {
        let wanted = self.keepers.get_mut(&place).is_some_and(|keeper| std::mem::take(&mut keeper.list_wanted));
        if wanted {
            self.ask(place, Ask::List);
        }
    }

    /// Sends a query at the end of this iteration; if the same query is in flight, repeats it after its answer. A
    /// reading covers all groups.
    pub(super) fn ask(&mut self, place: usize, ask: Ask) {
        let Some(keeper) = self.keepers.get_mut(&place).filter(|keeper| keeper.up) else { return };
        if keeper.state_of(ask).is_some_and(CallState::request) {
            self.outgoing.push((place, ask));
        }
    }

    /// Sends a query.
    pub(super) fn launch(&mut self, place: usize, ask: Ask, order: Order) {
        let Some(keeper) = self.keepers.get(&place) else { return };
        if matches!(ask, Ask::Describe(_)) {
            self.health.describe_queries.one();
        }
        let track = ask.domain().and_then(|uuid| keeper.tracks.get(&uuid));
        let epoch = track.map_or(0, |track| track.calls.epoch);
        let call = Call { daemon: place, generation: keeper.generation, epoch, ask, asked: Instant::now() };
        self.calls.launch(&keeper.source, call, order);
    }

    /// Forgets the timers of a daemon's domains.
    pub(super) fn disarm(&mut self, place: usize) {
        self.timers.retain(|(_, daemon, _)| *daemon != place);
    }

    fn count(&self, answer: &Result<Said, ReadError>, groups: Groups) {
        match answer {
            Ok(Said::Stats(stats)) => {
                self.health.answered(groups, stats.as_ref().map(|stats| stats.took).unwrap_or_default());
            }
            Ok(_) => {}
            Err(_) => self.health.reading_failures.one(),
        }
    }
}

/// A reading of a domain whose groups are chosen when it is sent.
pub(super) const fn reading_of(uuid: Uuid) -> Ask {
    Ask::Read(uuid, Groups::NONE)
}
