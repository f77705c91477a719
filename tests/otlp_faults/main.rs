//! What the exporter does when the Collector or the network misbehaves: over real sockets, against a scripted gRPC
//! server behind a proxy that cuts and refuses connections.
//!
//! No test sleeps: each waits, with a bound, until the server has seen what it must see.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod collector;
mod fleet;
mod probe;
mod proxy;
mod rotation;
mod tls;

use std::sync::{Arc, Weak};
use std::time::Duration;

use collector::{Answer, Collector, Received};
use fleet::Fleet;
use proxy::{Mode, Proxy};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use virt_otel::backoff::Waits;
use virt_otel::clock::SystemClock;
use virt_otel::collector::Headers;
use virt_otel::export::otlp::{DropReason, Exporter, OtlpCounters, OtlpSettings, RetryPolicy, Tuning, WAITING_PUSHES};
use virt_otel::heartbeat::Pulse;
use virt_otel::snapshot::Snapshot;
use virt_otel::testing::receiver::Receiver;

/// How long a test waits; even a loaded machine needs only a part of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often everything is pushed here.
const INTERVAL: Duration = Duration::from_millis(20);

/// An exporter with a fleet of VMs to push.
struct Agent {
    fleet: Fleet,
    counters: Arc<OtlpCounters>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Agent {
    fn start(vms: u128, change: impl FnOnce(&mut OtlpSettings)) -> Self {
        let clock = Arc::new(SystemClock::new());
        let counters = Arc::new(OtlpCounters::default());
        let shutdown = CancellationToken::new();
        let mut settings = OtlpSettings { interval: INTERVAL, ..OtlpSettings::default() };
        settings.collector.timeout = Duration::from_secs(5);
        change(&mut settings);
        let (fleet, snapshots) = Fleet::new(vms, Arc::clone(&clock));
        let (credentials, rotation) = settings.collector.open().unwrap();
        tokio::spawn(rotation.with_times(INTERVAL, INTERVAL).run(Pulse::default(), shutdown.clone()));
        let exporter = Exporter::new(settings, credentials, fleet::selection(), clock, Arc::clone(&counters));
        let retry = RetryPolicy {
            waits: Waits { first: Duration::from_millis(10), longest: Duration::from_millis(40), jitter: true },
            give_up_after: PATIENCE,
        };
        let tuning = Tuning { retry, event_spacing: Duration::ZERO, last_push: PATIENCE, ..Tuning::default() };
        let task = tokio::spawn(exporter.with_tuning(tuning).run(snapshots, shutdown.clone()));
        Self { fleet, counters, shutdown, task }
    }

    /// Reads every VM and publishes, over and over, until the server has seen enough.
    async fn until(&mut self, collector: &Collector, enough: impl Fn(&[Received]) -> bool) {
        let wait = async {
            while !collector.look(&enough) {
                self.fleet.read_all();
                let _ = tokio::time::timeout(INTERVAL, collector.something()).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the server has not seen what it should");
    }

    async fn end(self) -> Arc<OtlpCounters> {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("the exporter does not end").unwrap();
        self.counters
    }
}

fn endpoint(address: std::net::SocketAddr) -> impl FnOnce(&mut OtlpSettings) {
    move |settings| settings.collector.endpoint = format!("http://{address}").parse().unwrap()
}

/// A strict receiver that got all accepted requests; it panics if anything is out of order.
fn strict(collector: &Collector) -> Receiver {
    let mut receiver = Receiver::default();
    for request in collector.accepted() {
        receiver.accept(&request.message.resource_metrics);
    }
    receiver
}

fn dropped(counters: &OtlpCounters) -> Vec<(&'static str, u64)> {
    DropReason::ALL
        .into_iter()
        .map(|reason| (reason.as_str(), counters.points_dropped(reason)))
        .filter(|(_, points)| *points > 0)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_arrives_in_order_and_the_end_of_the_agent_pushes_the_rest() {
    let collector = Collector::start([]).await;
    let mut agent = Agent::start(3, endpoint(collector.address));
    agent.until(&collector, |received| received.len() >= 5).await;
    agent.fleet.remove(2);
    agent.fleet.read_all();
    let counters = agent.end().await;
    let receiver = strict(&collector);
    assert!(receiver.alive.keys().all(|(resource, ..)| resource["libvirt.domain.name"] != "vm-2"));
    assert!(receiver.alive.keys().any(|(resource, ..)| resource["libvirt.domain.name"] == "vm-1"));
    assert!(receiver.ended.values().all(|times| *times == 1));
    assert_eq!(dropped(&counters), []);
    let points: usize = collector.accepted().iter().map(|request| request.points()).sum();
    assert_eq!(counters.points_sent(), points as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_yet_gets_everything_that_waited_when_it_comes() {
    let collector = Collector::start([]).await;
    let proxy = Proxy::start(collector.address).await;
    proxy.set(Mode::Refuse);
    let mut agent = Agent::start(3, endpoint(proxy.address));
    agent.fleet.read_all();
    tokio::time::timeout(PATIENCE, proxy.connections(5)).await.unwrap();
    proxy.set(Mode::Forward);
    agent.until(&collector, |received| received.len() >= 3).await;
    let counters = agent.end().await;
    assert!(counters.failed_requests() >= 4);
    assert!(counters.points_retried() > 0);
    strict(&collector);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_bounded_while_the_collector_is_down() {
    let collector = Collector::start([]).await;
    let proxy = Proxy::start(collector.address).await;
    proxy.set(Mode::Refuse);
    let mut agent = Agent::start(50, endpoint(proxy.address));
    let mut published: Vec<Weak<Snapshot>> = Vec::new();
    let overflow = async {
        // Long enough that pushes are dropped from the queue, over and over.
        while agent.counters.points_dropped(DropReason::QueueFull) < 100_000 {
            published.push(agent.fleet.read_all());
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(agent.counters.queued() <= WAITING_PUSHES as u64);
        }
    };
    tokio::time::timeout(PATIENCE, overflow).await.expect("the queue does not overflow");
    let kept = published.iter().filter(|snapshot| snapshot.strong_count() > 0).count();
    // Those that wait, and the latest in the channel.
    assert!(kept <= WAITING_PUSHES + 1, "{kept} of {} snapshots are still in memory", published.len());
    proxy.set(Mode::Forward);
    let before = collector.accepted().len();
    agent.until(&collector, |received| received.len() >= before + WAITING_PUSHES + 2).await;
    agent.end().await;
    strict(&collector);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_collector_costs_a_timeout_and_not_the_data() {
    let collector = Collector::start([Answer::Hang]).await;
    let mut agent = Agent::start(3, |settings| {
        endpoint(collector.address)(settings);
        settings.collector.timeout = Duration::from_millis(300);
    });
    agent.until(&collector, |received| received.len() >= 3).await;
    let counters = agent.end().await;
    let all = collector.received();
    assert_eq!(all[0].message, all[1].message, "the same request again");
    assert!(counters.failed_requests() >= 1);
    assert_eq!(counters.points_dropped(DropReason::Refused) + counters.points_dropped(DropReason::GivenUp), 0);
    strict(&collector);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_full_and_says_when_to_come_back_gets_the_same_request_then() {
    let asked = Duration::from_millis(250);
    let details = ErrorDetails::with_retry_info(Some(asked));
    let full = Status::with_error_details(Code::ResourceExhausted, "full", details);
    let collector = Collector::start([Answer::Fail(full)]).await;
    let mut agent = Agent::start(3, endpoint(collector.address));
    agent.until(&collector, |received| received.len() >= 3).await;
    let counters = agent.end().await;
    let all = collector.received();
    assert_eq!(all[0].message, all[1].message);
    assert!(all[1].at - all[0].at >= asked, "{:?}", all[1].at - all[0].at);
    assert_eq!(counters.points_dropped(DropReason::Refused), 0);
    strict(&collector);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_refused_for_good_is_not_sent_again_and_the_next_one_is_in_order() {
    for code in [Code::ResourceExhausted, Code::InvalidArgument] {
        let collector = Collector::start([Answer::Accept, Answer::Fail(Status::new(code, "no"))]).await;
        let mut agent = Agent::start(3, endpoint(collector.address));
        agent.until(&collector, |received| received.len() >= 4).await;
        let counters = agent.end().await;
        let all = collector.received();
        assert_ne!(all[1].message, all[2].message, "{code:?}");
        assert_eq!(counters.points_dropped(DropReason::Refused), all[1].points() as u64, "{code:?}");
        // In order even for a receiver that took what it refused.
        let mut receiver = Receiver::default();
        receiver.forgiving = true;
        for request in &all {
            receiver.accept(&request.message.resource_metrics);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_success_is_counted_and_not_sent_again() {
    let collector = Collector::start([Answer::Reject(5)]).await;
    let mut agent = Agent::start(3, endpoint(collector.address));
    agent.until(&collector, |received| received.len() >= 3).await;
    let counters = agent.end().await;
    assert_eq!(counters.points_rejected(), 5);
    assert_eq!(counters.points_retried(), 0);
    assert_eq!(counters.failed_requests(), 0);
    strict(&collector);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_in_the_middle_of_a_request_costs_nothing() {
    let collector = Collector::start([]).await;
    let proxy = Proxy::start(collector.address).await;
    proxy.set(Mode::CutAfter(50_000));
    let mut agent = Agent::start(200, |settings| {
        endpoint(proxy.address)(settings);
        settings.collector.gzip = false.into();
    });
    agent.fleet.read_all();
    tokio::time::timeout(PATIENCE, proxy.connections(3)).await.unwrap();
    assert!(collector.received().is_empty());
    proxy.set(Mode::Forward);
    agent.until(&collector, |received| received.len() >= 2).await;
    let counters = agent.end().await;
    assert!(counters.failed_requests() >= 2);
    assert_eq!(counters.points_dropped(DropReason::Refused) + counters.points_dropped(DropReason::GivenUp), 0);
    let first = &collector.accepted()[0];
    assert_eq!(first.message.resource_metrics.len(), 200);
    strict(&collector);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_between_requests_is_made_again() {
    let collector = Collector::start([]).await;
    let proxy = Proxy::start(collector.address).await;
    let mut agent = Agent::start(3, endpoint(proxy.address));
    for round in 1..=5 {
        let seen = collector.received().len();
        agent.until(&collector, |received| received.len() >= seen + 2).await;
        proxy.set(Mode::Forward);
        tokio::time::timeout(PATIENCE, proxy.cut(round)).await.unwrap();
    }
    let seen = collector.received().len();
    agent.until(&collector, |received| received.len() >= seen + 2).await;
    let counters = agent.end().await;
    assert_eq!(counters.points_dropped(DropReason::Refused) + counters.points_dropped(DropReason::GivenUp), 0);
    // A request whose answer was cut off is sent again as it was: the same time, the same value.
    let mut requests = collector.accepted();
    requests.dedup_by(|one, other| one.message == other.message);
    let mut receiver = Receiver::default();
    for request in &requests {
        receiver.accept(&request.message.resource_metrics);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_vms_of_sixty_series_pass_a_receiver_that_takes_four_mebibytes() {
    for gzip in [true, false] {
        let collector = Collector::start([]).await;
        let mut agent = Agent::start(500, |settings| {
            endpoint(collector.address)(settings);
            settings.collector.gzip = gzip.into();
            settings.collector.timeout = PATIENCE;
            settings.interval = Duration::from_secs(2);
            settings.resource.attributes =
                vec![("a.long.attribute".to_owned(), "that makes the requests large ".repeat(50))];
        });
        let vms = |received: &[Received]| {
            received.iter().map(|request| request.message.resource_metrics.len()).sum::<usize>()
        };
        agent.until(&collector, |received| vms(received) >= 1_000).await;
        let counters = agent.end().await;
        assert_eq!(counters.points_dropped(DropReason::Refused), 0);
        assert_eq!(counters.points_dropped(DropReason::TooLarge), 0);
        assert!(collector.accepted().len() > 2, "more than a request each push");
        if gzip {
            assert_eq!(strict(&collector).alive.len(), 500 * fleet::SERIES);
        }
        let compressed = collector.received().iter().all(|request| request.header("grpc-encoding") == Some("gzip"));
        assert_eq!(compressed, gzip);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_does_not_take_gzip_gets_everything_without_it() {
    let collector = Collector::start_without_gzip().await;
    let mut agent = Agent::start(3, endpoint(collector.address));
    agent.until(&collector, |received| received.len() >= 3).await;
    let counters = agent.end().await;
    assert_eq!((counters.failed_requests(), counters.points_dropped(DropReason::Refused)), (0, 0));
    assert!(collector.received().iter().all(|request| request.header("grpc-encoding").is_none()));
    strict(&collector);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_the_user_agent_are_sent() {
    let collector = Collector::start([]).await;
    let mut agent = Agent::start(1, |settings| {
        endpoint(collector.address)(settings);
        let header = ("Authorization".to_owned(), "Bearer abc=".to_owned());
        settings.collector.headers = Headers::new(vec![header]).unwrap();
    });
    agent.until(&collector, |received| !received.is_empty()).await;
    agent.end().await;
    let first = &collector.received()[0];
    assert_eq!(first.header("authorization"), Some("Bearer abc="));
    assert!(first.header("user-agent").unwrap().starts_with(concat!("virt-otel/", env!("CARGO_PKG_VERSION"))));
    assert!(first.header("grpc-timeout").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_an_authority_of_our_own_and_a_client_certificate() {
    let files = tls::Files::new();
    let collector = Collector::start_tls([], files.server()).await;
    let mut agent = Agent::start(2, |settings| {
        settings.collector.endpoint = format!("https://localhost:{}", collector.address.port()).parse().unwrap();
        settings.collector.ca_file = Some(files.authority());
        settings.collector.client_files = Some((files.client_certificate(), files.client_key()));
    });
    agent.until(&collector, |received| received.len() >= 2).await;
    agent.end().await;
    strict(&collector);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_whose_certificate_is_not_trusted_gets_nothing() {
    let (files, others) = (tls::Files::new(), tls::Files::new());
    let collector = Collector::start_tls([], files.server()).await;
    let mut agent = Agent::start(2, |settings| {
        settings.collector.endpoint = format!("https://localhost:{}", collector.address.port()).parse().unwrap();
        settings.collector.ca_file = Some(others.authority());
        settings.collector.client_files = Some((files.client_certificate(), files.client_key()));
    });
    let failing = async {
        while agent.counters.failed_requests() < 3 {
            agent.fleet.read_all();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, failing).await.unwrap();
    assert!(collector.received().is_empty());
    agent.shutdown.cancel();
}

/// The program itself, with the standard variables: the system's authorities for `https`, a client certificate, a
/// header.
#[tokio::test(flavor = "multi_thread")]
async fn the_systems_authorities_are_trusted_when_no_other_is_named() {
    let files = tls::Files::new();
    let collector = Collector::start_tls([], files.server()).await;
    let endpoint = format!("https://localhost:{}", collector.address.port());
    let mut agent = tokio::process::Command::new(lab_support::binary());
    agent.args([
        "run",
        "--libvirt-uri",
        "qemu+unix:///system?socket=/nonexistent/socket",
        "--exporters",
        "otlp",
        "--listen",
        "127.0.0.1:0",
    ]);
    agent.env_clear().kill_on_drop(true).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    // OpenSSL's variable for where a system keeps its authorities.
    agent.env("SSL_CERT_FILE", files.authority());
    agent.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    agent.env("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", files.client_certificate());
    agent.env("OTEL_EXPORTER_OTLP_CLIENT_KEY", files.client_key());
    agent.env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc");
    let _agent = agent.spawn().unwrap();
    let wait = async {
        while !collector.look(|received| !received.is_empty()) {
            collector.something().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("nothing arrived");
    assert_eq!(collector.received()[0].header("authorization"), Some("Bearer abc"));
}
