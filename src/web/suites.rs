//! Versions, cipher suites and curves by the names that exporter-toolkit, which is written in Go, has for them.

use rustls::crypto::CryptoProvider;
use rustls::{NamedGroup, SupportedCipherSuite, SupportedProtocolVersion};

use super::document::{self, shown};
use super::error::WebError;
use super::files::Files;

/// The versions that rustls speaks, oldest first.
const VERSIONS: [(&str, &SupportedProtocolVersion); 2] =
    [("TLS12", &rustls::version::TLS12), ("TLS13", &rustls::version::TLS13)];

/// The versions that exporter-toolkit knows besides.
const OLD_VERSIONS: [&str; 2] = ["TLS10", "TLS11"];

/// The curves that rustls has with ring.
const CURVES: [(&str, NamedGroup); 3] =
    [("CurveP256", NamedGroup::secp256r1), ("CurveP384", NamedGroup::secp384r1), ("X25519", NamedGroup::X25519)];

/// The curve that exporter-toolkit knows besides.
const LACKING_CURVE: &str = "CurveP521";

/// How the name of a cipher suite of TLS 1.3 begins in rustls, and in Go.
const TLS13_PREFIX: (&str, &str) = ("TLS13_", "TLS_");

/// The versions from the lowest to the highest that is allowed.
pub(super) fn versions(tls: &document::Tls, files: &Files) -> Result<Vec<&'static SupportedProtocolVersion>, WebError> {
    let place = |field: &str, given: &Option<String>, default: usize| {
        let Some(name) = given.as_deref().filter(|name| !name.is_empty()) else { return Ok(default) };
        VERSIONS.iter().position(|(known, _)| *known == name).ok_or_else(|| {
            let why = if OLD_VERSIONS.contains(&name) { "rustls does not speak" } else { "is no version of TLS" };
            let problem = format!("tls_server_config.{field} is `{}`, which {why}", shown(name));
            WebError::of(files.document(), problem, "give TLS12 or TLS13")
        })
    };
    let lowest = place("min_version", &tls.min_version, 0)?;
    let highest = place("max_version", &tls.max_version, VERSIONS.len() - 1)?;
    if lowest > highest {
        let problem = "tls_server_config.min_version is above max_version, which leaves no version";
        return Err(WebError::of(files.document(), problem, "give a range such as TLS12 to TLS13"));
    }
    Ok(VERSIONS.iter().skip(lowest).take(highest - lowest + 1).map(|(_, version)| *version).collect())
}

/// Keeps the cipher suites that are asked for, in their order. Those of TLS 1.3 are kept if none of them is named: Go
/// cannot choose among them, and lists for it name only older ones.
pub(super) fn choose_suites(provider: &mut CryptoProvider, tls: &document::Tls, files: &Files) -> Result<(), WebError> {
    let wanted = tls.cipher_suites.as_deref().unwrap_or_default();
    if wanted.is_empty() {
        return Ok(());
    }
    let known: Vec<(String, SupportedCipherSuite)> =
        provider.cipher_suites.iter().map(|suite| (name(*suite), *suite)).collect();
    let mut chosen = Vec::new();
    for wanted in wanted {
        let Some((_, suite)) = known.iter().find(|(name, _)| name == wanted) else {
            let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
            let problem =
                format!("tls_server_config.cipher_suites has `{}`, which rustls does not have", shown(wanted));
            let accepted = format!("take it out; there are {}", names.join(", "));
            return Err(WebError::of(files.document(), problem, accepted));
        };
        chosen.push(*suite);
    }
    let newest = |suite: &SupportedCipherSuite| suite.tls13().is_some();
    if !chosen.iter().any(newest) {
        chosen.splice(0..0, provider.cipher_suites.iter().copied().filter(newest));
    }
    provider.cipher_suites = chosen;
    Ok(())
}

/// Keeps the curves that are asked for, in their order.
pub(super) fn choose_curves(provider: &mut CryptoProvider, tls: &document::Tls, files: &Files) -> Result<(), WebError> {
    let wanted = tls.curve_preferences.as_deref().unwrap_or_default();
    if wanted.is_empty() {
        return Ok(());
    }
    let mut chosen = Vec::new();
    for wanted in wanted {
        let group = CURVES.iter().find(|(name, _)| name == wanted).map(|(_, group)| *group);
        let Some(group) =
            group.and_then(|group| provider.kx_groups.iter().copied().find(|known| known.name() == group))
        else {
            let why = if wanted == LACKING_CURVE { "rustls does not have with ring" } else { "is no curve" };
            let problem = format!("tls_server_config.curve_preferences has `{}`, which {why}", shown(wanted));
            let accepted = format!("take it out; there are {}", CURVES.map(|(name, _)| name).join(", "));
            return Err(WebError::of(files.document(), problem, accepted));
        };
        chosen.push(group);
    }
    provider.kx_groups = chosen;
    Ok(())
}

/// The name of a suite in Go.
fn name(suite: SupportedCipherSuite) -> String {
    let name = suite.suite().as_str().unwrap_or_default();
    name.strip_prefix(TLS13_PREFIX.0).map_or_else(|| name.to_owned(), |rest| format!("{}{rest}", TLS13_PREFIX.1))
}
