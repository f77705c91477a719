//! The server over real sockets, spoken to byte by byte.

mod secured;

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use super::super::bind;
use super::super::content::{Content, Made, Page, State};
use super::super::counters::ScrapeCounters;
use super::super::paths::Paths;
use super::*;
use crate::heartbeat::{Heartbeats, Still};
use crate::web::testing::{Place, TLS};
use crate::web::{Guard, WebCounters};

/// The content of a test.
#[derive(Default)]
struct Shown {
    off: bool,
    complete: AtomicBool,
    still: AtomicU64,
    /// How many more times the page of metrics is repeated.
    longer: usize,
}

impl Content for Shown {
    fn metrics(self: Arc<Self>, accept: Option<String>) -> Made {
        if self.off {
            return Box::pin(std::future::ready(Ok(None)));
        }
        let content_type = if accept.is_some_and(|accept| accept.contains("openmetrics")) {
            "application/openmetrics"
        } else {
            "text/plain"
        };
        let body = "metric 1\n".repeat(50_000 * (1 + self.longer)).into_bytes();
        Box::pin(std::future::ready(Ok(Some(Page { content_type, body }))))
    }

    fn state(&self) -> State {
        State {
            serves_metrics: !self.off,
            complete: self.complete.load(Ordering::Relaxed),
            api_away: None,
            snapshot_age: Some(Duration::from_millis(1_500)),
            vms: 3,
        }
    }

    fn still(&self) -> Vec<Still> {
        let still = |part: u64| Still { part: format!("part {part}"), since: Duration::from_secs(90 - part) };
        (0..self.still.load(Ordering::Relaxed)).map(still).collect()
    }
}

/// A client's end of a connection.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// How connections begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    Plain,
    Handshake,
}

/// Every kind of address that the agent listens on: `--listen` without and with TLS, and `--health-listen`.
const ADDRESSES: [(Begin, Paths); 3] =
    [(Begin::Plain, Paths::All), (Begin::Handshake, Paths::All), (Begin::Plain, Paths::Probes)];

struct Server {
    port: u16,
    /// What clients speak TLS with.
    connector: Option<TlsConnector>,
    counters: Arc<ScrapeCounters>,
    beats: Heartbeats,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn serve_this(content: Arc<dyn Content>) -> Server {
    serve_these(Paths::All, Paths::All.connections(), content).await
}

async fn serve_these(paths: Paths, most: usize, content: Arc<dyn Content>) -> Server {
    serve_guarded(paths, most, content, None).await
}

/// A server at such an address.
async fn serve_at((begin, paths): (Begin, Paths), content: Arc<dyn Content>) -> Server {
    serve_by(begin, paths, paths.connections(), content).await
}

/// A server whose connections begin in this way.
async fn serve_by(begin: Begin, paths: Paths, most: usize, content: Arc<dyn Content>) -> Server {
    match begin {
        Begin::Plain => serve_these(paths, most, content).await,
        Begin::Handshake => {
            let place = Place::new();
            let guard = Guard::new(place.current(TLS), None, Arc::default());
            let mut server = serve_guarded(paths, most, content, Some(Arc::new(guard))).await;
            server.connector = Some(Arc::new(place.client(None)).into());
            server
        }
    }
}

async fn serve_guarded(paths: Paths, most: usize, content: Arc<dyn Content>, guard: Option<Arc<Guard>>) -> Server {
    let listeners = bind("--listen", "127.0.0.1", 0).await.expect("a free port");
    let port = listeners[0].local_addr().expect("it is bound").port();
    let (counters, stop) = (Arc::new(ScrapeCounters::default()), CancellationToken::new());
    let site = Site { paths, content, counters: Arc::clone(&counters), guard };
    let beats = Heartbeats::new();
    let task = tokio::spawn(serve_at_once(most, listeners, site, beats.part("admin"), stop.clone()));
    Server { port, connector: None, counters, beats, stop, task }
}

impl Server {
    /// A connection, before any handshake.
    async fn reach(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.expect("it listens")
    }

    /// A connection that is ready for requests.
    async fn connect(&self) -> Box<dyn Stream> {
        let stream = self.reach().await;
        match &self.connector {
            None => Box::new(stream),
            Some(connector) => {
                let name = "localhost".try_into().expect("a name");
                Box::new(connector.connect(name, stream).await.expect("a handshake"))
            }
        }
    }

