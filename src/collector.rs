//! Where OTLP is pushed and how it gets there: the only definition of an OpenTelemetry Collector, for all that is
//! pushed.
//!
//! ```text
//!  settings ─► files        which files they name
//!              secrets      what the files hold, each part as it was last good
//!              headers      headers of requests
//!              credentials  headers and TLS, ready for use; those who push hold the current ones
//!              rotation     reads the files again, for as long as the agent runs
//! ```

mod counters;
mod credentials;
mod files;
mod headers;
mod metrics;
mod rotation;
mod secrets;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tonic::transport::Uri;

pub use counters::CredentialCounters;
pub use credentials::{Access, Credentials};
pub use headers::{BadHeader, Headers};
pub use metrics::METRICS;
pub use rotation::Rotation;

/// How long one request may take: the default of `OTEL_EXPORTER_OTLP_TIMEOUT`.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the Collector listens: the default of `OTEL_EXPORTER_OTLP_ENDPOINT` for gRPC.
pub const DEFAULT_ENDPOINT: &str = "http://localhost:4317";

/// How long connecting may take, and then the TLS handshake. Less than a request's timeout, so that the reason is known:
/// "cannot connect" tells more than "too late".
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long new credentials with which no connection comes up are left alone, unless they are replaced: the other end
/// usually has its own within minutes.
pub const TRY_CREDENTIALS_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// A Collector that takes OTLP over gRPC, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// `http://host:port` or `https://host:port`.
    pub endpoint: Uri,
    /// Sent with every request.
    pub headers: Headers,
    /// A file with more of them, which beat those.
    pub headers_file: Option<PathBuf>,
    /// How long one request may take.
    pub timeout: Duration,
    /// Whether requests are compressed.
    pub gzip: Gzip,
    /// The certificate authorities (PEM) that the Collector's certificate is checked against, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate (PEM) and its key.
    pub client_files: Option<(PathBuf, PathBuf)>,
}

impl Default for Collector {
    /// A Collector on the same host, the default of the specification.
    fn default() -> Self {
        Self {
            endpoint: Uri::from_static(DEFAULT_ENDPOINT),
            headers: Headers::default(),
            headers_file: None,
            timeout: DEFAULT_TIMEOUT,
            gzip: Gzip::from(true),
            ca_file: None,
            client_files: None,
        }
    }
}

/// Whether requests to a Collector are compressed with gzip. Every receiver of OTLP must understand it, and some do not.
/// Clones share the answer: what the push of VMs finds out holds for the agent's own telemetry too.
#[derive(Debug, Clone)]
pub struct Gzip(Arc<AtomicBool>);

impl Gzip {
    /// Whether the next request is compressed.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// No further request is compressed.
    pub fn turn_off(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl From<bool> for Gzip {
    fn from(on: bool) -> Self {
        Self(Arc::new(AtomicBool::new(on)))
    }
}

impl PartialEq for Gzip {
    fn eq(&self, other: &Self) -> bool {
        self.is_on() == other.is_on()
    }
}

impl Eq for Gzip {}

/// Why a Collector cannot be reached with its settings.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// A file cannot be used.
    #[error("the file {} given by {setting} cannot be used: {problem}; {advice}", path.display())]
    File {
        /// Which setting names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it. It repeats nothing of what the file holds.
        problem: String,
        /// What to do.
        advice: &'static str,
    },
    /// A key of another certificate.
    #[error(
        "the key {} given by OTEL_EXPORTER_OTLP_CLIENT_KEY is not that of the certificate {} given by OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE; give the two that were issued together",
        key.display(), certificate.display()
    )]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// TLS cannot be set up.
    #[error(
        "TLS to {endpoint} cannot be set up; check the files given by OTEL_EXPORTER_OTLP_CERTIFICATE, _CLIENT_CERTIFICATE and _CLIENT_KEY, or install the system's ca-certificates"
    )]
    Tls {
        /// The endpoint.
        endpoint: String,
        /// What is wrong.
        #[source]
        source: tonic::transport::Error,
    },
}

impl Collector {
    /// The endpoint as it may be logged: without a user and a password.
    #[must_use]
    pub fn name(&self) -> String {
        let authority = self.endpoint.authority().map_or("", |authority| authority.as_str());
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        format!("{}://{host}", self.endpoint.scheme_str().unwrap_or("http"))
    }

    /// Whether the connection is encrypted.
    fn is_encrypted(&self) -> bool {
        self.endpoint.scheme_str() == Some("https")
    }
}

#[cfg(test)]
mod tests;
