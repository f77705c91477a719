//! What a peer may make this client hold, wait for or do. Every bound stands here with its reason.
//!
//! Bounds of the protocol come from libvirt's `virnetprotocol.x` and `remote_protocol.x`. The others are this crate's:
//! they are wide enough for the largest hosts that are known, and small enough that a peer who uses them up costs little.

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

/// Longest answer to a statistics call. A domain of 512 vCPUs under KVM with 64 disks takes 1.4 MiB. To look whether the
/// longest is well-formed takes 2.3 ms (measured), more than any other answer.
pub const STATS_ANSWER_MAX: usize = 8 * 1_048_576;

/// Longest answer to a job call: 64 parameters take 4 KiB, and an error message may be among them.
pub const JOB_ANSWER_MAX: usize = 65_536;

/// Longest error. QEMU's own words may be in it, but no document.
pub const ERROR_ANSWER_MAX: usize = 262_144;

/// Longest event: 2,048 tunables of 100 bytes.
pub const EVENT_MAX: usize = 262_144;

/// Longest text that is kept of an error, or as the value of a typed parameter; the rest is cut off. The longest path of
/// Linux fits.
pub const TEXT_MAX: usize = 4_096;

/// Places of a text where bytes that are not UTF-8 are replaced; the rest is cut off. libvirt has its names from XML, which
/// is UTF-8, and what a guest or a file is called may have a few such bytes. Replacing them all would take the longest
/// answer's texts tens of milliseconds.
pub const REPLACED_MAX: usize = 8;

/// Longest name of a domain that is kept; the rest is cut off. QEMU's have 255 bytes at most, since files are named after
/// them.
pub const NAME_MAX: usize = 1_024;

/// Calls of one connection that may be without an answer. A daemon works on five of one client at a time and reads on
/// when one of these is answered, so more only wait in its socket.
pub const CALLS_MAX: usize = 32;

/// Events that wait to be taken. They are taken as soon as the connection is polled; who is so far behind reads everything
/// anew, which [`Event::Lost`](crate::Event::Lost) tells them to.
pub const EVENTS_MAX: usize = 1_024;

/// Frames that nobody asked for (events, keepalive) which are taken at once before the connection pauses. A thousand
/// domains that change together fit, and taking them takes less than a millisecond.
pub const UNASKED_BURST: u32 = 4_096;

/// Frames a second that nobody asked for which are taken in the long run; the rest waits in the socket, and so makes the
/// peer wait. At this rate they cost a hundredth of a core.
pub const UNASKED_PER_SECOND: u32 = 4_000;

/// How many bytes of such a frame count as one more frame. Events have a few hundred.
pub const UNASKED_BYTES: usize = 4_096;

/// How long a connection pauses that has used up its burst.
pub const PAUSE: Duration = Duration::from_millis(50);

/// How many bytes are read at once at most. What was read and not yet looked at is no more than this and one frame.
pub const READ_MAX: usize = 32_768;

/// How long a peer may take no byte of what is written to it. It is a call of a few hundred bytes, which fits into any
/// socket's buffer unless nothing is read at all. Of a stream that collects what it sends (TLS) it is the time until all of
/// it is sent, since such a stream says no more than that.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(5);

/// How long a frame may take from its first byte to its last: time for 4 MiB through a slow tunnel, and too short for a
/// byte a second.
pub const FRAME_DEADLINE: Duration = Duration::from_secs(30);

/// Names that are looked up and sets of files that are read at once, over all connections of a process. Each takes one of
/// the threads that a program has for work that blocks, and keeps it while a name server or a file system is silent,
/// though nobody waits any more: few, so that threads are left for what else a program does with them.
pub const BLOCKING_MAX: usize = 4;

/// How long a connection waits for such a place and the answer. glibc asks a second name server after 5 s; and a
/// connection that needs files and a name waits no longer than a quarter of a minute.
pub const BLOCKING_DEADLINE: Duration = Duration::from_secs(7);

/// Longest message that takes nothing of the [`Room`](crate::Room) that connections share: an ordinary domain's answers
/// have a few KiB.
pub const LONG: usize = 65_536;

/// How many times the length of a long message must be free for it in the [`Room`](crate::Room), its own included.
pub const ROOM_PART: usize = 4;

/// How long the daemon may take to answer an orderly end.
pub const CLOSE_DEADLINE: Duration = Duration::from_millis(100);
