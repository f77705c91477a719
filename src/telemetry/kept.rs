//! The newest lines of the log, for somebody who shows them himself: a screen that is drawn has no room for a log.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// How many lines are kept.
const LINES: usize = 8;

/// The longest line: what a wide terminal shows.
const LONGEST: usize = 1_024;

/// The newest lines, the newest last. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct KeptLines(Arc<Mutex<VecDeque<String>>>);

impl KeptLines {
    /// The newest of them, at most so many.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().skip(lines.len().saturating_sub(count)).cloned().collect()
    }
}

/// One record is one write.
impl io::Write for KeptLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text: String = String::from_utf8_lossy(bytes).trim().chars().take(LONGEST).collect();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(text);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for KeptLines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_newest_lines_are_kept_and_no_more() {
        let lines = KeptLines::default();
        assert!(lines.newest(3).is_empty());
        for number in 0..20 {
            lines.clone().write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        assert_eq!(lines.newest(2), ["line 18", "line 19"]);
        assert_eq!(lines.newest(100).len(), LINES);
    }

    #[test]
    fn a_line_is_no_longer_than_a_terminal_can_show() {
        let lines = KeptLines::default();
        lines.clone().write_all("ä".repeat(LONGEST * 2).as_bytes()).unwrap();
        assert_eq!(lines.newest(1)[0].chars().count(), LONGEST);
    }
}
