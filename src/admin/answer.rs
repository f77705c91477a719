//! Answers of one sentence.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::limits;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// One that is worth asking again.
pub(super) fn busy(text: &'static str) -> Response {
    let mut response = sentence(StatusCode::SERVICE_UNAVAILABLE, text);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(limits::RETRY_AFTER));
    response
}

/// A status with a text for people.
pub(super) fn sentence(status: StatusCode, text: impl Into<Body>) -> Response {
    (status, [(header::CONTENT_TYPE, TEXT)], text.into()).into_response()
}
