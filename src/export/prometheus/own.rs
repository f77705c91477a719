//! The agent's own metrics, as a Prometheus registry gathers them.

use prometheus::proto::{MetricFamily, MetricType};

use super::Format;
use super::family::{Header, push_sample};
use super::write::push_pair;
use crate::catalog::{Kind, Unit, Value};

/// Appends a family. One that is neither a counter nor a gauge is left out: the agent makes none.
pub(super) fn push_family(family: &MetricFamily, format: Format, out: &mut String) {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => Kind::Counter,
        MetricType::GAUGE => Kind::Gauge,
        MetricType::SUMMARY | MetricType::HISTOGRAM | MetricType::UNTYPED => return,
    };
    if family.get_metric().is_empty() {
        return;
    }
    let header = Header::new(family.name().to_owned(), kind, Unit::None, family.help());
    out.push_str(header.text(format));
    for metric in family.get_metric() {
        let mut labels = String::new();
        for label in metric.get_label() {
            if !labels.is_empty() {
                labels.push(',');
            }
            push_pair(label.name(), label.value(), &mut labels);
        }
        let value = match kind {
            Kind::Counter => metric.get_counter().get_value(),
            Kind::Gauge | Kind::UpDownCounter => metric.get_gauge().get_value(),
        };
        push_sample(&header.series, &labels, &[], Value::Double(value), out);
    }
}
