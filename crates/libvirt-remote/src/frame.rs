//! Frames: a length, a header of six words, and a body (libvirt's `virnetprotocol.x`).

use bytes::{BufMut as _, BytesMut};

use crate::error::Violation;
use crate::limits::{FRAME_MAX, FRAME_MIN};

/// The program of everything but keepalive.
pub(crate) const REMOTE_PROGRAM: u32 = 0x2000_8086;
/// The program of keepalive.
pub(crate) const KEEPALIVE_PROGRAM: u32 = 0x6b65_6570;
/// The version of both.
const VERSION: u32 = 1;

/// Asks whether the other side is there.
pub(crate) const PING: u32 = 1;
/// Answers a PING.
pub(crate) const PONG: u32 = 2;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The answer to a call.
    Reply,
    /// An error instead.
    Failure,
    /// An unsolicited message.
    Message,
    /// A PING or a PONG.
    Keepalive,
}

/// The header of a frame that a client may receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// How many bytes follow the header.
    pub(crate) body: usize,
    pub(crate) kind: Kind,
    pub(crate) procedure: u32,
    pub(crate) serial: u32,
}

const CALL: u32 = 0;
const REPLY: u32 = 1;
const MESSAGE: u32 = 2;
const OK: u32 = 0;
const FAILED: u32 = 1;

/// The header at the beginning of these bytes; `None` while it is incomplete. The length is checked first.
pub(crate) fn header(bytes: &[u8]) -> Result<Option<Header>, Violation> {
    let mut words =
        bytes.chunks_exact(4).map(|word| word.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)));
    let Some(length) = words.next() else { return Ok(None) };
    let size = usize::try_from(length).unwrap_or(usize::MAX);
    if !(FRAME_MIN..=FRAME_MAX).contains(&size) {
        return Err(Violation::Length { length });
    }
    let mut word = || words.next();
    let (Some(program), Some(version), Some(procedure), Some(kind), Some(serial), Some(status)) =
        (word(), word(), word(), word(), word(), word())
    else {
        return Ok(None);
    };
    if version != VERSION {
        return Err(Violation::Program { program, version });
    }
    let kind = match (program, kind, status) {
        (REMOTE_PROGRAM, REPLY, OK) => Kind::Reply,
        (REMOTE_PROGRAM, REPLY, FAILED) => Kind::Failure,
        (REMOTE_PROGRAM, MESSAGE, OK) => Kind::Message,
        (KEEPALIVE_PROGRAM, MESSAGE, OK) if size == FRAME_MIN && matches!(procedure, PING | PONG) => Kind::Keepalive,
        (KEEPALIVE_PROGRAM, ..) => return Err(Violation::Keepalive),
        (REMOTE_PROGRAM, ..) => return Err(Violation::Kind { kind, status }),
        _ => return Err(Violation::Program { program, version }),
    };
    Ok(Some(Header { body: size - FRAME_MIN, kind, procedure, serial }))
}

/// The length of the frame, written by us, that these bytes begin with.
pub(crate) fn length(bytes: &[u8]) -> usize {
    let word = bytes.first_chunk().map_or(0, |word| u32::from_be_bytes(*word));
    usize::try_from(word).unwrap_or(usize::MAX)
}

/// Writes a call: its header, and what `body` writes.
pub(crate) fn write_call(buffer: &mut BytesMut, procedure: u32, serial: u32, body: impl FnOnce(&mut BytesMut)) {
    let begin = buffer.len();
    write_header(buffer, REMOTE_PROGRAM, procedure, CALL, serial);
    body(buffer);
    let length = u32::try_from(buffer.len() - begin).unwrap_or(u32::MAX);
    buffer[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
}

/// Writes a PING or a PONG.
pub(crate) fn write_keepalive(buffer: &mut BytesMut, procedure: u32) {
    write_header(buffer, KEEPALIVE_PROGRAM, procedure, MESSAGE, 0);
}

fn write_header(buffer: &mut BytesMut, program: u32, procedure: u32, kind: u32, serial: u32) {
    // The length of a frame without a body.
    let length = u32::try_from(FRAME_MIN).unwrap_or(u32::MAX);
    for word in [length, program, VERSION, procedure, kind, serial, OK] {
        buffer.put_u32(word);
    }
}
