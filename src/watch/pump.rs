//! Feeds the channel from kube's watcher.

use std::pin::pin;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};
use kube::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::allow::AllowedLabels;
use super::connect::ApiServer;
use super::counters::{EventKind, WatchCounters};
use super::fault::{Fault, FaultKind};
use super::health::ApiHealth;
use super::link::PAGE_SIZE;
use super::object::Object;
use super::pause::Pause;
use super::share::Shared;
use super::{Settings, VmiEvent};
use crate::heartbeat::Pulse;
use crate::model::{VmChoice, Vmi};

/// How many seconds a watch lasts before the server ends it and the agent reopens it. A silently dead connection is
/// given up five seconds later. Reopening costs the server little, and lists nothing.
pub(super) const WATCH_SECONDS: u32 = 30;

/// Why `Pump::follow` ends.
enum End {
    /// The receiver of the events is gone.
    NobodyListens,
    /// The server does not stream lists.
    NoStreaming,
}

/// Watches the VMIs of a node and sends their events, until `stop` or until the receiver is gone.
///
/// A full channel makes the watch wait; nothing is lost. A failure is counted, logged once, and retried with growing
/// pauses of at most five seconds.
pub async fn run(
    server: ApiServer,
    settings: Settings,
    events: mpsc::Sender<VmiEvent>,
    counters: Arc<WatchCounters>,
    pulse: Pulse,
    stop: CancellationToken,
) {
    let health = ApiHealth::new(Arc::clone(&counters), Arc::clone(&server.url), settings.node.as_str().into());
    let allowed = AllowedLabels::new(&settings.vmi_labels);
    let mut pump = Pump {
        server,
        events,
        counters,
        health,
        allowed,
        selector: settings.selector.map_or_else(String::new, |selector| format!(",{selector}")),
        choice: settings.choice,
        shared: Shared::default(),
        node: settings.node.into(),
        pulse,
    };
    let watch = async {
        if settings.streaming_lists && matches!(pump.follow(true).await, End::NobodyListens) {
            return;
        }
        pump.follow(false).await;
    };
    stop.run_until_cancelled(watch).await;
}

struct Pump {
    server: ApiServer,
    events: mpsc::Sender<VmiEvent>,
    counters: Arc<WatchCounters>,
    health: ApiHealth,
    allowed: AllowedLabels,
    /// What follows the selection of the node's VMIs.
    selector: String,
    choice: VmChoice,
    shared: Shared,
    node: Arc<str>,
    pulse: Pulse,
}

impl Pump {
    async fn follow(&mut self, streaming: bool) -> End {
        let mut config = watcher::Config::default()
            .labels(&format!("kubevirt.io/nodeName={}{}", self.node, self.selector))
            .timeout(WATCH_SECONDS)
            .page_size(PAGE_SIZE);
        if streaming {
            config = config.streaming_lists();
        }
        let pause = Pause::default();
        let signs = pause.signs();
        let refuses = signs.clone();
        let objects = watcher(Api::<Object>::all(self.server.client.clone()), config)
            // Before the pause begins, not after.
            .inspect_err(move |error| {
                if Fault::of(error).kind != FaultKind::Unreachable {
                    refuses.refuses();
                }
            })
            .backoff(pause);
        let mut objects = pin!(objects);
        // `Restarted` is sent with the first item of a list: a list that fails at once sends nothing.
        let mut restarted = false;
        loop {
            let item = tokio::select! {
                biased;
                Ok(()) = self.server.opened.changed() => {
                    self.health.opened();
                    continue;
                }
                () = self.health.settled() => {
                    self.health.answered();
                    continue;
                }
                item = objects.next() => item,
                // Waits for an absent or silent API for as long as necessary.
                () = self.pulse.idle() => continue,
            };
            let sent = match item {
                Some(Ok(Event::Init)) => {
                    restarted = true;
                    true
                }
                Some(Ok(Event::InitApply(object))) => {
                    self.restarted(&mut restarted).await && self.applied(object).await
                }
                Some(Ok(Event::InitDone)) => {
                    self.health.answered();
                    self.restarted(&mut restarted).await && self.send(EventKind::Synced, VmiEvent::Synced).await
                }
                Some(Ok(Event::Apply(object))) => {
                    signs.flows();
                    self.health.answered();
                    self.applied(object).await
                }
                Some(Ok(Event::Delete(object))) => {
                    signs.flows();
                    self.health.answered();
                    self.deleted(object).await
                }
                Some(Err(error)) => {
                    // Drops the signal of a watch that opened and failed at once.
                    self.server.opened.mark_unchanged();
                    let fault = Fault::of(&error);
                    // Servers refuse in different ways to stream lists; some have an etcd that cannot.
                    let refused = matches!(fault.kind, FaultKind::Refused | FaultKind::Failed);
                    if streaming && refused && !self.counters.synced() {
                        self.counters.failed(fault.kind);
                        tracing::warn!(
                            server = %self.server.url, reason = fault.reason,
                            "the API server does not stream lists, which Kubernetes does since 1.32, on an etcd that tells \
                             how far it is; plain lists are used. Switch streaming lists off"
                        );
                        return End::NoStreaming;
                    }
                    self.health.failed(&fault);
                    true
                }
                // The back-off never gives up, so this never happens.
                None => false,
            };
            if !sent {
                return End::NobodyListens;
            }
        }
    }

    async fn restarted(&mut self, pending: &mut bool) -> bool {
        !std::mem::take(pending) || self.send(EventKind::Restarted, VmiEvent::Restarted).await
    }

    async fn applied(&mut self, object: Object) -> bool {
        let (vmi, tally) = object.finish(&self.allowed, &self.node);
        self.counters.tally(tally);
        let Some(mut vmi) = vmi else {
            self.counters.object_dropped();
            return true;
        };
        if !self.wants(&vmi) {
            return true;
        }
        self.shared.share(&mut vmi);
        self.send(EventKind::Applied, VmiEvent::Applied(Arc::new(vmi))).await
    }

    async fn deleted(&mut self, object: Object) -> bool {
        // Its last state is of no use, and was already counted.
        let Some(vmi) = object.finish(&self.allowed, &self.node).0 else {
            self.counters.object_dropped();
            return true;
        };
        if !self.wants(&vmi) {
            return true;
        }
        let gone = VmiEvent::Deleted { namespace: vmi.namespace, name: vmi.name, uid: vmi.uid };
        self.send(EventKind::Deleted, gone).await
    }

    fn wants(&self, vmi: &Vmi) -> bool {
        self.choice.wants(&format!("{}/{}", vmi.namespace, vmi.name))
    }

    /// Sends an event, however long it takes; false if the receiver is gone.
    async fn send(&mut self, kind: EventKind, event: VmiEvent) -> bool {
        self.pulse.turn();
        let sent = self.events.send(event).await.is_ok();
        if sent {
            self.counters.sent(kind);
        }
        sent
    }
}
