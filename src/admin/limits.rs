//! What a client may use, and why.

use std::time::Duration;

/// Concurrent connections. A host has one Prometheus or two, a kubelet's probes, and a person; more is a mistake or an
/// attack. A further connection then replaces the one that has been idle longest, or gets a 503 while each has a
/// request in flight.
pub const CONNECTIONS: usize = 32;

/// The same where only probes are served: a kubelet opens one for each probe and closes it after the answer.
pub const PROBE_CONNECTIONS: usize = 8;

/// Concurrent scrapes: with more, memory for pages would grow with the number of clients. Further ones are refused with
/// 503 and [`RETRY_AFTER`].
pub const SCRAPES: usize = 4;

/// When a refused client may retry, in seconds: a page of 30,000 series is rendered in milliseconds.
pub const RETRY_AFTER: &str = "1";

/// The request line and the headers together, in bytes. Prometheus sends less than one kilobyte.
pub const HEAD_BYTES: usize = 16 * 1_024;

/// How many headers.
pub const HEADERS: usize = 64;

/// How long a connection may be idle, and how long the head of a request may take: both count from the connection's
/// beginning or the last response. A client that sends a byte a second is disconnected, and so is one that keeps its
/// connection without using it. Just above 15 s, the shortest usual scrape interval: a connection then serves more than
/// one scrape, and opening one for each rarer scrape costs nothing.
pub const HEAD_TIME: Duration = Duration::from_secs(20);

/// How long a TLS handshake may take. It is two round trips; meanwhile the connection is the first to make room for
/// another.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// How long a request may take from its head to its response.
pub const REQUEST_TIME: Duration = Duration::from_secs(10);

/// How long a client may leave written data unread before it is disconnected, which frees its page.
pub const STALL_TIME: Duration = Duration::from_secs(10);

/// How long sending a whole response may take, if the system did not take all of it at once. A client that reads a byte
/// now and then is disconnected: scrapers give up after seconds, and a minute is enough for 20 MB over 3 Mbit/s.
pub const LEAVE_TIME: Duration = Duration::from_secs(60);

/// How long running responses may take when the agent stops.
pub const DRAIN_TIME: Duration = Duration::from_secs(2);

/// How many bytes of a page are compressed before other tasks get their turn: about a millisecond.
pub const GZIP_SLICE: usize = 128 * 1_024;

/// How many VMs the status page has. Those that cannot be read come first; of the others nobody reads a thousand rows.
pub const ROWS: usize = 1_000;

/// How often a browser asks for the status page again: more often than VMs are usually read, so that of each VM two
/// consecutive readings are seen.
pub const REFRESH: Duration = Duration::from_secs(5);

/// How many parts without progress to name: the first say why, and there may be one for each VM.
pub const NAMED: usize = 8;
