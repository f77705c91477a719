//! The connection to the Collector for the agent's own metrics and logs.

use opentelemetry_otlp::{Compression, ExporterBuildError, WithExportConfig, WithTonicConfig};
use tonic::metadata::MetadataMap;

use crate::collector::{Collector, CollectorError, Gzip};

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
        source: ExporterBuildError,
    },
}

/// An exporter, with compression and without it, over one connection: the SDK's own cannot change their mind.
#[derive(Debug)]
pub(super) struct Exporter<E> {
    pub(super) compressing: E,
    pub(super) plain: E,
    gzip: Gzip,
}

impl<E> Exporter<E> {
    /// The one to use now.
    pub(super) fn now(&self) -> &E {
        if self.gzip.is_on() { &self.compressing } else { &self.plain }
    }
}

/// An exporter to a Collector, made by `build` of what `builder` begins. The connection is made when it is first used, and
/// again when it is lost. Must be called within the runtime.
pub(super) fn towards<B: WithExportConfig + WithTonicConfig, E>(
    collector: &Collector,
    builder: impl Fn() -> B,
    build: impl Fn(B) -> Result<E, ExporterBuildError>,
) -> Result<Exporter<E>, ChannelError> {
    let mut metadata = MetadataMap::new();
    collector.headers.add_to(&mut metadata);
    let channel = collector.connector()?.timeout(collector.timeout).connect_lazy();
    let begun =
        || builder().with_channel(channel.clone()).with_timeout(collector.timeout).with_metadata(metadata.clone());
    let refused = |source| ChannelError::Exporter { endpoint: collector.name(), source };
    Ok(Exporter {
        compressing: build(begun().with_compression(Compression::Gzip)).map_err(refused)?,
        plain: build(begun()).map_err(refused)?,
        gzip: collector.gzip.clone(),
    })
}
