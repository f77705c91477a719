//! `virt-otel run`: reads and publishes until told to stop.

use std::io::Write;

use super::{Exit, output};
use crate::agent::{self, AgentError, Ended};
use crate::config::Run;

/// What shells add to a signal's number for the exit code of a program that the signal ended.
const BY_SIGNAL: u8 = 128;

/// Runs the agent.
pub(super) fn run(config: &Run, err: &mut dyn Write) -> Exit {
    let ended = agent::runtime().map_err(AgentError::Runtime).and_then(|runtime| {
        let ended = runtime.block_on(agent::run(config));
        // A name that is still being resolved must not delay the exit.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(Ended::InOrder) => Exit::SUCCESS,
        Ok(Ended::AtOnce(signal)) => Exit(BY_SIGNAL + signal),
        Err(error) => {
            output::complain(err, &output::chain(&error));
            Exit(error.exit_code())
        }
    }
}
