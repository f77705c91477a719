//! A domain as the protocol identifies it.

use std::sync::Arc;

use crate::limits::NAME_MAX;
use crate::xdr::{Decode, Encode, Malformed, Reader, Writer};

/// A domain (`remote_nonnull_domain`). A call carries all three fields. The daemon's drivers look the domain up by its
/// UUID and use the name only in messages, so a caller that knows only the UUID need not look the domain up first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Its name, cut off after [`NAME_MAX`] bytes.
    pub name: Arc<str>,
    /// Its UUID.
    pub uuid: [u8; 16],
    /// Its id; `None` if it does not run.
    pub id: Option<u32>,
}

impl Domain {
    /// The fewest bytes that one takes: an empty name, a UUID and an id.
    pub(crate) const LEAST: usize = 4 + 16 + 4;

    /// Skips a domain.
    pub(crate) fn skip(reader: &mut Reader<'_>) -> Result<(), Malformed> {
        reader.bytes()?;
        reader.array::<16>()?;
        reader.i32().map(drop)
    }
}

impl Decode for Domain {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let name = reader.text(NAME_MAX)?.into();
        let uuid = reader.array()?;
        // -1 stands for a domain that does not run.
        let id = u32::try_from(reader.i32()?).ok();
        Ok(Self { name, uuid, id })
    }
}

impl Encode for Domain {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.bytes(self.name.as_bytes());
        writer.array(&self.uuid);
        writer.i32(self.id.and_then(|id| i32::try_from(id).ok()).unwrap_or(-1));
    }
}
