//! Requests that wait for their turn, in the order in which their answers are shown.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use crate::source::{Ask, Order, ReadError, Said};

/// How many requests may wait: state, XML and statistics of four thousand domains, four times what a node has at most.
pub(super) const WAITING_MAX: usize = 3 * 4_096;

/// How long a request may wait for its turn. With a call of three seconds at a time, as when four are abandoned, ten
/// others go first; a caller that waited longer asks again.
pub(super) const WAITING_DEADLINE: Duration = Duration::from_secs(30);

/// Where the answer goes.
pub(super) type ReplyTo = oneshot::Sender<Result<Said, ReadError>>;

/// A waiting request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) ask: Ask,
    pub(super) order: Order,
    pub(super) reply: ReplyTo,
    /// Since when it waits.
    pub(super) since: Instant,
}

impl Request {
    /// Answers it. The caller may be gone.
    pub(super) fn answer(self, result: Result<Said, ReadError>) {
        let _ = self.reply.send(result);
    }
}

/// The lanes of the queue, first to last.
const LANES: usize = 4;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lanes: [VecDeque<Request>; LANES],
    /// The domains whose XML request waits.
    xml: HashSet<Uuid>,
}

/// A place in the queue, valid until the queue changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    lane: usize,
    at: usize,
}

impl Queue {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.lanes.iter().map(VecDeque::len).sum()
    }

    /// Adds a request; returns it if the queue is full.
    pub(super) fn push(&mut self, request: Request) -> Result<(), Request> {
        if self.len() >= WAITING_MAX {
            return Err(request);
        }
        if let Ask::Describe(domain) = request.ask {
            self.xml.insert(domain);
        }
        self.lanes[lane(&request)].push_back(request);
        Ok(())
    }

    /// Whether the domain's XML request waits.
    pub(super) fn has_xml_of(&self, domain: Uuid) -> bool {
        self.xml.contains(&domain)
    }

    /// Whether a read waits that needs a QEMU.
    pub(super) fn has_reading_of_monitor(&self) -> bool {
        let of_monitor = |request: &Request| matches!(request.ask, Ask::Read(_, groups) if groups.needs_monitor());
        self.lanes.iter().flatten().any(of_monitor)
    }

    /// The first place.
    pub(super) const fn first(&self) -> Place {
        Place { lane: 0, at: 0 }
    }

    /// The request at this place, or at the next place that has one.
    pub(super) fn look(&self, place: &mut Place) -> Option<&Request> {
        while let Some(lane) = self.lanes.get(place.lane) {
            if let Some(request) = lane.get(place.at) {
                return Some(request);
            }
            *place = Place { lane: place.lane + 1, at: 0 };
        }
        None
    }

    /// The next place.
    pub(super) const fn behind(place: Place) -> Place {
        Place { lane: place.lane, at: place.at + 1 }
    }

    /// The first place of the next lane.
    pub(super) const fn behind_lane(place: Place) -> Place {
        Place { lane: place.lane + 1, at: 0 }
    }

    /// Removes the request at this place.
    pub(super) fn take(&mut self, place: Place) -> Option<Request> {
        let request = self.lanes.get_mut(place.lane)?.remove(place.at)?;
        self.forget_xml(&request);
        Some(request)
    }

    /// Removes the next request that waited too long.
    pub(super) fn take_late(&mut self, now: Instant) -> Option<Request> {
        let late = |lane: &VecDeque<Request>| lane.front().is_some_and(|first| first.since + WAITING_DEADLINE <= now);
        let request = self.lanes.iter_mut().find(|lane| late(lane))?.pop_front()?;
        self.forget_xml(&request);
        Some(request)
    }

    /// Removes everything.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Request> {
        self.xml.clear();
        std::mem::take(&mut self.lanes).into_iter().flatten()
    }

    /// When the next request will have waited as long as this. Each lane is in order of arrival.
    pub(super) fn next_to_wait(&self, patience: Duration, now: Instant) -> Option<Instant> {
        let next = |lane: &VecDeque<Request>| {
            let past = lane.partition_point(|request| request.since + patience <= now);
            lane.get(past).map(|request| request.since + patience)
        };
        self.lanes.iter().filter_map(next).min()
    }

    fn forget_xml(&mut self, gone: &Request) {
        if let Ask::Describe(domain) = gone.ask {
            let others = self.lanes[lane(gone)].iter().any(|request| request.ask == gone.ask);
            if !others {
                self.xml.remove(&domain);
            }
        }
    }
}

/// Lists and states come first; then XML; then statistics.
const fn lane(request: &Request) -> usize {
    match (request.ask, request.order) {
        (Ask::List | Ask::Status(_), _) => 0,
        (Ask::Describe(_), _) => 1,
        (Ask::Read(..), Order::AtOnce) => 2,
        (Ask::Read(..), Order::InTurn) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Groups;

    fn request(ask: Ask, order: Order) -> Request {
        Request { ask, order, reply: oneshot::channel().0, since: Instant::now() }
    }

    #[test]
    fn what_is_shown_first_is_asked_first() {
        let mut queue = Queue::default();
        let domain = Uuid::from_u128(1);
        let asks = [
            (Ask::Read(domain, Groups::all()), Order::InTurn),
            (Ask::Read(domain, Groups::NONE), Order::AtOnce),
            (Ask::Describe(domain), Order::AtOnce),
            (Ask::Status(domain), Order::AtOnce),
            (Ask::List, Order::AtOnce),
        ];
        for (ask, order) in asks {
            assert!(queue.push(request(ask, order)).is_ok());
        }
        assert!(queue.has_xml_of(domain));
        let mut order = Vec::new();
        while let Some(ask) = queue.look(&mut queue.first()).map(|request| request.ask) {
            order.push(ask);
            queue.take(queue.look_place()).unwrap();
        }
        assert_eq!(order, [asks[3].0, asks[4].0, asks[2].0, asks[1].0, asks[0].0]);
        assert!(!queue.has_xml_of(domain));
    }

    impl Queue {
        fn look_place(&self) -> Place {
            let mut place = self.first();
            self.look(&mut place);
            place
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let mut queue = Queue::default();
        assert!(queue.push(request(Ask::List, Order::AtOnce)).is_ok());
        assert!(queue.take_late(Instant::now()).is_none());
        assert!(queue.take_late(Instant::now() + WAITING_DEADLINE).is_some());
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut queue = Queue::default();
        for _ in 0..WAITING_MAX {
            assert!(queue.push(request(Ask::List, Order::AtOnce)).is_ok());
        }
        assert!(queue.push(request(Ask::List, Order::AtOnce)).is_err());
    }
}
