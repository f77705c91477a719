//! The server's side of a TLS handshake. The caller limits its time.

use std::io;

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::LazyConfigAcceptor;

use super::guard::Guard;
use super::security::Security;

/// A stream within TLS.
pub type Secured<S> = tokio_rustls::server::TlsStream<S>;

/// Shakes hands with a client. What costs is done when the client has said what it wants, and at the guard's pace.
///
/// # Errors
///
/// When the client speaks something else, when nothing suits both, or when its certificate is not accepted.
pub async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
    guard: &Guard,
    security: &Security,
    stream: S,
) -> io::Result<Secured<S>> {
    let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    guard.turn().await;
    begun.into_stream(security.config()).await
}

#[cfg(test)]
mod tests;
