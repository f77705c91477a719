//! Where OTLP is pushed and how it gets there: the only definition of an OpenTelemetry Collector, for all that is
//! pushed.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Uri};

/// How long one request may take: the default of `OTEL_EXPORTER_OTLP_TIMEOUT`.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the Collector listens: the default of `OTEL_EXPORTER_OTLP_ENDPOINT` for gRPC.
pub const DEFAULT_ENDPOINT: &str = "http://localhost:4317";

/// How long connecting may take. Less than a request's timeout, so that the reason is known: "cannot connect" tells
/// more than "too late".
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest certificate or key file that is read: a bundle of all public authorities has a quarter of it.
const PEM_LIMIT: u64 = 1_024 * 1_024;

/// A Collector that takes OTLP over gRPC, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// `http://host:port` or `https://host:port`.
    pub endpoint: Uri,
    /// Sent with every request.
    pub headers: Headers,
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

/// Why a Collector can never be reached.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// A file of the TLS configuration cannot be used.
    #[error("the file {} given by {variable} cannot be used: {problem}; give a readable PEM file", path.display())]
    File {
        /// Which setting names it.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
        /// Why it could not be read.
        #[source]
        source: Option<std::io::Error>,
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

    /// Reads the certificate files. The result connects when it is used.
    ///
    /// # Errors
    ///
    /// When a certificate or key cannot be used. The Collector need not be reachable.
    pub fn connector(&self) -> Result<Endpoint, CollectorError> {
        let mut endpoint = Endpoint::from(self.endpoint.clone()).connect_timeout(CONNECT_TIMEOUT.min(self.timeout));
        if self.endpoint.scheme_str() == Some("https") {
            let refused = |source| CollectorError::Tls { endpoint: self.name(), source };
            endpoint = endpoint.tls_config(self.tls()?).map_err(refused)?;
        }
        // The user agent is constant and valid; an endpoint without it would do.
        Ok(endpoint.clone().user_agent(concat!("virt-otel/", env!("CARGO_PKG_VERSION"))).unwrap_or(endpoint))
    }

    fn tls(&self) -> Result<ClientTlsConfig, CollectorError> {
        let config = match &self.ca_file {
            Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(
                "OTEL_EXPORTER_OTLP_CERTIFICATE",
                path,
                "CERTIFICATE",
            )?)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        let Some((certificate, key)) = &self.client_files else { return Ok(config) };
        let certificate = read("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", certificate, "CERTIFICATE")?;
        let key = read("OTEL_EXPORTER_OTLP_CLIENT_KEY", key, "PRIVATE KEY")?;
        Ok(config.identity(Identity::from_pem(certificate, key)))
    }
}

fn read(variable: &'static str, path: &Path, holds: &str) -> Result<Vec<u8>, CollectorError> {
    let fail = |problem, source| CollectorError::File { variable, path: path.to_owned(), problem, source };
    let mut pem = Vec::new();
    File::open(path)
        .and_then(|file| file.take(PEM_LIMIT + 1).read_to_end(&mut pem))
        .map_err(|error| fail("it cannot be read", Some(error)))?;
    if u64::try_from(pem.len()).is_ok_and(|length| length > PEM_LIMIT) {
        return Err(fail("it is larger than 1 MiB", None));
    }
    // The library takes a file without any certificate for an empty list of authorities.
    let marker = format!("{holds}-----");
    if !pem.windows(marker.len()).any(|window| window == marker.as_bytes()) {
        return Err(fail("it holds nothing of the kind", None));
    }
    Ok(pem)
}

/// Headers of gRPC requests. Their values are credentials more often than not: they are never printed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(MetadataKey<Ascii>, MetadataValue<Ascii>)>);

/// Why a header cannot be sent.
#[derive(Debug, PartialEq, Eq)]
pub struct BadHeader {
    /// Its name. The value may be a secret.
    pub name: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Headers {
    /// These headers, their names in lower case.
    ///
    /// # Errors
    ///
    /// When one has a name or a value that a request cannot carry, or a name that gRPC reserves.
    pub fn new(pairs: Vec<(String, String)>) -> Result<Self, BadHeader> {
        let header = |(name, value): (String, String)| {
            let name = name.to_ascii_lowercase();
            let wrong = |problem| BadHeader { name: name.clone(), problem };
            if name.ends_with("-bin") || name.starts_with("grpc-") || name.starts_with(':') {
                return Err(wrong("is reserved by gRPC"));
            }
            let key =
                MetadataKey::from_bytes(name.as_bytes()).map_err(|_| wrong("has a name that HTTP does not allow"))?;
            let mut value =
                MetadataValue::try_from(&value).map_err(|_| wrong("has a value that HTTP does not allow"))?;
            value.set_sensitive(true);
            Ok((key, value))
        };
        pairs.into_iter().map(header).collect::<Result<_, _>>().map(Self)
    }

    /// Adds them to those of a request.
    pub fn add_to(&self, metadata: &mut MetadataMap) {
        for (name, value) in &self.0 {
            metadata.insert(name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests;
