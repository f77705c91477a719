//! The `virt-otel` command.

use virt_otel::commands;
use virt_otel::config::{self, Environment};

fn main() {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let exit = match config::parse(std::env::args_os(), &Environment::of_this_process()) {
        Ok(invocation) => commands::execute(invocation, &mut out, &mut err),
        Err(refusal) => commands::refuse(&refusal, &mut out, &mut err),
    };
    commands::leave(exit, &mut out, &mut err)
}
