//! Streams to a daemon, by its [`Address`].

mod blocking;
mod error;
mod ssh;
#[cfg(feature = "tls")]
mod tls;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

pub use self::error::ConnectError;
pub use self::ssh::SshStream;

use self::blocking::{GATE, Gate};
use crate::address::{Address, Way};

/// A stream to a daemon. Dropping it closes it at once.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stream {
    /// Through a UNIX socket.
    Unix(UnixStream),
    /// Over TCP.
    Tcp(TcpStream),
    /// Over TLS.
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    /// Through the ssh program.
    Ssh(Box<SshStream>),
}

impl Address {
    /// Connects to the daemon. It waits as long as nobody answers: put a timeout around it. Only the name look-up and
    /// the reading of certificates have a deadline, [`BLOCKING_DEADLINE`](crate::limits::BLOCKING_DEADLINE) each.
    ///
    /// # Errors
    ///
    /// If the daemon cannot be reached, or cannot be trusted.
    pub async fn connect(&self) -> Result<Stream, ConnectError> {
        match &self.way {
            Way::Unix(_) => {
                let path = self.socket().unwrap_or_default();
                unix(&path, &path).await.map(Stream::Unix)
            }
            Way::Tcp { host, port } => tcp(host, *port).await.map(Stream::Tcp),
            #[cfg(feature = "tls")]
            Way::Tls { host, port, pki } => {
                tls::connect(host, *port, pki).await.map(|stream| Stream::Tls(Box::new(stream)))
            }
            #[cfg(not(feature = "tls"))]
            Way::Tls { .. } => Err(ConnectError::NoTls),
            Way::Ssh { program, arguments } => {
                SshStream::start(program, arguments).map(|stream| Stream::Ssh(Box::new(stream)))
            }
        }
    }
}

/// Linux's errors when the process or the host has reached its limit of open files.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

fn no_descriptors(cause: &io::Error) -> bool {
    matches!(cause.raw_os_error(), Some(EMFILE | ENFILE))
}

/// Connects to the socket at `path`, which errors call `name`.
///
/// # Errors
///
/// If nobody listens there, or access is denied.
pub async fn unix(path: &Path, name: &Path) -> Result<UnixStream, ConnectError> {
    let place = || name.display().to_string();
    let name = || name.to_owned();
    UnixStream::connect(path).await.map_err(|cause| match cause.kind() {
        _ if no_descriptors(&cause) => ConnectError::Descriptors { place: place(), cause },
        io::ErrorKind::PermissionDenied => ConnectError::Permission { path: name() },
        io::ErrorKind::NotFound => ConnectError::Absent { path: name() },
        // A non-blocking connect fails with this when the listen queue is full.
        io::ErrorKind::WouldBlock => ConnectError::Full { path: name() },
        _ => ConnectError::Socket { path: name(), cause },
    })
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let failed = |cause| {
        if no_descriptors(&cause) {
            return ConnectError::Descriptors { place: format!("a connection to {host}, port {port}"), cause };
        }
        ConnectError::Host { host: host.to_owned(), port, cause }
    };
    let look_up = move |name: &str| (name, port).to_socket_addrs().map(Iterator::collect);
    let addresses = addresses(&GATE, host, port, look_up).await?.map_err(failed)?;
    let stream = TcpStream::connect(&addresses[..]).await.map_err(failed)?;
    // Calls are small, and their answers are waited for. Without this option they are only slower.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// The addresses of a host. An IP address is its own.
async fn addresses(
    gate: &'static Gate,
    host: &str,
    port: u16,
    look_up: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
) -> Result<io::Result<Vec<SocketAddr>>, ConnectError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(Ok(vec![SocketAddr::new(address, port)]));
    }
    let name = host.to_owned();
    gate.pass(&format!("the address of {host}"), move || look_up(&name)).await
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(context, room),
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, room),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_read(context, room),
            Self::Ssh(stream) => Pin::new(stream).poll_read(context, room),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Ssh(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Ssh(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Ssh(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
