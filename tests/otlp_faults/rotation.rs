//! Certificates, keys, authorities and headers that are replaced while pushes go on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use virt_otel::catalog::{OwnMetric, Unit, observables};
use virt_otel::export::otlp::{OtlpCounters, OtlpSettings};
use virt_otel::heartbeat::Pulse;
use virt_otel::telemetry::{Identity, Push};
use virt_otel::testing::receiver::Receiver;

use super::collector::{Collector, Received};
use super::proxy::{Mode, Proxy};
use super::{Agent, INTERVAL, PATIENCE, dropped, tls};

/// How often everything is pushed. What waits meanwhile has room for eight of these, which is longer than a handshake takes
/// on a loaded machine.
const PUSHES: Duration = Duration::from_millis(250);

/// How many pushes may pass until new files are used.
const TRIES: usize = 200;

/// The files of an agent, replaced together as Kubernetes replaces those of a Secret: a link is led to another folder.
struct Mounted {
    folder: TempDir,
    versions: AtomicU64,
}

impl Mounted {
    fn new(files: &tls::Files, token: &str) -> Self {
        let mounted = Self { folder: TempDir::new().unwrap(), versions: AtomicU64::new(0) };
        mounted.replace(files, token);
        mounted
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join("..data").join(name)
    }

    fn replace(&self, files: &tls::Files, token: &str) {
        let version = format!("..{}", self.versions.fetch_add(1, Ordering::Relaxed));
        let (folder, link) = (self.folder.path().join(&version), self.folder.path().join("..data_tmp"));
        std::fs::create_dir(&folder).unwrap();
        for (name, file) in [
            ("authority.pem", files.authority()),
            ("client.pem", files.client_certificate()),
            ("client.key", files.client_key()),
        ] {
            std::fs::copy(file, folder.join(name)).unwrap();
        }
        std::fs::write(folder.join("headers"), format!("# of this test\nX-Token: {token}\n")).unwrap();
        std::os::unix::fs::symlink(version, &link).unwrap();
        std::fs::rename(link, self.folder.path().join("..data")).unwrap();
    }

    fn collector(&self, address: SocketAddr) -> virt_otel::collector::Collector {
        virt_otel::collector::Collector {
            endpoint: format!("https://localhost:{}", address.port()).parse().unwrap(),
            headers_file: Some(self.at("headers")),
            ca_file: Some(self.at("authority.pem")),
            client_files: Some((self.at("client.pem"), self.at("client.key"))),
            ..virt_otel::collector::Collector::default()
        }
    }

    fn settings(&self, address: SocketAddr) -> impl FnOnce(&mut OtlpSettings) {
        let collector = self.collector(address);
        move |settings| {
            settings.collector = virt_otel::collector::Collector { timeout: settings.collector.timeout, ..collector };
            settings.interval = PUSHES;
        }
    }
}

/// A Collector that is about to be replaced by another one, with other certificates of another authority.
struct Replacing {
    one: tls::Files,
    other: tls::Files,
    old: Collector,
    new: Collector,
    /// Leads to the old one.
    proxy: Proxy,
    /// What the agent has: for the old one.
    mounted: Mounted,
}

impl Replacing {
    async fn start() -> Self {
        let (one, other) = (tls::Files::new(), tls::Files::new());
        let old = Collector::start_tls([], one.server()).await;
        let new = Collector::start_tls([], other.server()).await;
        let proxy = Proxy::start(old.address).await;
        let mounted = Mounted::new(&one, "old");
        Self { one, other, old, new, proxy, mounted }
    }
}

/// So many more requests than now.
async fn some_more(agent: &mut Agent, collector: &Collector, more: usize) {
    let seen = collector.received().len();
    agent.until(collector, |received| received.len() >= seen + more).await;
}

/// What arrived with this token.
fn with_token(token: &str) -> impl Fn(&[Received]) -> bool {
    move |received| received.last().is_some_and(|request| request.header("x-token") == Some(token))
}

