//! Events on their way to the reader: bounded, in order, and never blocking.

use std::collections::VecDeque;

use crate::source::SourceEvent;

/// Events of a host's domains that may wait: enough for a thousand domains that all change at once. Beyond that it is
/// cheaper to list and read everything afresh.
pub(super) const WAITING_MAX: usize = 1024;

/// The events that the reader has not taken yet.
#[derive(Debug)]
pub(super) struct Outbox {
    /// How many may wait.
    most: usize,
    waiting: VecDeque<SourceEvent>,
}

impl Outbox {
    /// At most `most` may wait.
    pub(super) const fn new(most: usize) -> Self {
        Self { most, waiting: VecDeque::new() }
    }

    /// Adds an event. Returns how many were dropped for it: when the queue is full, one [`SourceEvent::EventsLost`]
    /// replaces all that concern domains. Those about the daemon stay until it disconnects.
    pub(super) fn push(&mut self, event: SourceEvent) -> usize {
        let mut dropped = 0;
        match &event {
            // Unread events no longer matter: everything will be read afresh.
            SourceEvent::Disconnected { .. } => self.waiting.clear(),
            SourceEvent::Connected(_) | SourceEvent::Hypervisor(_) => {}
            SourceEvent::EventsLost => dropped = self.forget_domains(),
            _ if self.waiting.len() >= self.most => {
                dropped = self.forget_domains() + 1;
                self.waiting.push_back(SourceEvent::EventsLost);
                return dropped;
            }
            SourceEvent::Domain { .. } | SourceEvent::Late { .. } | SourceEvent::LateDescription { .. } => {}
        }
        self.waiting.push_back(event);
        dropped
    }

    fn forget_domains(&mut self) -> usize {
        let before = self.waiting.len();
        use SourceEvent::{Connected, Disconnected, Hypervisor};
        self.waiting.retain(|event| matches!(event, Connected(_) | Disconnected { .. } | Hypervisor(_)));
        before - self.waiting.len()
    }

    /// The next event.
    pub(super) fn pop(&mut self) -> Option<SourceEvent> {
        self.waiting.pop_front()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::source::DomainEvent;

    fn domain(number: u128) -> SourceEvent {
        SourceEvent::Domain { uuid: Uuid::from_u128(number), name: "vm".into(), event: DomainEvent::Suspended }
    }

    fn disconnected(reason: &str) -> SourceEvent {
        SourceEvent::Disconnected { reason: reason.to_owned(), absent: false }
    }

    #[test]
    fn keeps_the_order() {
        let mut outbox = Outbox::new(WAITING_MAX);
        let events = [disconnected("gone"), domain(1), domain(2), SourceEvent::Late { uuid: Uuid::nil(), stats: None }];
        for event in events.clone() {
            assert_eq!(outbox.push(event), 0);
        }
        for event in events {
            assert_eq!(outbox.pop(), Some(event));
        }
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_full_box_becomes_one_event_that_says_so_and_keeps_what_concerns_the_daemon() {
        let mut outbox = Outbox::new(WAITING_MAX);
        outbox.push(disconnected("gone"));
        let dropped: usize = (0..3 * WAITING_MAX as u128).map(|number| outbox.push(domain(number))).sum();
        assert!(outbox.waiting.len() <= WAITING_MAX);
        assert_eq!(outbox.pop(), Some(disconnected("gone")));
        assert_eq!(outbox.pop(), Some(SourceEvent::EventsLost));
        let kept = std::iter::from_fn(|| outbox.pop()).filter(|event| *event != SourceEvent::EventsLost).count();
        assert!(dropped + kept >= 3 * WAITING_MAX, "every event was kept or counted");
    }

    #[test]
    fn what_happened_before_the_daemon_was_lost_is_forgotten() {
        let mut outbox = Outbox::new(WAITING_MAX);
        outbox.push(domain(1));
        for number in 0..10_000 {
            outbox.push(disconnected(&number.to_string()));
        }
        assert_eq!(outbox.pop(), Some(disconnected("9999")));
        assert!(outbox.is_empty());
    }
}
