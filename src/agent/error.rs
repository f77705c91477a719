//! Why the agent cannot begin, or ended.

use crate::admin::ListenError;
use crate::collector::CollectorError;
use crate::config::EXIT_USAGE;
use crate::telemetry::{ChannelError, LogsError};
use crate::watch;
use crate::web::WebError;

/// `EX_UNAVAILABLE` of sysexits.h: something outside is unavailable.
const EXIT_UNAVAILABLE: u8 = 69;
/// `EX_SOFTWARE`: something went wrong inside.
const EXIT_SOFTWARE: u8 = 70;
/// `EX_OSERR`: the system refused something that it never should.
const EXIT_OSERR: u8 = 71;

/// Why the agent cannot begin, or ended.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The address is in use, or is not one of this machine's.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The files with credentials for the Collector cannot be used.
    #[error(transparent)]
    Collector(#[from] CollectorError),
    /// The agent's own telemetry cannot be pushed.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The credentials for the Kubernetes API cannot be used.
    #[error(transparent)]
    Watch(#[from] watch::ConnectError),
    /// The guard of the admin server cannot be built.
    #[error(transparent)]
    Web(#[from] WebError),
    /// The log cannot be started.
    #[error(transparent)]
    Logs(#[from] LogsError),
    /// The SDK refused its own instruments.
    #[error("the agent's own metrics could not be set up")]
    Own(#[from] opentelemetry_sdk::error::OTelSdkError),
    /// The system cannot start threads.
    #[error("threads could not be started; raise the limit on tasks of this service")]
    Runtime(#[source] std::io::Error),
    /// Signals cannot be received.
    #[error("signals cannot be received")]
    Signals(#[source] std::io::Error),
    /// A stage ended unexpectedly.
    #[error("the stage {stage} ended unexpectedly; please report this with the log before it")]
    StageEnded {
        /// The stage's module.
        stage: &'static str,
    },
}

impl AgentError {
    /// The exit code, by which a service manager distinguishes errors.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Collector(_) | Self::Channel(_) | Self::Watch(_) | Self::Logs(_) => EXIT_USAGE,
            Self::Listen(_) => EXIT_UNAVAILABLE,
            Self::Own(_) | Self::StageEnded { .. } => EXIT_SOFTWARE,
            Self::Web(_) | Self::Runtime(_) | Self::Signals(_) => EXIT_OSERR,
        }
    }
}
