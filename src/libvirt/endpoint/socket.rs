//! From an address to a stream that leads to its daemon.
//!
//! ```text
//!  Address ─► Route ──dial()──► Stream, and what is known of who listens
//!                     └─ Held   a socket that was walked to, checked, and is held open
//! ```
//!
//! Every connection goes the whole way anew: a daemon may have been replaced since the last one.

mod error;
mod held;

use std::os::fd::RawFd;
use std::path::PathBuf;

use libvirt_remote::transport::{self, ConnectError};
use tokio::net::UnixStream;

pub(super) use self::error::SocketError;
pub(super) use libvirt_remote::transport::Stream;

use self::held::Held;
use super::address::LauncherSocket;
use super::hypervisor::ProcessId;
use crate::libvirt::limits::Files;

/// How a daemon is reached.
#[derive(Debug, Clone)]
pub(super) enum Route {
    Uri(libvirt_remote::Address),
    Launcher(LauncherSocket),
    Socket(PathBuf),
}

/// What a stream leads to.
#[derive(Debug)]
pub(super) struct Dialed {
    /// The driver that the daemon is to be asked for.
    pub(super) uri: String,
    /// Who listens, if the kernel says so.
    pub(super) process: Option<ProcessId>,
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

    /// What messages call it.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Uri(address) => match address.socket() {
                Some(socket) => socket.display().to_string(),
                None => address.uri().to_owned(),
            },
            Self::Launcher(launcher) => held::launcher_path(launcher).display().to_string(),
            Self::Socket(path) => path.display().to_string(),
        }
    }

    /// Goes there. Waits for nobody on this host; for another one it may. Files that are kept back, or promised to others,
    /// are not taken.
    pub(super) async fn dial(&self, files: Files) -> Result<(Stream, Dialed), SocketError> {
        let reached = self.reach(files).await.and_then(|(stream, uri)| {
            // When there is no room, the stream is dropped here, and a program that it leads through is killed.
            self.leave_room(files, Some(stream.highest_descriptor()))?;
            Ok((stream, uri))
        });
        let (stream, uri) = reached.map_err(|error| match error {
            // Wherever on the way they ran out, it is the same to the operator, and told once.
            SocketError::Descriptors { .. } | SocketError::Connect(ConnectError::Descriptors { .. }) => {
                self.no_room(files)
            }
            error => error,
        })?;
        let process = match &stream {
            Stream::Unix(stream) => process(stream),
            _ => None,
        };
        Ok((stream, Dialed { uri, process }))
    }

    async fn reach(&self, files: Files) -> Result<(Stream, String), SocketError> {
        match self {
            Self::Uri(address) => {
                // What is refused afterwards should not have been begun, if it starts a program or greets another host.
                if !address.is_local() {
                    self.leave_room(files, files.last_of(address.descriptors_to_connect()))?;
                }
                Ok((address.connect().await?, address.driver_uri().to_owned()))
            }
            Self::Launcher(launcher) => Self::through(&Held::of_launcher(launcher)?).await,
            Self::Socket(path) => Self::through(&Held::at(path)?).await,
        }
    }

    async fn through(held: &Held) -> Result<(Stream, String), SocketError> {
        let stream = transport::unix(&held.place(), held.path()).await.map_err(|error| match error {
            ConnectError::Permission { path } => SocketError::Permission { path },
            error => SocketError::Connect(error),
        })?;
        Ok((Stream::Unix(stream), held.driver_uri().to_owned()))
    }

    /// Descriptors are numbered from the lowest free one: a high number means that few are left. What is left is for what
    /// must go on, such as probes and scrapes. `None`: there is none at all.
    fn leave_room(&self, files: Files, number: Option<RawFd>) -> Result<(), SocketError> {
        if number.is_some_and(|number| files.may_keep(number)) {
            return Ok(());
        }
        Err(self.no_room(files))
    }

    fn no_room(&self, files: Files) -> SocketError {
        SocketError::Descriptors { path: PathBuf::from(self.place()), limit: files.limit() }
    }
}

/// The process that listens on a socket, as the kernel remembers it. Under systemd's socket activation it is systemd, and in
/// another process namespace it is unknown: neither tells a daemon from the next.
fn process(stream: &UnixStream) -> Option<ProcessId> {
    let id = stream.peer_cred().ok()?.pid()?;
    u32::try_from(id).ok().filter(|id| *id > 1).map(ProcessId)
}

impl From<ConnectError> for SocketError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

#[cfg(test)]
mod tests;
