//! A long text, such as an XML document, in the memory of the answer that it came in.

use std::fmt;
use std::str::Utf8Error;

use bytes::Bytes;

use crate::xdr::{Decode, Malformed, Reader};

/// A text as it came. Nothing has looked at it yet: it may have megabytes, and whoever reads it decides where.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Text(Bytes);

impl Text {
    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text. All of it is looked at, each time.
    ///
    /// # Errors
    ///
    /// If it is not UTF-8, which all XML of libvirt's is.
    pub fn to_str(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.0)
    }
}

impl Decode for Text {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.shared().map(Self)
    }
}

/// What is not UTF-8 is replaced.
impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), formatter)
    }
}
