//! Typed values into the model's units.
//!
//! libvirt's types differ between versions for one name (`int` here, `unsigned long long` there), so every integer
//! type is taken for every figure. What a figure cannot be (negative, or a negative number that was wrapped into an
//! unsigned one: libvirt's and QEMU's way to say "unknown") is `None`.

use std::sync::Arc;
use std::time::Duration;

use crate::model::Bytes;

use super::Value;

/// The largest figure that is believed: what a signed 64-bit integer holds, OTLP's only integer type. Twice as much
/// is only reached by a wrapped negative number: it would be 9 exabytes, or 292 years in nanoseconds.
pub(super) const LARGEST_FIGURE: u64 = i64::MAX.cast_unsigned();

/// The longest name of a disk or an interface that is taken, in bytes. Linux allows an interface 15, libvirt names
/// disks with 3 to 8; a longer one is not a name, and would be a label.
pub(super) const LONGEST_NAME: usize = 128;

/// What became of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Fit {
    /// It is in the model, or said that its value is not known.
    Taken,
    /// Its name is known, and not used.
    LeftOut,
    /// It is of a thing that exceeds how many are taken.
    Beyond,
    /// Its name is not known, or its value is of a type that its name does not have.
    Unknown,
}

/// An integer of any type; `None` if the value is none. A negative one is `Some(None)`: not known to libvirt.
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

/// A yes or no.
pub(super) fn flag(value: &Value<'_>, slot: &mut Option<bool>) -> Fit {
    match *value {
        Value::Boolean(yes) => {
            *slot = Some(yes);
            Fit::Taken
        }
        _ => Fit::Unknown,
    }
}

/// A value of one of libvirt's enumerations; those may be negative, and a number that is none of them is -1.
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

/// An amount of so many pages of so many bytes.
pub(super) fn product(pages: u64, size: u64) -> Option<Bytes> {
    scaled(pages, size).map(Bytes)
}
