//! Translates OpenTelemetry names to Prometheus names.
//!
//! This is the translation that Prometheus applies to OTLP by default ("UnderscoreEscapingWithSuffixes") and that the
//! Collector's Prometheus exporters apply: a metric has one name in Prometheus, whichever way it arrives. It also gives
//! the names that KubeVirt publishes, because the catalogue's rows are named accordingly.

use crate::catalog::{Kind, Metric};

/// UCUM units and Prometheus' words for them. A unit that is not listed is its own word.
const UNITS: [(&str, &str); 27] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
    ("", ""),
];

/// Units after the slash.
const PER_UNITS: [(&str, &str); 7] =
    [("s", "second"), ("m", "minute"), ("h", "hour"), ("d", "day"), ("w", "week"), ("mo", "month"), ("y", "year")];

/// The Prometheus name of a metric with this full OpenTelemetry name, unit and kind.
///
/// - The name is split at everything that is not a letter, a digit or a colon, and joined with `_`.
/// - The unit's word is appended, unless it is one of the words already; so is `per_…` of a unit with a slash.
/// - A counter's `total` is moved or added to the end; a gauge of unit `1` gets `ratio` in the same way.
/// - What would begin with a digit gets a leading `_`.
///
/// A name without a single letter or digit gives an empty string.
#[must_use]
pub fn metric(name: &str, unit: &str, kind: Kind) -> String {
    let (main, per) = unit_words(unit);
    let mut words: Vec<&str> = name.split(|c| !is_name_char(c)).filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return String::new();
    }
    let main = if words.contains(&main.as_str()) { "" } else { &main };
    let per = per.trim_end_matches('_');
    let per = if words.contains(&per) { "" } else { per };
    // A trailing `_` of the first word would double the `_` before the second.
    let main = if per.is_empty() { main } else { main.trim_end_matches('_') };
    words.extend([main, per].into_iter().filter(|word| !word.is_empty()));
    match kind {
        Kind::Counter => move_to_end(&mut words, "total"),
        Kind::Gauge if unit == "1" => move_to_end(&mut words, "ratio"),
        Kind::Gauge | Kind::UpDownCounter => {}
    }
    let mut joined = words.join("_");
    if joined.starts_with(|c: char| c.is_ascii_digit()) {
        joined.insert(0, '_');
    }
    joined
}

/// The Prometheus name of a row that has this full OpenTelemetry name.
#[must_use]
pub fn of_row(name: &str, row: &Metric) -> String {
    metric(name, &row.unit.ucum(), row.kind)
}

/// Prometheus' word or words for a unit: `bytes`, `bytes_per_second`; empty if it has none.
#[must_use]
pub fn unit(unit: &str) -> String {
    let (main, per) = unit_words(unit);
    match (main.is_empty(), per.is_empty()) {
        (false, false) => format!("{main}_{per}"),
        _ => main + &per,
    }
}

/// The label that a receiver makes from an attribute's key by the same translation. Only the documentation needs it:
/// virt-otel's own endpoint uses the dictionary's labels.
#[must_use]
pub fn label(key: &str) -> String {
    let mut label: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if label.starts_with(|c: char| c.is_ascii_digit()) {
        label.insert_str(0, "key_");
    }
    label
}

/// The words for the parts before and after the slash. An annotation in braces is no unit.
fn unit_words(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let (main, per) = (main.trim(), per.trim());
    let annotated = |unit: &str| unit.contains(['{', '}']);
    let main = if annotated(main) { String::new() } else { clean(word(&UNITS, main)) };
    let per = if per.is_empty() || annotated(per) { String::new() } else { clean(word(&PER_UNITS, per)) };
    (main, if per.is_empty() { per } else { format!("per_{per}") })
}

fn word<'a>(words: &[(&str, &'a str)], unit: &'a str) -> &'a str {
    words.iter().find(|(ucum, _)| *ucum == unit).map_or(unit, |(_, word)| word)
}

/// Makes a unit without its own word fit into a name.
fn clean(unit: &str) -> String {
    let mut cleaned = String::with_capacity(unit.len());
    for c in unit.chars() {
        let c = if is_name_char(c) { c } else { '_' };
        if c != '_' || !cleaned.ends_with('_') {
            cleaned.push(c);
        }
    }
    cleaned.trim_start_matches('_').to_owned()
}

const fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

fn move_to_end<'a>(words: &mut Vec<&'a str>, word: &'a str) {
    words.retain(|other| *other != word);
    words.push(word);
}

#[cfg(test)]
mod tests;
