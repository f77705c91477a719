//! Messages on standard error.

use std::error::Error;
use std::io::Write;

/// `EX_IOERR` of sysexits.h.
pub(super) const EXIT_IOERR: u8 = 74;

/// Writes one sentence, after the program's name. An error in writing it is ignored.
pub(super) fn complain(err: &mut dyn Write, sentence: &str) {
    let _ = writeln!(err, "virt-otel: {sentence}");
}

/// An error with its causes, on one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat their cause in their own text.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text.replace('\n', " ")
}
