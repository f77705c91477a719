//! The empty request by which `virt-otel check` finds out whether a Collector takes OTLP.

use std::time::Duration;

use tonic::Status;
use virt_otel::collector::{self, Headers};
use virt_otel::export::otlp::{Accepted, ProbeError, Signal};

use super::collector::{Answer, Collector};

fn at(server: &Collector) -> collector::Collector {
    let endpoint = format!("http://{}", server.address).parse().unwrap();
    let headers = Headers::new(vec![("authorization".to_owned(), "Bearer let-me-in".to_owned())]).unwrap();
    collector::Collector { endpoint, headers, timeout: Duration::from_secs(5), ..collector::Collector::default() }
}

async fn probe(collector: &collector::Collector, signal: Signal) -> Result<Accepted, ProbeError> {
    let (credentials, _) = collector.open().unwrap();
    virt_otel::export::otlp::probe(collector, credentials, signal).await
}

/// The reason and the next step of a refusal.
fn refused(answer: Result<Accepted, ProbeError>) -> (String, &'static str) {
    let ProbeError { reason, next_step } = answer.unwrap_err();
    (reason, next_step)
}

#[tokio::test]
async fn a_collector_that_takes_otlp_is_told_by_one_empty_request_with_the_agents_headers() {
    let server = Collector::start([]).await;
    let accepted = probe(&at(&server), Signal::Metrics).await.unwrap();
    assert_eq!(accepted, Accepted { gzip: true, message: String::new() });
    let received = server.received();
    assert_eq!((received.len(), received[0].points()), (1, 0));
    assert!(received[0].message.resource_metrics.is_empty());
    assert_eq!(received[0].header("authorization"), Some("Bearer let-me-in"));
    assert_eq!(received[0].header("grpc-encoding"), Some("gzip"));
}

#[tokio::test]
async fn one_without_gzip_is_found_out_and_the_agents_own_setting_is_left_alone() {
    let server = Collector::start_without_gzip().await;
    let collector = at(&server);
    let accepted = probe(&collector, Signal::Metrics).await.unwrap();
    assert!(!accepted.gzip && collector.gzip.is_on());
    // Where nothing is compressed, nothing is found out.
    let plain = collector::Collector { gzip: false.into(), ..collector };
    assert!(probe(&plain, Signal::Metrics).await.unwrap().gzip);
}

#[tokio::test]
async fn what_a_collector_says_or_refuses_is_told() {
    let server =
        Collector::start([Answer::Reject(0), Answer::Fail(Status::unauthenticated("who are you")), Answer::Hang]).await;
    let mut collector = at(&server);
    assert_eq!(probe(&collector, Signal::Metrics).await.unwrap().message, "some of it is no good");
    let (reason, next_step) = refused(probe(&collector, Signal::Metrics).await);
    assert!(reason == "who are you" && next_step.contains("OTEL_EXPORTER_OTLP_HEADERS"), "{reason}; {next_step}");
    collector.timeout = Duration::from_secs(1);
    let (reason, next_step) = refused(probe(&collector, Signal::Metrics).await);
    assert!(reason == "no answer within 1s" && next_step.contains("overloaded"), "{reason}; {next_step}");
}

#[tokio::test]
async fn a_receiver_of_metrics_alone_takes_no_logs() {
    let server = Collector::start([]).await;
    let (reason, next_step) = refused(probe(&at(&server), Signal::Logs).await);
    assert!(next_step.contains("logs pipeline"), "{reason}; {next_step}");
    assert!(server.received().is_empty());
}
