//! What the server shows: its interface to the rest of the agent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::heartbeat::Still;
use crate::rates::Rates;
use crate::snapshot::Snapshot;

/// What the server shows. Every answer comes from memory.
pub trait Content: Send + Sync + 'static {
    /// `/metrics` in the format that suits this Accept header best. A slow page may be rendered on another thread.
    fn metrics(self: Arc<Self>, accept: Option<String>) -> Made;

    /// The agent's state.
    fn state(&self) -> State;

    /// The agent's state with everything that it holds, for a person.
    fn status(&self) -> Status {
        Status { state: self.state(), ..Status::default() }
    }

    /// The parts that make no progress, the longest first.
    fn still(&self) -> Vec<Still>;
}

/// A page that is being rendered; `None` if metrics are not served.
pub type Made = Pin<Box<dyn Future<Output = Result<Option<Page>, NotMade>> + Send>>;

/// A page was not rendered: the agent is ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotMade;

/// A page of `/metrics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its Content-Type.
    pub content_type: &'static str,
    /// Its text.
    pub body: Vec<u8>,
}

/// The agent's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Whether `/metrics` is served.
    pub serves_metrics: bool,
    /// Whether the first round over every daemon is done.
    pub complete: bool,
    /// How long the Kubernetes API has not answered; zero while it does, `None` where it is not used.
    pub api_away: Option<Duration>,
    /// How old the latest snapshot is; `None` before the first.
    pub snapshot_age: Option<Duration>,
    /// How many VMs are in it.
    pub vms: usize,
}

/// The agent's state with everything that it holds.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Its state.
    pub state: State,
    /// What it reads, in a few words.
    pub reads: String,
    /// How long it has run.
    pub runs_for: Duration,
    /// How often VMs are read.
    pub interval: Duration,
    /// The newest snapshot.
    pub snapshot: Arc<Snapshot>,
    /// What each VM does, in the order of the snapshot's VMs.
    pub rates: Vec<Rates>,
    /// What is pushed; `None` if nothing is.
    pub pushes: Option<Pushes>,
}

/// How pushing goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pushes {
    /// Where to, without credentials.
    pub endpoint: String,
    /// How long ago the Collector accepted a request; `None` before the first.
    pub accepted: Option<Duration>,
    /// Pushes that wait.
    pub waiting: u64,
    /// Points that were never delivered.
    pub lost: u64,
    /// Why the newest request failed; `None` if it did not.
    pub failure: Option<String>,
}
