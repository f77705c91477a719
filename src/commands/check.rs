//! `virt-otel check`: tries everything that the agent needs, and prints the report.

use std::io::Write;

use super::{Exit, output, printed};
use crate::agent::{self, AgentError};
use crate::check::{self, Outcome, Report};
use crate::config::{self, CheckFormat};
use crate::telemetry::Logs;

/// Something is not as it should be.
const WARNING: Exit = Exit(1);
/// Something fails.
const FAILURE: Exit = Exit(2);

/// Tries and prints.
pub(super) fn check(config: &config::Check, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    let report = agent::runtime().map_err(AgentError::Runtime).and_then(|runtime| {
        let report = runtime.block_on(tried(&config.run));
        // Whatever hangs must not delay the exit.
        runtime.shutdown_background();
        report
    });
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            output::complain(err, &output::chain(&error));
            return Exit(error.exit_code());
        }
    };
    let text = match config.format {
        CheckFormat::Text => report.text(),
        CheckFormat::Json => format!("{}\n", report.json()),
    };
    match printed(out.write_all(text.as_bytes()), err) {
        Exit::SUCCESS => of(report.outcome()),
        failed => failed,
    }
}

async fn tried(run: &config::Run) -> Result<Report, AgentError> {
    let identity = agent::identity(&run.source, &run.identity, run.listen.port);
    let logs = Logs::start(&agent::logs(&run.logs, None), &identity)?;
    let report = check::check(run).await;
    logs.finish().await;
    Ok(report)
}

const fn of(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Well | Outcome::NotTried => Exit::SUCCESS,
        Outcome::Warning => WARNING,
        Outcome::Failure => FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_worst_outcome() {
        for (outcome, code) in
            [(Outcome::NotTried, 0), (Outcome::Well, 0), (Outcome::Warning, 1), (Outcome::Failure, 2)]
        {
            assert_eq!(of(outcome), Exit(code));
        }
    }
}
