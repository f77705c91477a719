//! Reads JSON without ever failing.
//!
//! A value stays text until it is used. So a wrong value affects only itself, and unused values are skipped without
//! being built, at any depth.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Tally;

/// The text of a value; `None` if there is none.
pub(super) type Raw<'a> = Option<&'a RawValue>;

impl Tally {
    /// Counts a value that cannot be used.
    pub(super) fn field(&mut self) {
        self.fields = self.fields.saturating_add(1);
    }
}

/// The text of a present value: Go writes an absent one as `null`.
fn present(raw: Raw<'_>) -> Option<&str> {
    raw.map(RawValue::get).filter(|text| *text != "null")
}

/// The values of these keys of an object. For a duplicate key the last value counts, as in Go.
pub(super) fn pick<'a, const N: usize>(raw: Raw<'a>, keys: [&str; N], tally: &mut Tally) -> [Raw<'a>; N] {
    let mut picked = [None; N];
    members(raw, tally, |key, value, _| {
        if let Some(place) = keys.iter().position(|wanted| *wanted == key) {
            picked[place] = Some(value);
        }
    });
    picked
}

/// Calls `each` with every key and value of an object.
pub(super) fn members<'a>(raw: Raw<'a>, tally: &mut Tally, each: impl FnMut(&str, &'a RawValue, &mut Tally)) {
    let Some(text) = present(raw) else { return };
    let visited = serde_json::Deserializer::from_str(text).deserialize_map(Members { each, tally });
    if visited.is_err() {
        tally.field();
    }
}

struct Members<'t, F> {
    each: F,
    tally: &'t mut Tally,
}

impl<'de, F: FnMut(&str, &'de RawValue, &mut Tally)> Visitor<'de> for Members<'_, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Text)? {
            let value = map.next_value::<&RawValue>()?;
            (self.each)(&key, value, self.tally);
        }
        Ok(())
    }
}

/// Calls `each` with every element of an array, up to `most`; the rest are counted.
pub(super) fn elements<'a>(raw: Raw<'a>, most: usize, tally: &mut Tally, each: impl FnMut(&'a RawValue, &mut Tally)) {
    let Some(text) = present(raw) else { return };
    let visited = serde_json::Deserializer::from_str(text).deserialize_seq(Elements { each, most, tally });
    if visited.is_err() {
        tally.field();
    }
}

struct Elements<'t, F> {
    each: F,
    most: usize,
    tally: &'t mut Tally,
}

impl<'de, F: FnMut(&'de RawValue, &mut Tally)> Visitor<'de> for Elements<'_, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<(), A::Error> {
        for _ in 0..self.most {
            let Some(value) = array.next_element::<&RawValue>()? else { return Ok(()) };
            (self.each)(value, self.tally);
        }
        while array.next_element::<IgnoredAny>()?.is_some() {
            self.tally.field();
        }
        Ok(())
    }
}

/// A string of at most `most` bytes; Go writes an absent one as an empty string.
pub(super) fn text(raw: Raw<'_>, most: usize, tally: &mut Tally) -> Option<Arc<str>> {
    let text = decoded(present(raw)?, most);
    match text {
        Some(text) if text.is_empty() => None,
        Some(text) => Some(text.into()),
        None => {
            tally.field();
            None
        }
    }
}

/// The decoded JSON string, if it is one and not too long.
pub(super) fn decoded(json: &str, most: usize) -> Option<Cow<'_, str>> {
    // Six bytes of JSON (`\u0000`) give at least one of text. What is longer need not be decoded.
    if json.len() > most.saturating_mul(6).saturating_add(2) {
        return None;
    }
    let text = Text.deserialize(&mut serde_json::Deserializer::from_str(json)).ok()?;
    (text.len() <= most).then_some(text)
}

/// A string, borrowed if it has no escapes.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// An integer that fits.
pub(super) fn number(raw: Raw<'_>, tally: &mut Tally) -> Option<u32> {
    let number = serde_json::from_str(present(raw)?).ok();
    if number.is_none() {
        tally.field();
    }
    number
}

/// Whether it is `true`.
pub(super) fn flag(raw: Raw<'_>, tally: &mut Tally) -> bool {
    match present(raw) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            tally.field();
            false
        }
    }
}

/// Parses a string of at most `most` bytes; a failure is counted.
pub(super) fn parsed<T>(
    raw: Raw<'_>,
    most: usize,
    tally: &mut Tally,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let text = text(raw, most, tally)?;
    let value = parse(&text);
    if value.is_none() {
        tally.field();
    }
    value
}
