//! TLS, with libvirt's certificates.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::blocking::GATE;
use super::error::ConnectError;
use crate::address::Pki;

/// Longest file that is read, four times a CA bundle of all public CAs.
const FILE_MAX: u64 = 1_048_576;

/// The byte that a daemon sends when it has accepted our certificate.
const WELCOME: u8 = 1;

/// The advice when we have no certificate.
const WANTED: &str = "the daemon wants a certificate of ours, and none was found: put clientcert.pem and clientkey.pem where libvirt has them";

/// The advice when it is rejected.
const OURS: &str = "see its CA, its dates, and tls_allowed_dn_list";

/// Connects, and verifies the daemon.
pub(super) async fn connect(host: &str, port: u16, pki: &Pki) -> Result<TlsStream<TcpStream>, ConnectError> {
    let pki = pki.clone();
    let config = GATE.pass(&format!("the certificates for {host}"), move || config(&pki)).await??;
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| tls(host, "this is no name that a certificate could have"))?;
    let shown = config.client_auth_cert_resolver.has_certs();
    let stream = super::tcp(host, port).await?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let mut stream = connecting.map_err(|error| tls(host, advice(host, &error, shown)))?;
    match stream.read_u8().await {
        Ok(WELCOME) => Ok(stream),
        Ok(other) => Err(tls(host, format!("what is there says {other} where a libvirt daemon says {WELCOME}"))),
        Err(error) => Err(tls(host, unwelcome(&error, shown))),
    }
}

fn tls(host: &str, problem: impl Into<String>) -> ConnectError {
    ConnectError::Tls { host: host.to_owned(), problem: problem.into() }
}

fn config(pki: &Pki) -> Result<ClientConfig, ConnectError> {
    let ca_path = first(&pki.ca, Clone::clone).ok_or_else(|| {
        let path = pki.ca.last().cloned().unwrap_or_default();
        file(&path, "is not there: it must hold the certificate of the CA that signed the daemon's")
    })?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&ca_path)? {
        roots
            .add(certificate)
            .map_err(|error| file(&ca_path, format!("holds a certificate that is none of a CA ({error})")))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    if let Some(path) = first(&pki.revoked, Clone::clone) {
        let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&read(&path)?).collect();
        let lists =
            lists.map_err(|error| file(&path, format!("is no list of revoked certificates in PEM ({error})")))?;
        verifier = verifier.with_crls(lists).allow_unknown_revocation_status();
    }
    let verifier = verifier.build().map_err(|error| file(&ca_path, format!("cannot be used as a CA ({error})")))?;
    let versions = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| file(&ca_path, format!("TLS cannot be used ({error})")))?;
    let builder = versions.with_webpki_verifier(verifier);
    let is_there = |(certificate, key): &(PathBuf, PathBuf)| certificate.exists() && key.exists();
    match pki.client.iter().find(|files| is_there(files)) {
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let private = PrivateKeyDer::from_pem_slice(&read(key)?)
                .map_err(|error| file(key, format!("is no private key in PEM ({error})")))?;
            builder
                .with_client_auth_cert(chain, private)
                .map_err(|error| file(certificate, format!("cannot be used with its key {} ({error})", key.display())))
        }
        None if pki.given => {
            let path = pki.client.first().map(|(certificate, _)| certificate.clone()).unwrap_or_default();
            Err(file(
                &path,
                "is not there, or its key is not: pkipath= must name a folder with clientcert.pem and clientkey.pem",
            ))
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

/// The first of these that exists.
fn first<T>(paths: &[T], path: impl Fn(&T) -> PathBuf) -> Option<PathBuf> {
    paths.iter().map(path).find(|path| path.exists())
}

fn file(path: &Path, problem: impl Into<String>) -> ConnectError {
    ConnectError::Pki { path: path.to_owned(), problem: problem.into() }
}

fn read(path: &Path) -> Result<Vec<u8>, ConnectError> {
    let unreadable = |error: io::Error| file(path, format!("cannot be read ({error})"));
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > FILE_MAX {
        return Err(file(path, format!("has {length} bytes, where {FILE_MAX} are allowed")));
    }
    std::fs::read(path).map_err(unreadable)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(file(path, "holds no certificate in PEM")),
        Err(error) => Err(file(path, format!("is no certificate in PEM ({error})"))),
    }
}

/// What a failed handshake means, and what to do.
fn advice(host: &str, error: &io::Error, shown: bool) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(error) = inner else { return format!("the handshake failed ({error})") };
    let rustls::Error::InvalidCertificate(problem) = error else {
        return match error {
            rustls::Error::AlertReceived(alert) => refused(*alert, shown),
            rustls::Error::InvalidMessage(_) => "what is there does not speak TLS".to_owned(),
            other => format!("the handshake failed ({other})"),
        };
    };
    match problem {
        CertificateError::UnknownIssuer => {
            "the daemon's certificate is signed by a CA that is not in cacert.pem: is it the right host, and the right file?".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the daemon's certificate has expired: renew it (servercert.pem)".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the daemon's certificate is not valid yet: is a clock wrong?".to_owned()
        }
        CertificateError::Revoked => "the daemon's certificate is revoked (cacrl.pem)".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let presented = match problem {
                CertificateError::NotValidForNameContext { presented, .. } => presented.join(", "),
                _ => String::new(),
            };
            if presented.is_empty() {
                format!(
                    "the daemon's certificate has no subjectAltName: its common name is not looked at; make one with the \
                     subjectAltName {host}"
                )
            } else {
                format!("the daemon's certificate is for {presented}: connect by that name, or make one with the subjectAltName {host}")
            }
        }
        other => format!("the daemon's certificate cannot be trusted ({other:?})"),
    }
}

/// What a daemon's refusal means, depending on whether we have `shown` a certificate. It may come with the handshake,
/// or after it.
fn refused(alert: AlertDescription, shown: bool) -> String {
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure => WANTED.to_owned(),
        _ if !shown => WANTED.to_owned(),
        alert => format!("the daemon does not take our certificate ({alert:?}): {OURS}"),
    }
}

/// What it means that the daemon sends no `WELCOME`.
fn unwelcome(error: &io::Error, shown: bool) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::AlertReceived(alert)) => refused(*alert, shown),
        // libvirtd requests a certificate, requires none in the handshake, and hangs up on a client without one.
        _ if !shown => WANTED.to_owned(),
        _ => format!("the daemon hung up when it had looked at our certificate: {OURS}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_certificate_is_told_to_get_one_and_who_has_one_to_look_at_it() {
        let closed = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let alert = |alert| io::Error::other(rustls::Error::AlertReceived(alert));
        for error in [closed(), alert(AlertDescription::AccessDenied), alert(AlertDescription::CertificateRequired)] {
            let said = unwelcome(&error, false);
            assert!(said.contains("wants a certificate of ours") && said.contains("clientcert.pem"), "{error}: {said}");
        }
        for error in [closed(), alert(AlertDescription::UnknownCA)] {
            let said = unwelcome(&error, true);
            assert!(said.contains("our certificate") && said.contains("tls_allowed_dn_list"), "{error}: {said}");
        }
    }
}
