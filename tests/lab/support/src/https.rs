//! A minimal client of HTTPS for the tests: one request, one connection.

use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::http::{self, Response};

/// A client that trusts one authority.
#[derive(Clone)]
pub struct Https {
    tls: Arc<ClientConfig>,
}

impl Https {
    /// One without a certificate. The file is the authority's, in PEM.
    #[track_caller]
    pub fn trusting(authority: &Path) -> Https {
        Https::with(authority, None)
    }

    /// One with a certificate and its key, in PEM.
    #[track_caller]
    pub fn presenting(authority: &Path, certificate: &Path, key: &Path) -> Https {
        Https::with(authority, Some((certificate, key)))
    }

    #[track_caller]
    fn with(authority: &Path, own: Option<(&Path, &Path)>) -> Https {
        let read = |path: &Path| CertificateDer::from_pem_file(path).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(read(authority)).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS that ring knows")
            .with_root_certificates(roots);
        let tls = match own {
            Some((certificate, key)) => {
                let key = PrivateKeyDer::from_pem_file(key).expect("a key");
                builder.with_client_auth_cert(vec![read(certificate)], key).expect("a certificate with its key")
            }
            None => builder.with_no_client_auth(),
        };
        Https { tls: Arc::new(tls) }
    }

    /// GET of a path at a port of this machine.
    pub fn get(&self, port: u16, path: &str, headers: &[(&str, &str)]) -> io::Result<Response> {
        self.get_over(http::connect(port)?, "127.0.0.1", path, headers)
    }

    /// GET of a path over a connection to the server of this name.
    pub fn get_over(
        &self,
        stream: TcpStream,
        name: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> io::Result<Response> {
        let port = stream.peer_addr()?.port();
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::clone(&self.tls), name).map_err(io::Error::other)?;
        http::exchange(&mut StreamOwned::new(connection, stream), "GET", port, path, headers, b"")
    }
}
