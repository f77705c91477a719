//! What can go wrong.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::keepalive::Keepalive;
use crate::limits::{CALLS_MAX, EVENT_MAX, FRAME_DEADLINE, FRAME_MAX, FRAME_MIN, TEXT_MAX, WRITE_DEADLINE};
use crate::xdr::{Decode, Malformed, Reader};

/// Why a call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The daemon answered with an error. The connection stays usable.
    #[error(transparent)]
    Libvirt(#[from] LibvirtError),
    /// The connection has ended, before or during the call.
    #[error(transparent)]
    Ended(#[from] End),
    /// [`CALLS_MAX`] calls have no answer yet. The connection stays usable.
    #[error("{CALLS_MAX} calls of this connection have no answer yet: wait for one of them")]
    TooManyCalls,
    /// The daemon requires an authentication that this client does not support.
    #[error("the daemon wants {wanted}, which this client cannot do: it can go without authentication, and use polkit")]
    Authentication {
        /// What it requires: `SASL`, or numbers of `remote_auth_type`.
        wanted: String,
    },
    /// polkit refuses this client.
    #[error("polkit does not let this user read libvirt ({0}): see its rule for org.libvirt.unix.monitor")]
    Polkit(#[source] LibvirtError),
    /// The daemon requires polkit, but could not ask it.
    #[error(
        "the daemon could not ask polkit about this user ({0}): it needs polkitd and the system bus, up before itself, and \
         must see this process"
    )]
    NoPolkit(#[source] LibvirtError),
}

impl Error {
    /// Whether the daemon does not know the domain (`VIR_ERR_NO_DOMAIN`).
    #[must_use]
    pub const fn is_no_domain(&self) -> bool {
        matches!(self, Self::Libvirt(error) if error.code == LibvirtError::NO_DOMAIN)
    }

    /// Why the connection has ended, if it has.
    #[must_use]
    pub const fn end(&self) -> Option<&End> {
        match self {
            Self::Ended(end) => Some(end),
            _ => None,
        }
    }
}

/// Why a connection has ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum End {
    /// The peer closed it.
    #[error("the daemon closed the connection")]
    Closed,
    /// The transport failed.
    #[error("the connection broke: {0}")]
    Io(Arc<io::Error>),
    /// The peer broke the protocol or exceeded a bound of this client.
    #[error("what the daemon sent is not libvirt's protocol: {0}")]
    Violation(#[from] Violation),
    /// The peer does not read what is written to it.
    #[error("the daemon has read nothing for {WRITE_DEADLINE:?}")]
    NotReading,
    /// The peer began a frame and did not end it in time.
    #[error("the daemon has not ended a message within {FRAME_DEADLINE:?}")]
    Unfinished,
    /// The peer did not end a message longer than [`LONG`](crate::limits::LONG) within
    /// [`Bounds::long_within`](crate::Bounds::long_within).
    #[error("the daemon has not ended a long message within {0:?}")]
    Withheld(Duration),
    /// A long message does not fit into the [`Room`](crate::Room) that connections share. This peer need not be the
    /// cause.
    #[error(
        "its message is too long for what the {most} bytes that there are for all daemons' long messages have left"
    )]
    NoRoom {
        /// The total size of that room in bytes.
        most: usize,
    },
    /// The peer does not answer PINGs.
    #[error("the daemon has not answered {} PINGs, one every {:?}", .0.count, .0.interval)]
    Mute(Keepalive),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // Each of these means that the peer has closed the connection.
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Io(Arc::new(error)),
        }
    }
}

/// How a peer broke the protocol or a bound of this client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A frame announces an impossible length.
    #[error("a message of {length} bytes, where {FRAME_MIN} to {FRAME_MAX} are possible")]
    Length {
        /// Its length.
        length: u32,
    },
    /// A frame is of a program or version that this client does not speak.
    #[error("a message of the program {program:#x}, version {version}")]
    Program {
        /// The program.
        program: u32,
        /// Its version.
        version: u32,
    },
    /// A frame has a type or status that a read-only client never receives.
    #[error("a message of type {kind} and status {status}, which a client that only reads is not sent")]
    Kind {
        /// Its type.
        kind: u32,
        /// Its status.
        status: u32,
    },
    /// A keepalive message is malformed.
    #[error("a keepalive message that is neither a PING nor a PONG")]
    Keepalive,
    /// An answer matches no outstanding call.
    #[error("an answer to call {serial}, which was not made or has been answered")]
    Serial {
        /// Its serial.
        serial: u32,
    },
    /// An answer is to another procedure than the one called.
    #[error("an answer to procedure {procedure} for the call of {function}")]
    Procedure {
        /// The procedure of the answer.
        procedure: u32,
        /// The libvirt function that was called.
        function: &'static str,
    },
    /// An answer is longer than its procedure allows.
    #[error("{length} bytes as the answer to {function}, where {limit} are allowed")]
    AnswerTooLong {
        /// The libvirt function that was called.
        function: &'static str,
        /// The length of the answer.
        length: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// An event is longer than [`EVENT_MAX`].
    #[error("an event of {length} bytes, where {EVENT_MAX} are allowed")]
    EventTooLong {
        /// Its length.
        length: usize,
    },
    /// An answer is malformed.
    #[error("the answer to {function} is malformed: {cause}")]
    Answer {
        /// The libvirt function that was called.
        function: &'static str,
        /// What is wrong.
        cause: Malformed,
    },
    /// An event is malformed.
    #[error("an event (procedure {procedure}) is malformed: {cause}")]
    Event {
        /// The event's procedure.
        procedure: u32,
        /// What is wrong.
        cause: Malformed,
    },
}

/// An error of libvirt (`virError`), as the daemon sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LibvirtError {
    /// `virErrorNumber`
    pub code: i32,
    /// `virErrorDomain`: the part of libvirt that failed.
    pub domain: i32,
    /// `virErrorLevel`
    pub level: i32,
    /// libvirt's message, cut off after [`TEXT_MAX`] bytes.
    pub message: String,
}

impl LibvirtError {
    /// `VIR_ERR_NO_DOMAIN`
    pub const NO_DOMAIN: i32 = 42;
    /// `VIR_ERR_AUTH_FAILED`
    pub const AUTH_FAILED: i32 = 45;
    /// `VIR_ERR_AUTH_CANCELLED`
    pub const AUTH_CANCELLED: i32 = 79;
    /// `VIR_ERR_AUTH_UNAVAILABLE`
    pub const AUTH_UNAVAILABLE: i32 = 94;

    /// Whether it means that polkit was asked and refused.
    pub(crate) const fn is_refusal(&self) -> bool {
        matches!(self.code, Self::AUTH_FAILED | Self::AUTH_CANCELLED | Self::AUTH_UNAVAILABLE)
    }
}

impl Decode for LibvirtError {
    /// Keeps what is used and skips the rest: the domain and the network that an error may name, and three texts and
    /// two numbers that the message already contains.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (code, domain) = (reader.i32()?, reader.i32()?);
        let message = if reader.is_some()? { reader.text(TEXT_MAX)?.into_owned() } else { format!("error {code}") };
        let level = reader.i32()?;
        if reader.is_some()? {
            crate::Domain::skip(reader)?;
        }
        for _ in 0..3 {
            if reader.is_some()? {
                reader.bytes()?;
            }
        }
        reader.i32()?;
        reader.i32()?;
        if reader.is_some()? {
            // A network: its name and its UUID.
            reader.bytes()?;
            reader.array::<16>()?;
        }
        Ok(Self { code, domain, level, message })
    }
}
