//! Sends requests to the Collector.

use std::future::Future;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use prost::bytes::{BufMut, Bytes};
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::connection::Connection;
use super::failure::{corrected, describe, is_of_connecting, is_of_the_connection, unavailable};
use crate::collector::{Collector, Credentials};

/// The method that takes metrics.
pub(super) const METRICS: PathAndQuery =
    PathAndQuery::from_static("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export");

/// The method that takes logs. A probe calls it; its answer looks like that for metrics.
pub(super) const LOGS: PathAndQuery =
    PathAndQuery::from_static("/opentelemetry.proto.collector.logs.v1.LogsService/Export");

/// The largest answer that is read. The specification demands a limit and calls this one sufficient; an answer is a
/// count and a sentence.
const RESPONSE_LIMIT: usize = 4 * 1_024 * 1_024;

/// The longest deadline sent to the Collector: its header field has eight digits, and a day is as good as none.
const LARGEST_DEADLINE: Duration = Duration::from_secs(86_400);

/// Sends requests to the Collector. Tests have their own.
pub(super) trait Transport: Send + 'static {
    /// Sends an encoded request.
    fn export(&mut self, request: Bytes) -> impl Future<Output = Result<ExportMetricsServiceResponse, Status>> + Send;

    /// Forgets the connection: the next request makes a new one.
    fn reset(&mut self);

    /// Whether there is a connection, or was one since the last reset.
    fn is_connected(&self) -> bool;

    /// The endpoint, for log lines.
    fn name(&self) -> &str;
}

/// Sends them over a connection, which is made with the first one, and again after it was lost.
#[derive(Debug)]
pub(super) struct Client {
    collector: Collector,
    name: String,
    connection: Connection,
    method: PathAndQuery,
    /// Whether this connection's receiver takes metrics no more without compression than with it.
    takes_no_metrics: bool,
}

impl Client {
    /// A client that is not connected yet.
    pub(super) fn new(collector: &Collector, credentials: Credentials) -> Self {
        Self::of(collector, credentials, METRICS)
    }

    /// The same for a method.
    pub(super) fn of(collector: &Collector, credentials: Credentials, method: PathAndQuery) -> Self {
        let (name, connection) = (collector.name(), Connection::new(credentials, collector.timeout));
        Self { collector: collector.clone(), name, connection, method, takes_no_metrics: false }
    }

    /// Sends a request over this channel.
    async fn request(
        &self,
        channel: Channel,
        bytes: Bytes,
        compressed: bool,
    ) -> Result<ExportMetricsServiceResponse, Status> {
        let mut grpc = tonic::client::Grpc::new(channel)
            .max_decoding_message_size(RESPONSE_LIMIT)
            .accept_compressed(CompressionEncoding::Gzip);
        if compressed {
            grpc = grpc.send_compressed(CompressionEncoding::Gzip);
        }
        grpc.ready().await.map_err(unavailable)?;
        let mut request = Request::new(bytes);
        request.set_timeout(self.collector.timeout.min(LARGEST_DEADLINE));
        self.connection.access().headers().add_to(request.metadata_mut());
        grpc.unary(request, self.method.clone(), EncodedRequests).await.map(tonic::Response::into_inner)
    }

    /// Sends a request, compressed unless the receiver does not take that.
    async fn over(&mut self, channel: Channel, bytes: Bytes) -> Result<ExportMetricsServiceResponse, Status> {
        let compressed = self.collector.gzip.is_on();
        match self.request(channel.clone(), bytes.clone(), compressed).await {
            Err(status) if status.code() == Code::Unimplemented && compressed && !self.takes_no_metrics => {
                self.without_gzip(channel, bytes, status).await
            }
            answer => answer,
        }
    }

