//! The standard variables of OTLP exporters.

use std::path::PathBuf;
use std::time::Duration;

use tonic::transport::Uri;

use super::error::{ConfigError, Given};
use super::layers::Layers;
use super::values::{file, milliseconds, pairs, switch, word};
use crate::collector::{Collector, DEFAULT_ENDPOINT, DEFAULT_TIMEOUT, Headers};

/// What is pushed; each may have variables of its own (`OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Metrics,
    Logs,
}

/// Below this no request over a network succeeds; above it a push would outlast the five minutes after which
/// Prometheus forgets a series.
const TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(300);

/// What the variables of certificates and keys accept.
const PEM: &str = "give the path of a PEM file";

/// The settings of one signal.
pub(super) fn otlp(
    layers: Layers<'_>,
    signal: Signal,
    headers_file: Option<PathBuf>,
) -> Result<Collector, ConfigError> {
    let find = |name: &str| {
        let signal = match signal {
            Signal::Metrics => "METRICS",
            Signal::Logs => "LOGS",
        };
        layers.first(&[&format!("OTEL_EXPORTER_OTLP_{signal}_{name}"), &format!("OTEL_EXPORTER_OTLP_{name}")])
    };
    if let Some(given) = find("PROTOCOL") {
        word(&given, &[("grpc", ())]).map_err(|error| ConfigError {
            accepted: "virt-otel speaks grpc only: unset it or give grpc, and the Collector's gRPC port (4317)".into(),
            ..error
        })?;
    }
    let insecure = find("INSECURE").map(|given| switch(&given)).transpose()?.unwrap_or(false);
    let endpoint = match find("ENDPOINT") {
        Some(given) => endpoint(&given, insecure)?,
        None => Uri::from_static(DEFAULT_ENDPOINT),
    };
    let headers = find("HEADERS").map(|given| headers(&given)).transpose()?.unwrap_or_default();
    let timeout = find("TIMEOUT").map(|given| milliseconds(&given, &TIMEOUTS)).transpose()?.unwrap_or(DEFAULT_TIMEOUT);
    let gzip =
        find("COMPRESSION").map(|given| word(&given, &[("gzip", true), ("none", false)])).transpose()?.unwrap_or(true);
    let ca_file = find("CERTIFICATE").map(|given| file(&given, PEM)).transpose()?;
    let client_files = match (find("CLIENT_CERTIFICATE"), find("CLIENT_KEY")) {
        (Some(certificate), Some(key)) => Some((file(&certificate, PEM)?, file(&key, PEM)?)),
        (Some(alone), None) => return Err(alone.problem("there is no key with it", "set …_CLIENT_KEY too")),
        (None, Some(alone)) => {
            return Err(alone.problem("there is no certificate with it", "set …_CLIENT_CERTIFICATE too"));
        }
        (None, None) => None,
    };
    Ok(Collector { endpoint, headers, headers_file, timeout, gzip: gzip.into(), ca_file, client_files })
}

/// A URL; without a scheme, `OTEL_EXPORTER_OTLP_INSECURE` decides between http and https.
fn endpoint(given: &Given, insecure: bool) -> Result<Uri, ConfigError> {
    let wrong = |what| given.wrong(what, format!("give a URL such as {DEFAULT_ENDPOINT}"));
    let url = match given.value.split_once("://") {
        Some(("http" | "https", _)) => given.value.clone(),
        Some(_) => return Err(wrong("begins with neither http:// nor https://")),
        None if insecure => format!("http://{}", given.value),
        None => format!("https://{}", given.value),
    };
    let uri: Uri = url.parse().map_err(|_| wrong("is not a URL"))?;
    // The parser takes `http` alone for a path.
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    let port_is_whole = uri.authority().is_some_and(|authority| {
        authority.as_str().ends_with(uri.host().unwrap_or_default()) || uri.port_u16().is_some()
    });
    if has_host && port_is_whole { Ok(uri) } else { Err(wrong("is not a URL with a host")) }
}

/// Headers of gRPC requests.
fn headers(given: &Given) -> Result<Headers, ConfigError> {
    Headers::new(pairs(given)?).map_err(|bad| {
        given.problem(
            format!("the header `{}` {}", bad.name.escape_debug(), bad.problem),
            "give name=value pairs with commas between",
        )
    })
}
