//! Typed parameters (`virTypedParameter`), read where they lie.

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
    /// `VIR_TYPED_PARAM_STRING`, [`TEXT_MAX`] bytes of it at most.
    Text(Cow<'a, str>),
}

/// Typed parameters as they came, checked to be well-formed. They share the memory of the answer that they came in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parameters {
    count: usize,
    bytes: Bytes,
}

/// How many bytes a parameter takes at least: an empty name, a type and an `int`.
const LEAST: usize = 4 + 4 + 4;

impl Parameters {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each of them, in the daemon's order.
    pub fn iter(&self) -> impl Iterator<Item = Parameter<'_>> {
        let mut reader = Reader::new(&self.bytes);
        // They were read once already, when they came: nothing is malformed.
        (0..self.count).map_while(move |_| Raw::read(&mut reader).ok().map(Raw::understood))
    }

    /// Reads `limit` of them at most.
    pub(crate) fn decode(reader: &mut Reader<'_>, limit: usize) -> Result<Self, Malformed> {
        let count = reader.count(limit, LEAST)?;
        // No text is looked at before it is asked for.
        let bytes = reader.measured(|reader| (0..count).try_for_each(|_| Raw::read(reader).map(drop)))?;
        Ok(Self { count, bytes })
    }
}

/// A parameter whose texts are still bytes.
struct Raw<'a> {
    field: &'a [u8],
    value: RawValue<'a>,
}

enum RawValue<'a> {
    Text(&'a [u8]),
    Other(Value<'a>),
}

impl<'a> Raw<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let field = reader.bytes()?;
        if field.len() > FIELD_MAX {
            return Err(Malformed::TextTooLong { length: field.len(), limit: FIELD_MAX });
        }
        let value = match reader.i32()? {
            1 => RawValue::Other(Value::Int(reader.i32()?)),
            2 => RawValue::Other(Value::UInt(reader.u32()?)),
            3 => RawValue::Other(Value::LLong(reader.i64()?)),
            4 => RawValue::Other(Value::ULLong(reader.u64()?)),
            5 => RawValue::Other(Value::Double(reader.f64()?)),
            6 => RawValue::Other(Value::Boolean(reader.i32()? != 0)),
            7 => RawValue::Text(reader.bytes()?),
            // How long its value is, only its type would tell.
            kind => return Err(Malformed::Unknown { what: "a typed parameter of type", number: kind.into() }),
        };
        Ok(Self { field, value })
    }

    fn understood(self) -> Parameter<'a> {
        let value = match self.value {
            RawValue::Text(bytes) => Value::Text(kept(bytes, TEXT_MAX)),
            RawValue::Other(value) => value,
        };
        Parameter { field: kept(self.field, FIELD_MAX), value }
    }
}
