//! `virt-otel completions`: what a shell needs to complete options.

use std::io::{self, Write};

use clap_complete::Shell;

use crate::config;

/// Prints the completions.
///
/// # Errors
///
/// When they cannot be written.
pub(super) fn print(shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    // The generator panics when it cannot write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut config::command(), "virt-otel", &mut script);
    out.write_all(&script)
}
