//! What a client may take, with the reason.

use std::time::Duration;

/// Connections at once. A host has one Prometheus or two, a kubelet's probes, and a person; more is a mistake or an
/// attack. Whoever comes then takes the place of the connection that has been idle for the longest time, and is answered
/// with 503 while a request of each is in flight.
pub const CONNECTIONS: usize = 32;

/// The same where only probes are served: a kubelet opens one for each probe and closes it after the answer.
pub const PROBE_CONNECTIONS: usize = 8;

/// Scrapes rendered at once: with more, memory for pages would grow with the number of clients. They are refused with
/// 503 and a time to come back.
pub const SCRAPES: usize = 4;

/// When a refused client may come back, in seconds: a page of 30,000 series is rendered in milliseconds.
pub const RETRY_AFTER: &str = "1";

/// The request line and the headers together, in bytes. Prometheus sends less than one kilobyte.
pub const HEAD_BYTES: usize = 16 * 1_024;

/// How many headers.
pub const HEADERS: usize = 64;

/// How long a connection may be idle, and the head of a request may take: both are counted from the connection's
/// beginning or the last response. A client that sends a byte a second is let go, and so is one that keeps its connection
/// without using it. Just above 15 s, the shortest interval at which one usually scrapes: a connection then serves more
/// than one scrape, and to open one for each costs whoever scrapes more rarely nothing.
pub const HEAD_TIME: Duration = Duration::from_secs(20);

/// How long a request may take from its head to its response.
pub const REQUEST_TIME: Duration = Duration::from_secs(10);

/// How long a client may leave what was written to it unread before it is let go, with the memory of its page.
pub const STALL_TIME: Duration = Duration::from_secs(10);

/// How long a whole response may take to leave, once the system did not take all of it at once. A client that reads a byte
/// now and then is let go: whoever scrapes gives up after seconds, and a minute is enough for 20 MB over 3 Mbit/s.
pub const LEAVE_TIME: Duration = Duration::from_secs(60);

/// How long responses may take that are under way when the agent stops.
pub const DRAIN_TIME: Duration = Duration::from_secs(2);

/// How many bytes of a page are compressed before other tasks get their turn: about a millisecond.
pub const GZIP_SLICE: usize = 128 * 1_024;

/// Parts that are named when several stand still: the first say why, and there may be one for each VM.
pub const NAMED: usize = 8;