/// Nothing failed, nothing was sent twice, and all arrived in order, by one server after the other.
fn assert_nothing_lost(counters: &OtlpCounters, collectors: &[&Collector]) {
    assert_eq!((counters.failed_requests(), counters.points_retried()), (0, 0));
    assert_eq!(dropped(counters), []);
    let mut receiver = Receiver::default();
    let mut requests: Vec<Received> = collectors.iter().flat_map(|collector| collector.accepted()).collect();
    requests.sort_by_key(|request| request.at);
    for request in &requests {
        receiver.accept(&request.message.resource_metrics);
    }
    let points: usize = requests.iter().map(Received::points).sum();
    assert_eq!(counters.points_sent(), points as u64);
}

/// The Collector has a new certificate of a new authority, and demands one of that authority.
#[tokio::test(flavor = "multi_thread")]
async fn every_secret_is_replaced_under_load_without_one_failed_push() {
    let Replacing { one: _one, other, old, new, proxy, mounted } = Replacing::start().await;
    let mut agent = Agent::start(20, mounted.settings(proxy.address));
    some_more(&mut agent, &old, 5).await;
    // The agent's side first: over and over, no new connection comes up, and the old one serves.
    mounted.replace(&other, "new");
    agent.until(&old, with_token("new")).await;
    some_more(&mut agent, &old, 5).await;
    assert!(new.received().is_empty());
    // Then the Collector's. The next certificate is looked for at once; this one would be tried again in a minute.
    proxy.lead_to(new.address);
    other.new_client();
    mounted.replace(&other, "new");
    agent.until(&new, |received| received.len() >= 5).await;
    let counters = agent.end().await;
    assert_eq!(old.received()[0].header("x-token"), Some("old"));
    assert!(new.received().iter().all(|request| request.header("x-token") == Some("new")));
    assert_nothing_lost(&counters, &[&old, &new]);
}

/// The usual order: the Collector is ready for the new ones first.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_takes_the_new_ones_gets_a_new_connection_at_the_next_push() {
    let Replacing { one: _one, other, old, new, proxy, mounted } = Replacing::start().await;
    let mut agent = Agent::start(20, mounted.settings(proxy.address));
    some_more(&mut agent, &old, 5).await;
    proxy.lead_to(new.address);
    mounted.replace(&other, "new");
    agent.until(&new, with_token("new")).await;
    some_more(&mut agent, &new, 5).await;
    let counters = agent.end().await;
    assert_nothing_lost(&counters, &[&old, &new]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_is_sent_over_the_same_connection() {
    let files = tls::Files::new();
    let collector = Collector::start_tls([], files.server()).await;
    let proxy = Proxy::start(collector.address).await;
    let mounted = Mounted::new(&files, "0");
    let mut agent = Agent::start(3, mounted.settings(proxy.address));
    for number in 1..5 {
        some_more(&mut agent, &collector, 2).await;
        mounted.replace(&files, &number.to_string());
        agent.until(&collector, with_token(&number.to_string())).await;
    }
    let counters = agent.end().await;
    assert_eq!(proxy.made(), 1);
    assert_nothing_lost(&counters, &[&collector]);
}

/// The authority, the certificate and the headers are broken, and the Collector trusts no other than before.
#[tokio::test(flavor = "multi_thread")]
async fn broken_files_leave_the_old_ones_in_use_for_new_connections_too() {
    let files = tls::Files::new();
    let collector = Collector::start_tls([], files.server()).await;
    let proxy = Proxy::start(collector.address).await;
    let mounted = Mounted::new(&files, "old");
    let mut agent = Agent::start(3, mounted.settings(proxy.address));
    some_more(&mut agent, &collector, 2).await;
    std::fs::write(mounted.at("authority.pem"), "broken").unwrap();
    std::fs::remove_file(mounted.at("client.pem")).unwrap();
    std::fs::write(mounted.at("headers"), "broken").unwrap();
    some_more(&mut agent, &collector, 10).await;
    assert_eq!(agent.counters.failed_requests(), 0);
    proxy.set(Mode::Forward);
    tokio::time::timeout(PATIENCE, proxy.cut(1)).await.unwrap();
    some_more(&mut agent, &collector, 2).await;
    assert!(proxy.made() > 1);
    assert!(collector.received().iter().all(|request| request.header("x-token") == Some("old")));
    mounted.replace(&files, "new");
    agent.until(&collector, with_token("new")).await;
    let counters = agent.end().await;
    assert_eq!(dropped(&counters), []);
}

/// The agent's new certificate is one that the Collector does not trust: it says so only after the handshake.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_the_collector_does_not_trust_leaves_the_connection_as_it_is() {
    let (files, stranger) = (tls::Files::new(), tls::Files::new());
    let collector = Collector::start_tls([], files.server()).await;
    let proxy = Proxy::start(collector.address).await;
    let mounted = Mounted::new(&files, "old");
    let mut agent = Agent::start(3, mounted.settings(proxy.address));
    some_more(&mut agent, &collector, 2).await;
    files.client_of(&stranger);
    mounted.replace(&files, "old");
    for _ in 0..TRIES {
        if proxy.made() > 1 {
            break;
        }
        some_more(&mut agent, &collector, 1).await;
    }
    assert!(proxy.made() > 1, "no connection with the new certificate was tried");
    some_more(&mut agent, &collector, 10).await;
    let counters = agent.end().await;
    assert_nothing_lost(&counters, &[&collector]);
}

