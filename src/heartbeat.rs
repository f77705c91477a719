//! Whether every part of the agent that must turn does turn.
//!
//! Before a part waits it promises when it will turn again at the latest: whoever waits under a deadline keeps that
//! promise, however long it is, and whatever is away at the other end. A part stands still when it is [`LATE`] behind its
//! promise, when it has been at work on one turn for as long, or when it fell over in its turn and nobody ended it.
//!
//! All of it is atomics, but for the list of the parts: that is locked while a part begins and while somebody looks.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

/// How far behind its promise a part must be to stand still. A turn takes milliseconds, and a machine that is overloaded
/// or was halted for a moment holds one up for a second or two: a part that is this late does not come back.
pub const LATE: Duration = Duration::from_secs(15);

/// How often a part turns that has nothing to do: rarely enough to cost nothing, a third of [`LATE`], so that it stands
/// still for at most twenty seconds before that is known.
pub const TURN: Duration = Duration::from_secs(5);

/// In place of a moment: the part has ended as it should, and promises nothing any more. Less than every moment, so that
/// whoever knocks changes nothing.
const ENDED: u64 = 0;

/// In place of a moment: the part waits.
const WAITING: u64 = 0;

/// A part of the agent.
#[derive(Debug)]
struct Part {
    name: &'static str,
    /// Which of several, where there are several.
    of: Option<Arc<str>>,
    /// What moments are counted from.
    origin: Instant,
    /// When it will have turned again, or [`ENDED`].
    due: AtomicU64,
    /// Since when it is at work, or [`WAITING`].
    working: AtomicU64,
}

impl Part {
    /// A moment as a number; never one of those that stand for none.
    fn number(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.origin).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn has_ended(&self) -> bool {
        self.due.load(Relaxed) == ENDED
    }

    /// For how long it has stood still, if it does.
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

/// A part that stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Still {
    /// Which one.
    pub part: String,
    /// For how long: since it should have turned.
    pub since: Duration,
}

/// The parts of one agent. A clone is about the same ones.
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

    /// A part of this name, which is to turn from now on.
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

    /// The parts that stand still, the longest first.
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

/// The heartbeat of one part. A clone is of the same one.
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

    /// Promises to turn again by then.
    pub fn promise(&self, by: Instant) {
        self.0.due.store(self.0.number(by), Relaxed);
    }

    /// It turns now, and will again soon.
    pub fn turn(&self) {
        self.promise(Instant::now());
    }

    /// Somebody has woken the part at this moment: that is when it must turn, whatever it has promised before.
    pub fn knock(&self, now: Instant) {
        self.0.due.fetch_min(self.0.number(now), Relaxed);
    }

    /// For a part that may have nothing to do for a long time: promises to turn again after [`TURN`], and waits until then.
    pub async fn idle(&self) {
        let next = Instant::now() + TURN;
        self.promise(next);
        tokio::time::sleep_until(next).await;
    }

    /// The part itself, watched: how long it is at work on one turn, and how it ends.
    pub fn over<F: Future>(&self, part: F) -> Watched<F> {
        Watched { part: Box::pin(part), pulse: self.clone() }
    }
}

/// Of nobody's: for a part that nobody looks after.
impl Default for Pulse {
    fn default() -> Self {
        Self::new("nobody", None, Instant::now())
    }
}

/// A part that is watched. Ended, or dropped while it waits, it promises nothing any more.
#[derive(Debug)]
#[must_use = "a part does nothing unless it is awaited"]
pub struct Watched<F> {
    // Boxed once for the part's whole life, so that no unsafe code is needed to get at it.
    part: Pin<Box<F>>,
    pulse: Pulse,
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let part = Arc::clone(&self.pulse.0);
        part.working.store(part.number(Instant::now()), Relaxed);
        let polled = self.part.as_mut().poll(context);
        // Not reached if it panics: it stays at work for ever, which is what it looks like from outside.
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
