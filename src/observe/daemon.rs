//! One daemon: its domains, and what waits to be asked of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;
use uuid::Uuid;

use super::calls::Ask;
use super::detection::{Cause, backoff};
use super::figures::has_figures;
use super::owned::Owned;
use super::roster::Owner;
use super::settings::{CONTROL_CALLS_PER_DAEMON, LIST_EVERY, LIST_RETRY, LIST_RETRY_MOST, READS_PER_DAEMON};
use super::track::{CallState, Pending, Surroundings, Track};
use crate::model::{Daemon, DaemonFacts, State};
use crate::source::Source;

/// Reasons for not being connected that are logged until it is: one that has more of them makes them up.
const REASONS_MAX: u32 = 8;

/// How far the first round over a daemon is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// Nothing has been heard of it.
    Waiting,
    /// Its domains are known, and are being read.
    Reading,
    /// Each has been read, or has failed; or the daemon has.
    Done,
}

/// One daemon.
pub(super) struct Keeper {
    pub(super) source: Arc<dyn Source>,
    pub(super) around: Surroundings,
    /// Whose daemon it is, if it is that of one VMI.
    pub(super) owned: Option<Owned>,
    pub(super) up: bool,
    /// Counts connections: an answer over an earlier one is not used.
    pub(super) generation: u32,
    pub(super) tracks: BTreeMap<Uuid, Track>,
    /// The calls that are running about domains that are gone.
    leftover: BTreeMap<Uuid, Pending>,
    /// What is published of it.
    pub(super) shown: Arc<Daemon>,
    facts: Option<Arc<DaemonFacts>>,
    /// Whether it has been lost, and nobody has been found there since.
    pub(super) lost: bool,
    /// How many reasons were logged since it was last connected.
    pub(super) reasons: u32,
    /// Whether nobody was there when it was last tried.
    pub(super) absent: bool,
    /// Whether it was said that events of this connection were lost.
    pub(super) events_lost: bool,
    /// Until when the failure of an earlier attempt to reach it says nothing.
    pub(super) trying_until: Option<Instant>,
    pub(super) round: Round,

    pub(super) list_call: CallState,
    pub(super) list_due: Option<Instant>,
    pub(super) list_failures: u32,
    status_queue: VecDeque<Uuid>,
    describe_queue: VecDeque<Uuid>,
    urgent_reads: VecDeque<Uuid>,
    due_reads: VecDeque<Uuid>,
    pub(super) control_in_flight: usize,
    pub(super) reads_in_flight: usize,
}

