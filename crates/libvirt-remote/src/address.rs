//! Where a daemon is, from a URI as libvirt accepts it.
//!
//! ```text
//!  text ─► Uri ─(libvirt.conf, Surroundings)─► Address ─► a stream (transport)
//! ```
//!
//! Everything that libvirt documents for a URI is honoured, or refused by name.

mod conf;
mod error;
mod resolve;
mod uri;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use self::conf::Conf;
pub use self::error::AddressError;
pub use self::uri::{Transport, Uri};

/// What decides, for a process, where libvirt looks for sockets and certificates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Whether it is root.
    pub root: bool,
    /// The user's home directory.
    pub home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`
    pub config_home: Option<PathBuf>,
    /// `XDG_CACHE_HOME`
    pub cache_home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`
    pub runtime_dir: Option<PathBuf>,
}

impl Surroundings {
    /// The path of this user's `libvirt.conf`.
    #[must_use]
    pub fn conf_path(&self) -> Option<PathBuf> {
        if self.root {
            return Some(PathBuf::from("/etc/libvirt/libvirt.conf"));
        }
        let config = self.config_home.clone().or_else(|| Some(self.home.as_ref()?.join(".config")))?;
        Some(config.join("libvirt/libvirt.conf"))
    }

    /// Where this user's session daemons have their sockets.
    fn session_dir(&self) -> Option<PathBuf> {
        let cache = || self.cache_home.clone().or_else(|| Some(self.home.as_ref()?.join(".cache")));
        Some(self.runtime_dir.clone().or_else(cache)?.join("libvirt"))
    }
}

/// Where a daemon is, and which of its drivers to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The URI that was given, for messages.
    pub(crate) uri: String,
    /// The driver's URI, as the daemon knows it: `qemu:///system`.
    pub(crate) driver_uri: String,
    pub(crate) way: Way,
}

/// How a daemon is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// At the first of these sockets that exists.
    Unix(Vec<PathBuf>),
    /// At a port.
    Tcp { host: String, port: u16 },
    /// At a port, with TLS and these files.
    Tls { host: String, port: u16, pki: Pki },
    /// Through this program, with these arguments.
    Ssh { program: String, arguments: Vec<String> },
}

/// The client's TLS files, each by its candidates: the first that exists is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pki {
    pub(crate) ca: Vec<PathBuf>,
    pub(crate) revoked: Vec<PathBuf>,
    /// Certificate and key, which belong together.
    pub(crate) client: Vec<(PathBuf, PathBuf)>,
    /// Whether the user named the files, which must then exist.
    pub(crate) given: bool,
}

/// The descriptors of a child process: three pipes, and one that reports its end.
const SSH_DESCRIPTORS: u64 = 4;

impl Address {
    /// The URI that was given.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The URI to give to [`Connection::open`](crate::Connection::open), over a stream to this address.
    #[must_use]
    pub fn driver_uri(&self) -> &str {
        &self.driver_uri
    }

    /// Whether the daemon is on this host, behind a socket.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        matches!(self.way, Way::Unix(_))
    }

    /// How many file descriptors a connection takes. [`connect`](Self::connect) briefly takes a few more: for a
    /// certificate file that it reads, or for the other ends of pipes.
    #[must_use]
    pub const fn descriptors(&self) -> u64 {
        match &self.way {
            Way::Unix(_) | Way::Tcp { .. } | Way::Tls { .. } => 1,
            Way::Ssh { .. } => SSH_DESCRIPTORS,
        }
    }

    /// The socket of a daemon on this host: the first candidate that exists, else the last.
    #[must_use]
    pub fn socket(&self) -> Option<PathBuf> {
        let Way::Unix(paths) = &self.way else { return None };
        paths.iter().find(|path| path.exists()).or(paths.last()).cloned()
    }
}
