//! SDK instruments for the tables of metrics: once for `/metrics`, once to be pushed.
//!
//! Two providers, each with one reader and the same instruments: two readers on one provider write into each other's
//! store and show series that have ended.

use std::collections::HashMap;
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

use super::channel::{ChannelError, Exporter, towards};
use super::resource::Identity;
use crate::catalog::{Attribute, Kind, Observable, Value};
use crate::collector::{Collector, Credentials};
use crate::heartbeat::Pulse;

/// The name of the instrumentation scope.
const SCOPE: &str = "virt-otel";

/// How long the last push may take when the agent stops: its own metrics are not worth delaying a restart.
const LAST_PUSH: Duration = Duration::from_secs(2);

/// The agent's own metrics for `/metrics`, with Prometheus labels.
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
    /// When the SDK's exporter cannot register itself, which cannot happen in a new registry.
    pub fn new(identity: &Identity, rows: &[Observable]) -> Result<Self, opentelemetry_sdk::error::OTelSdkError> {
        let registry = prometheus::Registry::new();
        let exporter =
            opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false).build()?;
        let provider = provider(SdkMeterProvider::builder().with_reader(exporter), identity, rows, |of| of.label);
        Ok(Self { registry, _provider: provider })
    }

    /// The current families, `target_info` with the agent's Resource among them.
    #[must_use]
    pub fn families(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}

/// The push of the agent's own metrics.
///
/// A task of the agent collects and exports. At shutdown, the SDK's periodic reader would wait five seconds for a
/// Collector that does not answer, whatever its settings.
pub struct Push {
    reader: SharedReader,
    exporter: Exporter<MetricExporter>,
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
    /// When the SDK's exporter refuses its settings.
    pub fn new(
        identity: &Identity,
        rows: &[Observable],
        collector: &Collector,
        credentials: &Credentials,
        interval: Duration,
    ) -> Result<Self, ChannelError> {
        let builder = || MetricExporter::builder().with_temporality(Temporality::Cumulative).with_tonic();
        let exporter = towards(collector, credentials, builder, |builder| builder.build())?;
        let reader = SharedReader(Arc::new(ManualReader::builder().with_temporality(Temporality::Cumulative).build()));
        let builder = SdkMeterProvider::builder().with_reader(reader.clone());
        let provider = provider(builder, identity, rows, |of| of.key);
        Ok(Self { reader, exporter, interval, timeout: collector.timeout, _provider: provider })
    }

    /// Pushes at the interval, the first time this long after its beginning, until told to stop, then once more.
    ///
    /// Failures are only logged for debugging: the push of VMs' metrics to the same address warns of them.
    pub async fn run(self, offset: Duration, pulse: Pulse, stop: CancellationToken) {
        // At the start there is nothing to push yet.
        let mut ticks = tokio::time::interval_at(Instant::now() + self.interval + offset, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = pulse.idle() => continue,
                _ = ticks.tick() => {}
            }
            pulse.promise(Instant::now() + self.timeout);
            // A push that is in progress when the agent stops is given up for the last one.
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
        match tokio::time::timeout(timeout, self.exporter.now().export(&metrics)).await {
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

/// Room for series that a row does not have yet when the agent starts, such as the age of the first snapshot.
const LATER_SERIES: usize = 8;

/// How many series a row may have. The SDK allocates this many at once, 2,000 by default, and merges the rest into one.
/// Attributes are closed sets that a row emits from the start.
fn series_max(row: &Observable) -> usize {
    let mut series = LATER_SERIES;
    row.read(&mut |_, _| series += 1);
    series
}

/// A provider with an instrument for each row; `key` names an attribute there.
fn provider(
    builder: MeterProviderBuilder,
    identity: &Identity,
    rows: &[Observable],
    key: fn(&Attribute) -> &'static str,
) -> SdkMeterProvider {
    let limits: HashMap<&str, usize> = rows.iter().map(|row| (row.instrument.name, series_max(row))).collect();
    let few = move |instrument: &Instrument| {
        let limit = limits.get(instrument.name()).copied().unwrap_or(LATER_SERIES);
        Stream::builder().with_cardinality_limit(limit).build().ok()
    };
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
