//! Every flag and variable, validated into types. Nothing else reads the environment.
//!
//! A value is looked up layer by layer: the flag, its variable `VIRT_OTEL_…`, the standard variable, the default
//! (`layers`); all of them go through the same validation (`validate`). What comes out can be used as it is.

mod daemons;
mod environment;
mod environment_file;
mod error;
mod exit_codes;
mod flags;
mod layers;
mod markdown;
mod names;
mod otlp;
mod service_manager;
mod source;
mod standard;
mod validate;
mod values;
mod web;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use clap::FromArgMatches as _;

pub use daemons::{Daemon, Way};
pub use environment::Environment;
pub use environment_file::environment_file;
pub use error::{ConfigError, EXIT_USAGE, Refusal};
pub use exit_codes::EXIT_CODES;
pub use flags::command;
pub use markdown::markdown;
pub use service_manager::ServiceManager;
pub use source::{Kubevirt, Sidecar, Source, Vms};
pub use standard::{STANDARD, Standard};
pub use values::Listen;
pub use web::{Web, WebAuth};

use crate::catalog::Selection;
use crate::collector::Collector;
use crate::model::Group;

/// What was asked for.
#[derive(Debug)]
pub enum Invocation {
    /// Read and publish until told to stop.
    Run(Box<Run>),
    /// Read once and print.
    Snapshot(Box<Snapshot>),
    /// Show every VM live.
    Top(Box<Top>),
    /// Try every precondition and report.
    Check(Box<Check>),
    /// Print the catalogue.
    Metrics(MetricsFormat),
    /// Print the completions for a shell.
    Completions(clap_complete::Shell),
    /// Print the manual page.
    Man,
}

/// The settings of `run`.
#[derive(Debug, Clone)]
pub struct Run {
    /// Which VMs are read.
    pub source: Source,
    /// How often.
    pub reading: ReadSettings,
    /// Which metrics are served at `/metrics`.
    pub served: Selection,
    /// Which metrics are pushed.
    pub pushed: Selection,
    /// Resource attributes.
    pub identity: Identity,
    /// How metrics are pushed; `None` if they are not.
    pub otlp_metrics: Option<Collector>,
    /// How often metrics are pushed.
    pub export_interval: Duration,
    /// How long one push of everything may take.
    pub export_timeout: Duration,
    /// How logs are pushed; `None` if they are not.
    pub otlp_logs: Option<Collector>,
    /// Whether metrics are served at `/metrics`.
    pub prometheus: bool,
    /// Where the admin server listens.
    pub listen: Listen,
    /// Where the probes are served; `None`: by the admin server.
    pub health_listen: Option<Listen>,
    /// Who may use the admin server; `None` for everybody.
    pub web: Option<Web>,
    /// Who wants to hear that it is ready and alive.
    pub service_manager: Option<ServiceManager>,
    /// Whether the agent measures itself.
    pub own: Own,
    /// How to log.
    pub logs: Logs,
    /// What looks like a mistake but stops nothing: one sentence each, for the log.
    pub warnings: Vec<String>,
}

/// The settings of `snapshot`.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// How it is printed.
    pub format: SnapshotFormat,
    /// Which VMs are read.
    pub source: Source,
    /// Which metrics are printed.
    pub selection: Selection,
    /// Resource attributes.
    pub identity: Identity,
    /// How to log.
    pub logs: Logs,
    /// What looks like a mistake but stops nothing: one sentence each, for the log.
    pub warnings: Vec<String>,
}

/// The settings of `top`.
#[derive(Debug, Clone)]
pub struct Top {
    /// Which VMs are read.
    pub source: Source,
    /// How often.
    pub reading: ReadSettings,
    /// Whether rows may have colours.
    pub colours: Colours,
    /// What is logged.
    pub logs: Logs,
    /// What looks like a mistake but stops nothing: one sentence each, for the log.
    pub warnings: Vec<String>,
}

/// Whether there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// There are.
    On,
    /// `NO_COLOR` is set, or the terminal has none.
    Off,
}

/// The settings of `check`.
#[derive(Debug, Clone)]
pub struct Check {
    /// How it is printed.
    pub format: CheckFormat,
    /// What is judged.
    pub run: Run,
}

/// How often VMs are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadSettings {
    /// The interval in general.
    pub interval: Duration,
    /// The interval of every group.
    pub groups: BTreeMap<Group, Duration>,
}

/// The resource attributes that the user gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The `service.name` of the agent's own resource.
    pub own_service_name: String,
    /// Further `service.*` attributes, for the agent's own resource only.
    pub own_attributes: Vec<(String, String)>,
    /// Attributes for every resource, the agent's own and the VMs'.
    pub common_attributes: Vec<(String, String)>,
}

/// Whether the agent measures itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// It does.
    On,
    /// It does not.
    Off,
}

/// How to log to standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logs {
    /// How a line looks.
    pub format: LogFormat,
    /// What is logged, as `tracing_subscriber`'s `EnvFilter` understands it; checked.
    pub filter: String,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How `snapshot` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotFormat {
    /// A table for people.
    Table,
    /// As `/metrics` would.
    Prometheus,
    /// As a Collector's file exporter would.
    OtlpJson,
}

/// How `check` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckFormat {
    /// Lines for people.
    Text,
    /// One object, in one line.
    Json,
}

/// How `metrics` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsFormat {
    /// `docs/metrics.md`.
    Markdown,
    /// One array of objects.
    Json,
}

/// What this command line and this environment ask for.
///
/// # Errors
///
/// [`Refusal::Shown`] when help or the version was asked for; [`Refusal::Wrong`] with one sentence for everything that
/// is wrong.
pub fn parse<I, T>(arguments: I, environment: &Environment) -> Result<Invocation, Refusal>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let matches = command().try_get_matches_from(arguments)?;
    let cli = flags::Cli::from_arg_matches(&matches)?;
    let layers = layers::Layers { environment };
    Ok(match cli.command {
        None => Invocation::Run(Box::new(validate::run(&cli.run, layers, validate::RUN_LOGS)?)),
        Some(flags::Cmd::Run(flags)) => Invocation::Run(Box::new(validate::run(&flags, layers, validate::RUN_LOGS)?)),
        Some(flags::Cmd::Snapshot(flags)) => Invocation::Snapshot(Box::new(validate::snapshot(&flags, layers)?)),
        Some(flags::Cmd::Top(flags)) => Invocation::Top(Box::new(validate::top(&flags, layers)?)),
        Some(flags::Cmd::Check(flags)) => Invocation::Check(Box::new(validate::check(&flags, layers)?)),
        Some(flags::Cmd::Metrics(flags)) => Invocation::Metrics(match flags.format.as_deref() {
            Some("json") => MetricsFormat::Json,
            _ => MetricsFormat::Markdown,
        }),
        Some(flags::Cmd::Completions { shell }) => Invocation::Completions(shell),
        Some(flags::Cmd::Man) => Invocation::Man,
    })
}

#[cfg(test)]
mod tests;
