//! What the benches share: the spread of several runs, tables in Markdown, the facts of the machine.

pub mod machine;
pub mod receiver;
pub mod scrapes;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Whether `cargo bench` started us. `cargo test --all-targets` starts benches too, and those must not take minutes.
pub fn asked_to_measure() -> bool {
    let asked = std::env::args().any(|argument| argument == "--bench");
    if !asked {
        println!("nothing is measured outside of `cargo bench`");
    }
    asked
}

/// A running bench that reports its progress.
pub struct Progress(Instant);

impl Progress {
    /// Begins a bench that starts virtual machines, and prints the facts of the machine. `None`, with the reason
    /// printed, where it cannot or shall not measure.
    pub fn begin(with: &str) -> Option<Progress> {
        if !asked_to_measure() {
            return None;
        }
        if !crate::process::is_root() || !crate::kvm() {
            println!("\nNothing was measured with {with}: that needs root and a usable /dev/kvm.");
            return None;
        }
        print_table("The machine", "", &["", ""], &machine::facts());
        Some(Progress(Instant::now()))
    }

    /// Prints the current step.
    pub fn say(&self, what: &str) {
        eprintln!("bench: {:>4} s: {what}", self.0.elapsed().as_secs());
    }

    /// Since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Durations of the same thing, in ascending order.
#[derive(Debug, Clone)]
pub struct Spread(Vec<Duration>);

impl Spread {
    /// Of at least one duration.
    #[track_caller]
    pub fn of(mut durations: Vec<Duration>) -> Spread {
        assert!(!durations.is_empty(), "nothing was measured");
        durations.sort_unstable();
        Spread(durations)
    }

    /// All of them.
    pub fn each(&self) -> impl Iterator<Item = Duration> + use<> {
        self.0.clone().into_iter()
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The duration that so many percent of all do not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0[rank - 1]
    }

    pub fn median(&self) -> Duration {
        self.percentile(50)
    }

    pub fn least(&self) -> Duration {
        self.0[0]
    }

    pub fn largest(&self) -> Duration {
        self.percentile(100)
    }

    /// The least, the median and the largest.
    pub fn three(&self) -> String {
        format!("{} / {} / {}", show(self.least()), show(self.median()), show(self.largest()))
    }
}

/// A duration as a person reads it: two or three figures and the unit.
pub fn show(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (value, unit) = if seconds >= 1.0 { (seconds, "s") } else { (seconds * 1e3, "ms") };
    match value {
        large if large >= 100.0 => format!("{large:.0} {unit}"),
        middle if middle >= 10.0 => format!("{middle:.1} {unit}"),
        small => format!("{small:.2} {unit}"),
    }
}

/// An amount of memory.
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// A number of bytes, with thousands separators.
pub fn thousands(number: usize) -> String {
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
pub fn print_table(headline: &str, words: &str, head: &[&str], rows: &[Vec<String>]) {
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
pub fn row<const CELLS: usize>(cells: [&str; CELLS]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// A row of the table of promises: what was promised, what was measured, and whether it is kept.
pub fn promise(what: &str, promised: &str, measured: &str, kept: bool) -> Vec<String> {
    row([what, promised, measured, if kept { "kept" } else { "**missed**" }])
}

/// The columns of the table of promises.
pub const PROMISES: [&str; 4] = ["", "Promised", "Measured", ""];
