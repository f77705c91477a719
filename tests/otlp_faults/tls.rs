//! An authority with a server and a client certificate, made for one test.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

/// The files of one authority.
pub(crate) struct Files {
    folder: TempDir,
    authority: String,
    server: (String, String),
}

impl Files {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of the tests");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let issue = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let certificate =
                CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
            (certificate.pem(), key.serialize_pem())
        };
        let (server, client) = (issue("localhost"), issue("agent"));
        let files = Self { folder: TempDir::new().unwrap(), authority: authority.pem(), server };
        std::fs::write(files.authority(), &files.authority).unwrap();
        std::fs::write(files.client_certificate(), client.0).unwrap();
        std::fs::write(files.client_key(), client.1).unwrap();
        files
    }

    /// A server that demands a certificate of this authority.
    pub(crate) fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new()
            .identity(Identity::from_pem(&self.server.0, &self.server.1))
            .client_ca_root(Certificate::from_pem(&self.authority))
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
