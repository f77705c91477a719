//! A gRPC server that answers as it is told, then accepts everything.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use tokio::sync::Notify;
use tokio::time::Instant;
use tonic::codec::CompressionEncoding;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use virt_otel::testing::receiver::points;

/// What it answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Accept,
    Reject(i64),
    Fail(Status),
    Hang,
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) at: Instant,
    pub(crate) message: ExportMetricsServiceRequest,
    pub(crate) accepted: bool,
    headers: HashMap<String, String>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn points(&self) -> usize {
        let scopes = self.message.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
        scopes.flat_map(|scope| &scope.metrics).map(|metric| points(metric).len()).sum()
    }
}

/// The server.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    service: Arc<Service>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Service {
    answers: Mutex<VecDeque<Answer>>,
    received: Mutex<Vec<Received>>,
    arrived: Notify,
}

impl Collector {
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::serve(answers, Server::builder(), true).await
    }

    pub(crate) async fn start_tls(answers: impl IntoIterator<Item = Answer>, tls: ServerTlsConfig) -> Self {
        Self::serve(answers, Server::builder().tls_config(tls).unwrap(), true).await
    }

    /// One that accepts everything, and answers UNIMPLEMENTED to what is compressed.
    pub(crate) async fn start_without_gzip() -> Self {
        Self::serve([], Server::builder(), false).await
    }

    async fn serve(answers: impl IntoIterator<Item = Answer>, mut server: Server, gzip: bool) -> Self {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = incoming.local_addr().unwrap();
        let service = Arc::new(Service { answers: Mutex::new(answers.into_iter().collect()), ..Service::default() });
        // The receive limit stays tonic's 4 MiB, which is also the Collector's.
        let mut grpc = MetricsServiceServer::from_arc(Arc::clone(&service));
        if gzip {
            grpc = grpc.accept_compressed(CompressionEncoding::Gzip).send_compressed(CompressionEncoding::Gzip);
        }
        let task = tokio::spawn(async move {
            server.add_service(grpc).serve_with_incoming(incoming).await.unwrap();
        });
        Self { address, service, task }
    }

    /// Everything that arrived.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.service.received.lock().unwrap().clone()
    }

    /// Everything that was accepted.
    pub(crate) fn accepted(&self) -> Vec<Received> {
        self.received().into_iter().filter(|request| request.accepted).collect()
    }

    /// Whether `enough` has arrived.
    pub(crate) fn look(&self, enough: impl Fn(&[Received]) -> bool) -> bool {
        enough(&self.service.received.lock().unwrap())
    }

    /// Waits until the next request arrives.
    pub(crate) async fn something(&self) {
        self.service.arrived.notified().await;
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(Answer::Accept);
        let headers = request
            .metadata()
            .as_ref()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
            .collect();
        let accepted = matches!(answer, Answer::Accept | Answer::Reject(_));
        let message = request.into_inner();
        self.received.lock().unwrap().push(Received { at: Instant::now(), message, accepted, headers });
        self.arrived.notify_one();
        match answer {
            Answer::Accept => Ok(Response::new(ExportMetricsServiceResponse::default())),
            Answer::Reject(rejected_data_points) => Ok(Response::new(ExportMetricsServiceResponse {
                partial_success: Some(ExportMetricsPartialSuccess {
                    rejected_data_points,
                    error_message: "some of it is no good".to_owned(),
                }),
            })),
            Answer::Fail(status) => Err(status),
            Answer::Hang => std::future::pending().await,
        }
    }
}
