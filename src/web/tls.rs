//! `tls_server_config`: from a section of the document to rustls' settings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};

use super::clients::{self, Policy};
use super::document::{self, shown};
use super::error::WebError;
use super::files::Files;
use super::settings::Tls;
use super::suites;

/// The protocol that is served.
const HTTP1: &[u8] = b"http/1.1";

/// TLS; `None` if the section says nothing.
pub(super) fn tls(tls: &document::Tls, files: &Files) -> Result<Option<Tls>, WebError> {
    if tls.is_empty() {
        return Ok(None);
    }
    let certificate = pem(files, ("cert", &tls.cert), ("cert_file", &tls.cert_file))?;
    let key = pem(files, ("key", &tls.key), ("key_file", &tls.key_file))?;
    let missing = |one: &str| {
        let problem = format!("tls_server_config has neither {one} nor {one}_file");
        WebError::of(files.document(), problem, "give one of them, or take the section out to serve without TLS")
    };
    let chain = certificate.ok_or_else(|| missing("cert"))?.certificates()?;
    let key = key.ok_or_else(|| missing("key"))?;
    let authorities = pem(files, ("client_ca", &tls.client_ca), ("client_ca_file", &tls.client_ca_file))?;
    let (policy, names) = demands(tls, authorities.is_some(), files)?;
    let roots = authorities.map_or_else(|| Ok(RootCertStore::empty()), |pem| pem.authorities())?;

    let mut provider = rustls::crypto::ring::default_provider();
    suites::choose_suites(&mut provider, tls, files)?;
    suites::choose_curves(&mut provider, tls, files)?;
    let versions = suites::versions(tls, files)?;
    let provider = Arc::new(provider);
    let unusable = |error: rustls::Error| {
        WebError::of(
            files.document(),
            format!("tls_server_config cannot be used ({error})"),
            "mend or take out a field",
        )
    };
    let has_names = names.is_some();
    let verifier = clients::verifier(policy, roots, names, &provider).map_err(unusable)?;
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions).map_err(unusable)?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let file = key.file.clone();
    let mut config = builder.with_single_cert(chain, key.private_key()?).map_err(|error| {
        let problem = format!("tls_server_config: the certificate and the key cannot be used together ({error})");
        WebError::of(&file, problem, "give the key that the certificate was made for, both in PEM")
    })?;
    config.alpn_protocols = vec![HTTP1.to_vec()];
    config.ignore_client_order = tls.prefer_server_cipher_suites.unwrap_or(true);
    Ok(Some(Tls { config: Arc::new(config), policy, names: has_names }))
}

/// What is demanded of clients: the policy, and names of which a certificate must have one.
fn demands(
    tls: &document::Tls,
    has_authorities: bool,
    files: &Files,
) -> Result<(Policy, Option<Vec<String>>), WebError> {
    let wrong = |problem: String, accepted: &str| Err(WebError::of(files.document(), problem, accepted));
    let policy = match given(&tls.client_auth_type) {
        None => Policy::None,
        Some(word) => match Policy::WORDS.iter().find(|(known, _)| *known == word) {
            Some((_, policy)) => *policy,
            None => {
                let words = Policy::WORDS.map(|(word, _)| word).join(", ");
                let problem = format!("tls_server_config.client_auth_type is `{}`, which is no type", shown(word));
                return wrong(problem, &format!("give one of {words}"));
            }
        },
    };
    if has_authorities && !policy.verifies() {
        return wrong(
            "tls_server_config has a client_ca, and client_auth_type verifies no certificate".to_owned(),
            "set client_auth_type to RequireAndVerifyClientCert",
        );
    }
    // Go would trust every public authority here: whoever has a certificate of one would be let in.
    if policy == Policy::RequireAndVerify && !has_authorities {
        return wrong(
            "tls_server_config.client_auth_type is RequireAndVerifyClientCert, and no authority is named".to_owned(),
            "give client_ca or client_ca_file",
        );
    }
    let names = tls.client_allowed_sans.clone();
    if names.is_some() && !(policy.verifies() && has_authorities) {
        return wrong(
            "tls_server_config.client_allowed_sans names clients, and nobody verifies their certificates".to_owned(),
            "set client_auth_type to RequireAndVerifyClientCert, and give client_ca or client_ca_file",
        );
    }
    if names.as_ref().is_some_and(Vec::is_empty) {
        return wrong(
            "tls_server_config.client_allowed_sans is empty, which lets nobody in".to_owned(),
            "give a name, or take the field out",
        );
    }
    Ok((policy, names))
}

/// A text that was given and is not empty.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// PEM, and where it is from.
struct Pem<'a> {
    field: String,
    file: PathBuf,
    bytes: &'a [u8],
}

/// The PEM of a field that may be inline or name a file.
fn pem<'a>(
    files: &'a Files,
    (inline, text): (&str, &'a Option<String>),
    (in_file, name): (&str, &Option<String>),
) -> Result<Option<Pem<'a>>, WebError> {
    match (given(text), given(name)) {
        (Some(_), Some(_)) => {
            let problem = format!("tls_server_config has both {inline} and {in_file}");
            Err(WebError::of(files.document(), problem, "give one of the two"))
        }
        (Some(text), None) => Ok(Some(Pem {
            field: format!("tls_server_config.{inline}"),
            file: files.document().to_owned(),
            bytes: text.as_bytes(),
        })),
        (None, Some(name)) => {
            let field = format!("tls_server_config.{in_file}");
            let (file, bytes) = files.of(&field, name)?;
            Ok(Some(Pem { field, file, bytes }))
        }
        (None, None) => Ok(None),
    }
}

impl Pem<'_> {
    fn wrong(&self, problem: &str, accepted: &str) -> WebError {
        let file: &Path = &self.file;
        WebError::of(file, format!("{} {problem}", self.field), accepted)
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, WebError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.bytes).collect();
        found.ok().filter(|certificates| !certificates.is_empty()).ok_or_else(|| {
            self.wrong(
                "is no certificate in PEM",
                "begin it with -----BEGIN CERTIFICATE-----, intermediate ones after it",
            )
        })
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, WebError> {
        PrivateKeyDer::from_pem_slice(self.bytes)
            .map_err(|_| self.wrong("is no private key in PEM", "give it unencrypted, as PKCS#8, PKCS#1 or SEC1"))
    }

    fn authorities(&self) -> Result<RootCertStore, WebError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|error| {
                self.wrong(&format!("has a certificate that no authority can have ({error})"), "mend it")
            })?;
        }
        Ok(roots)
    }
}
