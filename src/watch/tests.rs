//! The watch against a fake API server in this process, in paused time.

mod away;
mod bounds;
mod connecting;
mod fake;
mod follows;
mod lists;
mod reviews;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::link::ApiLink;
use super::{ApiServer, Settings, VmiEvent, WatchCounters, run};
use crate::heartbeat::{Heartbeats, Pulse};
use fake::Fake;

const SECOND: Duration = Duration::from_secs(1);
const NODE: &str = "node01";

/// A watch of a fake API server.
struct Bench {
    fake: Fake,
    events: mpsc::Receiver<VmiEvent>,
    counters: Arc<WatchCounters>,
    beats: Heartbeats,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Bench {
    /// Starts a watch whose events wait in a channel with room for a few.
    fn start(fake: Fake) -> Self {
        Self::with(fake, Settings { node: NODE.into(), vmi_labels: vec!["app".into()], ..Settings::default() })
    }

    fn with(fake: Fake, settings: Settings) -> Self {
        let (opens, opened) = watch::channel(0);
        let client = Client::new(ApiLink::new(fake.clone(), opens), "default");
        let server = ApiServer { client, url: "https://fake:6443/".into(), opened };
        let (sender, events) = mpsc::channel(4);
        let (counters, stop) = (Arc::new(WatchCounters::new()), CancellationToken::new());
        let beats = Heartbeats::new();
        let pulse = beats.part("watch");
        let task = tokio::spawn(run(server, settings, sender, Arc::clone(&counters), pulse, stop.clone()));
        Self { fake, events, counters, beats, stop, task }
    }

    /// The next event, however long it takes; time is paused.
    async fn next(&mut self) -> String {
        let event = tokio::time::timeout(600 * SECOND, self.events.recv()).await.expect("an event within ten minutes");
        say(&event.expect("a watch that goes on"))
    }

    /// The next events, as words.
    async fn all<const N: usize>(&mut self) -> [String; N] {
        let mut events = [const { String::new() }; N];
        for event in &mut events {
            *event = self.next().await;
        }
        events
    }

    /// Everything until a list is complete: the list's VMIs in order.
    async fn list(&mut self) -> Vec<String> {
        assert_eq!(self.next().await, "restarted");
        let mut listed = Vec::new();
        loop {
            match self.next().await {
                event if event == "synced" => return listed,
                event => listed.push(event.strip_prefix("applied ").expect("a VMI of the list").to_owned()),
            }
        }
    }

    /// Lets time pass; there must be no event.
    async fn quiet(&mut self, time: Duration) {
        let event = tokio::time::timeout(time, self.events.recv()).await;
        assert!(event.is_err(), "an event where there is none: {event:?}");
    }

    /// Lets the watch end.
    async fn end(self) {
        self.stop.cancel();
        self.task.await.expect("a watch that ends");
    }
}

fn say(event: &VmiEvent) -> String {
    match event {
        VmiEvent::Restarted => "restarted".to_owned(),
        VmiEvent::Applied(vmi) => format!("applied {}/{} {}", vmi.namespace, vmi.name, vmi.phase.as_str()),
        VmiEvent::Deleted { namespace, name, uid } => format!("deleted {namespace}/{name} {uid}"),
        VmiEvent::Synced => "synced".to_owned(),
    }
}
