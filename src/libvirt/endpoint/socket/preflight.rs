//! A look at a daemon's UNIX socket before libvirt opens it.
//!
//! `virConnectOpen` has no deadline: a daemon that accepts and then is mute (stopped, overloaded, not libvirt at all)
//! blocks it for ever. So one small call is made on a socket of ours first: `AUTH_LIST`, the first call of every
//! libvirt client, which asks nothing of the daemon but a sign of life.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::SocketError;

/// How long a socket may take to answer. A living daemon does in half a millisecond (measured).
pub(in crate::libvirt::endpoint) const PREFLIGHT_DEADLINE: Duration = Duration::from_secs(1);

/// The header of libvirt's remote protocol, as big-endian words: length, program, version, procedure, type (0: a call,
/// 1: a reply), serial, status.
const AUTH_LIST: [u32; 7] = [28, REMOTE_PROGRAM, 1, REMOTE_PROC_AUTH_LIST, 0, 0, 0];
pub(super) const REMOTE_PROGRAM: u32 = 0x2000_8086;
pub(super) const REMOTE_PROC_AUTH_LIST: u32 = 66;
const REPLY: u32 = 1;

/// Asks the socket at `place` for a sign of life. Errors call it `path`.
pub(super) async fn preflight(place: &Path, path: &Path) -> Result<(), SocketError> {
    let mute = || SocketError::Mute { path: path.to_owned(), deadline: PREFLIGHT_DEADLINE };
    tokio::time::timeout(PREFLIGHT_DEADLINE, ask(place, path)).await.unwrap_or_else(|_| Err(mute()))
}

async fn ask(place: &Path, path: &Path) -> Result<(), SocketError> {
    let hung_up = |cause| SocketError::HungUp { path: path.to_owned(), cause };
    let mut stream = UnixStream::connect(place).await.map_err(|cause| refused(path, cause))?;
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

/// Why a socket did not take our connection.
fn refused(path: &Path, cause: io::Error) -> SocketError {
    let path = path.to_owned();
    match cause.kind() {
        io::ErrorKind::PermissionDenied => SocketError::Permission { path },
        // A connection that does not wait is refused so when the queue of those that do is full.
        io::ErrorKind::WouldBlock => SocketError::Full { path },
        _ => SocketError::Connect { path, cause },
    }
}