    /// Sends these bytes and reads until the server closes.
    async fn raw(&self, request: &str) -> Vec<u8> {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut response = Vec::new();
        // A server that closes before it has read everything resets the connection: what arrived until then counts.
        let _ =
            tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut response)).await.expect("it closes");
        response
    }

    /// Head and body of the answer to one request.
    async fn ask(&self, method: &str, path: &str, headers: &str) -> (String, Vec<u8>) {
        let response =
            self.raw(&format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n")).await;
        let end = response.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        (String::from_utf8_lossy(&response[..end]).to_ascii_lowercase(), response[end + 4..].to_vec())
    }
}

#[tokio::test]
async fn metrics_are_served_in_the_format_that_is_asked_for() {
    let server = serve_this(Arc::new(Shown::default())).await;
    let (head, body) = server.ask("GET", "/metrics", "").await;
    assert!(head.starts_with("http/1.1 200 ok") && head.contains("content-type: text/plain"), "{head}");
    assert!(head.contains("content-length: 450000") && !head.contains("content-encoding"), "{head}");
    assert_eq!(body.len(), 450_000);
    let (head, _) =
        server.ask("GET", "/metrics", "Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n").await;
    assert!(head.contains("content-type: application/openmetrics"), "{head}");
    assert_eq!((server.counters.answered(), server.counters.bytes()), (2, 900_000));
}

#[tokio::test]
async fn metrics_are_compressed_where_that_is_accepted() {
    let server = serve_this(Arc::new(Shown::default())).await;
    let (head, body) = server.ask("GET", "/metrics", "Accept-Encoding: gzip\r\n").await;
    assert!(head.contains("content-encoding: gzip") && head.contains("vary: accept"), "{head}");
    assert!(body.len() < 45_000, "{}", body.len());
    let mut text = String::new();
    flate2::read::GzDecoder::new(body.as_slice()).read_to_string(&mut text).expect("gzip");
    assert_eq!(text, "metric 1\n".repeat(50_000));
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = serve_this(Arc::new(Shown::default())).await;
    let (head, body) = server.ask("HEAD", "/metrics", "").await;
    assert!(head.starts_with("http/1.1 200") && head.contains("content-length: 450000"), "{head}");
    assert!(body.is_empty());
}

#[tokio::test]
async fn says_whether_it_lives_and_whether_it_is_ready() {
    let shown = Arc::new(Shown::default());
    let server = serve_this(Arc::clone(&shown) as Arc<dyn Content>).await;
    assert!(server.ask("GET", "/livez", "").await.0.starts_with("http/1.1 200"));
    assert!(server.ask("GET", "/readyz", "").await.0.starts_with("http/1.1 503"));
    shown.complete.store(true, Ordering::Relaxed);
    shown.still.store(1, Ordering::Relaxed);
    assert!(server.ask("GET", "/readyz", "").await.0.starts_with("http/1.1 200"));
    let (head, body) = server.ask("GET", "/livez", "").await;
    assert!(head.starts_with("http/1.1 503"), "{head}");
    assert_eq!(String::from_utf8_lossy(&body), "part 0 has stood still for 1m 30s.\n");
    shown.still.store(limits::NAMED as u64 + 2, Ordering::Relaxed);
    let body = String::from_utf8(server.ask("GET", "/livez", "").await.1).expect("UTF-8");
    assert_eq!(body.lines().count(), limits::NAMED + 1, "{body}");
    assert!(body.ends_with("\nSo have 2 others.\n"), "{body}");
}

#[tokio::test]
async fn with_an_address_of_their_own_the_probes_are_there_and_nowhere_else() {
    for (paths, expected) in [(Paths::Metrics, [200, 200, 404, 404]), (Paths::Probes, [404, 404, 200, 200])] {
        let shown = Shown { complete: AtomicBool::new(true), ..Shown::default() };
        let server = serve_these(paths, paths.connections(), Arc::new(shown)).await;
        for (path, status) in ["/", "/metrics", "/livez", "/readyz"].into_iter().zip(expected) {
            let (head, body) = server.ask("GET", path, "").await;
            assert!(head.starts_with(&format!("http/1.1 {status}")), "{paths:?} {path}: {head}");
            let text = String::from_utf8_lossy(&body);
            if path == "/livez" && paths == Paths::Metrics {
                assert_eq!(text, "The probes are at the address of --health-listen.\n");
            }
            assert!(path != "/" || !text.contains("href=\"/livez\""), "{text}");
        }
    }
}

