//! One connection: a handshake where there is TLS, then requests, until either side ends it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::{HeaderValue, header};
use hyper::body::{Bytes, Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::limits;
use super::slot::Slot;
use super::write_timeout::{Bounds, WriteTimeout};
use crate::web::{self, Guard, Secured, Security};

/// How long a client may take to read.
const BOUNDS: Bounds = Bounds { each: limits::STALL_TIME, all: limits::LEAVE_TIME };

/// The first byte of a handshake (RFC 8446, ContentType).
const HANDSHAKE: u8 = 22;

/// The answer to a client that does not speak TLS where it should.
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nServer: virt-otel\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 44\r\nConnection: close\r\n\r\nThis address speaks TLS: ask with https://.\n";

/// How much of such a client's request is read, so that closing the connection does not reset it before the answer has
/// arrived.
const UNREAD: usize = 1_024;

/// What a connection needs of the server.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) router: Router,
    pub(super) guard: Option<Arc<Guard>>,
    pub(super) stop: CancellationToken,
}

impl Door {
    /// How a new connection is secured; `None` if it is not.
    pub(super) fn security(&self) -> Option<Security> {
        self.guard.as_ref().and_then(|guard| guard.security())
    }

    /// Serves a connection until it ends.
    pub(super) async fn serve(self, stream: TcpStream, security: Option<Security>, slot: Arc<Slot>) {
        let (Some(guard), Some(secured)) = (&self.guard, &security) else {
            let stream = WriteTimeout::new(stream, BOUNDS, Arc::clone(&slot));
            return self.talk(stream, security, slot).await;
        };
        let shaken = tokio::select! {
            shaken = timeout(limits::HANDSHAKE_TIME, shake(stream, guard, secured, &slot)) => shaken,
            () = self.stop.cancelled() => return,
        };
        match shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                slot.shaken();
                self.talk(stream, security, slot).await;
            }
            Err(error) => {
                guard.note_failed_handshake();
                tracing::debug!(%error, "a client of the admin server did not complete its TLS handshake");
            }
        }
    }

    async fn talk<S>(self, stream: S, security: Option<Security>, slot: Arc<Slot>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { router, guard, stop } = self;
        let service = TowerToHyperService::new(router);
        let noting = service_fn(move |request| {
            slot.asked();
            let (slot, answer) = (Arc::clone(&slot), service.call(request));
            // What has changed since, a certificate or who may come, is for the next connection.
            let outdated = guard.as_ref().is_some_and(|guard| guard.security() != security);
            async move {
                answer.await.map(|mut response| {
                    if outdated {
                        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                    }
                    response.map(|body| Leaving { body, slot })
                })
            }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits::HEAD_TIME)
            .max_headers(limits::HEADERS)
            .max_buf_size(limits::HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), noting);
        tokio::pin!(served);
        let ended = tokio::select! {
            ended = &mut served => ended,
            () = stop.cancelled() => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        if let Err(error) = ended {
            // A client that disconnects or sends nonsense is not the agent's problem.
            tracing::debug!(%error, "a connection to the admin server ended early");
        }
    }
}

/// Shakes hands with a client, or tells it that it should.
async fn shake(
    stream: TcpStream,
    guard: &Guard,
    security: &Security,
    slot: &Arc<Slot>,
) -> io::Result<Secured<WriteTimeout<TcpStream>>> {
    let mut first = [0];
    if stream.peek(&mut first).await? > 0 && first != [HANDSHAKE] {
        // Best effort, as the answer is: a new connection's buffers have both.
        let _ = stream.try_read(&mut [0; UNREAD]);
        let _ = stream.try_write(NOT_TLS);
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no TLS"));
    }
    web::secure(guard, security, WriteTimeout::new(stream, BOUNDS, Arc::clone(slot))).await
}

/// A response on its way to a client: it is dropped when all of it was handed over.
struct Leaving {
    body: Body,
    slot: Arc<Slot>,
}

impl HttpBody for Leaving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.slot.answered();
    }
}
