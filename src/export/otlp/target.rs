//! Where the Collector is and how to reach it, checked before anything is sent.

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataKey, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::settings::{Compression, OtlpSettings};

/// The largest certificate or key file that is read: bundles of every public authority have a quarter of it.
const PEM_LIMIT: u64 = 1_024 * 1_024;

/// What is wrong with the settings of the exporter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OtlpError {
    /// The endpoint is not one.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT {endpoint:?} {problem}; write http://HOST:4317 or https://HOST:4317")]
    Endpoint {
        /// As it was given, without user and password.
        endpoint: String,
        /// What is wrong with it.
        problem: &'static str,
        /// Why it could not be understood.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// A header cannot be sent.
    #[error(
        "OTEL_EXPORTER_OTLP_HEADERS: {name:?} cannot be sent as a header; use lower-case ASCII letters, digits, - _ . in names and printable ASCII in values"
    )]
    Header {
        /// Its name. The value may be a secret.
        name: String,
    },
    /// A file of the TLS configuration cannot be used.
    #[error("the file {} given by {variable} cannot be used: {problem}; give a readable PEM file", path.display())]
    File {
        /// Which setting names it.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
        /// Why it could not be read.
        #[source]
        source: Option<std::io::Error>,
    },
    /// There is a client certificate without a key, or the other way round.
    #[error(
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY belong together; give both or neither"
    )]
    HalfIdentity,
    /// TLS cannot be set up.
    #[error(
        "TLS to {endpoint} cannot be set up; check the files given by OTEL_EXPORTER_OTLP_CERTIFICATE, _CLIENT_CERTIFICATE and _CLIENT_KEY, or install the system's ca-certificates"
    )]
    Tls {
        /// The endpoint.
        endpoint: String,
        /// What is wrong.
        #[source]
        source: tonic::transport::Error,
    },
}

/// Everything that is needed to connect, checked.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) endpoint: Endpoint,
    pub(super) name: String,
    pub(super) headers: Vec<(MetadataKey<Ascii>, MetadataValue<Ascii>)>,
    pub(super) compression: Compression,
    pub(super) timeout: Duration,
}

