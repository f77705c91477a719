//! Turns rows and points into OTLP messages. Messages are reused from one Resource to the next: a push of thirty
//! thousand points would otherwise spend its time in the allocator.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Wire;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, DataPointFlags, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::resource::attribute;
use crate::catalog::{Kind, Label, Labels, Selected, Unit, Value};
use crate::model::Timestamp;

/// The name of the only instrumentation scope.
pub const SCOPE_NAME: &str = "virt-otel";

/// The version of the semantic conventions whose attributes are used.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// The messages of one Resource under construction.
#[derive(Debug)]
pub(super) struct Encoder {
    /// One unused message per row, without points, in the order of the selection.
    rows: Vec<Metric>,
    /// The row of each metric with values in `open`.
    used: Vec<usize>,
    open: ResourceMetrics,
    points: usize,
    /// Points of earlier Resources, reused with their attributes' memory: as many as the largest Resource had.
    spare: Vec<NumberDataPoint>,
}

/// The points of a row under construction.
pub(super) struct Points<'e> {
    list: &'e mut Vec<NumberDataPoint>,
    spare: &'e mut Vec<NumberDataPoint>,
    is_gauge: bool,
}

impl Points<'_> {
    /// Adds a point with a value.
    pub(super) fn push(&mut self, labels: &Labels<'_>, value: Wire, time: Timestamp, start: Option<Timestamp>) {
        let mut point = self.spare.pop().unwrap_or_default();
        write(&mut point.attributes, labels);
        // A gauge has no start; without the field its point is nine bytes smaller.
        point.start_time_unix_nano = start.filter(|_| !self.is_gauge).map_or(0, Timestamp::unix_nanos);
        point.time_unix_nano = time.unix_nanos();
        point.value = Some(value);
        self.list.push(point);
    }
}

/// Sets the attributes to these labels, reusing their memory.
fn write(attributes: &mut Vec<KeyValue>, labels: &Labels<'_>) {
    attributes.truncate(labels.len());
    for (index, label) in labels.iter().enumerate() {
        let Some(slot) = attributes.get_mut(index) else {
            attributes.push(of_label(label));
            continue;
        };
        if let (false, Some(AnyValue { value: Some(Any::StringValue(text)) })) =
            (label.attribute.integer, &mut slot.value)
        {
            if slot.key != label.attribute.key {
                slot.key.clear();
                slot.key.push_str(label.attribute.key);
            }
            text.clear();
            text.push_str(label.value);
        } else {
            *slot = of_label(label);
        }
    }
}

/// An attribute of the type that the catalogue gives it.
fn of_label(label: &Label<'_>) -> KeyValue {
    let mut attribute = attribute(label.attribute.key, label.value);
    if label.attribute.integer
        && let Ok(number) = label.value.parse()
    {
        attribute.value = Some(AnyValue { value: Some(Any::IntValue(number)) });
    }
    attribute
}

impl Encoder {
    /// An encoder of these rows.
    pub(super) fn new(rows: &[Selected]) -> Self {
        let scope = ScopeMetrics {
            scope: Some(InstrumentationScope {
                name: SCOPE_NAME.to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..InstrumentationScope::default()
            }),
            metrics: Vec::with_capacity(rows.len()),
            schema_url: SCHEMA_URL.to_owned(),
        };
        Self {
            rows: rows.iter().map(message).collect(),
            used: Vec::with_capacity(rows.len()),
            open: ResourceMetrics { resource: None, scope_metrics: vec![scope], schema_url: SCHEMA_URL.to_owned() },
            points: 0,
            spare: Vec::new(),
        }
    }

    /// Begins a Resource, reusing the memory of the last one.
    pub(super) fn begin(&mut self, resource: Resource) {
        let metrics = self.open.scope_metrics.iter_mut().flat_map(|scope| scope.metrics.drain(..));
        // Metrics that end a series come last and are dropped here: zip stops before them.
        for (row, mut metric) in self.used.drain(..).zip(metrics) {
            if let (Some(points), Some(slot)) = (points_mut(&mut metric), self.rows.get_mut(row)) {
                self.spare.append(points);
                *slot = metric;
            }
        }
        self.open.resource = Some(resource);
        self.points = 0;
    }

