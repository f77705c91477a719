//! Whether a Collector takes OTLP: an empty request, once.

use std::time::Duration;

use prost::bytes::Bytes;
use tonic::{Code, Status};

use super::client::{Client, LOGS, METRICS, Transport as _};
use super::failure::describe;
use super::health;
use crate::collector::{Collector, Credentials};

/// The longest wait for the answer, connecting included, if a request may take longer: an empty one takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a Collector is asked to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Metrics.
    Metrics,
    /// Logs.
    Logs,
}

/// A Collector took the empty request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Whether it takes what is compressed, if that was tried.
    pub gzip: bool,
    /// What it has to say; mostly nothing.
    pub message: String,
}

/// Why a Collector took nothing: it was not reached, or refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ProbeError {
    /// What was said, in one line.
    pub reason: String,
    /// What to do.
    pub next_step: &'static str,
}

/// Sends an empty request: no data point, no log record. A receiver of OTLP accepts it and stores nothing.
///
/// # Errors
///
/// When the Collector is not reached in time, refuses, or does not speak OTLP over gRPC.
pub async fn probe(collector: &Collector, credentials: Credentials, signal: Signal) -> Result<Accepted, ProbeError> {
    let method = match signal {
        Signal::Metrics => METRICS,
        Signal::Logs => LOGS,
    };
    // What this finds out is not yet the agent's business.
    let collector = Collector { gzip: collector.gzip.is_on().into(), ..collector.clone() };
    let compressed = collector.gzip.is_on();
    let mut client = Client::of(&collector, credentials, method);
    let within = collector.timeout.min(PATIENCE);
    // An empty `ExportMetricsServiceRequest` has no bytes.
    let answer = match tokio::time::timeout(within, client.export(Bytes::new())).await {
        Ok(answer) => answer,
        Err(_) => Err(Status::deadline_exceeded("")),
    };
    match answer {
        Ok(response) => {
            let message = response.partial_success.map(|partial| partial.error_message).unwrap_or_default();
            Ok(Accepted { gzip: collector.gzip.is_on() || !compressed, message })
        }
        Err(status) => {
            let next_step = match (signal, status.code()) {
                (Signal::Logs, Code::Unimplemented) => "check that its OTLP receiver is in a logs pipeline",
                (_, code) => health::next_step(code, client.is_connected()),
            };
            // The client has the same deadline, and other words for it.
            let late = status.code() == Code::DeadlineExceeded;
            let reason = if late { format!("no answer within {within:?}") } else { describe(&status) };
            Err(ProbeError { reason, next_step })
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn at(listener: &TcpListener) -> Collector {
        let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        Collector { endpoint, timeout: Duration::from_secs(3), ..Collector::default() }
    }

    async fn refused(collector: &Collector, signal: Signal) -> (String, &'static str) {
        let (credentials, _) = collector.open().unwrap();
        let ProbeError { reason, next_step } = probe(collector, credentials, signal).await.unwrap_err();
        (reason, next_step)
    }

    #[tokio::test]
    async fn nobody_there_is_told_with_what_to_look_at() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = at(&listener);
        drop(listener);
        let (reason, next_step) = refused(&collector, Signal::Metrics).await;
        assert!(reason.to_lowercase().contains("refused") && next_step.contains("NetworkPolicy"), "{reason}");
    }

    #[tokio::test]
    async fn one_that_accepts_and_says_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (reason, next_step) = refused(&at(&listener), Signal::Metrics).await;
        assert!(reason.contains("no answer within 3s") && next_step.contains("overloaded"), "{reason}");
    }

    #[tokio::test]
    async fn a_web_server_is_no_collector() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = at(&listener);
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 16];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        });
        let (reason, next_step) = refused(&collector, Signal::Logs).await;
        assert!(!reason.is_empty() && !next_step.is_empty());
        serving.await.unwrap();
    }
}