impl Keeper {
    pub(super) fn new(source: Arc<dyn Source>, around: Surroundings, owner: Option<Owner>) -> Self {
        let shown = Daemon { id: around.daemon.clone(), up: false, facts: None, domains: None };
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
            reasons: 0,
            events_lost: false,
            trying_until: None,
            round: Round::Waiting,
            list_call: CallState::Idle,
            list_due: None,
            list_failures: 0,
            status_queue: VecDeque::new(),
            describe_queue: VecDeque::new(),
            urgent_reads: VecDeque::new(),
            due_reads: VecDeque::new(),
            control_in_flight: 0,
            reads_in_flight: 0,
        };
        if let Some(owner) = owner {
            keeper.own(owner, Instant::now());
        }
        keeper
    }

    /// Forgets its domains: whatever is still said of them is void.
    pub(super) fn forget(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.list_call.cancel();
        self.list_due = None;
        self.clear_queues();
        let all: Vec<Uuid> = self.tracks.keys().copied().collect();
        for uuid in all {
            self.remove(uuid);
        }
    }

    fn clear_queues(&mut self) {
        for queue in [&mut self.status_queue, &mut self.describe_queue, &mut self.urgent_reads, &mut self.due_reads] {
            queue.clear();
        }
    }

    /// A connection was made.
    pub(super) fn connected(&mut self, facts: Arc<DaemonFacts>) {
        self.up = true;
        self.lost = false;
        self.reasons = 0;
        self.events_lost = false;
        self.trying_until = None;
        self.generation = self.generation.wrapping_add(1);
        self.around.host_name = Arc::clone(&facts.host_name);
        self.facts = Some(facts);
        self.list_failures = 0;
        if self.is_open() {
            self.list_call.request();
        }
    }

    /// The connection is gone, or could not be made. `true` if it was there.
    pub(super) fn disconnected(&mut self, reason: &str, absent: bool) -> bool {
        self.round = Round::Done;
        self.trying_until = None;
        self.absent = absent;
        if !std::mem::replace(&mut self.up, false) {
            // Before its VMI runs nobody misses it; and that nobody is there any more was to be expected.
            if self.is_open() && !(self.lost && absent) && self.reasons < REASONS_MAX {
                self.reasons += 1;
                tracing::warn!(daemon = %self.around.daemon, reason, "could not reach libvirt; it will be tried again");
            }
            return false;
        }
        self.lost = true;
        self.generation = self.generation.wrapping_add(1);
        self.list_call.cancel();
        self.list_due = None;
        self.clear_queues();
        let before = self.tracks.len();
        // Of a VM that is on its way to another node nothing is left to be shown here.
        let leaving = self.owned.as_ref().is_some_and(|owned| owned.owner.is_leaving());
        let lost: Vec<Uuid> = self
            .tracks
            .iter_mut()
            .filter_map(|(uuid, track)| (!track.daemon_lost() || leaving).then_some(*uuid))
            .collect();
        for uuid in lost {
            self.remove(uuid);
        }
        for track in self.tracks.values_mut() {
            if track.detection.is_news(Cause::Unreachable) {
                tracing::info!(
                    domain = %track.name, uuid = %track.vm.key.uuid,
                    "libvirt cannot be reached; the domain's hypervisor type is exported as unknown until it can"
                );
            }
        }
        if self.is_missed() {
            tracing::warn!(
                daemon = %self.around.daemon, reason, domains = before, running = self.tracks.len(),
                "lost libvirt; connecting again until it answers, and the last readings are shown until they are three \
                 intervals old"
            );
        } else {
            tracing::debug!(daemon = %self.around.daemon, reason, "libvirt has gone after its VM");
        }
        true
    }

    /// The domains were listed, or not.
    pub(super) fn listed(&mut self, succeeded: bool, now: Instant) {
        if let Some(owned) = &mut self.owned {
            owned.answers(succeeded);
        }
        if succeeded {
            self.list_failures = 0;
            self.list_due = Some(now + LIST_EVERY);
            if self.round == Round::Waiting {
                self.round = Round::Reading;
            }
        } else {
            self.list_due = Some(now + backoff(self.list_failures, LIST_RETRY, LIST_RETRY_MOST));
            self.list_failures = self.list_failures.saturating_add(1);
            self.round = Round::Done;
        }
    }

    /// Whether the first round over it is done.
    pub(super) fn round_is_done(&mut self) -> bool {
        if !self.is_open() {
            return true;
        }
        if self.round == Round::Reading && self.tracks.values().all(Track::settled) {
            self.round = Round::Done;
        }
        self.round == Round::Done
    }

    pub(super) fn ask_status(&mut self, uuid: Uuid) {
        if self.tracks.get_mut(&uuid).is_some_and(|track| track.calls.status.request()) {
            self.status_queue.push_back(uuid);
        }
    }

    pub(super) fn ask_description(&mut self, uuid: Uuid) {
        if self.tracks.get_mut(&uuid).is_some_and(|track| track.calls.describe.request()) {
            self.describe_queue.push_back(uuid);
        }
    }

    /// Reads it at once, all groups.
    pub(super) fn ask_reading(&mut self, uuid: Uuid) {
        let Some(track) = self.tracks.get_mut(&uuid) else { return };
        let asked = std::mem::replace(&mut track.read_all, true);
        // One that waits its turn by the schedule moves to the front; its old place is skipped when it comes up.
        if track.calls.read.request() || (track.calls.read == CallState::Queued && !asked) {
            self.urgent_reads.push_back(uuid);
        }
    }

    /// Reads it by the schedule.
    pub(super) fn ask_due_reading(&mut self, uuid: Uuid) {
        if let Some(track) = self.tracks.get_mut(&uuid)
            && track.calls.read == CallState::Idle
            && track.calls.read.request()
        {
            self.due_reads.push_back(uuid);
        }
    }

    /// The domain, which may be new.
    pub(super) fn track(&mut self, uuid: Uuid, name: &Arc<str>, now: Instant) -> &mut Track {
        self.tracks.entry(uuid).or_insert_with(|| {
            let mut track = Track::new(uuid, Arc::clone(name), &self.around, now);
            if let Some(pending) = self.leftover.remove(&uuid) {
                track.calls = Pending { epoch: pending.epoch.wrapping_add(1), ..pending };
            }
            track
        })
    }

    /// The domain is gone.
    pub(super) fn remove(&mut self, uuid: Uuid) -> Option<Track> {
        let mut track = self.tracks.remove(&uuid)?;
        track.calls.cancel();
        if track.calls.any() {
            self.leftover.insert(uuid, track.calls);
        }
        Some(track)
    }

    /// A call has returned: it is asked for once more if it must be.
    pub(super) fn returned(&mut self, ask: Ask) {
        let (uuid, call): (Uuid, fn(&mut Pending) -> &mut CallState) = match ask {
            Ask::List => {
                self.control_in_flight -= 1;
                self.list_call.returned();
                return;
            }
            Ask::Status(uuid) => (uuid, |calls| &mut calls.status),
            Ask::Describe(uuid) => (uuid, |calls| &mut calls.describe),
            Ask::Read(uuid, _) => (uuid, |calls| &mut calls.read),
        };
        let (in_flight, queue) = match ask {
            Ask::Read(..) => (&mut self.reads_in_flight, &mut self.urgent_reads),
            Ask::Status(_) => (&mut self.control_in_flight, &mut self.status_queue),
            _ => (&mut self.control_in_flight, &mut self.describe_queue),
        };
        *in_flight -= 1;
        if let Some(track) = self.tracks.get_mut(&uuid) {
            if call(&mut track.calls).returned() {
                queue.push_back(uuid);
            }
        } else if let Some(calls) = self.leftover.get_mut(&uuid) {
            call(calls).returned();
            if !calls.any() {
                self.leftover.remove(&uuid);
            }
        }
    }

    /// The next list, status or XML call that may be made now: what is shown first is asked first.
    pub(super) fn next_control(&mut self) -> Option<(Ask, u32)> {
        if !self.up || self.control_in_flight >= CONTROL_CALLS_PER_DAEMON {
            return None;
        }
        if self.list_call == CallState::Queued {
            self.list_call = CallState::InFlight;
            return Some((Ask::List, 0));
        }
        while let Some(uuid) = self.status_queue.pop_front() {
            if let Some(track) = self.tracks.get_mut(&uuid).filter(|track| track.calls.status == CallState::Queued) {
                track.calls.status = CallState::InFlight;
                return Some((Ask::Status(uuid), track.calls.epoch));
            }
        }
        while let Some(uuid) = self.describe_queue.pop_front() {
            if let Some(track) = self.tracks.get_mut(&uuid).filter(|track| track.calls.describe == CallState::Queued) {
                track.calls.describe = CallState::InFlight;
                return Some((Ask::Describe(uuid), track.calls.epoch));
            }
        }
        None
    }

    /// Whether a call waits for its turn.
    pub(super) fn has_waiting(&self) -> bool {
        let queues = [&self.status_queue, &self.describe_queue, &self.urgent_reads, &self.due_reads];
        self.up && (self.list_call == CallState::Queued || queues.iter().any(|queue| !queue.is_empty()))
    }

    /// The next read that may be made now.
    pub(super) fn next_read(&mut self, now: Instant) -> Option<(Ask, u32)> {
        if !self.up || self.reads_in_flight >= READS_PER_DAEMON {
            return None;
        }
        while let Some(uuid) = self.urgent_reads.pop_front().or_else(|| self.due_reads.pop_front()) {
            let Some(track) = self.tracks.get_mut(&uuid).filter(|track| track.calls.read == CallState::Queued) else {
                continue;
            };
            if let Some(groups) = track.take_groups(now, &self.around) {
                track.calls.read = CallState::InFlight;
                return Some((Ask::Read(uuid, groups), track.calls.epoch));
            }
            track.calls.read = CallState::Idle;
        }
        None
    }

    /// Drops what is too old, and domains of which nothing is left while the daemon is away. Says how many VMs went.
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

    /// What is published of it.
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
