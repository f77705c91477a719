//! Stands in for Google Cloud Monitoring's API, which is gRPC: keeps every request for time series, and answers that all is
//! well.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use prost::Message;
use prost::bytes::{Buf as _, BufMut as _};
use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// The parts of `google.monitoring.v3.CreateTimeSeriesRequest` that say what a figure is about.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CreateTimeSeries {
    #[prost(message, repeated, tag = "2")]
    pub series: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeries {
    #[prost(message, optional, tag = "1")]
    pub metric: Option<Labelled>,
    #[prost(message, optional, tag = "2")]
    pub resource: Option<MonitoredResource>,
}

/// A metric: its type and its labels.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Labelled {
    #[prost(string, tag = "3")]
    pub kind: String,
    #[prost(map = "string, string", tag = "2")]
    pub labels: HashMap<String, String>,
}

/// What a time series is about.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MonitoredResource {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(map = "string, string", tag = "2")]
    pub labels: HashMap<String, String>,
}

type Kept = Arc<Mutex<Vec<TimeSeries>>>;

/// The API on a port of its own.
pub struct Google {
    address: SocketAddr,
    kept: Kept,
    // The server runs as long as this exists.
    _runtime: Runtime,
}

impl Google {
    pub fn start() -> Google {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let kept = Kept::default();
        let api = Api(Arc::clone(&kept));
        let address = runtime.block_on(async {
            let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
            let address = incoming.local_addr().unwrap();
            tokio::spawn(Server::builder().add_service(api).serve_with_incoming(incoming));
            address
        });
        Google { address, kept, _runtime: runtime }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that came, in order.
    pub fn series(&self) -> Vec<TimeSeries> {
        self.kept.lock().unwrap().clone()
    }
}

#[derive(Clone)]
struct Api(Kept);

impl NamedService for Api {
    const NAME: &'static str = "google.monitoring.v3.MetricService";
}

impl Service<http::Request<Body>> for Api {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let api = self.clone();
        Box::pin(async move { Ok(Grpc::new(Raw).unary(api, request).await) })
    }
}

impl UnaryService<Vec<u8>> for Api {
    type Response = Vec<u8>;
    type Future = BoxFuture<Response<Vec<u8>>, Status>;

    fn call(&mut self, request: Request<Vec<u8>>) -> Self::Future {
        let kept = Arc::clone(&self.0);
        Box::pin(async move {
            let decoded = CreateTimeSeries::decode(&request.into_inner()[..]);
            kept.lock().unwrap().extend(decoded.map_err(|error| Status::invalid_argument(error.to_string()))?.series);
            // google.protobuf.Empty.
            Ok(Response::new(Vec::new()))
        })
    }
}

/// Messages as their bytes.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut message = vec![0; from.remaining()];
        from.copy_to_slice(&mut message);
        Ok(Some(message))
    }
}
