//! What the benches share: the spread of several runs, tables in Markdown, the facts of the machine.
#![allow(dead_code, reason = "each bench uses another part")]

pub(crate) mod machine;

use std::fmt::Write as _;
use std::time::Duration;

/// Whether `cargo bench` started us. `cargo test --all-targets` starts benches too, and those must not take minutes.
pub(crate) fn asked_to_measure() -> bool {
    let asked = std::env::args().any(|argument| argument == "--bench");
    if !asked {
        println!("nothing is measured outside of `cargo bench`");
    }
    asked
}

/// Durations of the same thing, in ascending order.
#[derive(Debug, Clone)]
pub(crate) struct Spread(Vec<Duration>);

impl Spread {
    /// Of at least one duration.
    #[track_caller]
    pub(crate) fn of(mut durations: Vec<Duration>) -> Spread {
        assert!(!durations.is_empty(), "nothing was measured");
        durations.sort_unstable();
        Spread(durations)
    }

    /// All of them.
    pub(crate) fn each(&self) -> impl Iterator<Item = Duration> + use<> {
        self.0.clone().into_iter()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The duration that so many percent of all do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0[rank - 1]
    }

    pub(crate) fn median(&self) -> Duration {
        self.percentile(50)
    }

    pub(crate) fn least(&self) -> Duration {
        self.0[0]
    }

    pub(crate) fn largest(&self) -> Duration {
        self.percentile(100)
    }

    /// The least, the median and the largest.
    pub(crate) fn three(&self) -> String {
        format!("{} / {} / {}", show(self.least()), show(self.median()), show(self.largest()))
    }
}

/// A duration as a person reads it: two or three figures and the unit.
pub(crate) fn show(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (value, unit) = if seconds >= 1.0 { (seconds, "s") } else { (seconds * 1e3, "ms") };
    match value {
        large if large >= 100.0 => format!("{large:.0} {unit}"),
        middle if middle >= 10.0 => format!("{middle:.1} {unit}"),
        small => format!("{small:.2} {unit}"),
    }
}

/// An amount of memory.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// A number of bytes, with thousands separators.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Prints a headline, a sentence or two, and a table, as they stand in docs/benchmarks.md.
pub(crate) fn print_table(headline: &str, words: &str, head: &[&str], rows: &[Vec<String>]) {
    let mut text = format!("\n## {headline}\n\n");
    if !words.is_empty() {
        let _ = writeln!(text, "{words}\n");
    }
    let _ = writeln!(text, "| {} |", head.join(" | "));
    let _ = writeln!(text, "|{}", "---|".repeat(head.len()));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    print!("{text}");
}

/// A row of a table.
pub(crate) fn row<const CELLS: usize>(cells: [&str; CELLS]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// A row of the table of promises: what was promised, what was measured, and whether that is kept.
pub(crate) fn promise(what: &str, promised: &str, measured: &str, kept: bool) -> Vec<String> {
    row([what, promised, measured, if kept { "kept" } else { "**missed**" }])
}

/// The columns of the table of promises.
pub(crate) const PROMISES: [&str; 4] = ["", "Promised", "Measured", ""];
