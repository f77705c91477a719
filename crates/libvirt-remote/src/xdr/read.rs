//! Reading.

use std::borrow::Cow;

use bytes::Bytes;

use super::padding;
use crate::limits::{REPLACED_MAX, STRING_MAX};

/// Why bytes could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They end too early.
    #[error("it ends {missing} bytes too early")]
    Truncated {
        /// How many are missing, at least.
        missing: usize,
    },
    /// Bytes follow the value.
    #[error("{count} bytes follow after its end")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// A text is longer than allowed, or than what remains.
    #[error("it announces a text of {length} bytes where {limit} are possible")]
    TextTooLong {
        /// Its announced length.
        length: usize,
        /// The most that is possible.
        limit: usize,
    },
    /// An array has more elements than allowed, or than fit.
    #[error("it announces {count} elements where {limit} are possible")]
    TooMany {
        /// The announced number.
        count: usize,
        /// The most that is possible.
        limit: usize,
    },
    /// A number that selects what follows is unknown.
    #[error("it has {what} {number}, which does not exist")]
    Unknown {
        /// What the number stands for.
        what: &'static str,
        /// The number.
        number: i64,
    },
}

/// A value that can be decoded.
pub trait Decode: Sized {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// If the bytes are malformed.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed>;
}

/// Reads values one after the other from the body of a frame.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    body: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of `body`.
    #[must_use]
    pub fn new(body: &'a Bytes) -> Self {
        Self { body, rest: body }
    }

    /// How many bytes are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next bytes, without padding.
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(Malformed::Truncated { missing: length - self.rest.len() });
        };
        self.rest = rest;
        Ok(taken)
    }

    /// A fixed-length array of bytes. Its length must be a multiple of four, since padding is not skipped.
    ///
    /// # Errors
    ///
    /// If there are too few.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        const { assert!(N.is_multiple_of(4)) };
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// An `unsigned int`.
    ///
    /// # Errors
    ///
    /// If there are too few bytes.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// An `int`.
    ///
    /// # Errors
    ///
    /// If there are too few bytes.
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    /// An `unsigned hyper`.
    ///
    /// # Errors
    ///
    /// If there are too few bytes.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// A `hyper`.
    ///
    /// # Errors
    ///
    /// If there are too few bytes.
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    /// A `double`.
    ///
    /// # Errors
    ///
    /// If there are too few bytes.
    pub fn f64(&mut self) -> Result<f64, Malformed> {
        self.array().map(f64::from_be_bytes)
    }

    /// Whether an optional value follows.
    ///
    /// # Errors
    ///
    /// If there are too few bytes, or the number is neither 0 nor 1.
    pub fn is_some(&mut self) -> Result<bool, Malformed> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            number => Err(Malformed::Unknown { what: "a mark of an optional value", number: number.into() }),
        }
    }

    /// The bytes of a string of any length that the protocol allows, without its padding.
    ///
    /// # Errors
    ///
    /// If it is longer than [`STRING_MAX`], or than what is left.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = size(self.u32()?);
        let limit = STRING_MAX.min(self.rest.len());
        if length > limit {
            return Err(Malformed::TextTooLong { length, limit });
        }
        let bytes = self.take(length)?;
        self.take(padding(length))?;
        Ok(bytes)
    }

    /// The bytes of a string, sharing the memory of the frame: nothing is copied.
    ///
    /// # Errors
    ///
    /// As for [`bytes`](Self::bytes).
    pub fn shared(&mut self) -> Result<Bytes, Malformed> {
        let bytes = self.bytes()?;
        Ok(self.body.slice_ref(bytes))
    }

    /// A text, cut off after `most` bytes. Bytes that are not UTF-8 are replaced, in at most [`REPLACED_MAX`] places:
    /// libvirt passes on the names of files and guests. What is cut off is not inspected.
    ///
    /// # Errors
    ///
    /// As for [`bytes`](Self::bytes).
    pub fn text(&mut self, most: usize) -> Result<Cow<'a, str>, Malformed> {
        self.bytes().map(|bytes| kept(bytes, most))
    }

    /// The number of elements of an array: at most `limit`, and at most what fits if each takes `least` bytes.
    ///
    /// # Errors
    ///
    /// If there are more.
    pub fn count(&mut self, limit: usize, least: usize) -> Result<usize, Malformed> {
        let count = size(self.u32()?);
        let limit = limit.min(self.rest.len() / least.max(1));
        if count <= limit { Ok(count) } else { Err(Malformed::TooMany { count, limit }) }
    }

    /// The bytes that `measure` reads, shared with the frame.
    ///
    /// # Errors
    ///
    /// Those of `measure`.
    pub fn measured(&mut self, measure: impl FnOnce(&mut Self) -> Result<(), Malformed>) -> Result<Bytes, Malformed> {
        let before = self.rest;
        measure(self)?;
        Ok(self.body.slice_ref(&before[..before.len() - self.rest.len()]))
    }

    /// Checks that everything has been read.
    ///
    /// # Errors
    ///
    /// If anything is left.
    pub const fn finish(self) -> Result<(), Malformed> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(Malformed::Trailing { count }),
        }
    }
}

/// What is kept of a text: see [`Reader::text`].
pub(crate) fn kept(bytes: &[u8], most: usize) -> Cow<'_, str> {
    let mut end = bytes.len().min(most);
    // Characters, of at most four bytes, stay whole.
    let within = |end: usize| bytes.get(end).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
    for _ in 1..4 {
        if within(end) {
            end = end.saturating_sub(1);
        }
    }
    let bytes = &bytes[..end];
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::new();
    for chunk in bytes.utf8_chunks().take(REPLACED_MAX) {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    // A replacement may be longer than the original.
    while text.len() > most {
        text.pop();
    }
    Cow::Owned(text)
}

/// A wire number as a size. It saturates where `usize` has 16 bits.
fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Decode for () {
    fn decode(_: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(())
    }
}

impl Decode for i32 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.i32()
    }
}

impl Decode for u64 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.u64()
    }
}
