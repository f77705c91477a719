//! What each subcommand does.

mod check;
mod completions;
mod man;
pub mod metrics;
mod output;
mod progress;
mod run;
mod snapshot;
pub mod table;
mod top;

use std::io::{self, Write};

use crate::config::{EXIT_USAGE, Invocation, MetricsFormat, Refusal};

/// How a command ended, as the process's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    /// Success.
    pub const SUCCESS: Self = Self(0);
    /// Failure.
    pub const FAILURE: Self = Self(1);
}

/// Executes a command. Results go to `out`, everything else to `err`.
pub fn execute(invocation: Invocation, mut out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    match invocation {
        Invocation::Run(config) => run::run(&config, err),
        Invocation::Snapshot(config) => snapshot::snapshot(&config, out, err),
        Invocation::Top(config) => top::top(&config, err),
        Invocation::Check(config) => check::check(&config, out, err),
        Invocation::Metrics(MetricsFormat::Markdown) => printed(metrics::markdown(&mut out), err),
        Invocation::Metrics(MetricsFormat::Json) => printed(metrics::json(&mut out), err),
        Invocation::Completions(shell) => printed(completions::print(shell, out), err),
        Invocation::Man => printed(man::print(out), err),
    }
}

/// Prints the help or the version, or one sentence about the mistake.
pub fn refuse(refusal: &Refusal, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    match refusal {
        Refusal::Shown(text) => printed(out.write_all(text.as_bytes()), err),
        Refusal::Wrong(sentence) => {
            output::complain(err, sentence);
            Exit(EXIT_USAGE)
        }
    }
}

/// The exit code after printing.
fn printed(written: io::Result<()>, err: &mut dyn Write) -> Exit {
    match written {
        Ok(()) => Exit::SUCCESS,
        // `virt-otel metrics | head` is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::SUCCESS,
        Err(error) => {
            output::complain(err, &format!("standard output could not be written ({error}); give it room"));
            Exit(output::EXIT_IOERR)
        }
    }
}
