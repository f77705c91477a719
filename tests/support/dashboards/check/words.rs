//! Variables in texts.

use std::collections::BTreeSet;

/// What Grafana itself puts in: times and intervals, and in links what was clicked.
const OWN: [&str; 8] =
    ["__rate_interval", "__interval", "__range", "__range_s", "__url_time_range", "__data", "__field", "__value"];

/// The variables that a text uses, except Grafana's own: `$name` and `${name}`, with a format or without.
pub(super) fn references(text: &str) -> BTreeSet<String> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    text.split('$')
        .skip(1)
        .map(|rest| rest.strip_prefix('{').unwrap_or(rest))
        .map(|rest| rest.split(|letter| !is_name(letter)).next().unwrap_or_default())
        // `$1` is a group of label_replace.
        .filter(|name| name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_'))
        .filter(|name| !OWN.contains(name))
        .map(str::to_owned)
        .collect()
}
