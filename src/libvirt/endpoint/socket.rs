//! Connects to the daemon at an address.
//!
//! ```text
//!  Address ─► Route ──dial()──► Stream, and what is known of the listener
//!                     └─ VerifiedSocket   a socket whose path was walked and checked, held open
//! ```
//!
//! Every connection starts from the address again: the daemon may have been replaced since the last one.

mod container;
mod error;
mod verified;

use std::path::PathBuf;
use std::sync::Arc;

use libvirt_remote::transport::{self, ConnectError};
use tokio::net::UnixStream;

pub use self::container::has_container;
pub(super) use self::error::SocketError;
pub(super) use self::verified::walk;
pub(super) use libvirt_remote::transport::Stream;

use self::verified::VerifiedSocket;
use super::address::LauncherSocket;
use super::hypervisor::ProcessId;
use crate::libvirt::limits::{self, Files, Share};

/// How a daemon is reached.
#[derive(Debug, Clone)]
pub(super) enum Route {
    Uri(libvirt_remote::Address),
    Launcher(LauncherSocket),
    Socket(PathBuf),
}

/// The other end of a stream.
#[derive(Debug)]
pub(super) struct Dialed {
    /// The driver to open at the daemon.
    pub(super) uri: String,
    /// The listening process, if the kernel knows it.
    pub(super) process: Option<ProcessId>,
    /// The stream's files, kept with it.
    pub(super) files: Files,
}

impl Route {
    /// Whether it leads to a socket on this host.
    pub(super) const fn is_local(&self) -> bool {
        match self {
            Self::Uri(address) => address.is_local(),
            Self::Launcher(_) | Self::Socket(_) => true,
        }
    }

    /// Whether the daemon there has one VM.
    pub(super) const fn is_of_one(&self) -> bool {
        matches!(self, Self::Launcher(_) | Self::Socket(_))
    }

    /// Its name in messages.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Uri(address) => match address.socket() {
                Some(socket) => socket.display().to_string(),
                None => address.uri().to_owned(),
            },
            Self::Launcher(launcher) => verified::launcher_path(launcher).display().to_string(),
            Self::Socket(path) => path.display().to_string(),
        }
    }

    /// How many files a connection takes.
    pub(super) const fn files(&self) -> u64 {
        match self {
            Self::Uri(address) => address.descriptors(),
            Self::Launcher(_) | Self::Socket(_) => 1,
        }
    }

    /// Connects. Never waits on this host; may wait for another one. If no files are left, nothing is started: no
    /// program is run, and no other host is contacted.
    pub(super) async fn dial(&self, share: &Arc<Share>) -> Result<(Stream, Dialed), SocketError> {
        let reached = match self {
            Self::Uri(address) => {
                let files = self.take(share)?;
                let stream = address.connect().await.map_err(SocketError::Connect);
                stream.map(|stream| (stream, address.driver_uri(), files))
            }
            Self::Launcher(launcher) => self.through(&VerifiedSocket::of_launcher(launcher)?, share).await,
            Self::Socket(path) => self.through(&VerifiedSocket::at(path)?, share).await,
        };
        let (stream, uri, files) = reached.map_err(|error| match error {
            // The kernel has none left, or fewer than were counted: the operator gets the same message.
            SocketError::Connect(ConnectError::Descriptors { .. }) => self.no_room(limits::open_files()),
            error => error,
        })?;
        let process = match &stream {
            Stream::Unix(stream) => process(stream),
            _ => None,
        };
        Ok((stream, Dialed { uri: uri.to_owned(), process, files }))
    }

    /// Connects through a socket that exists: its absence is reported before a lack of files.
    async fn through(
        &self,
        socket: &VerifiedSocket,
        share: &Arc<Share>,
    ) -> Result<(Stream, &'static str, Files), SocketError> {
        let files = self.take(share)?;
        let stream = transport::unix(&socket.place(), socket.path()).await.map_err(|error| match error {
            ConnectError::Permission { path } => SocketError::Permission { path },
            error => SocketError::Connect(error),
        })?;
        Ok((Stream::Unix(stream), socket.driver_uri(), files))
    }

    fn take(&self, share: &Arc<Share>) -> Result<Files, SocketError> {
        share.take().map_err(|limit| self.no_room(limit))
    }

    fn no_room(&self, limit: u64) -> SocketError {
        SocketError::Descriptors { path: PathBuf::from(self.place()), limit }
    }
}

/// The process that listens on a socket, as the kernel recorded it. Under systemd's socket activation it is systemd,
/// and in another PID namespace it is unknown: neither distinguishes one daemon from the next.
fn process(stream: &UnixStream) -> Option<ProcessId> {
    let id = stream.peer_cred().ok()?.pid()?;
    u32::try_from(id).ok().filter(|id| *id > 1).map(ProcessId)
}

#[cfg(test)]
mod tests;
