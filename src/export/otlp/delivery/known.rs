//! Which series may be alive at the receiver.

use super::super::resource_kind::ResourceKind;
use super::Version;

/// The series that may be alive under a Resource, looked up in about the order in which they are stored.
pub(super) struct Known<'b> {
    lists: Vec<&'b [u64]>,
    /// Where in the first list to expect the next.
    expected: usize,
    found: usize,
    /// How many there are.
    pub(super) count: usize,
}

impl<'b> Known<'b> {
    pub(super) fn new(versions: &'b [Version], kind: &ResourceKind) -> Self {
        let lists: Vec<&[u64]> = versions
            .iter()
            .filter(|version| version.kind.same_resource(kind))
            .map(|version| version.series.as_slice())
            .collect();
        let count = lists.iter().map(|list| list.len()).sum();
        Self { lists, expected: 0, found: 0, count }
    }

    pub(super) fn contains(&mut self, id: u64) -> bool {
        let Some((first, others)) = self.lists.split_first() else { return false };
        let at = if first.get(self.expected) == Some(&id) {
            Some(self.expected)
        } else {
            first.iter().position(|known| *known == id)
        };
        if let Some(at) = at {
            self.expected = at + 1;
            self.found += 1;
            return true;
        }
        others.iter().any(|list| list.contains(&id))
    }

    /// Whether each was looked up. Certain only with one list; with more, the answer is no.
    pub(super) fn all_found(&self) -> bool {
        self.found == self.count
    }
}
