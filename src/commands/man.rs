//! `virt-otel man`: the manual page.

use std::io::{self, Write};

use crate::config;

/// Prints the manual page in roff.
///
/// # Errors
///
/// When it cannot be written.
pub(super) fn print(out: &mut dyn Write) -> io::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(config::command()).render(&mut page)?;
    out.write_all(&page)
}
