//! The loop: takes in events and answers, sends due queries, publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::calls::{Call, Calls};
use super::context::Moment;
use super::counters::ObserveCounters;
use super::daemon::DaemonState;
use super::feeds::Feeds;
use super::first::First;
use super::incarnation::DomainPhase;
use super::members::Members;
use super::publish::Publisher;
use super::queries::{Actions, CallState};
use super::roster::{Feed, Roster};
use super::schedule::LIST_TIMER;
use super::settings::{Settings, TURN_BATCH};
use super::share::{DOMAINS_MAX, Pool};
use crate::clock::Clock;
use crate::model::Groups;
use crate::snapshot::Snapshot;
use crate::source::{Ask, Order, ReadError, Said, SourceEvent};

/// Everything the loop owns.
pub(super) struct Engine {
    clock: Arc<dyn Clock>,
    pub(super) counters: Arc<ObserveCounters>,
    /// The daemons, by number (their place). Numbers are never reused, so that a late answer for a removed daemon finds
    /// nothing.
    pub(super) daemons: BTreeMap<usize, DaemonState>,
    /// Which daemons there are, and what changes of them come.
    pub(super) members: Members,
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
    /// The events of all daemons.
    pub(super) feeds: Feeds,
}

impl Engine {
    pub(super) fn new(
        settings: &Settings,
        sources: Vec<Feed>,
        roster: Option<mpsc::Receiver<Roster>>,
        clock: Arc<dyn Clock>,
        snapshots: watch::Sender<Arc<Snapshot>>,
        counters: Arc<ObserveCounters>,
    ) -> Self {
        let mut engine = Self {
            publisher: Publisher::new(snapshots, Arc::clone(&counters)),
            clock,
            counters,
            daemons: BTreeMap::new(),
            members: Members::new(roster),
            settings: settings.clone(),
            epoch: Instant::now(),
            pool: Arc::default(),
            timers: BTreeSet::new(),
            calls: Calls::default(),
            outgoing: Vec::new(),
            first: First::new(Instant::now()),
            feeds: Feeds::new(),
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
            self.counters.pulse.promise(wake);
            tokio::select! {
                // Changes of daemons come before their events.
                biased;
                () = shutdown.cancelled() => break,
                change = self.members.change() => self.on_change(change),
                Some((place, event)) = self.feeds.events.recv() => self.on_event(place, event),
                Some((call, answer)) = self.calls.next(), if !self.calls.is_empty() => self.on_answer(call, answer),
                Some(_) = self.feeds.forwarders.join_next(), if !self.feeds.forwarders.is_empty() => {}
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
            self.counters.turns.one();
        }
        // The last export shows what came in since the last snapshot.
        let moment = self.moment();
        self.publish(moment);
    }

    fn publish(&mut self, moment: Moment) {
        self.publisher.publish(&mut self.daemons, &self.members.places, self.members.complete, moment);
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
            let Some(change) = self.members.try_change() else { break };
            self.on_change(Some(change));
        }
        for _ in 0..TURN_BATCH {
            let event = self.feeds.events.try_recv().ok();
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
        let Some(daemon) = self.daemons.get_mut(&place) else { return };
        match event {
            SourceEvent::Connected(facts) => {
                if daemon.connection.up {
                    daemon.disconnected("connected anew", false, moment.instant);
                }
                daemon.connected(facts, moment.instant);
                self.first.heard(moment.instant);
                self.disarm(place);
                self.publisher.lifecycle();
                self.list_if_wanted(place);
            }
            SourceEvent::Disconnected { reason, absent } => {
                if daemon.disconnected(&reason, absent, moment.instant) {
                    self.disarm(place);
                    self.publisher.lifecycle();
                } else {
                    self.publisher.changed();
                }
            }
            SourceEvent::Hypervisor(version) => {
                daemon.has_hypervisor(version);
                self.publisher.changed();
            }
            _ if !daemon.connection.up || !daemon.is_open() => {}
            SourceEvent::EventsLost => {
                if !std::mem::replace(&mut daemon.connection.events_lost, true) && daemon.context.may_log() {
                    tracing::warn!(
                        daemon = %daemon.context.daemon,
                        "events were lost; every domain is read afresh, now and whenever it happens again on this connection"
                    );
                }
                let mut all = Vec::new();
                for (uuid, domain) in &mut daemon.domains {
                    domain.doubt();
                    let actions = Actions { status: true, read: true, ..Actions::default() };
                    all.push((*uuid, domain.paced(actions, moment.instant)));
                }
                self.list_soon(place, moment.instant);
                for (uuid, actions) in all {
                    self.follow(place, uuid, actions);
                }
            }
            SourceEvent::Domain { uuid, name, event } => {
                let known = daemon.domains.contains_key(&uuid);
                if daemon.leaves_out(&name) {
                    // A known one had another name before.
                    return self.follow(place, uuid, Actions { remove: known, ..Actions::default() });
                }
                // Only a lifecycle event is worth a query about an unknown domain.
                let may_be_news = known || (event.is_lifecycle() && daemon.is_its(&name));
                if may_be_news && !known && !daemon.listing.strangers.take(moment.instant) {
                    return self.list_soon(place, moment.instant);
                }
                if may_be_news && daemon.accepts(uuid, &name) {
                    let domain = daemon.domain(uuid, &name, moment.instant);
                    let actions = domain.on_event(&event, &name, moment);
                    if domain.due.owed.is_some() {
                        self.publisher.changed();
                    }
                    self.follow(place, uuid, actions);
                }
            }
            SourceEvent::LateDescription { uuid, description } => {
                if let Some(domain) = daemon.domains.get_mut(&uuid) {
                    let actions = domain.on_description(Ok(Some(*description)), moment, &daemon.context);
                    self.publisher.changed();
                    self.follow(place, uuid, actions);
                }
            }
            SourceEvent::Late { uuid, stats } => {
                if let Some(domain) = daemon.domains.get_mut(&uuid) {
                    let actions = domain.on_late(stats.map(|stats| *stats), moment, &daemon.context);
                    self.follow(place, uuid, actions);
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
        let Some(daemon) = self.daemons.get_mut(&place) else { return };
        let again = daemon.returned(call.ask);
        let outdated = call.generation != daemon.connection.generation || !daemon.connection.up;
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
        let Some(daemon) = self.daemons.get_mut(&place) else { return };
        let Some(domain) = daemon.domains.get_mut(&uuid) else { return };
        if outdated || call.epoch != domain.calls.epoch {
            // Its incarnation or connection has ended. The new one sends its own queries.
            return self.follow(place, uuid, Actions::default());
        }
        let context = &daemon.context;
        let actions = match (call.ask, answer) {
            (Ask::Status(_), Ok(Said::Status(status))) => {
                if let Some(owned) = &mut daemon.owned {
                    owned.answers(true);
                }
                domain.on_status(status, moment, context)
            }
            (Ask::Status(_), Err(error)) => {
                domain.status_failed(&error, &daemon.context);
                if let Some(owned) = &mut daemon.owned {
                    owned.answers(domain.shown().is_some());
                }
                Actions::default()
            }
            (Ask::Describe(_), Ok(Said::Described(description))) => {
                domain.on_description(Ok(description.map(|description| *description)), moment, context)
            }
            (Ask::Describe(_), Err(error)) => domain.on_description(Err(error), moment, context),
            (Ask::Read(_, asked), Ok(Said::Stats(stats))) => {
                let began = stats.as_ref().and_then(|stats| moment.instant.checked_sub(stats.took));
                domain.on_stats(Ok(stats.map(|stats| *stats)), asked, began.unwrap_or(call.asked), moment, context)
            }
            (Ask::Read(_, asked), Err(error)) => domain.on_stats(Err(error), asked, call.asked, moment, context),
            // An answer of another kind than the query is ignored.
            _ => Actions::default(),
        };
        self.publisher.changed();
        self.follow(place, uuid, actions);
    }

    fn on_list(&mut self, place: usize, answer: Result<Said, ReadError>, moment: Moment) {
        let Some(daemon) = self.daemons.get_mut(&place) else { return };
        let first_failure = !daemon.listing.backoff.is_failing();
        daemon.listed(answer.is_ok(), moment.instant);
        self.timers.extend(daemon.listing.due.map(|due| (due, place, LIST_TIMER)));
        self.publisher.changed();
        let listed = match answer {
            Ok(Said::Listed(mut listed)) => {
                if listed.len() > DOMAINS_MAX {
                    // If there is not room for all, those that run come first.
                    listed.sort_by_key(|found| found.id.is_none());
                }
                listed
            }
            // An answer of another kind than the query is ignored.
            Ok(_) => return,
            Err(error) => {
                // The source itself reports that it is disconnected.
                let news = first_failure && !matches!(error, ReadError::Disconnected { .. });
                if news && daemon.context.may_log() {
                    tracing::warn!(daemon = %daemon.context.daemon, %error, "could not list the domains; it will be tried again");
                }
                return;
            }
        };
        // A list is older than the events that came while it was made: it only selects domains to query.
        let mut known: BTreeSet<Uuid> = daemon.domains.keys().copied().collect();
        let mut ask: Vec<(Uuid, Actions)> = Vec::new();
        let status = Actions { status: true, ..Actions::default() };
        if let Some(owned) = &mut daemon.owned {
            owned.listed(&daemon.context, listed.iter().map(|found| &*found.name));
        }
        for found in listed {
            if daemon.leaves_out(&found.name) {
                if known.remove(&found.uuid) {
                    ask.push((found.uuid, Actions { remove: true, ..Actions::default() }));
                }
                continue;
            }
            if !daemon.accepts(found.uuid, &found.name) {
                continue;
            }
            known.remove(&found.uuid);
            let domain = daemon.domain(found.uuid, &found.name, moment.instant);
            match (domain.incarnation.phase, found.id) {
                (DomainPhase::Active, Some(id)) if domain.incarnation.id.is_none_or(|known| known == id) => {}
                // Another id: the reading that confirms it begins the new incarnation.
                (DomainPhase::Active, Some(_)) => ask.push((found.uuid, Actions { read: true, ..status })),
                (DomainPhase::Inactive, None) if domain.name == found.name => {}
                _ => {
                    domain.relisted(found.name, found.id);
                    ask.push((found.uuid, status));
                }
            }
        }
        ask.extend(known.into_iter().map(|uuid| (uuid, status)));
        for (uuid, actions) in ask {
            self.follow(place, uuid, actions);
        }
    }

    /// Carries out what a domain needs, and sets its timer.
    pub(super) fn follow(&mut self, place: usize, uuid: Uuid, actions: Actions) {
        self.publisher.touch(place);
        let Some(daemon) = self.daemons.get_mut(&place) else { return };
        if actions.remove {
            let Some(domain) = daemon.remove(uuid) else { return };
            let others = daemon.any_runs();
            if let Some(owned) = &mut daemon.owned {
                owned.domain_gone(others);
            }
            if let Some(wake) = domain.due.wake {
                self.timers.remove(&(wake, place, uuid));
            }
            if domain.shown().is_some() {
                self.publisher.lifecycle();
            }
            return;
        }
        if actions.lifecycle {
            self.publisher.lifecycle();
        }
        if actions.status {
            self.ask(place, Ask::Status(uuid));
        }
        if actions.describe {
            self.ask(place, Ask::Describe(uuid));
        }
        if actions.read {
            self.ask(place, reading_of(uuid));
        }
        let Some(daemon) = self.daemons.get_mut(&place) else { return };
        let others = daemon.any_runs();
        if let (Some(owned), Some(domain)) = (&mut daemon.owned, daemon.domains.get(&uuid)) {
            owned.follow(domain, others);
            daemon.settle_name();
        }
        let Some(domain) = daemon.domains.get_mut(&uuid) else { return };
        let wake = daemon.connection.up.then(|| domain.next_wake(&daemon.context)).flatten();
        if domain.due.wake != wake {
            if let Some(before) = std::mem::replace(&mut domain.due.wake, wake) {
                self.timers.remove(&(before, place, uuid));
            }
            self.timers.extend(wake.map(|wake| (wake, place, uuid)));
        }
    }

    /// Lists a daemon's domains, if that is wanted.
    pub(super) fn list_if_wanted(&mut self, place: usize) {
        let wanted = self.daemons.get_mut(&place).is_some_and(|daemon| std::mem::take(&mut daemon.listing.wanted));
        if wanted {
            self.ask(place, Ask::List);
        }
    }

    /// Sends a query at the end of this iteration; if the same query is in flight, repeats it after its answer. A
    /// reading covers all groups.
    pub(super) fn ask(&mut self, place: usize, ask: Ask) {
        let Some(daemon) = self.daemons.get_mut(&place).filter(|daemon| daemon.connection.up) else { return };
        if daemon.state_of(ask).is_some_and(CallState::request) {
            self.outgoing.push((place, ask));
        }
    }

    /// Sends a query.
    pub(super) fn launch(&mut self, place: usize, ask: Ask, order: Order) {
        let Some(daemon) = self.daemons.get(&place) else { return };
        if matches!(ask, Ask::Describe(_)) {
            self.counters.describe_queries.one();
        }
        let domain = ask.domain().and_then(|uuid| daemon.domains.get(&uuid));
        let epoch = domain.map_or(0, |domain| domain.calls.epoch);
        let call = Call { daemon: place, generation: daemon.connection.generation, epoch, ask, asked: Instant::now() };
        self.calls.launch(&daemon.source, call, order);
    }

    /// Forgets the timers of a daemon's domains.
    pub(super) fn disarm(&mut self, place: usize) {
        self.timers.retain(|(_, daemon, _)| *daemon != place);
    }

    fn count(&self, answer: &Result<Said, ReadError>, groups: Groups) {
        match answer {
            Ok(Said::Stats(stats)) => {
                self.counters.answered(groups, stats.as_ref().map(|stats| stats.took).unwrap_or_default());
            }
            Ok(_) => {}
            Err(_) => self.counters.reading_failures.one(),
        }
    }
}

/// A reading of a domain whose groups are chosen when it is sent.
pub(super) const fn reading_of(uuid: Uuid) -> Ask {
    Ask::Read(uuid, Groups::NONE)
}
