//! Tells the service manager that the agent is ready, that it is alive, and that it ends: `READY=1`, `WATCHDOG=1` and
//! `STOPPING=1` of `sd_notify(3)`.
//!
//! It is ready when `/readyz` says so, and alive as long as `/livez` does. Without a sign of life systemd starts it anew.
//!
//! Thirty lines of our own, because the crates for it send with a call that blocks while the manager's queue is full, and
//! read the environment by themselves.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::ServiceManager;
use crate::heartbeat::{Heartbeats, Pulse, TURN};
use crate::snapshot::Snapshots;

/// How many signs of life fit into the time after which the manager acts: two may be late or lost.
const SIGNS: u32 = 3;

/// The socket, connected to nobody: the manager may listen again later.
#[derive(Debug)]
struct Line {
    socket: UnixDatagram,
    to: SocketAddr,
}

impl Line {
    fn open(name: &str) -> io::Result<Self> {
        let to = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, to })
    }

    /// Sends a word, unless the manager's queue is full or nobody listens. Returns whether it was sent.
    fn tell(&self, word: &str) -> bool {
        let sent = self.socket.send_to_addr(word.as_bytes(), &self.to);
        if let Err(error) = &sent {
            tracing::debug!(%error, word, "the service manager could not be told");
        }
        sent.is_ok()
    }
}

/// Tells the service manager until the agent is told to stop. A socket that cannot be used is logged, and nothing is told.
pub(super) async fn run(
    manager: ServiceManager,
    mut snapshots: Snapshots,
    heartbeats: Heartbeats,
    pulse: Pulse,
    stop: CancellationToken,
) {
    let line = Line::open(&manager.socket).inspect_err(|error| {
        tracing::warn!(%error, socket = manager.socket, "the service manager cannot be told anything; check NOTIFY_SOCKET");
    });
    let every = manager.watchdog.map_or(TURN, |limit| (limit / SIGNS).min(TURN));
    let mut ready = false;
    loop {
        if let Ok(line) = &line {
            // Said again until it was heard: systemd waits for it, and ends an agent that does not say it.
            ready = ready || (snapshots.borrow_and_update().complete && line.tell("READY=1"));
            if manager.watchdog.is_some() && heartbeats.still().is_empty() {
                line.tell("WATCHDOG=1");
            }
        }
        pulse.promise(Instant::now() + every);
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(every) => {}
            // The channel ends with the agent.
            Ok(()) = snapshots.changed(), if !ready && line.is_ok() => {}
        }
    }
    if let Ok(line) = &line {
        line.tell("STOPPING=1");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::snapshot::{self, Snapshot};

    /// A service manager in a folder of its own, and what the agent tells it.
    struct Manager {
        socket: tokio::net::UnixDatagram,
        settings: ServiceManager,
        _folder: tempfile::TempDir,
    }

    impl Manager {
        fn listen(watchdog: Option<Duration>) -> Manager {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("notify");
            let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
            Manager {
                socket,
                settings: ServiceManager { socket: path.display().to_string(), watchdog },
                _folder: folder,
            }
        }

        async fn next(&self) -> String {
            let mut word = [0; 64];
            let heard = tokio::time::timeout(Duration::from_secs(20), self.socket.recv(&mut word));
            let length = heard.await.expect("it is told something").unwrap();
            String::from_utf8(word[..length].to_vec()).unwrap()
        }

        fn nothing(&self) -> bool {
            self.socket.try_recv(&mut [0; 64]).is_err()
        }
    }

    /// Tells a manager of these snapshots, as the part `told`, until it is told to stop.
    fn tell(
        settings: &ServiceManager,
        snapshots: Snapshots,
        heartbeats: &Heartbeats,
    ) -> (CancellationToken, tokio::task::JoinHandle<()>) {
        let (stop, pulse) = (CancellationToken::new(), heartbeats.part("told"));
        let told = tokio::spawn(run(settings.clone(), snapshots, heartbeats.clone(), pulse, stop.clone()));
        (stop, told)
    }

    #[tokio::test]
    async fn it_is_told_of_the_first_round_then_signs_of_life_and_the_end() {
        let manager = Manager::listen(Some(Duration::from_millis(150)));
        let (publish, snapshots) = snapshot::channel();
        let (stop, told) = tell(&manager.settings, snapshots, &Heartbeats::new());
        for _ in 0..3 {
            assert_eq!(manager.next().await, "WATCHDOG=1", "it lives and is not ready");
        }
        publish.send(Arc::new(Snapshot { complete: true, ..Snapshot::default() })).unwrap();
        let heard = [manager.next().await, manager.next().await];
        assert!(heard.contains(&"READY=1".to_owned()) && heard.contains(&"WATCHDOG=1".to_owned()), "{heard:?}");
        assert_eq!(manager.next().await, "WATCHDOG=1", "it is ready once");
        stop.cancel();
        told.await.unwrap();
        let mut last = manager.next().await;
        while last == "WATCHDOG=1" {
            last = manager.next().await;
        }
        assert_eq!(last, "STOPPING=1");
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_stands_still_gives_no_sign_of_life() {
        let manager = Manager::listen(Some(Duration::from_secs(30)));
        let (_publish, snapshots) = snapshot::channel();
        let heartbeats = Heartbeats::new();
        let stuck = heartbeats.part("stuck");
        stuck.turn();
        let (stop, told) = tell(&manager.settings, snapshots, &heartbeats);
        tokio::time::sleep(Duration::from_secs(60)).await;
        while !manager.nothing() {}
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(manager.nothing(), "a part has been standing still for a minute");
        stop.cancel();
        told.await.unwrap();
        assert_eq!(manager.next().await, "STOPPING=1");
    }

    #[tokio::test]
    async fn readiness_is_said_again_to_a_manager_that_was_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let settings =
            ServiceManager { socket: path.display().to_string(), watchdog: Some(Duration::from_millis(150)) };
        let (publish, snapshots) = snapshot::channel();
        publish.send(Arc::new(Snapshot { complete: true, ..Snapshot::default() })).unwrap();
        let (stop, told) = tell(&settings, snapshots, &Heartbeats::new());
        tokio::time::sleep(Duration::from_millis(200)).await;
        let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
        let manager = Manager { socket, settings, _folder: folder };
        assert_eq!(manager.next().await, "READY=1");
        stop.cancel();
        told.await.unwrap();
    }

    #[tokio::test]
    async fn abstract_names_are_understood_and_a_manager_that_is_gone_costs_nothing() {
        for nobody in ["@virt-otel-of-nobody", "/nonexistent/notify"] {
            assert!(!Line::open(nobody).unwrap().tell("READY=1"));
        }
        assert!(Line::open(&format!("/{}", "long".repeat(100))).is_err());
    }
}
