//! How the endpoint is connected: one connection that reports events and the daemon's end, and carries no calls.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use super::hypervisor::{Connection, Eventually, Met, Notice, OpenError, ProcessId};

/// How long a connection must have held for the next attempt to come soon after its loss, and for its loss to be told. A
/// daemon that takes connections and drops them again is tried as rarely as one that is not there.
const STEADY: Duration = Duration::from_secs(10);

/// Reasons that are told while there is no steady connection. A daemon with more of them is not told of any more.
const TOLD_MAX: usize = 8;

/// What the reader has been told of there being no connection.
#[derive(Debug, Default)]
struct Down {
    /// How many reasons were told since there was a steady one.
    told: usize,
    /// The last of them.
    reason: String,
    /// Whether nobody was there when it was last told.
    absent: Option<bool>,
}

enum State<C> {
    /// There is none; the next attempt is made then.
    Down { retry_at: Instant },
    /// It is being made.
    Rising { began: Instant, meeting: Eventually<Result<Met<C>, OpenError>> },
    /// It is there, and the daemon has answered through it.
    Up { connection: C, since: Instant },
}

/// See the module.
pub(super) struct Link<C> {
    state: State<C>,
    backoff: Backoff,
    down: Down,
    /// The process that was last connected to.
    process: Option<ProcessId>,
    /// Whether that process is known to have ended since.
    ended: bool,
}

/// Something that happened to it.
pub(super) enum Change<C> {
    /// The attempt has come to an end, after this time.
    Met(Result<Met<C>, OpenError>, Duration),
    /// The daemon said something.
    Notice(Notice),
}

/// Whether the daemon that is connected to now is the one of before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Daemon {
    /// It may be.
    Same,
    /// It is another process.
    Another,
}

impl<C: Connection> Link<C> {
    pub(super) fn new(longest: Duration) -> Self {
        Self {
            state: State::Down { retry_at: Instant::now() },
            backoff: Backoff::new(longest),
            down: Down::default(),
            process: None,
            ended: false,
        }
    }

    pub(super) const fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    pub(super) const fn has_connection(&self) -> bool {
        !matches!(self.state, State::Down { .. })
    }

    /// When an attempt is due.
    pub(super) const fn wake(&self) -> Option<Instant> {
        match &self.state {
            State::Down { retry_at } => Some(*retry_at),
            _ => None,
        }
    }

    /// Whether an attempt is to be made now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.wake().is_some_and(|at| at <= now)
    }

    /// An attempt is made.
    pub(super) fn rise(&mut self, meeting: Eventually<Result<Met<C>, OpenError>>) {
        self.state = State::Rising { began: Instant::now(), meeting };
    }

    /// Somebody has reason to believe that the daemon is there.
    pub(super) fn hurry(&mut self) {
        if let State::Down { retry_at } = &mut self.state {
            *retry_at = Instant::now();
            self.backoff.reset();
        }
        // Whoever asks wants to know how it ends, though it be as before.
        self.down = Down::default();
    }

    /// The daemon has introduced itself.
    pub(super) fn up(&mut self, connection: C, process: Option<ProcessId>) -> Daemon {
        self.state = State::Up { connection, since: Instant::now() };
        let before = std::mem::replace(&mut self.process, process);
        let ended = std::mem::take(&mut self.ended);
        match (before, process) {
            (Some(before), Some(now)) if before == now => Daemon::Same,
            (Some(_), Some(_)) => Daemon::Another,
            _ if ended => Daemon::Another,
            _ => Daemon::Same,
        }
    }

    /// There is no connection (any more). Whether the reader is to be told, with this reason; `ended` whether the daemon
    /// itself has ended the connection, as one does that ends.
    pub(super) fn fail(&mut self, reason: &str, absent: bool, ended: bool) -> bool {
        let steady = match &self.state {
            State::Up { since, .. } => {
                self.ended = ended;
                Some(since.elapsed() >= STEADY)
            }
            _ => None,
        };
        if steady == Some(true) {
            self.backoff.reset();
            self.down = Down::default();
        }
        self.state = State::Down { retry_at: Instant::now() + self.backoff.fail() };
        let down = &mut self.down;
        // Whether anybody is there decides more than a line in the log.
        let flips = down.absent != Some(absent);
        if steady.is_none() && !flips && (down.reason == reason || down.told >= TOLD_MAX) {
            return false;
        }
        down.absent = Some(absent);
        down.told = down.told.saturating_add(1);
        reason.clone_into(&mut down.reason);
        true
    }

    /// Asks the daemon for a sign of life over the connection for events.
    pub(super) fn ask_for_a_sign(&mut self) {
        if let State::Up { connection, .. } = &mut self.state {
            connection.ask_for_a_sign();
        }
    }

    /// Closes the connection in order, one that is being made, too: what that waits for.
    pub(super) fn end(&mut self) -> Option<Eventually<()>> {
        match std::mem::replace(&mut self.state, State::Down { retry_at: Instant::now() }) {
            State::Down { .. } => None,
            State::Rising { meeting, .. } => Some(Box::pin(async move {
                if let Ok(met) = meeting.await {
                    met.connection.close().await;
                }
            })),
            State::Up { connection, .. } => Some(connection.close()),
        }
    }

    /// What happens to it next.
    pub(super) fn poll_change(&mut self, context: &mut Context<'_>) -> Poll<Change<C>> {
        match &mut self.state {
            State::Down { .. } => Poll::Pending,
            State::Rising { began, meeting } => {
                meeting.as_mut().poll(context).map(|met| Change::Met(met, began.elapsed()))
            }
            State::Up { connection, .. } => connection.poll_notice(context).map(Change::Notice),
        }
    }
}
