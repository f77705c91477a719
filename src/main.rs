//! The `virt-otel` command.

use std::io::Write as _;
use std::process::ExitCode;

use virt_otel::commands;
use virt_otel::config::{self, Environment};

fn main() -> ExitCode {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let exit = match config::parse(std::env::args_os(), &Environment::of_this_process()) {
        Ok(invocation) => commands::execute(invocation, &mut out, &mut err),
        Err(refusal) => commands::refuse(&refusal, &mut out, &mut err),
    };
    // A failure can no longer be reported.
    let _ = out.flush();
    ExitCode::from(exit.0)
}
