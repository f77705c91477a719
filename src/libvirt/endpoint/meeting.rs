//! Connects to a daemon once, without an endpoint: whether it can be reached, whether it answers, and who it is.

use std::path::Path;
use std::time::Duration;

use libvirt_remote::Bounds;

use super::Way;
use super::address::Address;
use super::hypervisor::{Connection as _, Hypervisor, Met, OpenError};
use super::socket;
use crate::model::DaemonFacts;

/// How long `answers` may take, from the first step to an open driver. A live daemon on this host takes milliseconds,
/// and other work waits for the result.
const LOOK: Duration = Duration::from_secs(1);

/// Why a daemon was not met, as a sentence without the daemon's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotMet {
    /// What was attempted and why it failed.
    pub reason: String,
    /// Whether there is no socket, or nothing listens on it.
    pub absent: bool,
}

/// Whether a daemon answers at this address: its socket exists, may be used, and speaks libvirt. Takes at most a second
/// and changes nothing.
pub async fn answers(address: &Address) -> bool {
    let opened = async {
        match Way::to(address, Bounds::default()) {
            Way::Protocol(wire) => wire.open().await.is_ok(),
            #[cfg(feature = "virt")]
            Way::Library(library) => library.open().await.is_ok(),
        }
    };
    tokio::time::timeout(LOOK, opened).await.unwrap_or(false)
}

/// Connects read-only to the daemon at this address, asks it who it is, and closes the connection. Ends within the
/// deadlines of a connection: eleven seconds on this host, twenty-five elsewhere.
///
/// # Errors
///
/// When no daemon answers, or none that lets this user read it.
pub async fn meet(address: &Address) -> Result<DaemonFacts, NotMet> {
    match Way::to(address, Bounds::default()) {
        Way::Protocol(wire) => introduced(&wire).await,
        #[cfg(feature = "virt")]
        Way::Library(library) => introduced(&library).await,
    }
}

/// Whether paths below the kubelet's directory of pods can be walked without following a link.
///
/// # Errors
///
/// When the directory cannot be opened, or openat2 cannot be used.
pub fn walk(pods_dir: &Path) -> Result<(), NotMet> {
    socket::walk(pods_dir).map_err(|error| NotMet { reason: error.to_string(), absent: error.is_absent() })
}

pub(super) async fn introduced<H: Hypervisor>(hypervisor: &H) -> Result<DaemonFacts, NotMet> {
    match hypervisor.meet().await {
        Ok(Met { connection, facts, .. }) => {
            connection.close().await;
            Ok(facts)
        }
        Err(error) => {
            let absent = matches!(error, OpenError::Absent(_));
            Err(NotMet { reason: error.to_string(), absent })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_is_not_there_is_named() {
        let error = meet(&Address::Socket("/nonexistent/virtqemud-sock".into())).await.unwrap_err();
        assert!(error.absent && error.reason.contains("/nonexistent/virtqemud-sock"), "{error}");
    }

    #[test]
    fn a_directory_of_pods_is_walked_and_what_is_none_is_named() {
        let pods = tempfile::tempdir().unwrap();
        walk(pods.path()).unwrap();
        let file = pods.path().join("file");
        std::fs::write(&file, "").unwrap();
        for wrong in [file, pods.path().join("missing")] {
            let error = walk(&wrong).unwrap_err();
            assert!(error.reason.contains(&wrong.display().to_string()), "{error}");
        }
    }
}