/// Each push of it has a number.
static NUMBERED: [OwnMetric<AtomicU64>; 1] =
    [OwnMetric::gauge("virt_otel.test.number", Unit::Count("push"), "The number of this push.", |number| {
        Some(number.fetch_add(1, Ordering::Relaxed).into())
    })];

fn numbers(received: &[Received]) -> Vec<u64> {
    let resources = received.iter().flat_map(|request| &request.message.resource_metrics);
    let metrics = resources.flat_map(|resource| &resource.scope_metrics).flat_map(|scope| &scope.metrics);
    let points = metrics.flat_map(|metric| match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.as_slice(),
        _ => &[],
    });
    points
        .map(|point| match point.value {
            Some(Value::AsInt(number)) => number.try_into().unwrap(),
            ref other => panic!("{other:?}"),
        })
        .collect()
}

/// What the SDK pushes, logs among it, has one channel for all credentials.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_agent_says_of_itself_goes_on_when_every_secret_is_replaced() {
    let Replacing { one, other, old, new, proxy, mounted } = Replacing::start().await;
    let collector = mounted.collector(proxy.address);
    let (credentials, rotation) = collector.open().unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(rotation.with_times(INTERVAL, INTERVAL).run(Pulse::default(), stop.clone()));
    let identity = Identity {
        service_name: "virt-otel".into(),
        instance_id: "host:9464".into(),
        host_name: "host".into(),
        node: None,
        attributes: Vec::new(),
    };
    let rows: Vec<_> = observables(&NUMBERED, &Arc::new(AtomicU64::new(0))).collect();
    let push = Push::new(&identity, &rows, &collector, &credentials, INTERVAL).unwrap();
    let pushing = tokio::spawn(push.run(Duration::ZERO, Pulse::default(), stop.clone()));
    let until = async |collector: &Collector, token: &str| {
        let wait = async {
            while !collector.look(with_token(token)) {
                collector.something().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the server has not seen what it should");
    };
    until(&old, "old").await;
    mounted.replace(&one, "new");
    until(&old, "new").await;
    // The agent's side first: no new connection comes up, and the old one serves.
    mounted.replace(&other, "newer");
    until(&old, "newer").await;
    proxy.lead_to(new.address);
    other.new_client();
    mounted.replace(&other, "newest");
    until(&new, "newest").await;
    stop.cancel();
    pushing.await.unwrap();
    let mut seen = numbers(&old.received());
    seen.extend(numbers(&new.received()));
    seen.sort_unstable();
    let first = seen[0];
    let expected: Vec<u64> = (first..).take(seen.len()).collect();
    assert_eq!(seen, expected, "each push arrived once");
}
