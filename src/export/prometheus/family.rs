//! A family: its header in both formats, and its series. Every family of a page is written here.

use super::Format;
use super::write::{push_help, push_label, push_value};
use crate::catalog::{Kind, Labels, Unit, Value};
use crate::export::naming;

/// The header lines of a family.
#[derive(Debug)]
pub(super) struct Header {
    /// The name of its series.
    pub(super) series: String,
    /// The name of the family in OpenMetrics.
    pub(super) family: String,
    /// HELP and TYPE in the classic format.
    text: String,
    /// HELP, TYPE and UNIT in OpenMetrics.
    openmetrics: String,
}

impl Header {
    /// The header of the series of this name.
    pub(super) fn new(series: String, kind: Kind, unit: Unit, help: &str) -> Self {
        let word = match kind {
            Kind::Counter => "counter",
            Kind::UpDownCounter | Kind::Gauge => "gauge",
        };
        // In OpenMetrics a counter's family has the name without `_total`.
        let family = series.strip_suffix("_total").filter(|_| kind == Kind::Counter).unwrap_or(&series).to_owned();
        let mut text = String::new();
        let mut openmetrics = String::new();
        if !help.is_empty() {
            push_help(&series, help, Format::Text004, &mut text);
            push_help(&family, help, Format::OpenMetrics100, &mut openmetrics);
        }
        text.push_str(&format!("# TYPE {series} {word}\n"));
        openmetrics.push_str(&format!("# TYPE {family} {word}\n"));
        // A unit that is not the end of the family's name fails the whole scrape.
        let unit = naming::unit(&unit.ucum());
        if !unit.is_empty() && family.strip_suffix(&unit).is_some_and(|rest| rest.ends_with('_')) {
            openmetrics.push_str(&format!("# UNIT {family} {unit}\n"));
        }
        Self { series, family, text, openmetrics }
    }

    /// The lines.
    pub(super) fn text(&self, format: Format) -> &str {
        match format {
            Format::Text004 => &self.text,
            Format::OpenMetrics100 => &self.openmetrics,
        }
    }
}

/// Appends a series: its name, the labels that are already rendered, further ones, and its value.
pub(super) fn push_sample(series: &str, written: &str, labels: &Labels<'_>, value: Value, out: &mut String) {
    out.push_str(series);
    let mut separator = '{';
    if !written.is_empty() {
        out.push('{');
        out.push_str(written);
        separator = ',';
    }
    for label in labels {
        out.push(separator);
        push_label(label, out);
        separator = ',';
    }
    out.push_str(if separator == ',' { "} " } else { " " });
    push_value(value, out);
    out.push('\n');
}
