//! What each subcommand does.

mod completions;
mod man;
pub mod metrics;
mod output;
mod run;
mod snapshot;
pub mod table;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::config::{EXIT_USAGE, Invocation, MetricsFormat, Refusal};

/// Does what was asked for. Results go to `out`, everything else to `err`.
pub fn execute(invocation: Invocation, mut out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    match invocation {
        Invocation::Run(config) => run::run(&config, err),
        Invocation::Snapshot(config) => snapshot::snapshot(&config, out, err),
        Invocation::Metrics(MetricsFormat::Markdown) => printed(metrics::markdown(&mut out), err),
        Invocation::Metrics(MetricsFormat::Json) => printed(metrics::json(&mut out), err),
        Invocation::Completions(shell) => printed(completions::print(shell, out), err),
        Invocation::Man => printed(man::print(out), err),
    }
}

/// Says why nothing is done: help and the version, or one sentence.
pub fn refuse(refusal: &Refusal, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    match refusal {
        Refusal::Shown(text) => printed(out.write_all(text.as_bytes()), err),
        Refusal::Wrong(sentence) => {
            output::complain(err, sentence);
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// The exit code after printing.
fn printed(written: io::Result<()>, err: &mut dyn Write) -> ExitCode {
    match written {
        Ok(()) => ExitCode::SUCCESS,
        // `virt-otel metrics | head` is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(err, &format!("standard output could not be written ({error}); give it room"));
            ExitCode::from(output::EXIT_IOERR)
        }
    }
}
