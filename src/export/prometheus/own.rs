//! The agent's own metrics, as a Prometheus registry gathers them, in both formats.

use std::fmt::Write;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use super::Format;
use super::write::{push_double, push_help, push_pair};

/// Appends a family; nothing for one without metrics, nor for untyped ones, which these registries do not make.
pub(super) fn push_family(family: &MetricFamily, format: Format, out: &mut String) {
    let kind = family.get_field_type();
    let word = match kind {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::SUMMARY => "summary",
        MetricType::HISTOGRAM => "histogram",
        MetricType::UNTYPED => return,
    };
    if family.get_metric().is_empty() {
        return;
    }
    let openmetrics = format == Format::OpenMetrics100;
    // Counters are named with `_total` in both formats, but in OpenMetrics the family is named without.
    let stem = match kind {
        MetricType::COUNTER => family.name().strip_suffix("_total").unwrap_or(family.name()),
        _ => family.name(),
    };
    let name = if openmetrics { stem } else { family.name() };
    if !family.help().is_empty() {
        push_help(name, family.help(), format, out);
    }
    let _ = writeln!(out, "# TYPE {name} {word}");
    for metric in family.get_metric() {
        let labels = metric.get_label();
        match kind {
            MetricType::COUNTER => {
                let suffix = if openmetrics || stem != family.name() { "_total" } else { "" };
                push_series(stem, suffix, labels, None, metric.get_counter().get_value(), out);
            }
            MetricType::GAUGE => push_series(name, "", labels, None, metric.get_gauge().get_value(), out),
            MetricType::HISTOGRAM => push_histogram(name, metric, format, out),
            MetricType::SUMMARY => push_summary(name, metric, format, out),
            MetricType::UNTYPED => {}
        }
    }
}

fn push_histogram(name: &str, metric: &Metric, format: Format, out: &mut String) {
    let (labels, histogram) = (metric.get_label(), metric.get_histogram());
    for bucket in histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite()) {
        let bound = bound(bucket.upper_bound(), format);
        push_count(name, "_bucket", labels, Some(("le", &bound)), bucket.cumulative_count(), out);
    }
    // The last bucket holds everything, and registries leave it out.
    push_count(name, "_bucket", labels, Some(("le", "+Inf")), histogram.get_sample_count(), out);
    push_series(name, "_sum", labels, None, histogram.get_sample_sum(), out);
    push_count(name, "_count", labels, None, histogram.get_sample_count(), out);
}

fn push_summary(name: &str, metric: &Metric, format: Format, out: &mut String) {
    let (labels, summary) = (metric.get_label(), metric.get_summary());
    for quantile in summary.get_quantile() {
        let quantile_label = bound(quantile.quantile(), format);
        push_series(name, "", labels, Some(("quantile", &quantile_label)), quantile.value(), out);
    }
    push_series(name, "_sum", labels, None, summary.sample_sum(), out);
    push_count(name, "_count", labels, None, summary.sample_count(), out);
}

/// A number as the value of a label: OpenMetrics wants to see that it is no integer.
fn bound(bound: f64, format: Format) -> String {
    let mut text = String::new();
    push_double(bound, &mut text);
    if format == Format::OpenMetrics100 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        text.push_str(".0");
    }
    text
}

fn push_series(
    name: &str,
    suffix: &str,
    labels: &[LabelPair],
    extra: Option<(&str, &str)>,
    value: f64,
    out: &mut String,
) {
    push_name(name, suffix, labels, extra, out);
    push_double(value, out);
    out.push('\n');
}

fn push_count(
    name: &str,
    suffix: &str,
    labels: &[LabelPair],
    extra: Option<(&str, &str)>,
    count: u64,
    out: &mut String,
) {
    push_name(name, suffix, labels, extra, out);
    let _ = writeln!(out, "{count}");
}

fn push_name(name: &str, suffix: &str, labels: &[LabelPair], extra: Option<(&str, &str)>, out: &mut String) {
    out.push_str(name);
    out.push_str(suffix);
    let pairs = labels.iter().map(|label| (label.name(), label.value())).chain(extra);
    let mut separator = '{';
    for (name, value) in pairs {
        out.push(separator);
        push_pair(name, value, out);
        separator = ',';
    }
    out.push_str(if separator == ',' { "} " } else { " " });
}
