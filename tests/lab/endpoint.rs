//! The endpoint guarded: exporter-toolkit's own examples, a real Prometheus that scrapes with TLS and a password, and
//! tokens that a real Kubernetes API server reviews.

mod clients;
mod load;
mod rotation;
mod tokens;
mod toolkit;

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use super::support::kube_client::Client;

/// TLS with the certificate of [`Place`].
const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

/// A folder with a document, and a certificate for this machine.
struct Place {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Place {
    fn new(document: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of the endpoint");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let place = Self { folder: TempDir::new().unwrap(), authority };
        fs::write(place.path("ca.crt"), place.authority.pem()).unwrap();
        fs::write(place.path("web.yml"), document).unwrap();
        place.renew();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A new certificate, and its key.
    fn renew(&self) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        replace(&self.path("server.crt"), &certificate.pem());
        replace(&self.path("server.key"), &key.serialize_pem());
    }

    /// A client that trusts it, with a bearer token.
    fn client(&self, port: u16, token: &str) -> Client {
        Client::new(port, self.authority.der(), token)
    }
}

/// A file that is there whole at each moment.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}
