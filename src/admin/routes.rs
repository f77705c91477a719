//! The routes and their answers.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::answer::{busy, sentence};
use super::content::{Content, NotMade};
use super::counters::ScrapeCounters;
use super::paths::Paths;
use super::site::Site;
use super::{guarded, gzip, limits, status};
use crate::heartbeat::Still;

/// By this every answer tells that a virt-otel gives it (the header Server).
pub const SERVER: &str = "virt-otel";

/// The page has its style in itself, and needs nothing from anywhere.
const NOTHING_ELSE: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// What the handlers share.
#[derive(Clone)]
struct ServerState {
    paths: Paths,
    content: Arc<dyn Content>,
    counters: Arc<ScrapeCounters>,
    scrapes: Arc<Semaphore>,
}

/// The paths of a site. HEAD is answered like GET, without the body; another method with 405, another path with 404.
pub(super) fn router(site: Site) -> Router {
    let Site { paths, content, counters, guard } = site;
    let server = ServerState { paths, content, counters, scrapes: Arc::new(Semaphore::new(limits::SCRAPES)) };
    let mut router = Router::new();
    if paths != Paths::Probes {
        router = router.route("/", get(home)).route("/metrics", get(metrics));
    }
    router = if paths == Paths::Metrics {
        router.route("/livez", get(elsewhere)).route("/readyz", get(elsewhere))
    } else {
        router.route("/livez", get(livez)).route("/readyz", get(readyz))
    };
    let router =
        router.fallback(async move || sentence(StatusCode::NOT_FOUND, paths.nothing())).method_not_allowed_fallback(
            async || sentence(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are answered.\n"),
        );
    // The last layer is the first that a request passes.
    let bounded = middleware::from_fn(bounded);
    let router = match &guard {
        None => router.layer(bounded),
        Some(guard) => guarded::dressed(guarded::guarded(router, guard).layer(bounded), guard),
    };
    router.layer(middleware::map_response(named)).with_state(server)
}

async fn named(mut response: Response) -> Response {
    response.headers_mut().insert(header::SERVER, HeaderValue::from_static(SERVER));
    response
}

/// Refuses a request with a body, and limits the time to answer.
async fn bounded(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let has_length = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0");
    if has_length || headers.contains_key(header::TRANSFER_ENCODING) {
        let mut response = sentence(StatusCode::PAYLOAD_TOO_LARGE, "A request must not have a body.\n");
        // The body is still on its way: this connection cannot be reused.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    match tokio::time::timeout(limits::REQUEST_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => busy("The answer took too long.\n"),
    }
}

async fn metrics(Shared(server): Shared<ServerState>, headers: HeaderMap) -> Response {
    let Ok(_permit) = server.scrapes.try_acquire() else {
        server.counters.refuse();
        return busy("Too many scrapes run at once.\n");
    };
    let began = Instant::now();
    // Prometheus sends one Accept header; several are one list.
    let accept: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let accept = (!accept.is_empty()).then(|| accept.join(","));
    let page = match Arc::clone(&server.content).metrics(accept).await {
        Ok(Some(page)) => page,
        Ok(None) => {
            return sentence(
                StatusCode::NOT_FOUND,
                "Metrics are not served here: `prometheus` is not among --exporters.\n",
            );
        }
        Err(NotMade) => return busy("The agent is ending.\n"),
    };
    server.counters.answer(began.elapsed(), page.body.len());
    let encodings = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let (body, encoding) = if gzip::accepted(encodings) {
        match gzip::compress(&page.body).await {
            Ok(compressed) => (compressed, Some(HeaderValue::from_static("gzip"))),
            Err(_) => (page.body, None),
        }
    } else {
        (page.body, None)
    };
    let mut response = Response::new(Body::from(body));
    let head = response.headers_mut();
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static(page.content_type));
    head.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if let Some(encoding) = encoding {
        head.insert(header::CONTENT_ENCODING, encoding);
    }
    response
}

async fn livez(Shared(server): Shared<ServerState>) -> Response {
    let still = server.content.still();
    if still.is_empty() {
        return sentence(StatusCode::OK, "Every part of the agent turns.\n");
    }
    let mut text = String::new();
    for Still { part, since } in still.iter().take(limits::NAMED) {
        let since = humantime::format_duration(Duration::from_secs(since.as_secs()));
        let _ = writeln!(text, "{part} has stood still for {since}.");
    }
    if let Some(others) = still.len().checked_sub(limits::NAMED).filter(|others| *others > 0) {
        let _ = writeln!(text, "So have {others} others.");
    }
    sentence(StatusCode::SERVICE_UNAVAILABLE, text)
}

async fn elsewhere() -> Response {
    sentence(StatusCode::NOT_FOUND, "The probes are at the address of --health-listen.\n")
}

async fn readyz(Shared(server): Shared<ServerState>) -> Response {
    let state = server.content.state();
    let (status, mut text) = if state.complete {
        (StatusCode::OK, "The first round over every daemon is done.\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "The first round over every daemon is not done yet.\n".to_owned())
    };
    // What is known about the VMs still holds, and they are still read: the agent stays ready.
    if let Some(away) = status::api_away(&state) {
        text.push_str(&away);
    }
    sentence(status, text)
}

async fn home(Shared(server): Shared<ServerState>) -> Response {
    let html = status::page(&server.content.status(), server.paths);
    let head = [
        (header::CONTENT_TYPE, HTML),
        (header::CONTENT_SECURITY_POLICY, NOTHING_ELSE),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (head, html).into_response()
}
