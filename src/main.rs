//! The `virt-otel` command.

use std::process::ExitCode;

use virt_otel::commands;
use virt_otel::config::{self, Environment};

fn main() -> ExitCode {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    match config::parse(std::env::args_os(), &Environment::of_this_process()) {
        Ok(invocation) => commands::execute(invocation, &mut out, &mut err),
        Err(refusal) => commands::refuse(&refusal, &mut out, &mut err),
    }
}
