//! The SDK's instruments over the table of metrics: once for `/metrics`, once to be pushed.
//!
//! Two providers, each with one reader and the same instruments: of two readers on one provider, each writes into the
//! other's store, and shows series that have ended.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrumentBuilder, MeterProvider as _};
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

use super::channel::{ChannelError, refused, towards};
use super::resource::Identity;
use crate::catalog::{Attribute, Kind, Observable, Value};
use crate::collector::Collector;
use crate::heartbeat::Pulse;

/// The name of the instrumentation scope.
const SCOPE: &str = "virt-otel";

/// How long the last push may take when the agent stops: own figures are not worth holding up a restart for.
const LAST_PUSH: Duration = Duration::from_secs(2);

/// The agent's own metrics for `/metrics`, with the labels that a page has.
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
    pub fn new(identity: &Identity, rows: &[Observable]) -> Result<Self, opentelemetry_sdk::error::OTelSdkError> {
        let registry = prometheus::Registry::new();
        let exporter =
            opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false).build()?;
        let provider = provider(SdkMeterProvider::builder().with_reader(exporter), identity, rows, |of| of.label);
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
        rows: &[Observable],
        collector: &Collector,
        interval: Duration,
    ) -> Result<Self, ChannelError> {
        let builder = MetricExporter::builder().with_temporality(Temporality::Cumulative).with_tonic();
        let exporter = towards(collector, builder)?.build().map_err(|error| refused(collector, error))?;
        let reader = SharedReader(Arc::new(ManualReader::builder().with_temporality(Temporality::Cumulative).build()));
        let builder = SdkMeterProvider::builder().with_reader(reader.clone());
        let provider = provider(builder, identity, rows, |of| of.key);
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

/// A provider with an instrument for each row; `key` is what an attribute is called there.
fn provider(
    builder: MeterProviderBuilder,
    identity: &Identity,
    rows: &[Observable],
    key: fn(&Attribute) -> &'static str,
) -> SdkMeterProvider {
    let few = |_: &Instrument| Stream::builder().with_cardinality_limit(SERIES_MAX).build().ok();
    let provider = builder.with_resource(identity.resource()).with_view(few).build();
    let scope = opentelemetry::InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION")).build();
    let meter = provider.meter_with_scope(scope);
    for row in rows {
        let about = row.instrument;
        // The kind and whether it is a floating-point number choose the instrument.
        match (about.kind, about.unit.is_double()) {
            (Kind::Counter, true) => {
                let _instrument = observed(meter.f64_observable_counter(about.name), row, key, double).build();
            }
            (Kind::Counter, false) => {
                let _instrument = observed(meter.u64_observable_counter(about.name), row, key, integer).build();
            }
            (Kind::Gauge | Kind::UpDownCounter, true) => {
                let _instrument = observed(meter.f64_observable_gauge(about.name), row, key, double).build();
            }
            (Kind::Gauge | Kind::UpDownCounter, false) => {
                let _instrument = observed(meter.u64_observable_gauge(about.name), row, key, integer).build();
            }
        }
    }
    provider
}

/// An instrument that reads a row when the SDK collects. The callback lives as long as the provider.
fn observed<'m, I, N: 'static>(
    builder: AsyncInstrumentBuilder<'m, I, N>,
    row: &Observable,
    key: fn(&Attribute) -> &'static str,
    number: fn(Value) -> N,
) -> AsyncInstrumentBuilder<'m, I, N> {
    let read = row.clone();
    builder.with_unit(row.instrument.unit.ucum()).with_description(row.instrument.brief).with_callback(
        move |observer| {
            read.read(&mut |labels, value| {
                let attributes: Vec<KeyValue> =
                    labels.iter().map(|label| KeyValue::new(key(label.attribute), label.value.to_owned())).collect();
                observer.observe(number(value), &attributes);
            });
        },
    )
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
