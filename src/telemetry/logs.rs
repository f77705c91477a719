//! Logs: to standard error, as text or JSON, and to the Collector when asked.

use std::io::IsTerminal as _;
use std::time::Duration;

use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::LogExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{BatchConfigBuilder, BatchLogProcessor, LogBatch, SdkLoggerProvider};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, FilterFn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

use super::channel::{ChannelError, Exporter, towards};
use super::kept::KeptLines;
use super::resource::Identity;
use crate::collector::{Collector, Credentials};

/// Libraries that are used to push log records. If their own records were pushed too, each push would cause the next,
/// for ever.
const NEVER_PUSHED: [&str; 7] = ["opentelemetry", "tonic", "h2", "hyper", "tower", "rustls", "prost"];

/// How many records wait to be pushed: a few minutes of a busy agent. More are dropped; standard error has them.
const QUEUE: usize = 1_024;

/// How long the last push of logs may take when the agent stops: standard error has them already.
const LAST_PUSH: Duration = Duration::from_secs(1);

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How to log.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// How a line looks on standard error.
    pub format: LogFormat,
    /// What is logged, in the syntax of `EnvFilter`.
    pub filter: String,
    /// Where logs are pushed, and with what; `None` if they are not.
    pub collector: Option<(Collector, Credentials)>,
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The filter is invalid.
    #[error("the log filter {filter} could not be understood")]
    Filter {
        /// The filter.
        filter: String,
        /// Why.
        source: tracing_subscriber::filter::ParseError,
    },
    /// No connection to the Collector is possible.
    #[error("logs cannot be pushed")]
    Channel(#[from] ChannelError),
    /// Logging is set up in this process already.
    #[error("a log has been set up in this process before")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// The log of this process, until it is finished.
#[derive(Debug)]
pub struct Logs {
    provider: Option<SdkLoggerProvider>,
}

impl Logs {
    /// Starts the log of this process. Must be called within the runtime.
    ///
    /// # Errors
    ///
    /// See [`LogsError`]; nothing is then logged.
    pub fn start(settings: &LogSettings, identity: &Identity) -> Result<Self, LogsError> {
        let provider = settings.collector.as_ref();
        let provider =
            provider.map(|(collector, credentials)| provider_of(collector, credentials, identity)).transpose()?;
        let pushed = match &provider {
            Some(provider) => {
                let layer = OpenTelemetryTracingBridge::new(provider);
                Some(layer.with_filter(filter(settings)?.and(FilterFn::new(|record| may_be_pushed(record.target())))))
            }
            None => None,
        };
        tracing_subscriber::registry()
            .with(lines(settings.format).with_filter(filter(settings)?))
            .with(pushed)
            .try_init()?;
        Ok(Self { provider })
    }

    /// Keeps the newest lines in place of writing them to standard error.
    ///
    /// # Errors
    ///
    /// See [`LogsError`]; nothing is then kept.
    pub fn keep(settings: &LogSettings) -> Result<KeptLines, LogsError> {
        let kept = KeptLines::default();
        let lines = fmt::layer().with_writer(kept.clone()).with_ansi(false).with_target(false).without_time();
        tracing_subscriber::registry().with(lines.with_filter(filter(settings)?)).try_init()?;
        Ok(kept)
    }

    /// Pushes what still waits, within a second, and stops pushing. Standard error goes on.
    pub async fn finish(self) {
        let Some(provider) = self.provider else { return };
        // The SDK blocks a thread, which is left behind if it misses its own deadline.
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_PUSH));
        let _ = tokio::time::timeout(LAST_PUSH * 2, ended).await;
    }
}

fn filter(settings: &LogSettings) -> Result<EnvFilter, LogsError> {
    let parsed = EnvFilter::builder().parse(&settings.filter);
    parsed.map_err(|source| LogsError::Filter { filter: settings.filter.clone(), source })
}

fn lines(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let layer = fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Json => layer.json().flatten_event(true).with_ansi(false).boxed(),
        // On a terminal the library decides on colours, and obeys NO_COLOR.
        LogFormat::Text if std::io::stderr().is_terminal() => layer.boxed(),
        LogFormat::Text => layer.with_ansi(false).boxed(),
    }
}

fn provider_of(
    collector: &Collector,
    credentials: &Credentials,
    identity: &Identity,
) -> Result<SdkLoggerProvider, ChannelError> {
    let exporter = towards(collector, credentials, || LogExporter::builder().with_tonic(), |builder| builder.build())?;
    let batches = BatchConfigBuilder::default().with_max_queue_size(QUEUE).build();
    let processor = BatchLogProcessor::builder(exporter).with_batch_config(batches).build();
    Ok(SdkLoggerProvider::builder().with_resource(identity.resource()).with_log_processor(processor).build())
}

impl opentelemetry_sdk::logs::LogExporter for Exporter<LogExporter> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        self.now().export(batch).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.compressing.shutdown_with_timeout(timeout).and(self.plain.shutdown_with_timeout(timeout))
    }

    fn set_resource(&mut self, resource: &Resource) {
        for exporter in [&mut self.compressing, &mut self.plain] {
            exporter.set_resource(resource);
        }
    }
}

fn may_be_pushed(target: &str) -> bool {
    !NEVER_PUSHED.iter().any(|library| target.starts_with(library))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_works_on_a_push_is_not_pushed() {
        for target in ["h2::proto::connection", "tonic::transport", "opentelemetry_sdk", "hyper_util::client"] {
            assert!(!may_be_pushed(target), "{target}");
        }
        assert!(may_be_pushed("virt_otel::observe"));
    }
}
