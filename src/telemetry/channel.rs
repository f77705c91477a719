//! The connection to the Collector for the agent's own metrics and logs.

use opentelemetry_otlp::{Compression, WithExportConfig, WithTonicConfig};
use tonic::metadata::MetadataMap;

use crate::collector::{Collector, CollectorError};

/// Why the agent's own telemetry can never be pushed.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The Collector cannot be reached with these settings.
    #[error(transparent)]
    Collector(#[from] CollectorError),
    /// The exporter refused the settings.
    #[error("the exporter to {endpoint} could not be set up")]
    Exporter {
        /// The Collector.
        endpoint: String,
        /// Why.
        source: opentelemetry_otlp::ExporterBuildError,
    },
}

/// Tells an exporter's builder where to push. The connection is made when it is first used, and again when it is lost.
/// Must be called within the runtime.
pub(super) fn towards<B: WithExportConfig + WithTonicConfig>(
    collector: &Collector,
    builder: B,
) -> Result<B, ChannelError> {
    let mut metadata = MetadataMap::new();
    collector.headers.add_to(&mut metadata);
    let channel = collector.connector()?.timeout(collector.timeout).connect_lazy();
    let builder = builder.with_channel(channel).with_timeout(collector.timeout).with_metadata(metadata);
    Ok(if collector.gzip { builder.with_compression(Compression::Gzip) } else { builder })
}

pub(super) fn refused(collector: &Collector, source: opentelemetry_otlp::ExporterBuildError) -> ChannelError {
    ChannelError::Exporter { endpoint: collector.name(), source }
}
