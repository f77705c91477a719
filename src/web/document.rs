//! The format of the document. It is Prometheus' exporter-toolkit's; what a field means is decided in `judge`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_saphyr::Error;

use super::error::WebError;

/// The page that says which fields there are.
const PAGE: &str = "docs/endpoint.md lists the fields";

/// The document. What was not said is `None`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping of fields")]
pub(super) struct Document {
    pub(super) tls_server_config: Option<Tls>,
    pub(super) http_server_config: Option<Http>,
    /// Users and the hashes of their passwords.
    pub(super) basic_auth_users: Option<BTreeMap<String, String>>,
    pub(super) rate_limit: Option<RateLimit>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping of fields")]
pub(super) struct Tls {
    pub(super) cert: Option<String>,
    pub(super) key: Option<String>,
    pub(super) client_ca: Option<String>,
    pub(super) cert_file: Option<String>,
    pub(super) key_file: Option<String>,
    pub(super) client_auth_type: Option<String>,
    pub(super) client_ca_file: Option<String>,
    pub(super) client_allowed_sans: Option<Vec<String>>,
    pub(super) min_version: Option<String>,
    pub(super) max_version: Option<String>,
    pub(super) cipher_suites: Option<Vec<String>>,
    pub(super) prefer_server_cipher_suites: Option<bool>,
    pub(super) curve_preferences: Option<Vec<String>>,
}

impl Tls {
    /// Whether nothing at all is said.
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            cert,
            key,
            client_ca,
            cert_file,
            key_file,
            client_auth_type,
            client_ca_file,
            client_allowed_sans,
            min_version,
            max_version,
            cipher_suites,
            prefer_server_cipher_suites,
            curve_preferences,
        } = self;
        let texts = [cert, key, client_ca, cert_file, key_file, client_auth_type, client_ca_file];
        let versions = [min_version, max_version];
        let lists = [client_allowed_sans, cipher_suites, curve_preferences];
        texts.into_iter().chain(versions).all(Option::is_none)
            && lists.into_iter().all(Option::is_none)
            && prefer_server_cipher_suites.is_none()
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping of fields")]
pub(super) struct Http {
    pub(super) http2: Option<bool>,
    pub(super) headers: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mapping of fields")]
pub(super) struct RateLimit {
    /// A duration in words, or 0.
    pub(super) interval: Option<String>,
    pub(super) burst: Option<u32>,
}

/// The document of a file. An empty one says nothing.
pub(super) fn parse(file: &Path, bytes: &[u8]) -> Result<Document, WebError> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| WebError::of(file, "is not UTF-8", "write it as YAML in UTF-8"))?;
    let options = serde_saphyr::options! { with_snippet: false };
    let document: Option<Document> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| refusal(file, error.without_snippet()))?;
    Ok(document.unwrap_or_default())
}

/// What is said of an error. It repeats names of fields alone: a value may be a key or a hash.
fn refusal(file: &Path, error: &Error) -> WebError {
    let place = error.location().map_or_else(String::new, |place| format!("line {}: ", place.line()));
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            let accepted = format!("the fields here are {}", expected.join(", "));
            WebError::of(file, format!("{place}there is no field `{}`", shown(field)), accepted)
        }
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            WebError::of(file, format!("{place}`{}` is there twice", shown(key)), "give it once")
        }
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            WebError::of(file, format!("{place}the value is not {expected}"), PAGE)
        }
        _ => WebError::of(file, format!("{place}this is not the YAML of a web configuration"), PAGE),
    }
}

/// How much of a wrong name is repeated.
const SHOWN: usize = 60;

/// A name on one line and not too long.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(SHOWN).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Document, String> {
        parse(Path::new("/etc/web.yml"), text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn every_field_of_the_format_is_read() {
        let document = parsed(
            "tls_server_config:\n  cert: c\n  key: k\n  client_ca: a\n  cert_file: cf\n  key_file: kf\n  \
             client_auth_type: t\n  client_ca_file: af\n  client_allowed_sans: [s]\n  min_version: TLS12\n  \
             max_version: TLS13\n  cipher_suites: [x]\n  prefer_server_cipher_suites: false\n  \
             curve_preferences: [y]\nhttp_server_config:\n  http2: false\n  headers:\n    X-XSS-Protection: 1\n\
             basic_auth_users:\n  alice: hash\nrate_limit:\n  interval: 1s\n  burst: 20\n",
        )
        .unwrap();
        let tls = document.tls_server_config.unwrap();
        assert!(!tls.is_empty());
        assert_eq!(
            (tls.cert, tls.key_file, tls.prefer_server_cipher_suites),
            (Some("c".into()), Some("kf".into()), Some(false))
        );
        assert_eq!(tls.client_allowed_sans, Some(vec!["s".to_owned()]));
        let http = document.http_server_config.unwrap();
        assert_eq!(http.http2, Some(false));
        // A number where the format has text.
        assert_eq!(http.headers.unwrap()["X-XSS-Protection"], "1");
        assert_eq!(document.basic_auth_users.unwrap()["alice"], "hash");
        let rate = document.rate_limit.unwrap();
        assert_eq!((rate.interval.as_deref(), rate.burst), (Some("1s"), Some(20)));
    }

    #[test]
    fn nothing_said_is_nothing() {
        for text in ["", "# only a comment\n", "{}", "tls_server_config:\nbasic_auth_users:\n", "---\n"] {
            let document = parsed(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert!(document.tls_server_config.is_none_or(|tls| tls.is_empty()), "{text:?}");
            assert!(document.basic_auth_users.is_none(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_field_is_refused_by_name_and_line() {
        for (text, field, line) in [
            ("tls_server_config:\n  cert_filse: x\n", "`cert_filse`", "line 2"),
            ("basic_auth_user: {}\n", "`basic_auth_user`", "line 1"),
            ("http_server_config:\n  headers: {}\n  http3: true\n", "`http3`", "line 3"),
            ("rate_limit:\n  interval: 1s\n  bursts: 1\n", "`bursts`", "line 3"),
            ("basic_auth_users:\n  alice: a\n  alice: b\n", "`alice` is there twice", "line 3"),
        ] {
            let error = parsed(text).err().expect(text);
            assert!(error.contains(field) && error.contains(line) && error.contains("/etc/web.yml"), "{error}");
        }
    }

    #[test]
    fn what_is_no_document_is_refused_without_showing_it() {
        for text in [
            "SECRET",
            "basic_auth_users: SECRET\n",
            "basic_auth_users:\n  alice: [SECRET]\n",
            "tls_server_config:\n  key: {SECRET: 1}\n",
            "tls_server_config: SECRET\n",
            "rate_limit:\n  burst: SECRET\n",
            "a: SECRET\n---\nb: SECRET\n",
            "tls_server_config: [SECRET\n",
            "http_server_config:\n  http2: SECRET\n",
        ] {
            let error = parsed(text).err().expect(text);
            assert!(!error.contains("SECRET") && error.contains("; "), "{text:?}: {error}");
        }
        assert!(parse(Path::new("f"), b"\xff\xfe").err().unwrap().to_string().contains("UTF-8"));
    }
}
