//! Items that libvirt numbers: `vcpu.<number>.*`, `block.<number>.*`.

use std::collections::BTreeMap;

/// Items by their number, up to a limit. The count that libvirt announces (`block.count`) reserves nothing: only what
/// is really in the answer takes memory.
#[derive(Debug)]
pub(super) struct Numbered<T> {
    things: BTreeMap<u32, T>,
    limit: usize,
}

impl<T: Default> Numbered<T> {
    pub(super) const fn new(limit: usize) -> Self {
        Self { things: BTreeMap::new(), limit }
    }

    /// The item with this number, created if missing; `None` beyond the limit.
    pub(super) fn entry(&mut self, number: u32) -> Option<&mut T> {
        if self.things.len() >= self.limit && !self.things.contains_key(&number) {
            return None;
        }
        Some(self.things.entry(number).or_default())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.things.is_empty()
    }

    /// The items by ascending number.
    pub(super) fn into_iter(self) -> impl Iterator<Item = (u32, T)> {
        self.things.into_iter()
    }
}

/// Splits `3.rd.reqs` into 3 and `rd.reqs`. Only plain decimal numbers are accepted, so that each item has one
/// spelling.
pub(super) fn split(rest: &str) -> Option<(u32, &str)> {
    let (number, field) = rest.split_once('.')?;
    let plain = number.bytes().all(|byte| byte.is_ascii_digit()) && (number.len() == 1 || !number.starts_with('0'));
    if plain { Some((number.parse().ok()?, field)) } else { None }
}