#[tokio::test]
async fn the_status_page_shows_the_state_and_needs_nothing_from_elsewhere() {
    let server = serve_this(Arc::new(Shown::default())).await;
    let (head, body) = server.ask("GET", "/", "").await;
    let body = String::from_utf8_lossy(&body);
    assert!(head.contains("content-type: text/html"), "{head}");
    assert!(body.contains(env!("CARGO_PKG_VERSION")) && body.contains("href=\"/metrics\""), "{body}");
    assert!(body.contains("3 VMs. Last snapshot: 1s ago."), "{body}");
    for header in
        ["content-security-policy: default-src 'none'", "cache-control: no-store", "x-content-type-options: nosniff"]
    {
        assert!(head.contains(header), "{header}: {head}");
    }
}

#[tokio::test]
async fn refuses_what_is_not_there_and_what_is_not_asked_with_get() {
    let server = serve_this(Arc::new(Shown { off: true, ..Shown::default() })).await;
    for (method, path, status) in
        [("GET", "/nothing", "404"), ("POST", "/metrics", "405"), ("DELETE", "/", "405"), ("GET", "/metrics", "404")]
    {
        let (head, body) = server.ask(method, path, "").await;
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{method} {path}: {head}");
        assert!(!body.is_empty());
    }
}

#[tokio::test]
async fn a_request_has_no_body() {
    let server = serve_this(Arc::new(Shown::default())).await;
    for headers in ["Content-Length: 1000000\r\n", "Transfer-Encoding: chunked\r\n"] {
        let (head, _) = server.ask("GET", "/metrics", headers).await;
        assert!(head.starts_with("http/1.1 413") && head.contains("connection: close"), "{head}");
    }
    assert!(server.ask("GET", "/livez", "Content-Length: 0\r\n").await.0.starts_with("http/1.1 200"));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = serve_this(Arc::new(Shown::default())).await;
    let large = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(limits::HEAD_BYTES * 2));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(limits::HEADERS + 1));
    for request in [large.as_str(), many.as_str(), "nonsense\r\n\r\n"] {
        let response = server.raw(request).await;
        assert!(!response.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&response));
    }
    assert!(server.ask("GET", "/livez", "").await.0.starts_with("http/1.1 200"), "it serves others");
}

/// Fills the server with connections that have sent this request.
async fn filled(server: &Server, most: usize, request: &[u8]) -> Vec<Box<dyn Stream>> {
    let mut held = Vec::new();
    for _ in 0..most {
        let mut stream = server.connect().await;
        // Accepted and counted, once it answers.
        asked(stream.as_mut(), request).await;
        held.push(stream);
    }
    held
}

