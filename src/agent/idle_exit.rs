//! Decides when a sidecar has nothing left to do.
//!
//! The kubelet ends a native sidecar once the pod's other containers have ended. Nothing ends an agent that is an
//! ordinary container, and the pod stays as long as it runs. So it watches its libvirt's events: a launcher runs one
//! domain, once; when that domain and then its libvirt have ended, the launcher has ended.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::heartbeat::Pulse;
use crate::source::{DomainEvent, SourceEvent};

/// The stage's name.
pub(super) const STAGE: &str = "agent::idle_exit";

/// How long libvirt may be away after its domain has ended. The launcher then ends its libvirt within a second, and the
/// last push has had its time.
const AFTER_THE_DOMAIN: Duration = Duration::from_secs(10);

/// How long libvirt may be away if its domain was not seen to end: the launcher has died, or is restarting its libvirt,
/// which takes a few seconds.
const AFTER_LIBVIRT: Duration = Duration::from_secs(60);

/// How long to wait for a libvirt that was never there. A launcher starts its own first of all, but the pod's other
/// containers may have to pull large images before.
const BEFORE_LIBVIRT: Duration = Duration::from_secs(600);

/// What is known about the pod's libvirt.
#[derive(Debug)]
struct IdleExit {
    /// Since when libvirt is absent; `None` while it is there, even if it is silent.
    away: Option<Instant>,
    /// Whether it ever was there.
    met: bool,
    /// Whether its domain has run and ended.
    ended: bool,
}

impl IdleExit {
    fn new(now: Instant) -> Self {
        Self { away: Some(now), met: false, ended: false }
    }

    fn hear(&mut self, event: &SourceEvent, now: Instant) {
        match event {
            SourceEvent::Connected(_) => {
                self.away = None;
                self.met = true;
            }
            SourceEvent::Disconnected { absent: true, .. } => {
                self.away.get_or_insert(now);
            }
            // It is there but cannot be read: its VM may still run.
            SourceEvent::Disconnected { absent: false, .. } => self.away = None,
            SourceEvent::Domain { event, .. } => match event {
                DomainEvent::Stopped => self.ended = true,
                DomainEvent::Started { .. } | DomainEvent::Resumed { .. } => self.ended = false,
                _ => {}
            },
            _ => {}
        }
    }

    /// When there is nothing left to do, if no further event arrives.
    fn over_at(&self) -> Option<Instant> {
        let patience = match (self.met, self.ended) {
            (false, _) => BEFORE_LIBVIRT,
            (true, true) => AFTER_THE_DOMAIN,
            (true, false) => AFTER_LIBVIRT,
        };
        self.away.map(|away| away + patience)
    }
}

/// Forwards what libvirt reports, and returns when there is nothing left to do.
pub(super) async fn keep(
    mut heard: mpsc::Receiver<SourceEvent>,
    told: mpsc::Sender<SourceEvent>,
    pulse: Pulse,
    stop: CancellationToken,
) {
    let mut idle_exit = IdleExit::new(Instant::now());
    loop {
        let over = async {
            match idle_exit.over_at() {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return hold(told),
            event = heard.recv() => {
                let Some(event) = event else { break };
                idle_exit.hear(&event, Instant::now());
                pulse.turn();
                if told.send(event).await.is_err() {
                    break;
                }
            }
            () = over => {
                tracing::info!(
                    domain_ended = idle_exit.ended, libvirt_was_there = idle_exit.met,
                    "the launcher of this pod has ended, and with it the work of this sidecar"
                );
                return hold(told);
            }
            () = pulse.idle() => {}
        }
    }
    // Neither channel closes before the agent ends.
    stop.cancelled().await;
}

/// Keeps the channel to `observe` open until that has ended: closing it would mean that libvirt was lost.
fn hold(told: mpsc::Sender<SourceEvent>) {
    drop(tokio::spawn(async move { told.closed().await }));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::heartbeat::Heartbeats;
    use crate::model::DaemonFacts;

    /// When the idle_exit ends after these events, each of them so many seconds after the previous one; `None` if not
    /// within an hour.
    async fn over(events: &[(u64, SourceEvent)]) -> Option<u64> {
        let (sender, heard) = mpsc::channel(16);
        let (told, mut handed_on) = mpsc::channel(16);
        let beats = Heartbeats::new();
        let began = Instant::now();
        let idle_exit = tokio::spawn(keep(heard, told, beats.part(STAGE), CancellationToken::new()));
        for (after, event) in events {
            tokio::time::sleep(Duration::from_secs(*after)).await;
            sender.send(event.clone()).await.unwrap();
            assert_eq!(handed_on.recv().await.as_ref(), Some(event), "everything is handed on");
        }
        let ended = tokio::time::timeout(Duration::from_secs(3_600), idle_exit).await;
        assert_eq!(beats.still(), [], "however little happens");
        ended.is_ok().then(|| began.elapsed().as_secs())
    }

    fn connected() -> SourceEvent {
        let facts = DaemonFacts { host_name: "pod".into(), driver: "QEMU".into(), libvirt: None, hypervisor: None };
        SourceEvent::Connected(Arc::new(facts))
    }

    fn away() -> SourceEvent {
        SourceEvent::Disconnected { reason: "nobody listens".to_owned(), absent: true }
    }

    fn mute() -> SourceEvent {
        SourceEvent::Disconnected { reason: "it does not answer".to_owned(), absent: false }
    }

    fn domain(event: DomainEvent) -> SourceEvent {
        SourceEvent::Domain { uuid: Uuid::from_u128(1), name: "shop_web".into(), event }
    }

    #[tokio::test(start_paused = true)]
    async fn its_end_is_no_loss_of_libvirt() {
        let (_sender, heard) = mpsc::channel(1);
        let (told, mut handed_on) = mpsc::channel(1);
        let stop = CancellationToken::new();
        stop.cancel();
        keep(heard, told, Pulse::default(), stop).await;
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!(
            handed_on.try_recv(),
            Err(mpsc::error::TryRecvError::Empty),
            "nothing was said, and nobody has gone"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn while_libvirt_is_there_it_goes_on_even_without_a_domain() {
        assert_eq!(over(&[(1, connected()), (5, domain(DomainEvent::Stopped))]).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_domain_and_its_libvirt_it_is_over_soon() {
        let life = [(1, connected()), (5, domain(DomainEvent::Stopped)), (1, away()), (2, away())];
        assert_eq!(over(&life).await, Some(1 + 5 + 1 + 10), "counted from the first failure");
    }

    #[tokio::test(start_paused = true)]
    async fn a_libvirt_that_comes_back_in_time_is_worth_waiting_for() {
        assert_eq!(over(&[(1, connected()), (5, away()), (50, connected())]).await, None);
        assert_eq!(over(&[(1, connected()), (5, away())]).await, Some(6 + 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_domain_that_runs_again_has_not_ended() {
        let started = domain(DomainEvent::Started { incoming_migration: false });
        let life = [(1, connected()), (1, domain(DomainEvent::Stopped)), (1, started), (1, away())];
        assert_eq!(over(&life).await, Some(4 + 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_libvirt_that_is_mute_has_not_ended() {
        assert_eq!(over(&[(1, connected()), (5, mute())]).await, None);
        assert_eq!(over(&[(1, mute())]).await, None);
        assert_eq!(over(&[(1, connected()), (5, mute()), (100, away())]).await, Some(1 + 5 + 100 + 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_libvirt_that_never_comes_is_not_waited_for_for_ever() {
        assert_eq!(over(&[(1, away()), (100, away())]).await, Some(600));
    }
}
