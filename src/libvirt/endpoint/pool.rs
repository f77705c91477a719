//! The connections for calls: those that are idle or being closed, and the one being opened.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::hypervisor::{Connection, Ending, Eventually, Notice, OpenError};
use crate::backoff::{Backoff, Waits};

/// Connections that have been idle for longer than this are closed, except one: they were needed in a burst that is
/// over. The one has its file anyway, and calls that are minutes apart need not open another.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// An idle connection.
struct Idle<C> {
    connection: C,
    since: Instant,
}

/// See the module.
pub(super) struct Pool<C> {
    idle: VecDeque<Idle<C>>,
    /// How many may be idle.
    idle_max: usize,
    /// Those that are being closed cleanly, which takes a moment and is bounded.
    closing: Vec<Eventually<()>>,
    /// One at a time per daemon.
    opening: Option<(Instant, Eventually<Result<C, OpenError>>)>,
    /// After a failure, the earliest next attempt.
    open_after: Option<Instant>,
    backoff: Backoff,
}

/// Something that happened to a connection for calls.
pub(super) enum Change<C> {
    /// Opening one succeeded or failed; how long that took.
    Opened(Result<C, OpenError>, Duration),
    /// An idle one has ended.
    Ended(Ending),
}

impl<C: Connection> Pool<C> {
    pub(super) fn new(waits: Waits, idle_max: usize) -> Self {
        let backoff = Backoff::new(waits);
        Self { idle: VecDeque::new(), idle_max, closing: Vec::new(), opening: None, open_after: None, backoff }
    }

    /// An idle connection, if any.
    pub(super) fn take(&mut self) -> Option<C> {
        self.idle.pop_back().map(|idle| idle.connection)
    }

    /// Keeps a connection whose call has ended.
    pub(super) fn keep(&mut self, connection: C) {
        if self.idle.is_empty() {
            // There may never be a second one: room is made for one only.
            self.idle.reserve_exact(1);
        }
        self.idle.push_back(Idle { connection, since: Instant::now() });
    }

    /// Whether one may be opened now: none is being opened, and the last attempt has not just failed.
    pub(super) const fn may_open(&self) -> bool {
        self.opening.is_none() && self.open_after.is_none()
    }

    /// Starts opening one.
    pub(super) fn open(&mut self, opening: Eventually<Result<C, OpenError>>) {
        self.opening = Some((Instant::now(), opening));
    }

    /// The last attempt has succeeded, or failed.
    pub(super) fn opened(&mut self, succeeded: bool) {
        if succeeded {
            self.backoff.reset();
        } else {
            self.open_after = Some(Instant::now() + self.backoff.fail());
        }
    }

    /// Starts over, after the daemon was connected to again.
    pub(super) fn reset(&mut self) {
        self.backoff.reset();
        self.open_after = None;
    }

    /// How many connections are idle.
    pub(super) fn len(&self) -> usize {
        self.idle.len()
    }

    /// Drops all of them.
    pub(super) fn clear(&mut self) {
        self.idle = VecDeque::new();
        self.closing = Vec::new();
        self.opening = None;
    }

    /// Closes all of them cleanly, including the one being opened. Returns what to wait for.
    pub(super) fn drain(&mut self) -> Vec<Eventually<()>> {
        if let Some((_, opening)) = self.opening.take() {
            self.closing.push(Box::pin(async move {
                if let Ok(connection) = opening.await {
                    connection.close().await;
                }
            }));
        }
        while let Some(idle) = self.idle.pop_front() {
            self.closing.push(idle.connection.close());
        }
        std::mem::take(&mut self.closing)
    }

    /// Closes those that were idle too long.
    pub(super) fn tick(&mut self, now: Instant) {
        self.open_after = self.open_after.filter(|after| now < *after);
        while self.idle_until().is_some_and(|until| until <= now) {
            self.close_first();
        }
    }

    /// Closes surplus idle ones, once waiting requests have had their chance.
    pub(super) fn trim(&mut self) {
        while self.idle.len() > self.idle_max {
            self.close_first();
        }
    }

    fn close_first(&mut self) {
        if let Some(idle) = self.idle.pop_front() {
            self.closing.push(idle.connection.close());
        }
    }

    /// When the next close, or attempt to open one, is due.
    pub(super) fn wake(&self) -> Option<Instant> {
        [self.open_after, self.idle_until()].into_iter().flatten().min()
    }

    /// When the longest-idle connection has been idle for too long.
    fn idle_until(&self) -> Option<Instant> {
        self.idle.front().filter(|_| self.idle.len() > 1).map(|idle| idle.since + IDLE_MAX)
    }

    /// Polls for the next change. This also keeps idle connections alive.
    pub(super) fn poll_change(&mut self, context: &mut Context<'_>) -> Poll<Change<C>> {
        if let Some((began, opening)) = &mut self.opening
            && let Poll::Ready(opened) = opening.as_mut().poll(context)
        {
            let took = began.elapsed();
            self.opening = None;
            return Poll::Ready(Change::Opened(opened, took));
        }
        self.closing.retain_mut(|closing| closing.as_mut().poll(context).is_pending());
        for at in 0..self.idle.len() {
            // These are not registered for events: any that arrive are ignored.
            while let Poll::Ready(notice) = self.idle[at].connection.poll_notice(context) {
                if let Notice::Ended(ending) = notice {
                    self.idle.remove(at);
                    return Poll::Ready(Change::Ended(ending));
                }
            }
        }
        Poll::Pending
    }
}
