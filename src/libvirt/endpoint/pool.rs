//! The connections for calls: those that wait for one, and the one that is being opened.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use super::hypervisor::{Connection, Ending, Eventually, Notice, OpenError};

/// Connections that have been idle for longer than this are closed, but for one: they were needed in a storm that is over.
/// The one has its file anyway, and calls that are minutes apart need not open it anew.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// A connection that waits for a call.
struct Idle<C> {
    connection: C,
    since: Instant,
}

/// See the module.
pub(super) struct Pool<C> {
    idle: VecDeque<Idle<C>>,
    /// Most of them that may be idle.
    idle_max: usize,
    /// Those that are being closed in order, which takes a moment and is bounded.
    closing: Vec<Eventually<()>>,
    /// One at a time per daemon.
    opening: Option<(Instant, Eventually<Result<C, OpenError>>)>,
    /// After a failure, not before then.
    open_after: Option<Instant>,
    backoff: Backoff,
}

/// Something that happened to a connection for calls.
pub(super) enum Change<C> {
    /// One was opened, or not; how long that took.
    Opened(Result<C, OpenError>, Duration),
    /// One that waited has ended.
    Ended(Ending),
}

impl<C: Connection> Pool<C> {
    pub(super) fn new(longest: Duration, idle_max: usize) -> Self {
        let backoff = Backoff::new(longest);
        Self { idle: VecDeque::new(), idle_max, closing: Vec::new(), opening: None, open_after: None, backoff }
    }

    /// A connection, if one waits.
    pub(super) fn take(&mut self) -> Option<C> {
        self.idle.pop_back().map(|idle| idle.connection)
    }

    /// A connection that carries no call any more.
    pub(super) fn keep(&mut self, connection: C) {
        if self.idle.is_empty() {
            // Where there is never a second one, no room is made for it.
            self.idle.reserve_exact(1);
        }
        self.idle.push_back(Idle { connection, since: Instant::now() });
    }

    /// Whether one may be opened now: none is being opened, and the last attempt has not just failed.
    pub(super) const fn may_open(&self) -> bool {
        self.opening.is_none() && self.open_after.is_none()
    }

    /// One is being opened.
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

    /// Everything begins anew, over a connection that was just made.
    pub(super) fn reset(&mut self) {
        self.backoff.reset();
        self.open_after = None;
    }

    /// How many connections there are that carry no call.
    pub(super) fn len(&self) -> usize {
        self.idle.len()
    }

    /// Drops all of them.
    pub(super) fn clear(&mut self) {
        self.idle = VecDeque::new();
        self.closing = Vec::new();
        self.opening = None;
    }

    /// Closes all of them in order, the one that is being opened, too: what that waits for.
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

    /// Closes those that have waited for long.
    pub(super) fn tick(&mut self, now: Instant) {
        self.open_after = self.open_after.filter(|after| now < *after);
        while self.idle_until().is_some_and(|until| until <= now) {
            self.close_first();
        }
    }

    /// Closes those that are too many, once whatever waited for one has had its chance.
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

    /// When that, or the next attempt to open one, is due.
    pub(super) fn wake(&self) -> Option<Instant> {
        [self.open_after, self.idle_until()].into_iter().flatten().min()
    }

    /// When the one that has waited longest has done so for too long.
    fn idle_until(&self) -> Option<Instant> {
        self.idle.front().filter(|_| self.idle.len() > 1).map(|idle| idle.since + IDLE_MAX)
    }

    /// The next thing that happens to one of them. Those that wait are kept alive by this.
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
            // Nobody has asked for events over these: what comes all the same is not looked at.
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
