//! From an address to a socket that libvirt may open.
//!
//! ```text
//!  Address ─► Route ──target()──► Target ──preflight()──► it speaks ─► virConnectOpenReadOnly(target.uri())
//!                     │                                                      while the target lives
//!                     ├─ Location   where a URI's socket is
//!                     └─ Held       a socket that was walked to, checked, and is held open
//! ```
//!
//! Every connection goes the whole way anew: a daemon may have been replaced since the last one.

mod error;
mod held;
mod location;
mod preflight;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) use self::error::SocketError;
pub(super) use self::preflight::PREFLIGHT_DEADLINE;

use self::held::Held;
use self::location::Location;
use super::address::{Address, LauncherSocket};

/// How a daemon is reached.
#[derive(Debug, Clone)]
pub(super) enum Route {
    Uri(Arc<str>, Location),
    Launcher(LauncherSocket),
    Socket(PathBuf),
}

impl Route {
    /// The way to an address. `runtime_dir` is `XDG_RUNTIME_DIR`, where a session daemon has its socket.
    pub(super) fn to(address: &Address, runtime_dir: Option<&Path>) -> Self {
        match address {
            Address::Uri(uri) => Self::Uri(uri.clone(), Location::of(uri, runtime_dir)),
            Address::Launcher(launcher) => Self::Launcher(launcher.clone()),
            Address::Socket(path) => Self::Socket(path.clone()),
        }
    }

    /// Whether it leads to a socket on this host.
    pub(super) fn is_local(&self) -> bool {
        !matches!(self, Self::Uri(_, Location::Elsewhere))
    }

    /// Goes there. Takes a few system calls that find their answer in memory, and waits for nobody.
    pub(super) fn target(&self) -> Result<Target, SocketError> {
        match self {
            Self::Uri(uri, location) => {
                Ok(Target::Uri { uri: uri.clone(), socket: location.socket().map(ToOwned::to_owned) })
            }
            Self::Launcher(launcher) => Held::of_launcher(launcher).map(Target::Held),
            Self::Socket(path) => Held::at(path).map(Target::Held),
        }
    }
}

/// What libvirt may be given, as long as this lives.
#[derive(Debug)]
pub(super) enum Target {
    /// A URI, and the socket behind it if that is known.
    Uri { uri: Arc<str>, socket: Option<PathBuf> },
    /// A socket that is held open.
    Held(Held),
}

impl Target {
    /// The URI for libvirt.
    pub(super) fn uri(&self) -> Arc<str> {
        match self {
            Self::Uri { uri, .. } => uri.clone(),
            Self::Held(held) => held.uri(),
        }
    }

    /// Asks the daemon for a sign of life. `None`: there is no way to ask.
    pub(super) async fn preflight(&self) -> Option<Result<(), SocketError>> {
        match self {
            Self::Uri { socket: None, .. } => None,
            Self::Uri { socket: Some(path), .. } => Some(preflight::preflight(path, path).await),
            Self::Held(held) => Some(preflight::preflight(&held.place(), held.path()).await),
        }
    }
}

#[cfg(test)]
mod tests;
