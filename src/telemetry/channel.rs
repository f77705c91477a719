//! The connection to the Collector for the agent's own metrics and logs.

use std::time::Duration;

use opentelemetry_otlp::{Compression, ExporterBuildError, WithExportConfig, WithTonicConfig};
use tokio::sync::mpsc;
use tonic::transport::channel::Change;
use tonic::transport::{Channel, Endpoint};

use crate::collector::{Access, Collector, Credentials, Gzip, TRY_CREDENTIALS_AGAIN_AFTER};

/// How many endpoints the channel can be told of before its next request, when it takes all: the first one, and one with
/// other credentials.
const ENDPOINTS: usize = 2;

/// The exporter refused its settings, and the agent's own telemetry can never be pushed.
#[derive(Debug, thiserror::Error)]
#[error("the exporter to {endpoint} could not be set up")]
pub struct ChannelError {
    /// The Collector.
    endpoint: String,
    /// Why.
    source: ExporterBuildError,
}

/// An exporter, with compression and without it, over one connection: the SDK's own cannot change their mind.
#[derive(Debug)]
pub(super) struct Exporter<E> {
    pub(super) compressing: E,
    pub(super) plain: E,
    gzip: Gzip,
}

impl<E> Exporter<E> {
    /// The one to use now.
    pub(super) fn now(&self) -> &E {
        if self.gzip.is_on() { &self.compressing } else { &self.plain }
    }
}

/// The endpoints that a channel is told of. Its key is always the same: a new endpoint takes the place of the one before.
type Endpoints = mpsc::Sender<Change<(), Endpoint>>;

fn endpoint(access: &Access, timeout: Duration) -> Change<(), Endpoint> {
    Change::Insert((), access.connector().clone().timeout(timeout))
}

/// Tells a channel of new credentials, as soon as a connection comes up with them: until then it uses what it has.
///
/// The channel then makes a connection of its own beside the old one; a request in flight ends on that.
async fn keep_current(mut credentials: Credentials, mut generation: u64, timeout: Duration, endpoints: Endpoints) {
    loop {
        let access = credentials.now();
        if access.generation() == generation {
            if credentials.replaced().await { continue } else { return }
        }
        // Connecting has deadlines of its own.
        let comes_up = access.connector().connect().await.is_ok();
        if comes_up && endpoints.try_send(endpoint(&access, timeout)).is_ok() {
            generation = access.generation();
            continue;
        }
        tokio::select! {
            more = credentials.replaced() => if !more { return },
            () = tokio::time::sleep(TRY_CREDENTIALS_AGAIN_AFTER) => {}
        }
    }
}

/// An exporter to a Collector, made by `build` of what `builder` begins. The connection is made when it is first used, and
/// again when it is lost or the credentials are replaced. Must be called within the runtime.
pub(super) fn towards<B: WithExportConfig + WithTonicConfig, E>(
    collector: &Collector,
    credentials: &Credentials,
    builder: impl Fn() -> B,
    build: impl Fn(B) -> Result<E, ExporterBuildError>,
) -> Result<Exporter<E>, ChannelError> {
    let (channel, endpoints) = Channel::balance_channel(ENDPOINTS);
    let access = credentials.now();
    // There is room for the first one.
    let _ = endpoints.try_send(endpoint(&access, collector.timeout));
    // It ends with those who follow the files.
    tokio::spawn(keep_current(credentials.clone(), access.generation(), collector.timeout, endpoints));
    let begun = || {
        let credentials = credentials.clone();
        let with_headers = move |mut request: tonic::Request<()>| {
            credentials.now().headers().add_to(request.metadata_mut());
            Ok(request)
        };
        builder().with_channel(channel.clone()).with_timeout(collector.timeout).with_interceptor(with_headers)
    };
    let refused = |source| ChannelError { endpoint: collector.name(), source };
    Ok(Exporter {
        compressing: build(begun().with_compression(Compression::Gzip)).map_err(refused)?,
        plain: build(begun()).map_err(refused)?,
        gzip: collector.gzip.clone(),
    })
}
