//! `http_server_config`: headers of every response, and HTTP/2.

use super::document::{Http, shown};
use super::error::WebError;
use super::files::Files;

/// A header of every response: its name and its value.
pub(super) type Header = (&'static str, String);

/// The headers that may be set, and the only values that some may have.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

pub(super) fn headers(http: &Http, files: &Files) -> Result<Vec<Header>, WebError> {
    let wrong = |problem: String, accepted: String| Err(WebError::of(files.document(), problem, accepted));
    if http.http2 == Some(true) {
        return wrong(
            "http_server_config.http2 is true, and HTTP/2 is not served: each scrape is one request".to_owned(),
            "take the field out, or set it to false".to_owned(),
        );
    }
    let mut headers = Vec::new();
    for (given, value) in http.headers.iter().flatten() {
        let field = format!("http_server_config.headers.{}", shown(given));
        let Some((name, values)) = HEADERS.iter().find(|(name, _)| name == given) else {
            let names = HEADERS.map(|(name, _)| name).join(", ");
            return wrong(format!("{field} cannot be set"), format!("the headers that can be are {names}"));
        };
        if !values.is_empty() && !values.contains(&value.as_str()) {
            return wrong(format!("{field} has a value that it cannot have"), format!("give {}", values.join(" or ")));
        }
        if !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return wrong(format!("{field} has a character that a header cannot have"), "write it in ASCII".to_owned());
        }
        // A blank one is not set.
        if !value.is_empty() {
            headers.push((*name, value.clone()));
        }
    }
    Ok(headers)
}
