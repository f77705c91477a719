//! A receiver for tests, as strict as the strictest that was found: Prometheus with no window for points out of order,
//! behind a Collector whose exporter ends only the first flagged point of a metric.

use std::collections::{BTreeMap, HashMap};

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Wire;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, ResourceMetrics};

/// The attributes of a point or a Resource, in order.
pub type Attributes = BTreeMap<String, String>;

/// A series: its Resource, its metric, its attributes.
pub type Series = (Attributes, String, Attributes);

/// What was received.
#[derive(Debug, Default)]
pub struct Receiver {
    /// The newest point of each Resource, by what Prometheus keeps of it.
    newest: HashMap<Vec<String>, u64>,
    /// The last point of each series, by what Prometheus keeps of it.
    last: HashMap<(Vec<String>, String, Attributes), u64>,
    /// The series that have a value and have not been ended.
    pub alive: HashMap<Series, Wire>,
    /// How often each series was ended.
    pub ended: HashMap<Series, usize>,
    /// Whether an end may come for a series that is not alive: after requests of unknown outcome.
    pub forgiving: bool,
}

/// Attributes as a map of strings.
pub fn attributes(list: &[KeyValue]) -> Attributes {
    list.iter()
        .map(|attribute| match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Any::StringValue(value)) => (attribute.key.clone(), value.clone()),
            Some(Any::IntValue(value)) => (attribute.key.clone(), value.to_string()),
            other => panic!("{} is neither text nor integer: {other:?}", attribute.key),
        })
        .collect()
}

/// The points of a metric.
pub fn points(metric: &Metric) -> &[NumberDataPoint] {
    match metric.data.as_ref().unwrap() {
        Data::Gauge(gauge) => &gauge.data_points,
        Data::Sum(sum) => {
            assert_eq!(sum.aggregation_temporality, 2, "{} is not cumulative", metric.name);
            &sum.data_points
        }
        other => panic!("{other:?}"),
    }
}

impl Receiver {
    /// Takes a request, or panics with the rule that it breaks.
    pub fn accept(&mut self, messages: &[ResourceMetrics]) {
        for message in messages {
            self.message(message);
        }
    }

    fn message(&mut self, message: &ResourceMetrics) {
        let resource = attributes(&message.resource.as_ref().unwrap().attributes);
        let identity: Vec<String> = ["service.namespace", "service.name", "service.instance.id"]
            .iter()
            .map(|key| resource.get(*key).cloned().unwrap_or_default())
            .collect();
        assert_eq!(message.scope_metrics.len(), 1);
        let metrics = &message.scope_metrics[0].metrics;
        let times = || metrics.iter().flat_map(points).map(|point| point.time_unix_nano);
        let before = self.newest.get(&identity).copied().unwrap_or(0);
        let oldest = times().min().expect("a Resource without points is not sent");
        assert!(oldest > before, "{resource:?} has a point at {oldest}, but was at {before} already");
        self.newest.insert(identity.clone(), times().max().unwrap_or(0));

        let mut in_message: HashMap<(&str, Attributes), ()> = HashMap::new();
        let mut ending: HashMap<&str, ()> = HashMap::new();
        for metric in metrics {
            for point in points(metric) {
                let labels = attributes(&point.attributes);
                assert!(
                    in_message.insert((&metric.name, labels.clone()), ()).is_none(),
                    "{} {labels:?} is there twice",
                    metric.name
                );
                let millis = point.time_unix_nano / 1_000_000;
                let key = (identity.clone(), metric.name.clone(), labels.clone());
                if let Some(last) = self.last.insert(key, millis) {
                    assert!(millis > last, "{} {labels:?} goes from {last} to {millis}", metric.name);
                }
                let series = (resource.clone(), metric.name.clone(), labels);
                if point.flags & 1 == 1 {
                    assert_eq!(points(metric).len(), 1, "an end is in a metric of its own");
                    assert_eq!(point.value, None);
                    ending.insert(&metric.name, ());
                    let was_alive = self.alive.remove(&series).is_some();
                    assert!(was_alive || self.forgiving, "{series:?} was not alive");
                    *self.ended.entry(series).or_default() += 1;
                } else {
                    assert!(!ending.contains_key(metric.name.as_str()), "a value after an end of {}", metric.name);
                    assert!(point.start_time_unix_nano <= point.time_unix_nano);
                    self.alive.insert(series, point.value.expect("a point has a value"));
                }
            }
        }
    }
}
