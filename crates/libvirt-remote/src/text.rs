//! A long text, such as an XML document, in the memory of its answer.

use std::fmt;
use std::str::Utf8Error;

use bytes::Bytes;

use crate::xdr::{Decode, Malformed, Reader};

/// A text as the daemon sent it. It may have megabytes: the caller chooses the thread that validates it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Text(Bytes);

impl Text {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text. Each call validates all of it.
    ///
    /// # Errors
    ///
    /// If it is not UTF-8. libvirt's XML always is.
    pub fn to_str(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.0)
    }
}

impl Decode for Text {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        reader.shared().map(Self)
    }
}

/// Replaces what is not UTF-8.
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
