//! Which files the settings name, and what each must hold.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{Collector, CollectorError, Headers};
use crate::follow::{Source, Unreadable};

/// The largest certificate or key file that is read: a bundle of all public authorities has a quarter of it.
const PEM_LIMIT: u64 = 1_024 * 1_024;

/// The largest file of headers that is read: servers refuse requests with a quarter of it.
const HEADERS_LIMIT: u64 = 64 * 1_024;

/// What is wrong with a file that was cut off, for example.
const NO_PEM: &str = "it is not PEM, or not whole";

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Authorities,
    Certificate,
    Key,
    Headers,
}

impl Role {
    const fn setting(self) -> &'static str {
        match self {
            Self::Authorities => "OTEL_EXPORTER_OTLP_CERTIFICATE",
            Self::Certificate => "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
            Self::Key => "OTEL_EXPORTER_OTLP_CLIENT_KEY",
            Self::Headers => "--otlp-headers-file",
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::Authorities | Self::Certificate | Self::Key => "give a readable PEM file",
            Self::Headers => "give a readable file with one `name: value` a line",
        }
    }

    const fn limit(self) -> u64 {
        match self {
            Self::Authorities | Self::Certificate | Self::Key => PEM_LIMIT,
            Self::Headers => HEADERS_LIMIT,
        }
    }
}

/// A file that a setting names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedFile {
    pub(super) role: Role,
    pub(super) path: PathBuf,
}

impl NamedFile {
    /// The files that are needed to reach this Collector.
    pub(super) fn of(collector: &Collector) -> Vec<Self> {
        let file = |role| move |path: &PathBuf| Self { role, path: path.clone() };
        let mut files: Vec<Self> = collector.headers_file.iter().map(file(Role::Headers)).collect();
        if collector.is_encrypted() {
            files.extend(collector.ca_file.iter().map(file(Role::Authorities)));
            if let Some((certificate, key)) = &collector.client_files {
                files.extend([file(Role::Certificate)(certificate), file(Role::Key)(key)]);
            }
        }
        files
    }

    pub(super) fn source(&self) -> Source {
        Source { path: self.path.clone(), limit: self.role.limit() }
    }

    fn unusable(&self, problem: impl Into<String>) -> CollectorError {
        CollectorError::File {
            setting: self.role.setting(),
            path: self.path.clone(),
            problem: problem.into(),
            advice: self.role.advice(),
        }
    }
}

/// A file with its content.
#[derive(Clone, Copy)]
pub(super) struct Held<'a> {
    pub(super) file: &'a NamedFile,
    pub(super) content: &'a Result<Vec<u8>, Unreadable>,
}

impl<'a> Held<'a> {
    pub(super) fn path(self) -> &'a Path {
        &self.file.path
    }

    fn bytes(self) -> Result<&'a [u8], CollectorError> {
        match self.content {
            Ok(content) => Ok(content),
            Err(unreadable) => Err(self.file.unusable(unreadable.to_string())),
        }
    }

    /// The certificates, of which there must be at least one.
    fn certificates(self) -> Result<Vec<CertificateDer<'static>>, CollectorError> {
        let certificates = CertificateDer::pem_slice_iter(self.bytes()?).collect::<Result<Vec<_>, _>>();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            Ok(_) => Err(self.file.unusable("it holds no certificate")),
            // The library's reason may repeat what the file holds.
            Err(_) => Err(self.file.unusable(NO_PEM)),
        }
    }

    /// The headers.
    pub(super) fn headers(self) -> Result<Headers, CollectorError> {
        Headers::from_file(self.bytes()?).map_err(|problem| self.file.unusable(problem))
    }

    /// A PEM file with certificate authorities.
    pub(super) fn authorities(self) -> Result<Vec<u8>, CollectorError> {
        // Of a large bundle, the library leaves out what it does not understand.
        let (good, _) = RootCertStore::empty().add_parsable_certificates(self.certificates()?);
        if good == 0 {
            return Err(self.file.unusable("none of its certificates can be understood"));
        }
        self.bytes().map(<[u8]>::to_vec)
    }
}

/// A certificate with the key that belongs to it, both as PEM.
pub(super) fn pair(certificate: Held<'_>, key: Held<'_>) -> Result<(Vec<u8>, Vec<u8>), CollectorError> {
    let chain = certificate.certificates()?;
    let key_der = match PrivateKeyDer::from_pem_slice(key.bytes()?) {
        Ok(key_der) => key_der,
        Err(rustls::pki_types::pem::Error::NoItemsFound) => return Err(key.file.unusable("it holds no private key")),
        Err(_) => return Err(key.file.unusable(NO_PEM)),
    };
    match CertifiedKey::from_der(chain, key_der, &provider()) {
        Ok(_) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            return Err(CollectorError::Pair {
                certificate: certificate.path().to_owned(),
                key: key.path().to_owned(),
            });
        }
        Err(rustls::Error::InvalidCertificate(error)) => {
            return Err(certificate.file.unusable(format!("its certificate cannot be understood ({error})")));
        }
        Err(error) => return Err(key.file.unusable(format!("its key cannot be used ({error})"))),
    }
    Ok((certificate.bytes()?.to_vec(), key.bytes()?.to_vec()))
}

fn provider() -> CryptoProvider {
    crypto::ring::default_provider()
}
