//! Panels of what no other panel of a dashboard names, made of the catalogue: "everything" stays true when a row is added.

use std::collections::BTreeSet;

use virt_otel::catalog::{Attribute, Kind, Selection, Unit, Vocabulary};
use virt_otel::export::naming;

use super::Tokens;
use super::board::Row;
use super::panel::{Panel, lines};

/// Every word that the expressions of rows have.
pub(super) fn words(rows: &[Row], tokens: &Tokens) -> BTreeSet<String> {
    let expressions = rows.iter().flat_map(|row| &row.panels).flat_map(Panel::expressions);
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    expressions
        .flat_map(|expression| {
            let text = tokens.put_into(expression);
            text.split(|letter| !is_name(letter)).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

/// Whether words name a metric, or with a pattern its beginning.
pub(super) fn names(words: &BTreeSet<String>, metric: &str) -> bool {
    words.contains(metric)
        || words
            .iter()
            .any(|word| word.matches('_').count() > 3 && word.ends_with('_') && metric.starts_with(word.as_str()))
}

/// A panel for each row about VMs that these words do not name.
pub(super) fn of_the_vm(vocabulary: Vocabulary, words: &BTreeSet<String>) -> Vec<Panel> {
    let rows = Selection::everything(vocabulary).vm.into_iter();
    let rows = rows.map(|row| (naming::of_row(&row.name, row.metric), row.metric));
    rows.filter(|(name, _)| !names(words, name))
        .map(|(name, row)| {
            let labels: Vec<&str> = row.attributes().iter().map(|attribute| attribute.label).collect();
            let series = format!("{name}{{@of@}}");
            let expression = format!("max by ({}) ({})", labels.join(", "), over_time(row.kind, &series));
            lines(&name, row.brief, unit(row.unit, row.kind)).query(&expression, &legend(row.attributes())).size(8, 7)
        })
        .collect()
}

/// A series as it is drawn: of a counter, how fast it grows.
pub(super) fn over_time(kind: Kind, series: &str) -> String {
    match kind {
        Kind::Counter => format!("rate({series}[$__rate_interval])"),
        Kind::UpDownCounter | Kind::Gauge => series.to_owned(),
    }
}

/// Grafana's unit.
pub(super) fn unit(unit: Unit, kind: Kind) -> &'static str {
    match (unit, kind) {
        (Unit::Seconds, Kind::Counter) | (Unit::Ratio, _) => "percentunit",
        (Unit::Seconds, _) => "s",
        (Unit::Bytes, Kind::Counter) | (Unit::BytesPerSecond, _) => "binBps",
        (Unit::Bytes, _) => "bytes",
        (Unit::Count(_), Kind::Counter) | (Unit::CountPerSecond(_), _) => "cps",
        (Unit::Count(_) | Unit::None, _) => "short",
    }
}

/// What the labels of a series say.
pub(super) fn legend(attributes: &[&Attribute]) -> String {
    let labels: Vec<String> = attributes.iter().map(|attribute| format!("{{{{{}}}}}", attribute.label)).collect();
    labels.join(" ")
}
