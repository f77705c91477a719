//! Converts typed values to the model's units.
//!
//! For one name, libvirt's type differs between versions (`int` here, `unsigned long long` there), so every figure
//! accepts every integer type. An impossible value is `None`: a negative number, even if wrapped into an unsigned one,
//! is libvirt's and QEMU's way to say "unknown".

use std::sync::Arc;
use std::time::Duration;

use crate::model::Bytes;

use super::Value;

/// The largest accepted figure: the maximum of a signed 64-bit integer, OTLP's only integer type. It is 9 exabytes, or
/// 292 years in nanoseconds: only a wrapped negative number exceeds it.
pub(super) const LARGEST_FIGURE: u64 = i64::MAX.cast_unsigned();

/// The longest accepted name of a disk or an interface, in bytes. Linux allows an interface 15, libvirt names disks
/// with 3 to 8; a longer one is not a name, and would become a label.
pub(super) const LONGEST_NAME: usize = 128;

/// How a parameter was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Fit {
    /// It is in the model, or its value means "unknown".
    Taken,
    /// Its name is known, but not used.
    LeftOut,
    /// It belongs to an item beyond the limit.
    Beyond,
    /// Its name is unknown, or its value has the wrong type.
    Unknown,
}

/// An integer of any type; `None` for any other value. A negative or wrapped one is `Some(None)`: unknown to libvirt.
fn whole(value: &Value<'_>) -> Option<Option<u64>> {
    let number = match *value {
        Value::Int(number) => u64::try_from(number).ok(),
        Value::UInt(number) => Some(u64::from(number)),
        Value::LLong(number) => u64::try_from(number).ok(),
        Value::ULLong(number) => Some(number),
        Value::Double(_) | Value::Boolean(_) | Value::Text(_) => return None,
    };
    Some(number.filter(|number| *number <= LARGEST_FIGURE))
}

fn put<T>(value: &Value<'_>, slot: &mut Option<T>, convert: impl FnOnce(u64) -> Option<T>) -> Fit {
    match whole(value) {
        Some(number) => {
            *slot = number.and_then(convert);
            Fit::Taken
        }
        None => Fit::Unknown,
    }
}

fn scaled(number: u64, unit: u64) -> Option<u64> {
    number.checked_mul(unit).filter(|scaled| *scaled <= LARGEST_FIGURE)
}

/// A number without a unit.
pub(super) fn count(value: &Value<'_>, slot: &mut Option<u64>) -> Fit {
    put(value, slot, Some)
}

/// An amount in bytes.
pub(super) fn bytes(value: &Value<'_>, slot: &mut Option<Bytes>) -> Fit {
    put(value, slot, |number| Some(Bytes(number)))
}

/// An amount in kibibytes.
pub(super) fn kib(value: &Value<'_>, slot: &mut Option<Bytes>) -> Fit {
    put(value, slot, |number| scaled(number, 1024).map(Bytes))
}

/// An amount in mebibytes.
pub(super) fn mib(value: &Value<'_>, slot: &mut Option<Bytes>) -> Fit {
    put(value, slot, |number| scaled(number, 1024 * 1024).map(Bytes))
}

/// A time in nanoseconds.
pub(super) fn nanos(value: &Value<'_>, slot: &mut Option<Duration>) -> Fit {
    put(value, slot, |number| Some(Duration::from_nanos(number)))
}

/// A time in milliseconds.
pub(super) fn millis(value: &Value<'_>, slot: &mut Option<Duration>) -> Fit {
    put(value, slot, |number| scaled(number, 1_000_000).map(Duration::from_nanos))
}

/// Whole seconds, as far as nanoseconds can hold them.
pub(super) fn seconds(value: &Value<'_>, slot: &mut Option<Duration>) -> Fit {
    put(value, slot, |number| scaled(number, 1_000_000_000).map(Duration::from_nanos))
}

/// A boolean.
pub(super) fn flag(value: &Value<'_>, slot: &mut Option<bool>) -> Fit {
    match *value {
        Value::Boolean(yes) => {
            *slot = Some(yes);
            Fit::Taken
        }
        _ => Fit::Unknown,
    }
}

/// A value of a libvirt enumeration. A `LLong` is kept as it is; from other types, a negative number becomes -1.
pub(super) fn number(value: &Value<'_>, slot: &mut Option<i64>) -> Fit {
    match (value, whole(value)) {
        (_, None) => Fit::Unknown,
        (Value::LLong(number), _) => {
            *slot = Some(*number);
            Fit::Taken
        }
        (_, Some(number)) => {
            *slot = Some(number.and_then(|number| i64::try_from(number).ok()).unwrap_or(-1));
            Fit::Taken
        }
    }
}

/// The name of a device: not empty, and no longer than [`LONGEST_NAME`].
pub(super) fn name(value: &Value<'_>, slot: &mut Arc<str>) -> Fit {
    match value {
        Value::Text(text) if !text.is_empty() && text.len() <= LONGEST_NAME => {
            *slot = Arc::from(&**text);
            Fit::Taken
        }
        _ => Fit::Unknown,
    }
}

/// The size of `pages` pages of `size` bytes.
pub(super) fn product(pages: u64, size: u64) -> Option<Bytes> {
    scaled(pages, size).map(Bytes)
}
