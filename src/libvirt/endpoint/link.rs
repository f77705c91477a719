//! The connection that reports events and the daemon's end, and carries no calls.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::hypervisor::{Connection, Eventually, Met, Notice, OpenError, ProcessId};
use crate::backoff::{Backoff, Waits};

/// The waits between attempts to connect through a local socket. One costs a path lookup and at most one packet, so it can
/// be frequent: a restarted daemon is back within a few tenths of a second, and with jitter a new socket is found within
/// two seconds and a quarter.
pub(super) const LOCAL: Waits =
    Waits { first: Duration::from_millis(100), longest: Duration::from_millis(1_125), jitter: true };

/// The same for a daemon on another host, where each attempt costs a TLS or SSH handshake.
pub(super) const REMOTE: Waits = Waits { first: LOCAL.first, longest: Duration::from_secs(15), jitter: true };

/// How long a connection must hold for its loss to reset the backoff. A daemon that accepts connections and drops them
/// again is tried as rarely as one that is not there.
const STEADY: Duration = Duration::from_secs(10);

/// How many reasons are reported without a steady connection. After these, only a lost connection or a change of
/// absence is reported.
const TOLD_MAX: usize = 8;

/// What the reader has been told about the missing connection.
#[derive(Debug, Default)]
struct Down {
    /// How many reasons were reported since the last steady connection.
    told: usize,
    /// The last reason reported.
    reason: String,
    /// Whether the daemon was absent in the last report.
    absent: Option<bool>,
}

enum State<C> {
    /// Not connected; the next attempt is at `retry_at`.
    Down { retry_at: Instant },
    /// Connecting.
    Rising { began: Instant, meeting: Eventually<Result<Met<C>, OpenError>> },
    /// Connected, and the daemon has answered.
    Up { connection: C, since: Instant },
}

/// See the module.
pub(super) struct DaemonLink<C> {
    state: State<C>,
    backoff: Backoff,
    down: Down,
    /// The process that was last connected to.
    process: Option<ProcessId>,
    /// Whether that process is known to have ended since.
    ended: bool,
}

/// Something that happened to the connection.
pub(super) enum Change<C> {
    /// The attempt has ended, after this time.
    Met(Result<Met<C>, OpenError>, Duration),
    /// The daemon said something.
    Notice(Notice),
}

/// Whether the newly connected daemon is the previous one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Daemon {
    /// It may be.
    Same,
    /// It is another process.
    Another,
}

impl<C: Connection> DaemonLink<C> {
    pub(super) fn new(waits: Waits) -> Self {
        Self {
            state: State::Down { retry_at: Instant::now() },
            backoff: Backoff::new(waits),
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

    /// Starts an attempt.
    pub(super) fn rise(&mut self, meeting: Eventually<Result<Met<C>, OpenError>>) {
        self.state = State::Rising { began: Instant::now(), meeting };
    }

    /// Retries now: somebody expects the daemon to be there.
    pub(super) fn hurry(&mut self) {
        if let State::Down { retry_at } = &mut self.state {
            *retry_at = Instant::now();
            self.backoff.reset();
        }
        // The caller wants the outcome, even if it is unchanged.
        self.down = Down::default();
    }

    /// The daemon has answered.
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

    /// There is no connection (any more). Returns whether to report this reason to the reader. `ended`: the daemon
    /// itself has closed the connection, as it does when it ends.
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
        // A change of absence decides more than a log line.
        let flips = down.absent != Some(absent);
        if steady.is_none() && !flips && (down.reason == reason || down.told >= TOLD_MAX) {
            return false;
        }
        down.absent = Some(absent);
        down.told = down.told.saturating_add(1);
        reason.clone_into(&mut down.reason);
        true
    }

    /// Sends a liveness check over the events connection.
    pub(super) fn ask_for_a_sign(&mut self) {
        if let State::Up { connection, .. } = &mut self.state {
            connection.ask_for_a_sign();
        }
    }

    /// Closes the connection cleanly, even while it is being opened. Returns what to wait for.
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

    /// Polls for the next change.
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
