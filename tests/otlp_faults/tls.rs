//! An authority with a server and a client certificate, made for one test.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

/// The files of one authority.
pub(crate) struct Files {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
    server: (String, String),
}

impl Files {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of the tests");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let server = issue(&authority, "localhost");
        let files = Self { folder: TempDir::new().unwrap(), authority, server };
        std::fs::write(files.authority(), files.authority.pem()).unwrap();
        files.new_client();
        files
    }

    /// A server that demands a certificate of this authority.
    pub(crate) fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new()
            .identity(Identity::from_pem(&self.server.0, &self.server.1))
            .client_ca_root(Certificate::from_pem(self.authority.pem()))
    }

    /// Gives the client another certificate and another key.
    pub(crate) fn new_client(&self) {
        let (certificate, key) = issue(&self.authority, "agent");
        std::fs::write(self.client_certificate(), certificate).unwrap();
        std::fs::write(self.client_key(), key).unwrap();
    }

    /// Gives the client the certificate and the key that another authority gave its own.
    pub(crate) fn client_of(&self, other: &Self) {
        std::fs::copy(other.client_certificate(), self.client_certificate()).unwrap();
        std::fs::copy(other.client_key(), self.client_key()).unwrap();
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    pub(crate) fn client_certificate(&self) -> PathBuf {
        self.folder.path().join("client.pem")
    }

    pub(crate) fn client_key(&self) -> PathBuf {
        self.folder.path().join("client.key")
    }
}

/// A certificate of this authority, and its key.
fn issue(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}
