//! Bounds on what a peer can make this client hold, wait for or do, each with its reason.
//!
//! The protocol's bounds come from libvirt's `virnetprotocol.x` and `remote_protocol.x`. The others are this crate's
//! own: wide enough for the largest known hosts, and small enough that a peer that exhausts them costs little.

use std::time::Duration;

/// Longest frame, its length word included (`VIR_NET_MESSAGE_MAX` and `VIR_NET_MESSAGE_LEN_MAX`).
pub const FRAME_MAX: usize = 33_554_432 + 4;

/// Shortest frame: its length word and its header.
pub const FRAME_MIN: usize = 28;

/// Longest string of the protocol (`REMOTE_STRING_MAX`).
pub const STRING_MAX: usize = 4_194_304;

/// Most domains in one answer (`REMOTE_DOMAIN_LIST_MAX`).
pub const DOMAINS_MAX: usize = 16_384;

/// Most typed parameters of one statistics record (`REMOTE_CONNECT_GET_ALL_DOMAIN_STATS_MAX`).
pub const STATS_PARAMETERS_MAX: usize = 262_144;

/// Most typed parameters of a job (`REMOTE_DOMAIN_JOB_STATS_MAX`).
pub const JOB_PARAMETERS_MAX: usize = 64;

/// Most kinds of authentication that a daemon may offer (`REMOTE_AUTH_TYPE_LIST_MAX`).
pub const AUTH_TYPES_MAX: usize = 20;

/// Longest name of a typed parameter (`VIR_TYPED_PARAM_FIELD_LENGTH` without its terminating NUL). libvirt's own client
/// refuses an answer with a longer one.
pub const FIELD_MAX: usize = 79;

/// Longest answer that is a short text: a host name, a driver's name, a URI.
pub const SHORT_TEXT_MAX: usize = 4_096;

/// Longest answer that is an XML document: the longest string and its length word.
pub const XML_ANSWER_MAX: usize = STRING_MAX + 4;

/// Longest list of domains: [`DOMAINS_MAX`] of them with names of 232 bytes. QEMU's names are shorter, since libvirt
/// names files after them.
pub const LIST_ANSWER_MAX: usize = DOMAINS_MAX * 256;

/// Longest answer to a statistics call. A domain of 512 vCPUs under KVM with 64 disks takes 1.4 MiB. Checking that the
/// longest is well-formed takes 2.3 ms (measured), more than for any other answer.
pub const STATS_ANSWER_MAX: usize = 8 * 1_048_576;

/// Longest answer to a job call: 64 parameters take 4 KiB, and an error message may be among them.
pub const JOB_ANSWER_MAX: usize = 65_536;

/// Longest error. It may quote QEMU, but not a document.
pub const ERROR_ANSWER_MAX: usize = 262_144;

/// Longest event: 2,048 tunables of 100 bytes.
pub const EVENT_MAX: usize = 262_144;

/// Longest text that is kept of an error or of a typed parameter's value; the rest is cut off. Linux's longest path
/// fits.
pub const TEXT_MAX: usize = 4_096;

/// Most places in a text where bytes that are not UTF-8 are replaced; the rest is cut off. libvirt takes its names from
/// XML, which is UTF-8; names of guests and files may have a few other bytes. Replacing all of them in the longest
/// answer's texts would take tens of milliseconds.
pub const REPLACED_MAX: usize = 8;

/// Longest name of a domain that is kept; the rest is cut off. QEMU's have at most 255 bytes, since files are named
/// after them.
pub const NAME_MAX: usize = 1_024;

/// Most calls of one connection without an answer. A daemon works on five calls of a client at a time and reads on when
/// it has answered one, so more only wait in its socket.
pub const CALLS_MAX: usize = 32;

/// Most events that wait for the caller, which gets them as soon as it polls the connection. One that falls this far
/// behind reads everything anew, as [`Event::Lost`](crate::Event::Lost) tells it.
pub const EVENTS_MAX: usize = 1_024;

/// Most unsolicited frames (events, keepalive) taken at once before the connection pauses. The events of a thousand
/// domains that change together fit, and taking them takes less than a millisecond.
pub const UNASKED_BURST: u32 = 4_096;

/// Most unsolicited frames taken per second in the long run; the rest waits in the socket, which makes the peer wait.
/// At this rate they cost a hundredth of a core.
pub const UNASKED_PER_SECOND: u32 = 4_000;

/// How many bytes of an unsolicited frame count as one more frame. Events have a few hundred.
pub const UNASKED_BYTES: usize = 4_096;

/// How long a connection pauses after it has used up its burst.
pub const PAUSE: Duration = Duration::from_millis(50);

/// Most bytes read at once. What was read but not processed never exceeds this and one frame.
pub const READ_MAX: usize = 32_768;

/// How long a peer may accept no byte of what is written to it. A call has a few hundred bytes, which fit into any
/// socket's buffer unless the peer reads nothing at all. For a stream that buffers (TLS), it is the time until
/// everything is sent, since such a stream reports no more than that.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(5);

/// How long a frame may take from its first byte to its last: enough for 4 MiB through a slow tunnel, too short for a
/// byte a second.
pub const FRAME_DEADLINE: Duration = Duration::from_secs(30);

/// Most name look-ups and certificate reads at once, over all connections of a process. Each occupies one of the
/// runtime's blocking threads until the name server or file system answers, even when nobody waits any more. The limit
/// leaves threads for the program's other blocking work.
pub const BLOCKING_MAX: usize = 4;

/// How long a connection waits for such a thread and the answer. glibc asks a second name server after 5 s. A
/// connection that needs files and a name waits at most a quarter of a minute.
pub const BLOCKING_DEADLINE: Duration = Duration::from_secs(7);

/// Longest message that takes no part of the shared [`Room`](crate::Room): an ordinary domain's answers have a few KiB.
pub const LONG: usize = 65_536;

/// How many times its own length, itself included, a long message must find free in the [`Room`](crate::Room).
pub const ROOM_PART: usize = 4;

/// How long the daemon may take to answer an orderly close.
pub const CLOSE_DEADLINE: Duration = Duration::from_millis(100);
