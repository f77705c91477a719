//! Secrets with certificates, as cert-manager would make them.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};

/// A Secret of this name with a certificate for a name of DNS, and the certificate of its authority, which is its own.
#[track_caller]
pub fn tls(secret: &str, name: &str) -> (Value, String) {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": secret }, "type": "kubernetes.io/tls",
        "stringData": { "tls.crt": certificate.pem(), "tls.key": key.serialize_pem() } });
    (object, authority.pem())
}
