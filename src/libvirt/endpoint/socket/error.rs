//! Why a socket cannot be used, as sentences that say what was tried and what to do.

use std::io;
use std::path::PathBuf;

use libvirt_remote::transport::ConnectError;

/// Why a socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::libvirt::endpoint) enum SocketError {
    /// The given pod UID is invalid.
    #[error("{uid:?} is no pod UID: its libvirt is not looked for")]
    PodUid {
        /// The given UID, cut to a displayable length.
        uid: String,
    },
    /// The directory of pods cannot be opened.
    #[error("the pods directory {path} cannot be opened: mount the kubelet's there, or say where it is ({cause})")]
    PodsDirectory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// The pod has no directory.
    #[error("there is no {path}: has the pod ended, or is this not the kubelet's pods directory?")]
    NoPod {
        /// The pod's directory.
        path: PathBuf,
    },
    /// There is no such file yet.
    #[error("{path} is not there yet: its daemon has not started, or has ended; it is looked for again")]
    Absent {
        /// The socket.
        path: PathBuf,
    },
    /// The path contains a symbolic link.
    #[error("{component} is a symbolic link, which the way to a launcher's socket never has: it is not followed")]
    Symlink {
        /// The link.
        component: PathBuf,
    },
    /// A path component is not a directory.
    #[error("{path} cannot be reached: something on the way there is not a directory")]
    NotDirectory {
        /// The socket.
        path: PathBuf,
    },
    /// It is not a socket.
    #[error("{path} is {kind}, not a socket: it is not opened")]
    NotSocket {
        /// What was found there.
        path: PathBuf,
        /// What it is, with an article.
        kind: &'static str,
    },
    /// It belongs to another user.
    #[error(
        "{path} belongs to uid {owner}, while the launcher runs as {expected}: somebody else has put it there, and \
         it is not opened"
    )]
    Owner {
        /// The socket.
        path: PathBuf,
        /// The actual owner.
        owner: u32,
        /// The expected owner.
        expected: u32,
    },
    /// The kernel denies access.
    #[error(
        "no permission to open {path}: run the agent as root, with the capability CAP_DAC_OVERRIDE, or as the user of \
         the daemon"
    )]
    Permission {
        /// The socket.
        path: PathBuf,
    },
    /// The path cannot be walked safely.
    #[error(
        "{path} cannot be walked to without following links: that needs the system call openat2 (Linux 5.6 or later, \
         and a seccomp profile that allows it) ({cause})"
    )]
    Kernel {
        /// The socket.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// Too few descriptors are left.
    #[error(
        "too few of the {limit} files that may be open are left to open {path}: raise the limit of open files \
         (RLIMIT_NOFILE, LimitNOFILE=, or the container runtime's)"
    )]
    Descriptors {
        /// The socket.
        path: PathBuf,
        /// How many files may be open.
        limit: u64,
    },
    /// Something else went wrong on the way.
    #[error("{path} cannot be opened ({cause})")]
    Walk {
        /// The socket.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// It was found, but connecting failed.
    #[error(transparent)]
    Connect(ConnectError),
}

impl SocketError {
    /// Whether no daemon is there: it is starting, or has ended.
    pub(in crate::libvirt::endpoint) const fn is_absent(&self) -> bool {
        match self {
            Self::NoPod { .. } | Self::Absent { .. } => true,
            Self::Connect(error) => error.is_absent(),
            _ => false,
        }
    }

    /// Whether a daemon is there but does not answer.
    pub(in crate::libvirt::endpoint) const fn is_mute(&self) -> bool {
        matches!(self, Self::Connect(ConnectError::Full { .. }))
    }
}
