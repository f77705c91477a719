//! Why a daemon is not reached.

use std::io;
use std::path::PathBuf;

/// Why a daemon is not reached. Each message says what was tried, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is no such socket.
    #[error("{path} is not there: its daemon has not started, or has ended")]
    Absent {
        /// The socket.
        path: PathBuf,
    },
    /// Nobody listens there.
    #[error("nobody listens on {path}: is the daemon running? ({cause})")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// Access to it is denied.
    #[error("no permission to open {path}: the socket's owner and group decide who may")]
    Permission {
        /// The socket.
        path: PathBuf,
    },
    /// Its queue of waiting connections is full.
    #[error("{path} takes no more connections: is the daemon stopped or overloaded?")]
    Full {
        /// The socket.
        path: PathBuf,
    },
    /// The process, or the host, has no descriptors left.
    #[error("no file descriptor is left for {place}: raise the limit of open files ({cause})")]
    Descriptors {
        /// What needed the descriptor.
        place: String,
        /// The cause.
        cause: io::Error,
    },
    /// The host is not reached, or does not listen.
    #[error("{host} does not take connections on port {port}: is its daemon told to listen there? ({cause})")]
    Host {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// The cause.
        cause: io::Error,
    },
    /// A name look-up, or the reading of files, got no answer in time.
    #[error("{what}: {problem}")]
    Blocked {
        /// What was asked for.
        what: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A program could not be started.
    #[error("the program `{program}` cannot be run ({cause}): install it, or name it with command=")]
    Program {
        /// The program.
        program: String,
        /// The cause.
        cause: io::Error,
    },
    /// A TLS file of this client cannot be used.
    #[error("{path}: {problem}")]
    Pki {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The daemon cannot be trusted, or does not trust this client.
    #[error("TLS with {host}: {problem}")]
    Tls {
        /// The host.
        host: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// This crate was built without TLS.
    #[error("this program was built without TLS")]
    NoTls,
}

impl ConnectError {
    /// Whether nobody listens: the daemon is starting, or has ended.
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent { .. } | Self::Socket { .. } | Self::Host { .. })
    }
}
