//! Stands in for a backend: takes every request over HTTP, says that all is well, and keeps it.

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::response::IntoResponse as _;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use tokio::runtime::Runtime;

use crate::support::wait_until;

/// How long a Collector may take to send what it was given.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request as it came, decompressed.
#[derive(Debug, Clone)]
pub struct Caught {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Caught {
    /// Its body as this message.
    #[track_caller]
    pub fn decode<M: Message + Default>(&self) -> M {
        M::decode(&self.body[..]).unwrap_or_else(|error| panic!("what came to {} is no message: {error}", self.path))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A backend on a port of its own.
pub struct Sink {
    address: SocketAddr,
    caught: Arc<Mutex<Vec<Caught>>>,
    // The server runs as long as this exists.
    _runtime: Runtime,
}

impl Sink {
    pub fn start() -> Sink {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let caught = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&caught);
        let take = move |_: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let kept = Arc::clone(&kept);
            async move {
                let body = decompressed(&headers, &body);
                kept.lock().unwrap().push(Caught { path: uri.path().to_owned(), headers, body });
                // What Datadog's API says of a key, and an answer that the others do not mind.
                ([(header::CONTENT_TYPE, "application/json")], r#"{"valid":true}"#).into_response()
            }
        };
        let address = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let router = Router::new().fallback(take).layer(DefaultBodyLimit::disable());
            tokio::spawn(axum::serve(listener, router).into_future());
            address
        });
        Sink { address, caught, _runtime: runtime }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came to this path, in order.
    pub fn at(&self, path: &str) -> Vec<Caught> {
        self.caught.lock().unwrap().iter().filter(|caught| caught.path == path).cloned().collect()
    }

    /// The OTLP requests that came to this path, in order.
    pub fn otlp(&self, path: &str) -> Vec<ExportMetricsServiceRequest> {
        self.at(path).iter().map(Caught::decode).collect()
    }

    /// Waits for something among what came.
    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, wanted: impl Fn(&Sink) -> Option<T>) -> T {
        let paths = || {
            let caught = self.caught.lock().unwrap();
            caught.iter().map(|caught| caught.path.clone()).collect::<Vec<_>>()
        };
        crate::support::answer_within(PATIENCE, || wanted(self))
            .unwrap_or_else(|| panic!("waited in vain for {what}; requests came to {:?}", paths()))
    }
}

#[track_caller]
fn decompressed(headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let encoding = headers.get(header::CONTENT_ENCODING).map_or("identity", |value| value.to_str().unwrap_or("?"));
    let mut plain = Vec::new();
    match encoding {
        "gzip" => drop(flate2::read::GzDecoder::new(body).read_to_end(&mut plain).expect("gzip")),
        "deflate" | "zlib" => drop(flate2::read::ZlibDecoder::new(body).read_to_end(&mut plain).expect("zlib")),
        "identity" => plain.extend_from_slice(body),
        other => panic!("a body in {other}, which nobody here can read"),
    }
    plain
}

/// Waits for something else than a request.
#[track_caller]
pub fn eventually<T>(what: &str, wanted: impl FnMut() -> Option<T>) -> T {
    wait_until(PATIENCE, what, wanted)
}
