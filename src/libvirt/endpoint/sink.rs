//! From libvirt's event thread to the endpoint. Nothing here waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::counters::EndpointCounters;
use crate::libvirt::event::RawEvent;
use crate::libvirt::raw::Sink;

/// Events that may wait for the endpoint. It takes them within microseconds; a thousand VMs that change at once fit.
const WAITING_MAX: usize = 1024;

/// An event on its way.
#[derive(Debug)]
pub(super) struct Arrived {
    /// Of which connection: events of an earlier one are void.
    pub(super) generation: u64,
    pub(super) domain: Uuid,
    pub(super) name: Arc<str>,
    pub(super) event: RawEvent,
}

/// The end of a connection: which, and libvirt's reason for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Closed {
    pub(super) generation: u64,
    pub(super) reason: i32,
}

/// Where a connection's events come out.
#[derive(Debug)]
pub(super) struct Inbox {
    sender: mpsc::Sender<Box<Arrived>>,
    pub(super) events: mpsc::Receiver<Box<Arrived>>,
    closed_sender: Arc<watch::Sender<Closed>>,
    pub(super) closed: watch::Receiver<Closed>,
    lost: Arc<AtomicBool>,
    counters: Arc<EndpointCounters>,
}

impl Inbox {
    pub(super) fn new(counters: Arc<EndpointCounters>) -> Self {
        let (sender, events) = mpsc::channel(WAITING_MAX);
        let (closed_sender, closed) = watch::channel(Closed::default());
        let lost = Arc::new(AtomicBool::new(false));
        Self { sender, events, closed_sender: Arc::new(closed_sender), closed, lost, counters }
    }

    /// What a connection reports to.
    pub(super) fn sink(&self, generation: u64) -> Arc<dyn Sink> {
        Arc::new(InboxSink {
            generation,
            sender: self.sender.clone(),
            closed: self.closed_sender.clone(),
            lost: self.lost.clone(),
            counters: self.counters.clone(),
        })
    }

    /// Whether events have been dropped since this was last asked.
    pub(super) fn take_lost(&self) -> bool {
        self.lost.swap(false, Relaxed)
    }
}

struct InboxSink {
    generation: u64,
    sender: mpsc::Sender<Box<Arrived>>,
    closed: Arc<watch::Sender<Closed>>,
    lost: Arc<AtomicBool>,
    counters: Arc<EndpointCounters>,
}

impl Sink for InboxSink {
    fn domain(&self, domain: Uuid, name: Arc<str>, event: RawEvent) {
        self.counters.count_event();
        let arrived = Arrived { generation: self.generation, domain, name, event };
        if self.sender.try_send(Box::new(arrived)).is_err() {
            self.counters.count_dropped_events(1);
            self.lost.store(true, Relaxed);
        }
    }

    fn closed(&self, reason: i32) {
        self.closed.send_replace(Closed { generation: self.generation, reason });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_inbox_drops_and_says_so_once() {
        let counters = Arc::new(EndpointCounters::default());
        let inbox = Inbox::new(counters.clone());
        let sink = inbox.sink(1);
        for _ in 0..WAITING_MAX {
            sink.domain(Uuid::nil(), "vm".into(), RawEvent::Reboot);
        }
        assert!(!inbox.take_lost());
        sink.domain(Uuid::nil(), "vm".into(), RawEvent::Reboot);
        assert!(inbox.take_lost());
        assert!(!inbox.take_lost());
        assert_eq!(counters.events_received(), 1025);
        assert_eq!(counters.events_dropped(), 1);
    }

    #[test]
    fn the_end_of_a_connection_is_never_dropped() {
        let inbox = Inbox::new(Arc::default());
        let sink = inbox.sink(7);
        for _ in 0..2 * WAITING_MAX {
            sink.domain(Uuid::nil(), "vm".into(), RawEvent::Reboot);
        }
        sink.closed(1);
        assert_eq!(*inbox.closed.borrow(), Closed { generation: 7, reason: 1 });
    }
}
