//! TLS and who may ask, over real sockets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::web::{NoAnswer, Refusal, Review, Reviewing, Tokens, Verdict};

/// A document with one user.
fn users() -> String {
    format!("basic_auth_users:\n  alice: {}\n", bcrypt::hash("secret", 4).unwrap())
}

fn basic(pair: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(pair))
}

/// A guarded server without TLS, what counts its refusals, and what it has rendered.
async fn guarded(document: &str) -> (Server, Arc<WebCounters>, Arc<Rendered>) {
    let (counters, content) = (Arc::new(WebCounters::new()), Arc::new(Rendered::default()));
    let guard = Guard::new(crate::web::testing::current(document), None, Arc::clone(&counters));
    let content_of_server: Arc<dyn Content> = Arc::clone(&content) as Arc<dyn Content>;
    let server = serve_guarded(Paths::All, limits::CONNECTIONS, content_of_server, Some(Arc::new(guard))).await;
    (server, counters, content)
}

/// Counts what was asked of it.
#[derive(Default)]
struct Rendered(AtomicU64, Shown);

impl Content for Rendered {
    fn metrics(self: Arc<Self>, accept: Option<String>) -> Made {
        self.0.fetch_add(1, Ordering::Relaxed);
        Arc::new(Shown::default()).metrics(accept)
    }

    fn state(&self) -> State {
        self.0.fetch_add(1, Ordering::Relaxed);
        self.1.state()
    }

    fn still(&self) -> Vec<Still> {
        self.0.fetch_add(1, Ordering::Relaxed);
        self.1.still()
    }
}

#[tokio::test]
async fn every_path_is_refused_before_anything_is_rendered() {
    let (server, counters, rendered) = guarded(&users()).await;
    let mut refused = 0;
    for path in ["/", "/metrics", "/livez", "/readyz", "/nothing", "//metrics", "/metrics/"] {
        for (method, headers) in [
            ("GET", String::new()),
            ("HEAD", String::new()),
            ("POST", String::new()),
            ("GET", basic("alice:wrong")),
            ("GET", basic("mallory:secret")),
            ("GET", "Authorization: Bearer secret\r\n".to_owned()),
            // Two headers are none.
            ("GET", basic("alice:secret").repeat(2)),
        ] {
            let (head, body) = server.ask(method, path, &headers).await;
            assert!(head.starts_with("http/1.1 401"), "{method} {path} {headers}: {head}");
            assert!(head.contains("www-authenticate: basic realm=\"virt-otel\""), "{head}");
            assert!(head.contains("\r\nserver: virt-otel"), "{head}");
            assert!(body.len() < 100, "{}", String::from_utf8_lossy(&body));
            refused += 1;
        }
    }
    assert_eq!(rendered.0.load(Ordering::Relaxed), 0);
    let counted: u64 = Refusal::ALL.into_iter().map(|refusal| counters.refused(refusal)).sum();
    assert_eq!((counted, server.counters.answered()), (refused, 0));
    for (path, status) in [("/", 200), ("/metrics", 200), ("/livez", 200), ("/readyz", 503), ("/nothing", 404)] {
        let (head, _) = server.ask("GET", path, &basic("alice:secret")).await;
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{path}: {head}");
    }
}

#[tokio::test]
async fn the_headers_of_the_document_are_in_every_response() {
    let headers = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    \
                   Strict-Transport-Security: max-age=31536000; includeSubDomains\n";
    let (server, _, _) = guarded(&format!("{headers}{}", users())).await;
    let right = basic("alice:secret");
    for (path, headers, status) in [
        ("/metrics", right.as_str(), 200),
        ("/nothing", right.as_str(), 404),
        ("/metrics", "", 401),
        ("/metrics", "Content-Length: 5\r\n", 413),
    ] {
        let (head, _) = server.ask("GET", path, headers).await;
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{path}: {head}");
        assert!(head.contains("x-frame-options: deny"), "{head}");
        assert!(head.contains("strict-transport-security: max-age=31536000; includesubdomains"), "{head}");
    }
}

