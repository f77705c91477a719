//! Refuses requests that are not admitted, before anything is rendered.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;

use super::answer::{busy, sentence};
use crate::web::{Guard, Refusal};

/// These routes, and what is not found among them, for those whom the guard admits.
pub(super) fn guarded<S: Clone + Send + Sync + 'static>(router: Router<S>, guard: &Arc<Guard>) -> Router<S> {
    router.layer(middleware::from_fn_with_state(Arc::clone(guard), admit))
}

/// The same with the guard's headers in each response, refusals among them.
pub(super) fn dressed<S: Clone + Send + Sync + 'static>(router: Router<S>, guard: &Arc<Guard>) -> Router<S> {
    router.layer(middleware::from_fn_with_state(Arc::clone(guard), dress))
}

async fn admit(Shared(guard): Shared<Arc<Guard>>, request: Request, next: Next) -> Response {
    let authorization = authorization(request.headers());
    match guard.admit(authorization.as_deref()).await {
        Ok(()) => next.run(request).await,
        Err(refusal) => refused(refusal, &guard),
    }
}

/// The value of the one header; two would be two requests in one.
fn authorization(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    Some(value.as_bytes().to_vec())
}

fn refused(refusal: Refusal, guard: &Guard) -> Response {
    let unauthorized = |text: &'static str| {
        let mut response = sentence(StatusCode::UNAUTHORIZED, text);
        for challenge in guard.challenges() {
            response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    };
    match refusal {
        Refusal::NoCredentials => unauthorized("This address asks for a user and a password, or for a token.\n"),
        Refusal::WrongPassword => unauthorized("The user or the password is wrong.\n"),
        Refusal::UnknownToken => unauthorized("The cluster does not know this token.\n"),
        Refusal::Forbidden => {
            sentence(StatusCode::FORBIDDEN, "The token's owner may not `get` the nonResourceURL /metrics.\n")
        }
        Refusal::TooOften => {
            let mut response = busy("There are more requests than the configuration allows.\n");
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            response
        }
        Refusal::Busy => busy("Too many passwords or unknown tokens wait, or this one takes long to compare.\n"),
        Refusal::NoReview => busy("The Kubernetes API, which reviews tokens, does not answer.\n"),
    }
}

async fn dress(Shared(guard): Shared<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in guard.headers() {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
