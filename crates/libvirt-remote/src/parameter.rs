//! Typed parameters (`virTypedParameter`), decoded in place.

use std::borrow::Cow;

use bytes::Bytes;

use crate::limits::{FIELD_MAX, TEXT_MAX};
use crate::xdr::{Malformed, Reader, kept};

/// A typed parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter<'a> {
    /// Its name: `block.0.rd.reqs`. [`FIELD_MAX`] bytes at most.
    pub field: Cow<'a, str>,
    /// Its value.
    pub value: Value<'a>,
}

/// The value of a typed parameter, in libvirt's types.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// `VIR_TYPED_PARAM_INT`
    Int(i32),
    /// `VIR_TYPED_PARAM_UINT`
    UInt(u32),
    /// `VIR_TYPED_PARAM_LLONG`
    LLong(i64),
    /// `VIR_TYPED_PARAM_ULLONG`
    ULLong(u64),
    /// `VIR_TYPED_PARAM_DOUBLE`
    Double(f64),
    /// `VIR_TYPED_PARAM_BOOLEAN`
    Boolean(bool),
    /// `VIR_TYPED_PARAM_STRING`, cut off after [`TEXT_MAX`] bytes.
    Text(Cow<'a, str>),
}

/// The typed parameters of an answer, checked to be well-formed. They share the answer's memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parameters {
    count: usize,
    bytes: Bytes,
}

/// The fewest bytes that a parameter takes: an empty name, a type and an `int`.
const LEAST: usize = 4 + 4 + 4;

impl Parameters {
    /// Their number.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The parameters, in the daemon's order.
    pub fn iter(&self) -> impl Iterator<Item = Parameter<'_>> {
        let mut reader = Reader::new(&self.bytes);
        // `decode` has checked them: nothing is malformed.
        (0..self.count).map_while(move |_| Parameter::read(&mut reader).ok())
    }

    /// Reads at most `limit` parameters.
    pub(crate) fn decode(reader: &mut Reader<'_>, limit: usize) -> Result<Self, Malformed> {
        let count = reader.count(limit, LEAST)?;
        let bytes = reader.measured(|reader| (0..count).try_for_each(|_| Parameter::skip(reader)))?;
        Ok(Self { count, bytes })
    }
}

impl<'a> Parameter<'a> {
    /// Its name and its type.
    fn head(reader: &mut Reader<'a>) -> Result<(&'a [u8], i32), Malformed> {
        let field = reader.bytes()?;
        if field.len() > FIELD_MAX {
            return Err(Malformed::TextTooLong { length: field.len(), limit: FIELD_MAX });
        }
        Ok((field, reader.i32()?))
    }

    /// Only checks that the parameter is well-formed. An answer may have a quarter of a million of them and is checked
    /// in one go, so this decodes neither names nor texts.
    fn skip(reader: &mut Reader<'a>) -> Result<(), Malformed> {
        match Self::head(reader)?.1 {
            1 | 2 | 6 => reader.u32().map(drop),
            3..=5 => reader.u64().map(drop),
            7 => reader.bytes().map(drop),
            kind => Err(unknown(kind)),
        }
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (field, kind) = Self::head(reader)?;
        let value = match kind {
            1 => Value::Int(reader.i32()?),
            2 => Value::UInt(reader.u32()?),
            3 => Value::LLong(reader.i64()?),
            4 => Value::ULLong(reader.u64()?),
            5 => Value::Double(reader.f64()?),
            6 => Value::Boolean(reader.i32()? != 0),
            7 => Value::Text(kept(reader.bytes()?, TEXT_MAX)),
            kind => return Err(unknown(kind)),
        };
        Ok(Self { field: kept(field, FIELD_MAX), value })
    }
}

/// Without a known type, the value's length is unknown.
fn unknown(kind: i32) -> Malformed {
    Malformed::Unknown { what: "a typed parameter of type", number: kind.into() }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::xdr::Writer;

    #[test]
    fn what_is_skipped_is_what_is_read() {
        for kind in -1..10 {
            let mut buffer = BytesMut::new();
            let mut writer = Writer::new(&mut buffer);
            writer.bytes(b"a.name");
            writer.i32(kind);
            writer.bytes(&[0xff, b'x', b'y']);
            let whole = buffer.freeze();
            for length in 0..=whole.len() {
                let body = whole.slice(..length);
                let (mut skipped, mut read) = (Reader::new(&body), Reader::new(&body));
                assert_eq!(
                    Parameter::skip(&mut skipped),
                    Parameter::read(&mut read).map(drop),
                    "{kind}, {length} bytes"
                );
                assert_eq!(skipped.remaining(), read.remaining(), "{kind}, {length} bytes");
            }
        }
    }
}
