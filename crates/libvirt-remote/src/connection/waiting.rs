//! Waiting for an answer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

use super::Connection;
use super::calls::Ticket;
use crate::error::Error;
use crate::procedure::Call;

/// The future answer to a call. If it is dropped first, the answer is discarded when it comes.
#[must_use = "futures do nothing unless polled"]
#[derive(Debug)]
pub struct Waiting<'a, S, C: Call> {
    connection: &'a mut Connection<S>,
    sent: Result<Ticket<C>, Error>,
    taken: bool,
}

impl<'a, S, C: Call> Waiting<'a, S, C> {
    pub(super) const fn new(connection: &'a mut Connection<S>, sent: Result<Ticket<C>, Error>) -> Self {
        Self { connection, sent, taken: false }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, C: Call> Future for Waiting<'_, S, C> {
    type Output = Result<C::Answer, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match &this.sent {
            Ok(ticket) => {
                let answer = std::task::ready!(this.connection.poll_receive(ticket, context));
                this.taken = true;
                Poll::Ready(answer)
            }
            Err(error) => Poll::Ready(Err(error.clone())),
        }
    }
}

impl<S, C: Call> Drop for Waiting<'_, S, C> {
    fn drop(&mut self) {
        if let (Ok(ticket), false) = (&self.sent, self.taken) {
            self.connection.calls.forget(ticket.serial);
        }
    }
}
