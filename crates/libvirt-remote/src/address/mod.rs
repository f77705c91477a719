//! Where a daemon is, from a URI as libvirt takes it.
//!
//! ```text
//!  text ─► Uri ─(libvirt.conf, who we are)─► Address ─► a stream (transport)
//! ```
//!
//! Whatever libvirt documents for a URI is honoured, or refused by its name.

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

/// What of the process decides where libvirt looks for sockets and certificates.
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
    /// Where libvirt has this user's `libvirt.conf`.
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

/// Where a daemon is, and which driver of it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The URI that was given, for messages.
    pub(crate) uri: String,
    /// The driver, as the daemon is asked for it: `qemu:///system`.
    pub(crate) driver_uri: String,
    pub(crate) way: Way,
}

/// How a daemon is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// At the first of these sockets that is there.
    Unix(Vec<PathBuf>),
    /// At a port.
    Tcp { host: String, port: u16 },
    /// At a port, with TLS and these files.
    Tls { host: String, port: u16, pki: Pki },
    /// Through this program, which is given these arguments.
    Ssh { program: String, arguments: Vec<String> },
}

/// The files of a client's TLS, each by its candidates: the first that is there is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pki {
    pub(crate) ca: Vec<PathBuf>,
    pub(crate) revoked: Vec<PathBuf>,
    /// Certificate and key, which belong together.
    pub(crate) client: Vec<(PathBuf, PathBuf)>,
    /// Whether the files were named by the user, and so must be there.
    pub(crate) given: bool,
}

/// What a program takes: three pipes, and one by which its end is noticed.
const SSH_DESCRIPTORS: u64 = 4;

impl Address {
    /// The URI that was given.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// What [`Connection::open`](crate::Connection::open) is to be asked for over a stream that leads to this address.
    #[must_use]
    pub fn driver_uri(&self) -> &str {
        &self.driver_uri
    }

    /// Whether the daemon is on this host, behind a socket.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        matches!(self.way, Way::Unix(_))
    }

    /// How many descriptors a connection takes. While [`connect`](Self::connect) makes it there are a few more: what a file
    /// of certificates takes while it is read, or the other ends of pipes.
    #[must_use]
    pub const fn descriptors(&self) -> u64 {
        match &self.way {
            Way::Unix(_) | Way::Tcp { .. } | Way::Tls { .. } => 1,
            Way::Ssh { .. } => SSH_DESCRIPTORS,
        }
    }

    /// The socket of a daemon on this host: the first that is there, else the last that could be.
    #[must_use]
    pub fn socket(&self) -> Option<PathBuf> {
        let Way::Unix(paths) = &self.way else { return None };
        paths.iter().find(|path| path.exists()).or(paths.last()).cloned()
    }
}