    /// Adds what `fill` yields as the points of a row. A row without points is left out.
    pub(super) fn row(&mut self, row: usize, fill: impl FnOnce(&mut Points<'_>)) {
        let Some(slot) = self.rows.get_mut(row) else { return };
        let is_gauge = matches!(slot.data, Some(Data::Gauge(_)));
        let Some(list) = points_mut(slot) else { return };
        fill(&mut Points { list, spare: &mut self.spare, is_gauge });
        if list.is_empty() {
            return;
        }
        self.points += list.len();
        let metric = std::mem::take(slot);
        self.used.push(row);
        self.metrics().push(metric);
    }

    /// Ends a series, in a metric of its own: the Collector's Prometheus exporter ends only the first flagged point of
    /// a metric and ignores what follows it. Must be called after every [`row`](Self::row).
    pub(super) fn end(&mut self, row: &Selected, labels: &Labels<'_>, at: Timestamp) {
        let mut metric = message(row);
        if let Some(points) = points_mut(&mut metric) {
            points.push(NumberDataPoint {
                attributes: labels.iter().map(of_label).collect(),
                time_unix_nano: at.unix_nanos(),
                flags: DataPointFlags::NoRecordedValueMask as u32,
                // No value: a receiver that ignores the flag would believe a 0.
                value: None,
                ..NumberDataPoint::default()
            });
        }
        self.points += 1;
        self.metrics().push(metric);
    }

    /// What was built since the last [`begin`](Self::begin), and how many points are in it; `None` if there are none.
    pub(super) fn finished(&self) -> Option<(&ResourceMetrics, usize)> {
        (self.points > 0).then_some((&self.open, self.points))
    }

    fn metrics(&mut self) -> &mut Vec<Metric> {
        if self.open.scope_metrics.is_empty() {
            self.open.scope_metrics.push(ScopeMetrics::default());
        }
        &mut self.open.scope_metrics[0].metrics
    }
}

/// The message of a row, without points.
fn message(row: &Selected) -> Metric {
    let cumulative = AggregationTemporality::Cumulative as i32;
    let sum =
        |is_monotonic| Data::Sum(Sum { data_points: Vec::new(), aggregation_temporality: cumulative, is_monotonic });
    Metric {
        name: row.name.clone(),
        description: row.metric.brief.to_owned(),
        unit: row.metric.unit.ucum().into_owned(),
        metadata: Vec::new(),
        data: Some(match row.metric.kind {
            Kind::Counter => sum(true),
            Kind::UpDownCounter => sum(false),
            Kind::Gauge => Data::Gauge(Gauge::default()),
        }),
    }
}

fn points_mut(metric: &mut Metric) -> Option<&mut Vec<NumberDataPoint>> {
    match metric.data.as_mut()? {
        Data::Sum(sum) => Some(&mut sum.data_points),
        Data::Gauge(gauge) => Some(&mut gauge.data_points),
        _ => None,
    }
}

/// A value of the type that its unit demands. `None` where that type cannot hold it: an integer above 2⁶³ − 1, NaN,
/// infinity.
pub(super) fn wire(unit: Unit, value: Value) -> Option<Wire> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "a time in whole seconds beyond 2⁵³ does not occur")]
        Value::Integer(value) if unit.is_double() => Some(Wire::AsDouble(value as f64)),
        Value::Integer(value) => i64::try_from(value).ok().map(Wire::AsInt),
        Value::Double(value) if unit.is_double() => value.is_finite().then_some(Wire::AsDouble(value)),
        // A fraction in a row with an integer unit is a mistake in the catalogue; a receiver would take a series that
        // changed its type for two.
        Value::Double(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::attribute::{CPU, DEVICE};

    #[test]
    fn memory_that_is_used_again_holds_nothing_of_what_it_held() {
        let long =
            [Label { attribute: &DEVICE, value: "a-disk-with-a-long-name" }, Label { attribute: &CPU, value: "0" }];
        let mut attributes = Vec::new();
        for labels in [&long[..], &long[1..], &[], &long[..1], &long[..]] {
            write(&mut attributes, labels);
            let fresh: Vec<_> = labels.iter().map(of_label).collect();
            assert_eq!(attributes, fresh);
        }
    }

    #[test]
    fn an_integer_that_the_wire_cannot_hold_is_no_point_rather_than_a_wrong_one() {
        assert_eq!(wire(Unit::Bytes, Value::Integer(5)), Some(Wire::AsInt(5)));
        assert_eq!(wire(Unit::Bytes, Value::Integer(i64::MAX as u64)), Some(Wire::AsInt(i64::MAX)));
        assert_eq!(wire(Unit::Bytes, Value::Integer(u64::MAX)), None);
    }

    #[test]
    fn the_unit_decides_between_integer_and_double_whatever_the_value_is() {
        assert_eq!(wire(Unit::Seconds, Value::Integer(3)), Some(Wire::AsDouble(3.0)));
        assert_eq!(wire(Unit::Seconds, Value::Double(0.5)), Some(Wire::AsDouble(0.5)));
        assert_eq!(wire(Unit::Count("packet"), Value::Double(0.5)), None);
    }

    #[test]
    fn what_is_no_number_is_no_point() {
        assert_eq!(wire(Unit::Seconds, Value::Double(f64::NAN)), None);
        assert_eq!(wire(Unit::Seconds, Value::Double(f64::INFINITY)), None);
    }
}
