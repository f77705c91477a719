//! The events of all daemons, in one channel.

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::settings::EVENT_QUEUE;
use crate::source::SourceEvent;

/// Brings the sources' events together.
#[derive(Debug)]
pub(super) struct Feeds {
    /// The events, with the place of their daemon.
    pub(super) events: mpsc::Receiver<(usize, SourceEvent)>,
    forward: mpsc::Sender<(usize, SourceEvent)>,
    /// One for each source; each ends with its daemon, all with the loop.
    pub(super) forwarders: JoinSet<()>,
}

impl Feeds {
    pub(super) fn new() -> Self {
        let (forward, events) = mpsc::channel(EVENT_QUEUE);
        Self { events, forward, forwarders: JoinSet::new() }
    }

    /// Takes in the events of one more source.
    pub(super) fn add(&mut self, place: usize, events: mpsc::Receiver<SourceEvent>) {
        self.forwarders.spawn(forward(place, events, self.forward.clone()));
    }
}

/// Carries one source's events to the loop. While the loop is behind, they wait in the source's own channel.
async fn forward(place: usize, mut feed: mpsc::Receiver<SourceEvent>, events: mpsc::Sender<(usize, SourceEvent)>) {
    while let Some(event) = feed.recv().await {
        if events.send((place, event)).await.is_err() {
            return;
        }
    }
    let reason = "the source has ended".to_owned();
    // If the loop is gone too, nothing needs to know.
    let _ = events.send((place, SourceEvent::Disconnected { reason, absent: true })).await;
}
