//! What a Collector is reached with at the moment.

use std::sync::Arc;

use tokio::sync::watch;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::secrets::Secrets;
use super::{CONNECT_TIMEOUT, Collector, CollectorError, Headers};

/// The current credentials of one Collector. Clones follow the same files.
#[derive(Debug, Clone)]
pub struct Credentials(watch::Receiver<Arc<Access>>);

impl Credentials {
    /// These, and who can replace them.
    pub(super) fn new(first: Access) -> (watch::Sender<Arc<Access>>, Self) {
        let (sender, receiver) = watch::channel(Arc::new(first));
        (sender, Self(receiver))
    }

    /// What to use now.
    #[must_use]
    pub fn now(&self) -> Arc<Access> {
        Arc::clone(&self.0.borrow())
    }

    /// Waits until they have been replaced. `false`: nobody follows the files any more.
    pub async fn replaced(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

/// Headers and TLS, ready for use.
#[derive(Debug)]
pub struct Access {
    headers: Headers,
    connector: Endpoint,
    generation: u64,
}

impl Access {
    pub(super) fn new(collector: &Collector, secrets: &Secrets) -> Result<Self, CollectorError> {
        Ok(Self { headers: headers(collector, secrets), connector: connector(collector, secrets)?, generation: 1 })
    }

    /// The same connections with these secrets' headers.
    pub(super) fn with_headers(&self, collector: &Collector, secrets: &Secrets) -> Self {
        Self { headers: headers(collector, secrets), connector: self.connector.clone(), generation: self.generation }
    }

    /// New connections and headers.
    pub(super) fn with_tls(&self, collector: &Collector, secrets: &Secrets) -> Result<Self, CollectorError> {
        let generation = self.generation.saturating_add(1);
        Ok(Self { generation, ..Self::new(collector, secrets)? })
    }

    /// Sent with every request.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Makes connections. The Collector need not be reachable.
    #[must_use]
    pub fn connector(&self) -> &Endpoint {
        &self.connector
    }

    /// Distinguishes connections that were made with other authorities, another certificate or another key. It is never
    /// 0, and grows.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

fn headers(collector: &Collector, secrets: &Secrets) -> Headers {
    match secrets.headers() {
        Some(of_file) => collector.headers.with(of_file),
        None => collector.headers.clone(),
    }
}

/// It may read the system's authorities, and so blocks.
fn connector(collector: &Collector, secrets: &Secrets) -> Result<Endpoint, CollectorError> {
    let connect_timeout = CONNECT_TIMEOUT.min(collector.timeout);
    let mut endpoint = Endpoint::from(collector.endpoint.clone()).connect_timeout(connect_timeout);
    if collector.is_encrypted() {
        let mut tls = ClientTlsConfig::new().timeout(connect_timeout);
        tls = match secrets.authorities() {
            Some(authorities) => tls.ca_certificate(Certificate::from_pem(authorities)),
            None => tls.with_native_roots(),
        };
        if let Some((certificate, key)) = secrets.client() {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        let refused = |source| CollectorError::Tls { endpoint: collector.name(), source };
        endpoint = endpoint.tls_config(tls).map_err(refused)?;
    }
    // The user agent is constant and valid; an endpoint without it would do.
    Ok(endpoint.clone().user_agent(concat!("virt-otel/", env!("CARGO_PKG_VERSION"))).unwrap_or(endpoint))
}
