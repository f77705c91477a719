//! The connection to the Collector.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use prost::bytes::{BufMut, Bytes};
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::collector::{Collector, CollectorError};

/// The method that takes metrics.
const EXPORT: PathAndQuery =
    PathAndQuery::from_static("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export");

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

/// The connection to the Collector. It is made with the first request, and again after it was lost.
#[derive(Debug)]
pub(super) struct Client {
    collector: Collector,
    connector: Endpoint,
    name: String,
    channel: Option<Channel>,
    /// Whether this connection's receiver takes metrics no more without compression than with it.
    takes_no_metrics: bool,
}

impl Client {
    /// A client that is not connected yet.
    pub(super) fn new(collector: &Collector) -> Result<Self, CollectorError> {
        let (connector, name) = (collector.connector()?, collector.name());
        Ok(Self { collector: collector.clone(), connector, name, channel: None, takes_no_metrics: false })
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
        grpc.ready().await.map_err(|error| Status::unavailable(with_root(error.to_string(), &error)))?;
        let mut request = Request::new(bytes);
        request.set_timeout(self.collector.timeout.min(LARGEST_DEADLINE));
        self.collector.headers.add_to(request.metadata_mut());
        grpc.unary(request, EXPORT, EncodedRequests).await.map(tonic::Response::into_inner)
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
        let channel = match &self.channel {
            Some(channel) => channel.clone(),
            None => {
                let connected = self.connector.connect().await;
                let channel = connected.map_err(|error| Status::unavailable(with_root(error.to_string(), &error)))?;
                self.channel.insert(channel).clone()
            }
        };
        let compressed = self.collector.gzip.is_on();
        let answer = match self.request(channel.clone(), bytes.clone(), compressed).await {
            Err(status) if status.code() == Code::Unimplemented && compressed && !self.takes_no_metrics => {
                self.without_gzip(channel, bytes, status).await
            }
            answer => answer,
        };
        if answer.as_ref().is_err_and(is_of_connecting) {
            self.reset();
        }
        answer.map_err(of_the_connection)
    }

    fn reset(&mut self) {
        self.channel = None;
        self.takes_no_metrics = false;
    }

    fn is_connected(&self) -> bool {
        self.channel.is_some()
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Whether the connection was lost and another one did not come up, which tonic says with the request.
fn is_of_connecting(status: &Status) -> bool {
    causes(status).any(|cause| cause.is::<tonic::ConnectError>())
}

/// Corrects the code of a connection failure. tonic reports a connection that breaks during a request as UNKNOWN, and
/// one that the Collector closes in order to restart (GOAWAY) as INTERNAL. The Collector sent neither, neither would be
/// retried, and both are what UNAVAILABLE is for. A status from the Collector has no source.
fn of_the_connection(status: Status) -> Status {
    match status.code() {
        Code::Unknown | Code::Internal if status.source().is_some() => Status::unavailable(describe(&status)),
        // tonic's code for a deadline that passed on our side.
        Code::Cancelled if status.source().is_some() => Status::deadline_exceeded(describe(&status)),
        _ => status,
    }
}

/// A failure in one line for people: the message, and the root cause if the connection failed.
pub(super) fn describe(status: &Status) -> String {
    let said = if status.message().is_empty() { status.code().description() } else { status.message() };
    with_root(said.to_owned(), status)
}

/// A text with the root cause: the causes between wrap one another and say the same.
fn with_root(text: String, error: &(dyn Error + 'static)) -> String {
    match causes(error).last().map(ToString::to_string) {
        Some(root) if !text.ends_with(&root) => format!("{text}: {root}"),
        _ => text,
    }
}

/// What caused an error, the nearest cause first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (**cause).source())
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

    #[test]
    fn a_failure_is_described_in_words_and_with_its_root() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let mut status = Status::unavailable("tcp connect error");
        status.set_source(std::sync::Arc::new(std::io::Error::other(Wrapped(refused))));
        assert_eq!(describe(&status), "tcp connect error: connection refused");
        assert_eq!(describe(&Status::unavailable("we are closed")), "we are closed");
        assert_eq!(describe(&Status::unavailable("")), "The service is currently unavailable");
    }

    /// Whether an export to this listener's port comes to a connection, and no answer, within a moment.
    async fn connects(listener: &std::net::TcpListener) -> bool {
        let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let mut client = Client::new(&Collector { endpoint, ..Collector::default() }).unwrap();
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
        let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let mut client = Client::new(&Collector { endpoint, ..Collector::default() }).unwrap();
        let hangs_up = tokio::spawn(async move { drop(listener.accept().await.unwrap()) });
        assert!(client.export(Bytes::new()).await.is_err());
        hangs_up.await.unwrap();
        let error = client.export(Bytes::new()).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        assert!(!client.is_connected(), "{error}");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("transport error")]
    struct Wrapped(#[source] std::io::Error);
}
