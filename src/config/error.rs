//! What is printed when the configuration is wrong.

use std::fmt;

/// A value that cannot be used: one sentence that names the flag or variable, what is wrong, and what is accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {problem}; {accepted}")]
pub struct ConfigError {
    /// The flag (`--interval`) or variable (`VIRT_OTEL_INTERVAL`).
    pub origin: String,
    /// What is wrong.
    pub problem: String,
    /// What is accepted, or what to do.
    pub accepted: String,
}

/// Why no command runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Help or the version was asked for: this text, on standard output, and success.
    Shown(String),
    /// Something is wrong: this sentence, on standard error, and exit code [`EXIT_USAGE`].
    Wrong(String),
}

/// The exit code for a wrong configuration: `EX_USAGE` of sysexits.h.
pub const EXIT_USAGE: u8 = 64;

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        Self::Wrong(error.to_string())
    }
}

impl From<clap::Error> for Refusal {
    fn from(error: clap::Error) -> Self {
        use clap::error::ErrorKind;
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Self::Shown(error.render().to_string()),
            _ => Self::Wrong(sentence(&error)),
        }
    }
}

/// clap's error, which is several lines, as one sentence.
fn sentence(error: &clap::Error) -> String {
    use clap::error::{ContextKind, ErrorKind};
    let context = |kind| error.get(kind).map(|value| value.to_string()).unwrap_or_default();
    let argument = context(ContextKind::InvalidArg);
    // clap names a flag with its placeholder (`--listen <ADDRESS>`); the flag alone is what the user typed.
    let flag = argument.split_whitespace().next().unwrap_or_default().split('=').next().unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let near = context(ContextKind::SuggestedArg);
            let hint =
                if near.is_empty() { "`virt-otel --help` lists them".to_owned() } else { format!("`{near}` is") };
            if flag.starts_with('-') {
                format!("{flag}: there is no such option; {hint}")
            } else {
                format!("{flag}: there is no such command here; `virt-otel --help` lists what there is")
            }
        }
        ErrorKind::InvalidSubcommand => {
            format!(
                "{}: there is no such command; `virt-otel --help` lists what there is",
                context(ContextKind::InvalidSubcommand)
            )
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let value = context(ContextKind::InvalidValue);
            let accepted = context(ContextKind::ValidValue);
            let flag = if flag.is_empty() { argument.as_str() } else { flag };
            if value.is_empty() {
                format!("{flag}: the value is missing; see `virt-otel --help`")
            } else {
                format!("{flag}: `{value}` is not accepted; give one of {accepted}")
            }
        }
        ErrorKind::ArgumentConflict if flag.starts_with('-') && context(ContextKind::PriorArg) == argument => {
            format!("{flag}: given more than once; give it once")
        }
        ErrorKind::ArgumentConflict => {
            let prior = context(ContextKind::PriorArg);
            let flag = [flag, prior.as_str()].into_iter().find(|name| name.starts_with('-')).unwrap_or("an option");
            let flag = flag.split_whitespace().next().unwrap_or_default();
            format!("{flag}: an option of `virt-otel run` stands before the command; put it after the command's name")
        }
        ErrorKind::MissingRequiredArgument => {
            format!("{argument}: is missing; see `virt-otel --help`")
        }
        ErrorKind::InvalidUtf8 => "an argument is not UTF-8; give it in UTF-8".to_owned(),
        _ => {
            let text = error.render().to_string();
            let first = text.lines().next().unwrap_or_default();
            format!("{}; see `virt-otel --help`", first.trim_start_matches("error: "))
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// The command line.
    Flag(&'static str),
    /// The environment.
    Variable(String),
    /// No value was given.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(formatter, "--{name}"),
            Self::Variable(name) => formatter.write_str(name),
            Self::Default => formatter.write_str("the default"),
        }
    }
}

/// A value with its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) value: String,
    pub(super) origin: Origin,
}

impl Given {
    /// An error that shows this value.
    pub(super) fn wrong(&self, what: impl fmt::Display, accepted: impl Into<String>) -> ConfigError {
        self.problem(format!("`{}` {what}", shown(&self.value)), accepted)
    }

    /// An error that does not show this value, which may be a secret.
    pub(super) fn problem(&self, problem: impl Into<String>, accepted: impl Into<String>) -> ConfigError {
        ConfigError { origin: self.origin.to_string(), problem: problem.into(), accepted: accepted.into() }
    }

    /// The same origin with a part of the value.
    pub(super) fn part(&self, value: &str) -> Self {
        Self { value: value.to_owned(), origin: self.origin.clone() }
    }
}

/// How much of a wrong value its error repeats.
const SHOWN_CHARACTERS: usize = 60;

/// A value on one line and not too long.
fn shown(value: &str) -> String {
    let mut text: String = value.chars().take(SHOWN_CHARACTERS).flat_map(char::escape_debug).collect();
    if value.chars().count() > SHOWN_CHARACTERS {
        text.push('…');
    }
    text
}
