//! A long text, such as an XML document, in the memory of the answer that it came in.

use bytes::Bytes;

use crate::xdr::{Decode, Malformed, Reader};

/// A text in UTF-8. What was none in the answer has been replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text(Bytes);

impl Text {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // It was checked when it came.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Decode for Text {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let bytes = reader.shared()?;
        if std::str::from_utf8(&bytes).is_ok() {
            return Ok(Self(bytes));
        }
        Ok(Self(Bytes::from(String::from_utf8_lossy(&bytes).into_owned())))
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}
