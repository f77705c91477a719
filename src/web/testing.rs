//! Documents, certificates and clients for the tests of the guard and of the server.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::sync::watch;

use super::counters::WebCounters;
use super::error::WebError;
use super::follow::{Current, Follower, Loaded, load};
use super::settings::Settings;

/// TLS with the certificate of [`Place`].
pub(crate) const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

/// A user whose password nobody knows.
pub(crate) const USERS: &str =
    "basic_auth_users:\n  alice: $2y$10$qRTBuFoULoYNA7AQ/F3ck.trZBPyjV64.oA4ZsSBCIWvXuvQlQTuu\n";

/// A folder with a document, an authority (`ca.crt`), and the certificate of a server (`server.crt`, `server.key`).
pub(crate) struct Place {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of the tests");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let place = Self { folder: TempDir::new().unwrap(), authority };
        place.write("ca.crt", &place.authority.pem());
        place.renew();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// A certificate of the authority and its key, in PEM.
    pub(crate) fn issue(&self, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.authority).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A new certificate of the server, and its key.
    pub(crate) fn renew(&self) {
        let (certificate, key) = self.issue(&["localhost"]);
        self.write("server.crt", &certificate);
        self.write("server.key", &key);
    }

    /// Writes the document and loads it.
    pub(crate) fn load(&self, document: &str) -> Result<Loaded, WebError> {
        self.write("web.yml", document);
        load(&self.path("web.yml"))
    }

    /// The settings of a document.
    pub(crate) fn current(&self, document: &str) -> Current {
        Follower::new(self.load(document).unwrap(), Arc::new(WebCounters::new())).1
    }

    /// The settings of a document, and what reads it again at once.
    pub(crate) fn changing(&self, document: &str) -> (Current, impl Fn(&str)) {
        let (sender, current) = watch::channel(self.load(document).unwrap().shared());
        let change = move |document: &Loaded| drop(sender.send_replace(document.shared()));
        (Current(current), move |document: &str| change(&self.load(document).unwrap()))
    }

    /// A client that trusts the authority, and has a certificate of these names if any are given.
    pub(crate) fn client(&self, names: Option<&[&str]>) -> ClientConfig {
        self.client_of(
            rustls::crypto::ring::default_provider(),
            rustls::ALL_VERSIONS,
            names.map(|names| self.issue(names)),
        )
    }

    /// The same with all that a client can choose.
    pub(crate) fn client_of(
        &self,
        provider: CryptoProvider,
        versions: &[&'static SupportedProtocolVersion],
        own: Option<(String, String)>,
    ) -> ClientConfig {
        use rustls::pki_types::pem::PemObject as _;
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
            }
        }
    }
}

/// The settings of a document that names no file.
pub(crate) fn settings(document: &str) -> Arc<Settings> {
    current(document).get()
}

/// The same as what is in force.
pub(crate) fn current(document: &str) -> Current {
    Place::new().current(document)
}
