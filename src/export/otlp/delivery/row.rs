//! The series of one row, each once.

use std::collections::HashSet;

/// Up to this many are searched one by one, more in a table. Most rows have one or two.
const LIST_MAX: usize = 32;

/// See the module.
pub(super) struct Row {
    first: usize,
    table: HashSet<u64>,
}

impl Row {
    /// A row whose series come after `first` others.
    pub(super) fn after(first: usize) -> Self {
        Self { first, table: HashSet::new() }
    }

    /// Adds a series to `present`; `false` if the row has it.
    pub(super) fn add(&mut self, id: u64, present: &mut Vec<u64>) -> bool {
        let row = &present[self.first..];
        if row.len() < LIST_MAX {
            if row.contains(&id) {
                return false;
            }
        } else {
            if self.table.is_empty() {
                self.table.extend(row);
            }
            if !self.table.insert(id) {
                return false;
            }
        }
        present.push(id);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_series_of_a_row_is_there_once_however_many_there_are() {
        let mut present = vec![7, 3];
        let mut row = Row::after(present.len());
        for round in 0..3 {
            for id in 0..1_000 {
                assert_eq!(row.add(id, &mut present), round == 0, "{id}: another row may have it");
            }
        }
        assert_eq!(present.len(), 1_002);
        assert!(Row::after(present.len()).add(7, &mut present));
    }
}
