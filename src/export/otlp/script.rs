//! A Collector for tests that answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use prost::Message;
use prost::bytes::Bytes;
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::client::Transport;

/// What the scripted Collector answers.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Accept,
    Reject(i64),
    Fail(Status),
    Hang,
}

/// A Collector that answers as it is told, then accepts everything.
#[derive(Debug, Clone, Default)]
pub(super) struct Script(Arc<Mutex<Scripted>>);

#[derive(Debug, Default)]
struct Scripted {
    answers: VecDeque<Answer>,
    otherwise: Option<Answer>,
    received: Vec<(Instant, Bytes)>,
    resets: usize,
}

impl Script {
    pub(super) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Self::default();
        script.0.lock().unwrap().answers.extend(answers);
        script
    }

    /// What it answers from now on once the script is over.
    pub(super) fn otherwise(&self, answer: Answer) {
        self.0.lock().unwrap().otherwise = Some(answer);
    }

    /// When requests came.
    pub(super) fn times(&self) -> Vec<Instant> {
        self.0.lock().unwrap().received.iter().map(|(at, _)| *at).collect()
    }

    /// The requests received.
    pub(super) fn requests(&self) -> Vec<ExportMetricsServiceRequest> {
        let script = self.0.lock().unwrap();
        script.received.iter().map(|(_, bytes)| ExportMetricsServiceRequest::decode(bytes.clone()).unwrap()).collect()
    }

    /// How often the connection was reset.
    pub(super) fn resets(&self) -> usize {
        self.0.lock().unwrap().resets
    }
}

impl Transport for Script {
    async fn export(&mut self, request: Bytes) -> Result<ExportMetricsServiceResponse, Status> {
        let answer = {
            let mut script = self.0.lock().unwrap();
            script.received.push((Instant::now(), request));
            script.answers.pop_front().or_else(|| script.otherwise.clone()).unwrap_or(Answer::Accept)
        };
        match answer {
            Answer::Accept => Ok(ExportMetricsServiceResponse::default()),
            Answer::Reject(rejected_data_points) => Ok(ExportMetricsServiceResponse {
                partial_success: Some(ExportMetricsPartialSuccess {
                    rejected_data_points,
                    error_message: "no".to_owned(),
                }),
            }),
            Answer::Fail(status) => Err(status),
            Answer::Hang => std::future::pending().await,
        }
    }

    fn reset(&mut self) {
        self.0.lock().unwrap().resets += 1;
    }

    fn is_connected(&self) -> bool {
        true
    }

    fn name(&self) -> &str {
        "http://script"
    }
}

/// "Come back later."
pub(super) fn later(code: Code, after: Duration) -> Answer {
    Answer::Fail(Status::with_error_details(code, "later", ErrorDetails::with_retry_info(Some(after))))
}

/// A failure without details.
pub(super) fn fail(code: Code) -> Answer {
    Answer::Fail(Status::new(code, "no"))
}