impl Target {
    /// Checks the settings and reads the files they name.
    pub(super) fn new(settings: &OtlpSettings) -> Result<Self, OtlpError> {
        let name = without_userinfo(&settings.endpoint);
        let fail = |problem, source| OtlpError::Endpoint { endpoint: name.clone(), problem, source };
        let (url, tls) = match settings.endpoint.split_once("://") {
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => (settings.endpoint.clone(), true),
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => (settings.endpoint.clone(), false),
            Some(_) => return Err(fail("has a scheme that OTLP over gRPC does not know", None)),
            None if settings.insecure => (format!("http://{}", settings.endpoint), false),
            None => (format!("https://{}", settings.endpoint), true),
        };
        let mut endpoint =
            Endpoint::from_shared(url).map_err(|error| fail("is not an address", Some(Box::new(error))))?;
        if endpoint.uri().host().is_none_or(str::is_empty) {
            return Err(fail("names no host", None));
        }
        if tls {
            endpoint = endpoint
                .tls_config(tls_config(settings)?)
                .map_err(|source| OtlpError::Tls { endpoint: name.clone(), source })?;
        }
        let endpoint = endpoint
            .connect_timeout(settings.timeout)
            .user_agent(concat!("virt-otel/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| fail("cannot be used", Some(Box::new(error))))?;
        let headers = settings.headers.iter().map(header).collect::<Result<_, _>>()?;
        Ok(Self { endpoint, name, headers, compression: settings.compression, timeout: settings.timeout })
    }
}

fn header((name, value): &(String, String)) -> Result<(MetadataKey<Ascii>, MetadataValue<Ascii>), OtlpError> {
    let fail = || OtlpError::Header { name: name.clone() };
    let key = MetadataKey::from_bytes(name.to_ascii_lowercase().as_bytes()).map_err(|_| fail())?;
    let mut value = MetadataValue::try_from(value.as_str()).map_err(|_| fail())?;
    value.set_sensitive(true);
    Ok((key, value))
}

fn tls_config(settings: &OtlpSettings) -> Result<ClientTlsConfig, OtlpError> {
    let mut config = ClientTlsConfig::new();
    config = match &settings.ca_file {
        Some(path) => {
            let variable = "OTEL_EXPORTER_OTLP_CERTIFICATE";
            config.ca_certificate(Certificate::from_pem(read(variable, path, "CERTIFICATE")?))
        }
        None => config.with_native_roots(),
    };
    match (&settings.client_certificate_file, &settings.client_key_file) {
        (Some(certificate), Some(key)) => {
            let certificate = read("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", certificate, "CERTIFICATE")?;
            let key = read("OTEL_EXPORTER_OTLP_CLIENT_KEY", key, "PRIVATE KEY")?;
            Ok(config.identity(Identity::from_pem(certificate, key)))
        }
        (None, None) => Ok(config),
        _ => Err(OtlpError::HalfIdentity),
    }
}

fn read(variable: &'static str, path: &Path, holds: &str) -> Result<Vec<u8>, OtlpError> {
    let fail = |problem, source| OtlpError::File { variable, path: path.to_owned(), problem, source };
    let mut pem = Vec::new();
    File::open(path)
        .and_then(|file| file.take(PEM_LIMIT + 1).read_to_end(&mut pem))
        .map_err(|error| fail("it cannot be read", Some(error)))?;
    if u64::try_from(pem.len()).is_ok_and(|length| length > PEM_LIMIT) {
        return Err(fail("it is larger than 1 MiB", None));
    }
    let marker = format!("{holds}-----");
    if !pem.windows(marker.len()).any(|window| window == marker.as_bytes()) {
        return Err(fail("it holds nothing of the kind", None));
    }
    Ok(pem)
}

/// The endpoint as it may be logged.
fn without_userinfo(endpoint: &str) -> String {
    let (scheme, rest) = endpoint.split_once("://").map_or(("", endpoint), |(scheme, rest)| (scheme, rest));
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(change: impl FnOnce(&mut OtlpSettings)) -> Result<Target, OtlpError> {
        let mut settings = OtlpSettings::default();
        change(&mut settings);
        Target::new(&settings)
    }

    #[test]
    fn an_endpoint_without_scheme_is_reached_with_tls_unless_insecure_is_set() {
        let insecure = target(|settings| {
            settings.endpoint = "collector:4317".to_owned();
            settings.insecure = true;
        });
        assert_eq!(insecure.unwrap().endpoint.uri().to_string(), "http://collector:4317/");
        let ca = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(ca.path(), "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n").unwrap();
        let secure = target(|settings| {
            settings.endpoint = "collector:4317".to_owned();
            settings.ca_file = Some(ca.path().to_owned());
        });
        // That the certificate is looked at shows that TLS is set up.
        match secure {
            Ok(target) => assert_eq!(target.endpoint.uri().scheme_str(), Some("https")),
            Err(error) => assert!(matches!(error, OtlpError::Tls { .. }), "{error}"),
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_the_form_that_it_should_have() {
        for endpoint in ["", "unix:///run/collector.sock", "ftp://collector", "http://", "http://a b"] {
            let error = target(|settings| {
                settings.endpoint = endpoint.to_owned();
                settings.insecure = true;
            })
            .unwrap_err();
            assert!(error.to_string().contains("http://HOST:4317"), "{endpoint:?}: {error}");
        }
    }

    #[test]
    fn user_and_password_of_an_endpoint_are_not_repeated() {
        assert_eq!(without_userinfo("http://me:secret@collector:4317/path"), "http://collector:4317");
        assert_eq!(without_userinfo("me:secret@collector:4317"), "collector:4317");
    }

    #[test]
    fn headers_that_cannot_be_sent_are_refused_without_their_value() {
        let error = target(|settings| settings.headers = vec![("a b".to_owned(), "secret".to_owned())]).unwrap_err();
        assert!(error.to_string().contains("\"a b\"") && !error.to_string().contains("secret"), "{error}");
        let error = target(|settings| settings.headers = vec![("a".to_owned(), "line\nbreak".to_owned())]);
        assert!(matches!(error, Err(OtlpError::Header { .. })));
        assert!(target(|settings| settings.headers = vec![("Authorization".to_owned(), "x".to_owned())]).is_ok());
    }

    #[test]
    fn half_a_client_identity_and_files_that_hold_something_else_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "no certificate").unwrap();
        let path = Some(file.path().to_owned());
        let https = |settings: &mut OtlpSettings| settings.endpoint = "https://collector:4317".to_owned();
        let error = target(|settings| {
            https(settings);
            settings.ca_file = path.clone();
        });
        assert!(matches!(error, Err(OtlpError::File { .. })), "{error:?}");
        let error = target(|settings| {
            https(settings);
            settings.ca_file = Some("/nonexistent/ca.pem".into());
        })
        .unwrap_err();
        assert!(error.to_string().contains("/nonexistent/ca.pem"), "{error}");
    }
}
