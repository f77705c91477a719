//! Files that are replaced, well and badly.

use std::fs;
use std::path::PathBuf;

use lab_support::pki::{Authority, Subject};
use tempfile::TempDir;
use tonic::transport::Uri;

use super::super::Headers;
use super::*;
use crate::follow::{PERIOD, SETTLED};
use crate::testing::logged::Logged;

/// A Collector with all four files.
struct Mounted {
    folder: TempDir,
}

impl Mounted {
    fn new() -> Self {
        let mounted = Self { folder: TempDir::new().unwrap() };
        mounted.authority();
        mounted.pair();
        mounted.token("one");
        mounted
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces the authority.
    fn authority(&self) {
        Authority::new("authority").write(&self.at("ca"));
    }

    /// Replaces the certificate and its key.
    fn pair(&self) {
        Authority::new("issuer").issue(Subject::Names(&["agent"]), &self.at("certificate"), &self.at("key"));
    }

    fn token(&self, token: &str) {
        fs::write(self.at("headers"), format!("x-token: {token}\n")).unwrap();
    }

    fn collector(&self) -> Collector {
        Collector {
            endpoint: Uri::from_static("https://localhost:4317"),
            headers_file: Some(self.at("headers")),
            ca_file: Some(self.at("ca")),
            client_files: Some((self.at("certificate"), self.at("key"))),
            ..Collector::default()
        }
    }
}

fn token(token: &str) -> Headers {
    Headers::new(vec![("x-token".to_owned(), token.to_owned())]).unwrap()
}

impl Rotation {
    /// Reads the files now.
    fn look(&mut self) {
        let sources: Vec<Source> = self.held.files.iter().map(NamedFile::source).collect();
        self.held.renew(&follow::read(&sources));
    }
}

#[test]
fn a_new_token_needs_no_new_connection() {
    let mounted = Mounted::new();
    let (credentials, mut rotation) = mounted.collector().open().unwrap();
    let before = credentials.now();
    assert_eq!(*before.headers(), token("one"));
    mounted.token("two");
    rotation.look();
    assert_eq!(*credentials.now().headers(), token("two"));
    assert_eq!(credentials.now().generation(), before.generation());
    assert_eq!(*before.headers(), token("one"), "a request that is being made keeps what it has");
}

#[test]
fn a_new_authority_and_a_new_certificate_need_a_new_connection() {
    let mounted = Mounted::new();
    let (credentials, mut rotation) = mounted.collector().open().unwrap();
    let (logged, _guard) = Logged::here();
    let first = credentials.now().generation();
    mounted.authority();
    rotation.look();
    assert_eq!(credentials.now().generation(), first + 1);
    mounted.pair();
    rotation.look();
    assert_eq!(credentials.now().generation(), first + 2);
    rotation.look();
    assert_eq!(credentials.now().generation(), first + 2, "nothing is new");
    assert_eq!(logged.with("were replaced").len(), 2);
    assert_eq!(logged.with("WARN"), Vec::<String>::new());
}

#[test]
fn a_certificate_is_taken_together_with_its_key() {
    let mounted = Mounted::new();
    let (credentials, mut rotation) = mounted.collector().open().unwrap();
    let (logged, _guard) = Logged::here();
    let first = credentials.now().generation();
    let old_key = fs::read(mounted.at("key")).unwrap();
    mounted.pair();
    let new_key = fs::read(mounted.at("key")).unwrap();
    fs::write(mounted.at("key"), old_key).unwrap();
    rotation.look();
    rotation.look();
    assert_eq!(credentials.now().generation(), first);
    let warned = logged.with("WARN");
    assert_eq!(warned.len(), 1, "{warned:?}");
    for name in ["certificate", "key"] {
        assert!(warned[0].contains(mounted.at(name).to_str().unwrap()), "{warned:?}");
    }
    fs::write(mounted.at("key"), new_key).unwrap();
    rotation.look();
    assert_eq!(credentials.now().generation(), first + 1);
    assert_eq!(logged.with("can be used again").len(), 1);
}

#[test]
fn a_file_that_cannot_be_used_is_told_once_and_keeps_nothing_else_from_being_renewed() {
    let mounted = Mounted::new();
    let (credentials, mut rotation) = mounted.collector().open().unwrap();
    let (logged, _guard) = Logged::here();
    let first = credentials.now().generation();
    let authority = fs::read(mounted.at("ca")).unwrap();
    fs::write(mounted.at("ca"), "this is a hunter2").unwrap();
    for number in 0..5 {
        mounted.token(&format!("{number}"));
        rotation.look();
        assert_eq!(*credentials.now().headers(), token(&format!("{number}")));
    }
    assert_eq!(credentials.now().generation(), first, "the authority stays");
    assert_eq!(logged.with("WARN").len(), 1);
    let counters = Arc::clone(&rotation.held.counters);
    assert_eq!((counters.refused(), counters.renewed(), counters.unusable()), (5, 5, 1));
    mounted.pair();
    rotation.look();
    assert_eq!(credentials.now().generation(), first + 1, "with the old authority");
    fs::remove_file(mounted.at("ca")).unwrap();
    rotation.look();
    rotation.look();
    let warned = logged.with("WARN");
    assert_eq!(warned.len(), 2, "{warned:?}");
    for (line, problem) in warned.iter().zip(["it holds no certificate", "No such file"]) {
        assert!(line.contains(problem) && line.contains(mounted.at("ca").to_str().unwrap()), "{line}");
        assert!(line.contains("OTEL_EXPORTER_OTLP_CERTIFICATE"), "{line}");
    }
    fs::write(mounted.at("ca"), authority).unwrap();
    rotation.look();
    rotation.look();
    assert_eq!(logged.with("can be used again").len(), 1);
    assert_eq!((counters.refused(), counters.renewed(), counters.unusable()), (8, 6, 0));
    assert_eq!(credentials.now().generation(), first + 1, "it is the same authority");
    assert_eq!(logged.with("hunter2"), Vec::<String>::new());
}

#[test]
fn headers_that_cannot_be_used_leave_those_that_can() {
    let mounted = Mounted::new();
    let (credentials, mut rotation) = mounted.collector().open().unwrap();
    let (logged, _guard) = Logged::here();
    for bad in ["", "hunter2", "x-token: hunter2\nx-token: hunter2", "grpc-x: hunter2"] {
        fs::write(mounted.at("headers"), bad).unwrap();
        rotation.look();
        assert_eq!(*credentials.now().headers(), token("one"), "{bad:?}");
    }
    assert_eq!(logged.with("WARN").len(), 4, "each has another fault");
    mounted.token("two");
    rotation.look();
    assert_eq!(*credentials.now().headers(), token("two"));
    assert_eq!(logged.with("hunter2"), Vec::<String>::new());
}

#[test]
fn collectors_with_the_same_files_have_them_read_once() {
    let mounted = Mounted::new();
    let collector = mounted.collector();
    let (one, mut rotation) = collector.open().unwrap();
    let elsewhere = Collector { endpoint: Uri::from_static("https://logs:4317"), ..collector.clone() };
    let other = rotation.share(&elsewhere).unwrap().expect("the same files");
    let plain = Collector { endpoint: Uri::from_static("http://logs:4317"), ..collector };
    assert!(rotation.share(&plain).unwrap().is_none(), "without TLS it has fewer");
    let (logged, _guard) = Logged::here();
    mounted.token("two");
    mounted.pair();
    rotation.look();
    for credentials in [&one, &other] {
        assert_eq!((credentials.now().headers(), credentials.now().generation()), (&token("two"), 2));
    }
    assert_eq!(logged.with("were replaced").len(), 2, "one line for the pair, one for the headers");
    assert_eq!(other.now().connector().uri(), "https://logs:4317");
}

#[tokio::test(start_paused = true)]
async fn the_files_are_followed_until_the_agent_stops() {
    let mounted = Mounted::new();
    let (credentials, rotation) = mounted.collector().open().unwrap();
    let stop = CancellationToken::new();
    let follows = tokio::spawn(rotation.run(Pulse::default(), stop.clone()));
    for number in 2..5 {
        mounted.token(&format!("{number}"));
        mounted.pair();
        tokio::time::sleep(2 * PERIOD + SETTLED).await;
        assert_eq!(*credentials.now().headers(), token(&format!("{number}")));
        assert_eq!(credentials.now().generation(), number);
    }
    stop.cancel();
    follows.await.unwrap();
    mounted.token("late");
    assert_eq!(*credentials.now().headers(), token("4"), "what was last good is still there");
}
