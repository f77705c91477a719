//! Stands in for the Collector: accepts every push and discards it.

use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use tokio::runtime::Runtime;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

pub struct Receiver {
    address: SocketAddr,
    // The server runs as long as this exists.
    _runtime: Runtime,
}

impl Receiver {
    /// At any free port.
    pub fn start() -> Receiver {
        Receiver::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    pub fn start_at(address: SocketAddr) -> Receiver {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let address = runtime.block_on(async {
            let incoming = TcpIncoming::bind(address).unwrap();
            let address = incoming.local_addr().unwrap();
            let service = MetricsServiceServer::new(Service).accept_compressed(CompressionEncoding::Gzip);
            tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
            address
        });
        Receiver { address, _runtime: runtime }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The agent's `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

struct Service;

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        _request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}