#[tokio::test]
async fn more_requests_than_the_rate_allows_are_told_to_come_back() {
    let (server, _, rendered) = guarded("rate_limit:\n  interval: 1h\n  burst: 2\n").await;
    for status in [200, 200, 429, 429] {
        let (head, _) = server.ask("GET", "/metrics", "").await;
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{head}");
        assert_eq!(head.contains("retry-after: "), status == 429, "{head}");
        assert!(head.contains("\r\nserver: virt-otel"), "{head}");
    }
    assert_eq!(rendered.0.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_page_is_served_within_tls() {
    let server = serve_at((Begin::Handshake, Paths::All), Arc::new(Shown::default())).await;
    let (head, body) = server.ask("GET", "/metrics", "").await;
    assert!(head.starts_with("http/1.1 200 ok"), "{head}");
    assert_eq!(body.len(), 450_000);
}

#[tokio::test]
async fn who_speaks_no_tls_is_told_so() {
    let server = serve_at((Begin::Handshake, Paths::All), Arc::new(Shown::default())).await;
    let mut stream = server.reach().await;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it reads");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("it closes");
    assert!(response.starts_with("HTTP/1.1 400") && response.contains("https://"), "{response}");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{response}");
    assert!(head.contains(&format!("\r\nServer: {}\r\n", crate::admin::SERVER)), "{response}");
}

/// Time is paused: it jumps to the server's deadline as soon as nothing else can happen.
#[tokio::test(start_paused = true)]
async fn a_handshake_that_is_not_completed_ends_in_time() {
    let counters = Arc::new(WebCounters::new());
    let place = Place::new();
    let guard = Guard::new(place.current(TLS), None, Arc::clone(&counters));
    let shown = Arc::new(Shown::default());
    let server = serve_guarded(Paths::All, limits::CONNECTIONS, shown, Some(Arc::new(guard))).await;
    // Nothing, the head of a record, and a record that claims to be longer than it is.
    for beginning in [&b""[..], &[22], &[22, 3, 1], &[22, 3, 1, 1, 0, 1, 0, 0, 252]] {
        let mut stream = server.reach().await;
        stream.write_all(beginning).await.expect("it reads");
        let began = Instant::now();
        let _ = stream.read_to_end(&mut Vec::new()).await;
        assert_eq!(began.elapsed().as_secs(), limits::HANDSHAKE_TIME.as_secs(), "{beginning:?}");
    }
    // A byte a second.
    let mut stream = server.reach().await;
    let began = Instant::now();
    for byte in [22, 3, 1, 1, 0, 1, 0, 0, 252] {
        let _ = stream.write_all(&[byte]).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let _ = stream.read_to_end(&mut Vec::new()).await;
    assert!(began.elapsed() <= limits::HANDSHAKE_TIME + Duration::from_secs(5));
    assert_eq!(counters.handshakes_failed(), 5);
}

/// Clients that begin handshakes keep nobody out, neither one who comes nor one who is there.
#[tokio::test]
async fn beginnings_of_handshakes_give_way() {
    const ALIVE: &[u8] = b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    let server = serve_at((Begin::Handshake, Paths::All), Arc::new(Shown::default())).await;
    let mut there = server.connect().await;
    asked(there.as_mut(), ALIVE).await;
    let mut slow = Vec::new();
    for number in 0..3 * limits::CONNECTIONS {
        let mut stream = server.reach().await;
        stream.write_all(&[22, 3, 1]).await.expect("it reads");
        slow.push(stream);
        if number % 8 == 0 {
            assert!(server.ask("GET", "/livez", "").await.0.starts_with("http/1.1 200"));
            asked(there.as_mut(), ALIVE).await;
        }
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_while_all_are_answered() {
    let (most, shown) = (3, Shown { longer: 40, ..Shown::default() });
    let server = serve_by(Begin::Handshake, Paths::All, most, Arc::new(shown)).await;
    let held = filled(&server, most, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut response = Vec::new();
    let mut stream = server.reach().await;
    let read = stream.read_to_end(&mut response);
    let _ = tokio::time::timeout(Duration::from_secs(5), read).await.expect("it closes");
    assert!(response.is_empty(), "{response:?}");
    drop(held);
}

/// Time is paused, as above.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_within_tls_is_let_go() {
    let shown = Shown { longer: 40, ..Shown::default() };
    let server = serve_by(Begin::Handshake, Paths::All, 1, Arc::new(shown)).await;
    let mut held = server.connect().await;
    asked(held.as_mut(), b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let began = Instant::now();
    let healed = async {
        loop {
            let mut stream = server.reach().await;
            if stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.is_ok() && stream.read_u8().await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let deadline = limits::STALL_TIME + limits::LEAVE_TIME;
    tokio::time::timeout(deadline, healed).await.expect("its place is free again");
    assert!(began.elapsed() + Duration::from_secs(1) >= limits::STALL_TIME, "{:?}", began.elapsed());
    drop(held);
}

#[tokio::test]
async fn a_change_ends_connections_after_their_next_response_and_new_ones_see_it() {
    let place = Place::new();
    let (current, change) = place.changing(TLS);
    let guard = Guard::new(current, None, Arc::default());
    let shown = Arc::new(Shown::default());
    let mut server = serve_guarded(Paths::All, limits::CONNECTIONS, shown, Some(Arc::new(guard))).await;
    server.connector = Some(Arc::new(place.client(None)).into());
    let mut before = server.connect().await;
    asked(before.as_mut(), b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    change(&format!("{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n"));
    before.write_all(b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it reads");
    let mut rest = String::new();
    before.read_to_string(&mut rest).await.expect("it closes in order");
    assert!(rest.starts_with("HTTP/1.1 200") && rest.contains("connection: close"), "{rest}");
    // TLS 1.3: the client learns with the first answer that its certificate is missing.
    let mut without = server.connect().await;
    let _ = without.write_all(b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(without.read_u8().await.is_err());
    server.connector = Some(Arc::new(place.client(Some(&["scraper"]))).into());
    assert!(server.ask("GET", "/livez", "").await.0.starts_with("http/1.1 200"));
}

/// Reviews by what a token says, and counts.
struct Cluster(Arc<AtomicU64>);

impl Review for Cluster {
    fn review(&self, token: String) -> Reviewing {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(match token.as_str() {
            "allowed" => Ok(Verdict::Allowed),
            "denied" => Ok(Verdict::Denied),
            "away" => Err(NoAnswer),
            _ => Ok(Verdict::Unknown),
        }))
    }
}

#[tokio::test]
async fn a_token_is_what_the_cluster_says_and_nobody_is_asked_without_one() {
    let (reviews, place) = (Arc::new(AtomicU64::new(0)), Place::new());
    let tokens = Tokens::new(Arc::new(Cluster(Arc::clone(&reviews)))).expect("random numbers");
    let guard = Guard::new(place.current(TLS), Some(tokens), Arc::default());
    let rendered = Arc::new(Rendered::default());
    let content: Arc<dyn Content> = Arc::clone(&rendered) as Arc<dyn Content>;
    let mut server = serve_guarded(Paths::Metrics, limits::CONNECTIONS, content, Some(Arc::new(guard))).await;
    server.connector = Some(Arc::new(place.client(None)).into());
    for headers in ["", "Authorization: Bearer\r\n", "Authorization: Basic eDp4\r\n", "Authorization: allowed\r\n"] {
        let (head, _) = server.ask("GET", "/metrics", headers).await;
        assert!(head.starts_with("http/1.1 401") && head.contains("www-authenticate: bearer"), "{headers}: {head}");
    }
    assert_eq!(reviews.load(Ordering::Relaxed), 0);
    for (token, status) in [("nonsense", 401), ("denied", 403)] {
        for path in ["/metrics", "/", "/livez"] {
            let (head, _) = server.ask("GET", path, &format!("Authorization: Bearer {token}\r\n")).await;
            assert!(head.starts_with(&format!("http/1.1 {status}")), "{token} {path}: {head}");
        }
    }
    let (head, _) = server.ask("GET", "/metrics", "Authorization: Bearer away\r\n").await;
    assert!(head.starts_with("http/1.1 503") && head.contains("retry-after: "), "{head}");
    assert_eq!((reviews.load(Ordering::Relaxed), rendered.0.load(Ordering::Relaxed)), (3, 0));
    for status in [200, 200] {
        let (head, _) = server.ask("GET", "/metrics", "Authorization: Bearer allowed\r\n").await;
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{head}");
    }
}

#[tokio::test]
async fn probes_at_their_own_address_need_no_secret() {
    let (open, guarded) = {
        let shown = || Arc::new(Shown { complete: AtomicBool::new(true), ..Shown::default() });
        let guard = Arc::new(Guard::new(crate::web::testing::current(&users()), None, Arc::default()));
        (
            serve_these(Paths::Probes, limits::PROBE_CONNECTIONS, shown()).await,
            serve_guarded(Paths::Metrics, limits::CONNECTIONS, shown(), Some(guard)).await,
        )
    };
    for path in ["/livez", "/readyz"] {
        assert!(open.ask("GET", path, "").await.0.starts_with("http/1.1 200"));
        assert!(guarded.ask("GET", path, "").await.0.starts_with("http/1.1 401"));
    }
}