    /// What a receiver answers that did not implement a compressed request. One that has no gzip says so in the same way
    /// as one that takes no metrics, each in words of its own: the same request without compression tells which it is.
    async fn without_gzip(
        &mut self,
        channel: Channel,
        bytes: Bytes,
        said: Status,
    ) -> Result<ExportMetricsServiceResponse, Status> {
        let answer = self.request(channel, bytes, false).await;
        match &answer {
            Ok(_) => {
                self.collector.gzip.turn_off();
                tracing::warn!(
                    endpoint = %self.name,
                    error = describe(&said),
                    "the Collector does not take requests that are compressed with gzip; they are no longer compressed; \
                     OTEL_EXPORTER_OTLP_COMPRESSION=none avoids the first attempt"
                );
            }
            Err(again) if again.code() == Code::Unimplemented => self.takes_no_metrics = true,
            Err(_) => {}
        }
        answer
    }
}

impl Transport for Client {
    async fn export(&mut self, bytes: Bytes) -> Result<ExportMetricsServiceResponse, Status> {
        let channel = self.connection.channel().await?;
        let mut answer = self.over(channel, bytes.clone()).await;
        match &answer {
            Err(status) if is_of_the_connection(status) => {
                if let Some(before) = self.connection.fall_back(status) {
                    answer = self.over(before, bytes).await;
                }
            }
            _ => self.connection.carried(),
        }
        if answer.as_ref().is_err_and(is_of_connecting) {
            self.reset();
        }
        answer.map_err(corrected)
    }

    fn reset(&mut self) {
        self.connection.reset();
        self.takes_no_metrics = false;
    }

    fn is_connected(&self) -> bool {
        self.connection.is_there()
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Sends requests (`ExportMetricsServiceRequest`) that are encoded already.
#[derive(Debug, Clone, Copy)]
struct EncodedRequests;

impl Codec for EncodedRequests {
    type Encode = Bytes;
    type Decode = ExportMetricsServiceResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for EncodedRequests {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.len());
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for EncodedRequests {
    type Item = ExportMetricsServiceResponse;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<ExportMetricsServiceResponse>, Status> {
        ExportMetricsServiceResponse::decode(buffer)
            .map(Some)
            .map_err(|error| Status::internal(format!("the answer could not be decoded: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(endpoint: &str) -> Client {
        let collector = Collector { endpoint: endpoint.parse().unwrap(), ..Collector::default() };
        let (credentials, _) = collector.open().unwrap();
        Client::new(&collector, credentials)
    }

    /// Whether an export to this listener's port comes to a connection, and no answer, within a moment.
    async fn connects(listener: &std::net::TcpListener) -> bool {
        let mut client = client(&format!("http://{}", listener.local_addr().unwrap()));
        let answer = tokio::time::timeout(Duration::from_millis(300), client.export(Bytes::new())).await;
        assert!(answer.is_err(), "{answer:?}");
        client.is_connected()
    }

    #[tokio::test]
    async fn a_connection_that_never_comes_up_is_told_from_one_over_which_nobody_answers() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(connects(&listener).await, "the kernel accepts it");
        // Nobody accepts: when the backlog is full, the kernel drops what comes, as a firewall does.
        let mut waiting = Vec::new();
        loop {
            let one = tokio::net::TcpStream::connect(listener.local_addr().unwrap());
            match tokio::time::timeout(Duration::from_millis(300), one).await {
                Ok(connected) => waiting.push(connected.unwrap()),
                Err(_) => break,
            }
            assert!(waiting.len() < 10_000, "the backlog has no end");
        }
        assert!(!connects(&listener).await);
    }

    #[tokio::test]
    async fn a_connection_that_was_lost_and_does_not_come_up_again_is_none() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = client(&format!("http://{}", listener.local_addr().unwrap()));
        let hangs_up = tokio::spawn(async move { drop(listener.accept().await.unwrap()) });
        assert!(client.export(Bytes::new()).await.is_err());
        hangs_up.await.unwrap();
        let error = client.export(Bytes::new()).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        assert!(!client.is_connected(), "{error}");
    }
}
