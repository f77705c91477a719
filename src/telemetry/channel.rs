//! The connection to the Collector for the agent's own metrics and logs.

use std::path::PathBuf;
use std::time::Duration;

use opentelemetry_otlp::{Compression, WithExportConfig, WithTonicConfig};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri};

/// How long a connection may take to come about. Less than a request's timeout, so that the reason is known: "cannot
/// connect" tells more than "too late".
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What every block of a PEM file begins with.
const PEM_BEGIN: &[u8] = b"-----BEGIN ";

/// How to reach a Collector.
#[derive(Debug, Clone)]
pub struct Collector {
    /// With `http` or `https`.
    pub endpoint: Uri,
    /// Sent with every request.
    pub headers: Vec<(String, String)>,
    /// How long one export may take, retries included.
    pub timeout: Duration,
    /// Whether requests are compressed.
    pub gzip: bool,
    /// The authorities to trust (PEM) instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate and its key (PEM).
    pub client_files: Option<(PathBuf, PathBuf)>,
}

/// Why there can be no connection at all, ever.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// A certificate or key cannot be read.
    #[error("the certificate file {path} could not be read; check the path and its permissions")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("the certificate file {path} holds no PEM block; give a PEM file")]
    NoPem {
        /// The file.
        path: PathBuf,
    },
    /// TLS cannot be set up with what was given.
    #[error("TLS to {endpoint} could not be set up; check that the certificate files are PEM and belong together")]
    Tls {
        /// The Collector.
        endpoint: Uri,
        /// Why.
        source: tonic::transport::Error,
    },
    /// The exporter refused the settings.
    #[error("the exporter to {endpoint} could not be set up")]
    Exporter {
        /// The Collector.
        endpoint: Uri,
        /// Why.
        source: opentelemetry_otlp::ExporterBuildError,
    },
}

impl Collector {
    /// A connection that is made when it is first used, and again when it is lost. Must be called within the runtime.
    pub(super) fn channel(&self) -> Result<Channel, ChannelError> {
        let tls_error = |source| ChannelError::Tls { endpoint: self.endpoint.clone(), source };
        let mut endpoint = Endpoint::from(self.endpoint.clone()).timeout(self.timeout).connect_timeout(CONNECT_TIMEOUT);
        if self.endpoint.scheme_str() == Some("https") {
            let mut tls = ClientTlsConfig::new();
            tls = match &self.ca_file {
                Some(path) => tls.ca_certificate(Certificate::from_pem(read(path)?)),
                None => tls.with_enabled_roots(),
            };
            if let Some((certificate, key)) = &self.client_files {
                tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
            }
            endpoint = endpoint.tls_config(tls).map_err(tls_error)?;
        }
        Ok(endpoint.connect_lazy())
    }

    /// Everything but the connection, which an exporter's builder is told.
    pub(super) fn apply<B: WithExportConfig + WithTonicConfig>(&self, builder: B) -> Result<B, ChannelError> {
        let mut metadata = MetadataMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            // The configuration has checked both.
            if let (Ok(name), Ok(value)) =
                (AsciiMetadataKey::from_bytes(name.as_bytes()), AsciiMetadataValue::try_from(value.as_str()))
            {
                metadata.insert(name, value);
            }
        }
        let builder = builder.with_channel(self.channel()?).with_timeout(self.timeout).with_metadata(metadata);
        Ok(if self.gzip { builder.with_compression(Compression::Gzip) } else { builder })
    }

    pub(super) fn exporter_error(&self, source: opentelemetry_otlp::ExporterBuildError) -> ChannelError {
        ChannelError::Exporter { endpoint: self.endpoint.clone(), source }
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>, ChannelError> {
    let bytes = std::fs::read(path).map_err(|source| ChannelError::File { path: path.clone(), source })?;
    // The library takes a file without any certificate for one with none to trust.
    if bytes.windows(PEM_BEGIN.len()).any(|part| part == PEM_BEGIN) {
        Ok(bytes)
    } else {
        Err(ChannelError::NoPem { path: path.clone() })
    }
}