/// Sends a request over a kept connection, and reads the head of the answer.
async fn asked(stream: &mut dyn Stream, request: &[u8]) {
    stream.write_all(request).await.expect("it reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("it answers"));
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
}

#[tokio::test]
async fn the_idlest_connection_makes_room_for_one_that_asks() {
    const ALIVE: &[u8] = b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    for address in ADDRESSES {
        let server = serve_at(address, Arc::new(Shown::default())).await;
        let mut held = filled(&server, address.1.connections(), ALIVE).await;
        // Longer than the clock's resolution: the first one is now the last to go.
        tokio::time::sleep(Duration::from_millis(5)).await;
        asked(held[0].as_mut(), ALIVE).await;
        let mut new = server.connect().await;
        asked(new.as_mut(), ALIVE).await;
        // Within TLS it ends without a goodbye, which is an error.
        let ended = held.remove(1).read_to_end(&mut Vec::new()).await;
        assert!(ended.is_ok() || server.connector.is_some(), "{ended:?}");
        for stream in held.iter_mut().chain([&mut new]) {
            asked(stream.as_mut(), ALIVE).await;
        }
    }
}

/// A client that sends bytes but never a whole request does not keep others out.
#[tokio::test]
async fn beginnings_of_requests_are_idle() {
    for address in ADDRESSES {
        let server = serve_at(address, Arc::new(Shown::default())).await;
        let mut slow = Vec::new();
        for _ in 0..3 * address.1.connections() {
            let mut stream = server.connect().await;
            stream.write_all(b"GET /liv").await.expect("it reads");
            slow.push(stream);
            assert!(server.ask("GET", "/livez", "").await.0.starts_with("http/1.1 200"), "{address:?}");
        }
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_to_come_back_while_all_are_answered() {
    let most = 3;
    let shown = Shown { longer: 40, ..Shown::default() };
    let server = serve_these(Paths::All, most, Arc::new(shown)).await;
    // Twenty megabytes that nobody reads.
    let held = filled(&server, most, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let response = server.raw("").await;
    assert!(response.starts_with(b"HTTP/1.1 503") && response.windows(11).any(|part| part == b"Retry-After"));
    assert!(String::from_utf8_lossy(&response).contains(&format!("Server: {}\r\n", crate::admin::SERVER)));
    drop(held);
    let healed = async {
        while !server
            .raw("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .starts_with(b"HTTP/1.1 200")
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), healed).await.expect("connections that end make room");
}

#[tokio::test]
async fn scrapes_beyond_the_limit_are_told_to_come_back() {
    let counters = Arc::new(ScrapeCounters::default());
    let site =
        Site { paths: Paths::All, content: Arc::new(Shown::default()), counters: Arc::clone(&counters), guard: None };
    let router = routes::router(site);
    let scrape = || {
        let service = TowerToHyperService::new(router.clone());
        let request = Request::get("/metrics").header("accept-encoding", "gzip").body(Body::empty());
        async move { hyper::service::Service::call(&service, request.expect("a request")).await.expect("infallible") }
    };
    // All are polled before the first has finished compressing.
    let mut running = JoinSet::new();
    for _ in 0..=limits::SCRAPES {
        running.spawn(scrape());
    }
    let mut statuses = Vec::new();
    while let Some(response) = running.join_next().await {
        statuses.push(response.expect("no panic").status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 503]);
    assert_eq!(counters.refused(), 1);
    assert_eq!(scrape().await.status().as_u16(), 200, "the permits came back");
}

/// Time is paused: it jumps to the server's deadline as soon as nothing else can happen.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_finish_its_head_is_let_go() {
    for address in ADDRESSES {
        let server = serve_at(address, Arc::new(Shown::default())).await;
        for beginning in ["", "GET /livez HTTP/1.1\r\nHost: x\r\n", "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"] {
            let mut stream = server.connect().await;
            stream.write_all(beginning.as_bytes()).await.expect("it reads");
            let began = Instant::now();
            let mut response = Vec::new();
            // Within TLS it ends without a goodbye, which is an error.
            let ended = stream.read_to_end(&mut response).await;
            assert!(ended.is_ok() || server.connector.is_some(), "{ended:?}");
            let waited = began.elapsed();
            assert!(waited <= limits::HEAD_TIME + Duration::from_secs(1), "{address:?} {beginning:?}: {waited:?}");
            assert_eq!(response.starts_with(b"HTTP/1.1 200"), beginning.ends_with("\r\n\r\n"));
        }
    }
}

/// Clients that send nothing, stop in the middle, or never come.
#[tokio::test(start_paused = true)]
async fn no_client_stops_the_heartbeat() {
    for address in ADDRESSES {
        let server = serve_at(address, Arc::new(Shown::default())).await;
        for _ in 0..60 {
            let mut stream = server.connect().await;
            stream.write_all(b"GET /liv").await.expect("it reads");
            let _silent = server.reach().await;
            tokio::time::sleep(Duration::from_secs(15)).await;
            assert_eq!(server.beats.still(), []);
        }
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(server.beats.still(), []);
    }
}

#[tokio::test]
async fn stops_without_waiting_for_idle_connections() {
    for address in ADDRESSES {
        let server = serve_at(address, Arc::new(Shown::default())).await;
        let mut idle = server.connect().await;
        idle.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it reads");
        let mut byte = [0];
        idle.read_exact(&mut byte).await.expect("it answers");
        let mut half = server.connect().await;
        half.write_all(b"GET /li").await.expect("it reads");
        let _silent = server.reach().await;
        server.stop.cancel();
        let ended = tokio::time::timeout(limits::DRAIN_TIME + Duration::from_secs(1), server.task).await;
        ended.expect("in time").expect("no panic");
    }
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_it() {
    let held = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = held.local_addr().expect("it is bound").port();
    let error = bind("--health-listen", "127.0.0.1", port).await.expect_err("it is in use");
    assert!(
        error.to_string().contains(&format!("127.0.0.1:{port}")) && error.to_string().contains("--health-listen"),
        "{error}"
    );
    assert!(bind("--listen", "localhost", port).await.is_err(), "one address of the name is in use");
    assert!(bind("--listen", "no-such-host.invalid", 0).await.is_err());
}

#[tokio::test]
async fn a_name_is_every_address_that_it_stands_for_at_one_port() {
    let listeners = bind("--listen", "localhost", 0).await.expect("a free port");
    let ports: Vec<u16> =
        listeners.iter().filter_map(|listener| listener.local_addr().ok()).map(|address| address.port()).collect();
    assert!(ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    bind("--listen", "", 0).await.expect("every address");
}
