//! A look at a daemon's UNIX socket before libvirt opens it.
//!
//! `virConnectOpen` has no deadline: a daemon that accepts and then is mute (stopped, overloaded, not libvirt at all)
//! blocks it for ever. So one small call is made on a socket of ours first: `AUTH_LIST`, the first call of every
//! libvirt client, which asks nothing of the daemon but a sign of life.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// How long a socket may take to answer. A living daemon does in half a millisecond (measured).
pub(super) const PREFLIGHT_DEADLINE: Duration = Duration::from_secs(1);

/// The header of libvirt's remote protocol, as big-endian words: length, program, version, procedure, type (0: a call,
/// 1: a reply), serial, status.
const AUTH_LIST: [u32; 7] = [28, REMOTE_PROGRAM, 1, REMOTE_PROC_AUTH_LIST, 0, 0, 0];
const REMOTE_PROGRAM: u32 = 0x2000_8086;
const REMOTE_PROC_AUTH_LIST: u32 = 66;
const REPLY: u32 = 1;

/// Why a socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    /// Nobody listens there.
    #[error("nobody listens on {path}: is the daemon running?")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: std::io::Error,
    },
    /// The other side hung up.
    #[error("{path} hung up: is it a libvirt socket?")]
    HungUp {
        /// The socket.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: std::io::Error,
    },
    /// The other side does not speak libvirt.
    #[error("what listens on {path} is not libvirt")]
    Stranger {
        /// The socket.
        path: PathBuf,
    },
    /// The other side is mute.
    #[error("{path} did not answer within {deadline:?}: is the daemon stopped or overloaded?")]
    Mute {
        /// The socket.
        path: PathBuf,
        /// How long was waited.
        deadline: Duration,
    },
}

/// Asks a socket for a sign of life.
pub(super) async fn preflight(path: &Path) -> Result<(), SocketError> {
    let mute = || SocketError::Mute { path: path.to_owned(), deadline: PREFLIGHT_DEADLINE };
    tokio::time::timeout(PREFLIGHT_DEADLINE, ask(path)).await.unwrap_or_else(|_| Err(mute()))
}

async fn ask(path: &Path) -> Result<(), SocketError> {
    let hung_up = |cause| SocketError::HungUp { path: path.to_owned(), cause };
    let mut stream =
        UnixStream::connect(path).await.map_err(|cause| SocketError::Connect { path: path.to_owned(), cause })?;
    let call: Vec<u8> = AUTH_LIST.iter().flat_map(|word| word.to_be_bytes()).collect();
    stream.write_all(&call).await.map_err(hung_up)?;
    let mut header = [0; AUTH_LIST.len()];
    for word in &mut header {
        *word = stream.read_u32().await.map_err(hung_up)?;
    }
    // Whether it says yes or no does not matter: it speaks.
    let expected = [REMOTE_PROGRAM, 1, REMOTE_PROC_AUTH_LIST, REPLY];
    if header[1..5] == expected { Ok(()) } else { Err(SocketError::Stranger { path: path.to_owned() }) }
}

/// Where a URI's UNIX socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// At one of these paths: the first that exists is the one that libvirt takes.
    Local(Vec<PathBuf>),
    /// On another host, or not behind a socket, or not known.
    Elsewhere,
}

impl Location {
    /// Where the socket of a read-only connection to `uri` is. `runtime_dir` is `XDG_RUNTIME_DIR`, where a session
    /// daemon has its own.
    pub(super) fn of(uri: &str, runtime_dir: Option<&Path>) -> Self {
        let (address, query) = uri.split_once('?').unwrap_or((uri, ""));
        let query = query.split('#').next().unwrap_or_default();
        let socket = query.split('&').find_map(|pair| pair.strip_prefix("socket="));
        let Some((scheme, rest)) = address.split_once("://") else { return Self::Elsewhere };
        let (driver, transport) = scheme.split_once('+').unwrap_or((scheme, ""));
        let Some((host, path)) = rest.split_once('/') else { return Self::Elsewhere };
        if !host.is_empty() || !matches!(transport, "" | "unix") || driver == "test" {
            return Self::Elsewhere;
        }
        if let Some(socket) = socket {
            return Self::Local(vec![PathBuf::from(decode(socket))]);
        }
        let modular = format!("virt{driver}d-sock");
        match path {
            "system" => Self::Local(vec![
                PathBuf::from(format!("/run/libvirt/{modular}-ro")),
                PathBuf::from("/run/libvirt/libvirt-sock-ro"),
            ]),
            // A session daemon has one socket for both kinds of connections.
            "session" => runtime_dir.map_or(Self::Elsewhere, |directory| {
                let directory = directory.join("libvirt");
                Self::Local(vec![directory.join(modular), directory.join("libvirt-sock")])
            }),
            _ => Self::Elsewhere,
        }
    }

    /// The socket to look at, if there is one.
    pub(super) fn socket(&self) -> Option<&Path> {
        match self {
            Self::Local(paths) => paths.iter().find(|path| path.exists()).or(paths.last()).map(PathBuf::as_path),
            Self::Elsewhere => None,
        }
    }
}

/// Undoes percent-encoding. What is not one stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%')
            .then(|| tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
