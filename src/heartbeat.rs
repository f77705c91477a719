//! Detects parts of the agent that no longer make progress.
//!
//! Before a part (a task) waits, it promises when it will run again at the latest: one that waits under a deadline
//! keeps that promise, however long it is, even if the other end is unreachable. A part is stalled when it is [`LATE`]
//! behind its promise, when one poll has lasted as long, or when it panicked.
//!
//! All of it is atomics except the list of parts, which is locked while a part is added and while it is checked.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

/// How far behind its promise a part counts as stalled. An iteration takes milliseconds, and a machine that is
/// overloaded or was halted for a moment delays one by a second or two: a part that is this late does not come back.
pub const LATE: Duration = Duration::from_secs(15);

/// How often an idle part runs: rarely enough to cost nothing, and a third of [`LATE`], so that a stall is known after
/// at most twenty seconds.
pub const TURN: Duration = Duration::from_secs(5);

/// In place of a time: the part has ended normally and promises nothing. Less than every time, so that `knock` changes
/// nothing.
const ENDED: u64 = 0;

/// In place of a time: the part waits.
const WAITING: u64 = 0;

/// A part of the agent.
#[derive(Debug)]
struct Part {
    name: &'static str,
    /// Which of several, where there are several.
    of: Option<Arc<str>>,
    /// The origin of all times.
    origin: Instant,
    /// When it must run again, or [`ENDED`].
    due: AtomicU64,
    /// When its current poll began, or [`WAITING`].
    working: AtomicU64,
}

impl Part {
    /// A time as a number; never [`ENDED`] or [`WAITING`].
    fn number(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.origin).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn has_ended(&self) -> bool {
        self.due.load(Relaxed) == ENDED
    }

    /// For how long it has been stalled, if it is.
    fn still(&self, now: Instant) -> Option<Duration> {
        let (due, working) = (self.due.load(Relaxed), self.working.load(Relaxed));
        if due == ENDED {
            return None;
        }
        let since = if working == WAITING { due } else { due.min(working) };
        let behind = Duration::from_millis(self.number(now).saturating_sub(since));
        (behind > LATE).then_some(behind)
    }
}

/// A stalled part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Still {
    /// Which one.
    pub part: String,
    /// For how long it has been overdue.
    pub since: Duration,
}

/// The parts of one agent. Clones share them.
#[derive(Debug, Clone)]
pub struct Heartbeats {
    origin: Instant,
    parts: Arc<Mutex<Vec<Arc<Part>>>>,
}

impl Heartbeats {
    /// No parts yet.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: Instant::now(), parts: Arc::default() }
    }

    /// Registers a part of this name, which must run from now on.
    #[must_use]
    pub fn part(&self, name: &'static str) -> Pulse {
        self.begin(name, None)
    }

    /// One of several parts of this name.
    #[must_use]
    pub fn part_of(&self, name: &'static str, of: Arc<str>) -> Pulse {
        self.begin(name, Some(of))
    }

    fn begin(&self, name: &'static str, of: Option<Arc<str>>) -> Pulse {
        let pulse = Pulse::new(name, of, self.origin);
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.retain(|part| !part.has_ended());
        parts.push(Arc::clone(&pulse.0));
        pulse
    }

    /// The stalled parts, the longest first.
    #[must_use]
    pub fn still(&self) -> Vec<Still> {
        let now = Instant::now();
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut still: Vec<(Duration, Arc<Part>)> =
            parts.iter().filter_map(|part| Some((part.still(now)?, Arc::clone(part)))).collect();
        drop(parts);
        still.sort_by_key(|(since, _)| std::cmp::Reverse(*since));
        let told = |(since, part): (Duration, Arc<Part>)| Still {
            part: part.of.as_ref().map_or_else(|| part.name.to_owned(), |of| format!("{} of {of}", part.name)),
            since,
        };
        still.into_iter().map(told).collect()
    }
}

impl Default for Heartbeats {
    fn default() -> Self {
        Self::new()
    }
}

/// The heartbeat of one part. Clones share it.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<Part>);

impl Pulse {
    fn new(name: &'static str, of: Option<Arc<str>>, origin: Instant) -> Self {
        let part = Part { name, of, origin, due: AtomicU64::new(ENDED), working: AtomicU64::new(WAITING) };
        part.due.store(part.number(Instant::now()), Relaxed);
        Self(Arc::new(part))
    }

    /// The part's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Promises to run again by then.
    pub fn promise(&self, by: Instant) {
        self.0.due.store(self.0.number(by), Relaxed);
    }

    /// It runs now, and will again soon.
    pub fn turn(&self) {
        self.promise(Instant::now());
    }

    /// The part was woken at this moment: it must run now, whatever it promised before.
    pub fn knock(&self, now: Instant) {
        self.0.due.fetch_min(self.0.number(now), Relaxed);
    }

    /// For a part that may have nothing to do for a long time: promises to run again after [`TURN`], and waits until
    /// then.
    pub async fn idle(&self) {
        let next = Instant::now() + TURN;
        self.promise(next);
        tokio::time::sleep_until(next).await;
    }

    /// Wraps the part, to watch how long each poll takes and how it ends.
    pub fn over<F: Future>(&self, part: F) -> Watched<F> {
        Watched { part: Box::pin(part), pulse: self.clone() }
    }
}

/// The heartbeat of a part that is not watched.
impl Default for Pulse {
    fn default() -> Self {
        Self::new("nobody", None, Instant::now())
    }
}

/// A watched part. Once it has ended, or was dropped while waiting, it promises nothing.
#[derive(Debug)]
#[must_use = "a part does nothing unless it is awaited"]
pub struct Watched<F> {
    // Boxed once for the part's whole life, so that pinning needs no unsafe code.
    part: Pin<Box<F>>,
    pulse: Pulse,
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let part = Arc::clone(&self.pulse.0);
        part.working.store(part.number(Instant::now()), Relaxed);
        let polled = self.part.as_mut().poll(context);
        // Not reached if it panics: its poll then seems to last for ever, so it counts as stalled.
        part.working.store(WAITING, Relaxed);
        if polled.is_ready() {
            part.due.store(ENDED, Relaxed);
        }
        polled
    }
}

impl<F> Drop for Watched<F> {
    fn drop(&mut self) {
        let part = &self.pulse.0;
        if part.working.load(Relaxed) == WAITING {
            part.due.store(ENDED, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
