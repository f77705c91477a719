//! The SDK's instruments over the table of metrics: once for `/metrics`, once to be pushed.
//!
//! Two providers, each with one reader and the same instruments: of two readers on one provider, each writes into the
//! other's store, and shows series that have ended.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter as _;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{
    Instrument, InstrumentKind, ManualReader, MeterProviderBuilder, Pipeline, SdkMeterProvider, Stream, Temporality,
};
use prometheus::proto::MetricFamily;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::channel::{ChannelError, Collector};
use super::metrics::{METRICS, OwnMetric};
use super::readings::Readings;
use super::resource::Identity;
use crate::catalog::{Kind, Value};
use crate::heartbeat::Pulse;

/// Where the present readings come from. It must not wait, and must not panic: the SDK would collect nothing any more.
pub type Source = Arc<dyn Fn() -> Readings + Send + Sync>;

/// The name of the instrumentation scope.
const SCOPE: &str = "virt-otel";

/// How long the last push may take when the agent stops: own figures are not worth holding up a restart for.
const LAST_PUSH: Duration = Duration::from_secs(2);

/// The agent's own metrics for `/metrics`.
#[derive(Debug)]
pub struct Page {
    registry: prometheus::Registry,
    // The registry reads through it.
    _provider: SdkMeterProvider,
}

impl Page {
    /// Instruments that are read at each scrape.
    ///
    /// # Errors
    ///
    /// When the SDK's exporter cannot register itself: it can, in a registry of its own.
    pub fn new(identity: &Identity, source: &Source) -> Result<Self, opentelemetry_sdk::error::OTelSdkError> {
        let registry = prometheus::Registry::new();
        let exporter =
            opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false).build()?;
        let provider = provider(SdkMeterProvider::builder().with_reader(exporter), identity, source);
        Ok(Self { registry, _provider: provider })
    }

    /// The families as they are now, `target_info` with the agent's Resource among them.
    #[must_use]
    pub fn families(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}

/// The push of the agent's own metrics.
///
/// A task of ours collects and exports. The SDK's own periodic reader would be a thread that waits five seconds for a
/// mute Collector at the end, whatever it is told.
pub struct Push {
    reader: SharedReader,
    exporter: MetricExporter,
    interval: Duration,
    timeout: Duration,
    // The reader reads through it.
    _provider: SdkMeterProvider,
}

impl std::fmt::Debug for Push {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Push").field("interval", &self.interval).finish_non_exhaustive()
    }
}

impl Push {
    /// Instruments that are read at each push. Must be called within the runtime.
    ///
    /// # Errors
    ///
    /// When there can be no connection to the Collector at all: certificates that cannot be used.
    pub fn new(
        identity: &Identity,
        source: &Source,
        collector: &Collector,
        interval: Duration,
    ) -> Result<Self, ChannelError> {
        let builder = MetricExporter::builder().with_temporality(Temporality::Cumulative).with_tonic();
        let exporter = collector.apply(builder)?.build().map_err(|error| collector.exporter_error(error))?;
        let reader = SharedReader(Arc::new(ManualReader::builder().with_temporality(Temporality::Cumulative).build()));
        let provider = provider(SdkMeterProvider::builder().with_reader(reader.clone()), identity, source);
        Ok(Self { reader, exporter, interval, timeout: collector.timeout, _provider: provider })
    }

    /// Pushes at the interval until told to stop, then once more.
    ///
    /// That the Collector cannot be reached is not logged here: the push of VMs' metrics to the same address says so.
    pub async fn run(self, pulse: Pulse, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is due at once, when there is nothing to tell yet.
        ticks.tick().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = pulse.idle() => continue,
                _ = ticks.tick() => {}
            }
            pulse.promise(Instant::now() + self.timeout);
            // A push that is under way when the agent stops is given up for the last one.
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.push(self.timeout) => {}
            }
        }
        self.push(self.timeout.min(LAST_PUSH)).await;
    }

    async fn push(&self, timeout: Duration) {
        let mut metrics = ResourceMetrics::default();
        if let Err(error) = self.reader.collect(&mut metrics) {
            tracing::debug!(%error, "the agent's own metrics could not be collected");
            return;
        }
        match tokio::time::timeout(timeout, self.exporter.export(&metrics)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the agent's own metrics could not be pushed"),
            Err(_) => tracing::debug!(?timeout, "the push of the agent's own metrics took too long"),
        }
    }
}

/// A reader that can be read although the provider owns it.
#[derive(Debug, Clone)]
struct SharedReader(Arc<ManualReader>);

impl MetricReader for SharedReader {
    fn register_pipeline(&self, pipeline: std::sync::Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

/// Series of one instrument at most. Their attributes are closed sets, of thirty combinations at most; the SDK makes room
/// for as many at once, and for 2,000 unless told otherwise.
const SERIES_MAX: usize = 64;

/// A provider with an instrument for each row of the table.
fn provider(builder: MeterProviderBuilder, identity: &Identity, source: &Source) -> SdkMeterProvider {
    let few = |_: &Instrument| Stream::builder().with_cardinality_limit(SERIES_MAX).build().ok();
    let provider = builder.with_resource(identity.resource()).with_view(few).build();
    let scope = opentelemetry::InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION")).build();
    let meter = provider.meter_with_scope(scope);
    for row in METRICS {
        let source = Arc::clone(source);
        let unit = row.unit.ucum().into_owned();
        // The kind and whether it is a floating-point number choose the instrument. The callbacks live as long as the
        // provider.
        match (row.kind, row.unit.is_double()) {
            (Kind::Counter, true) => {
                let builder = meter.f64_observable_counter(row.name).with_unit(unit).with_description(row.brief);
                let _instrument = builder
                    .with_callback(move |observer| {
                        observe(row, &source, |value, keys| observer.observe(double(value), keys))
                    })
                    .build();
            }
            (Kind::Counter, false) => {
                let builder = meter.u64_observable_counter(row.name).with_unit(unit).with_description(row.brief);
                let _instrument = builder
                    .with_callback(move |observer| {
                        observe(row, &source, |value, keys| observer.observe(integer(value), keys))
                    })
                    .build();
            }
            (Kind::Gauge | Kind::UpDownCounter, true) => {
                let builder = meter.f64_observable_gauge(row.name).with_unit(unit).with_description(row.brief);
                let _instrument = builder
                    .with_callback(move |observer| {
                        observe(row, &source, |value, keys| observer.observe(double(value), keys))
                    })
                    .build();
            }
            (Kind::Gauge | Kind::UpDownCounter, false) => {
                let builder = meter.u64_observable_gauge(row.name).with_unit(unit).with_description(row.brief);
                let _instrument = builder
                    .with_callback(move |observer| {
                        observe(row, &source, |value, keys| observer.observe(integer(value), keys))
                    })
                    .build();
            }
        }
    }
    provider
}

fn observe(row: &OwnMetric, source: &Source, mut observe: impl FnMut(Value, &[KeyValue])) {
    (row.read)(&source(), &mut |attributes, value| {
        let keys: Vec<KeyValue> =
            attributes.iter().map(|(key, value)| KeyValue::new(*key, (*value).to_owned())).collect();
        observe(value, &keys);
    });
}

const fn integer(value: Value) -> u64 {
    match value {
        Value::Integer(value) => value,
        // Rows of whole numbers yield whole numbers: a test reads every row.
        Value::Double(_) => 0,
    }
}

fn double(value: Value) -> f64 {
    match value {
        Value::Double(value) => value,
        Value::Integer(value) => Duration::from_secs(value).as_secs_f64(),
    }
}

#[cfg(test)]
mod tests;
