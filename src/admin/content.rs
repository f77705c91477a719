//! What the server shows: its interface to the rest of the agent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::heartbeat::Still;

/// What the server shows. Every answer comes from memory.
pub trait Content: Send + Sync + 'static {
    /// `/metrics` in the format that suits this Accept header best. A slow page may be rendered on another thread.
    fn metrics(self: Arc<Self>, accept: Option<String>) -> Made;

    /// The agent's state.
    fn state(&self) -> State;

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
    /// Each daemon.
    pub daemons: Vec<DaemonState>,
}

/// A daemon's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonState {
    /// Its URI.
    pub uri: String,
    /// Whether it is connected.
    pub up: bool,
}
