//! How a panel shows its fields: units, thresholds, mappings, overrides, transformations.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Faults, is_text};

/// Of Grafana's units those that are used here.
const UNITS: [&str; 12] = [
    "binBps",
    "bytes",
    "cps",
    "dateTimeAsIso",
    "dateTimeFromNow",
    "iops",
    "none",
    "percentunit",
    "pps",
    "reqps",
    "s",
    "short",
];

/// Of the names of Grafana's palette those that are used here.
const COLOURS: [&str; 7] = ["blue", "green", "orange", "purple", "red", "text", "yellow"];

pub(super) fn check(panel: &Value, what: &str, faults: &mut Faults) {
    let defaults = &panel["fieldConfig"]["defaults"];
    unit(&defaults["unit"], what, faults);
    thresholds(&defaults["thresholds"], what, faults);
    mappings(&defaults["mappings"], what, faults);
    let modes = ["thresholds", "palette-classic", "fixed"];
    let mode = defaults["color"]["mode"].as_str().unwrap_or_default();
    faults.unless(modes.contains(&mode), || format!("{what}: colours by {mode:?}"));
    if let Some(links) = defaults.get("links") {
        all_links(links, what, faults);
    }
    let titles = transformations(panel, what, faults);
    let overrides = panel["fieldConfig"]["overrides"].as_array();
    faults.unless(overrides.is_some(), || format!("{what}: no list of overrides"));
    for entry in overrides.into_iter().flatten() {
        let name = entry["matcher"]["options"].as_str().unwrap_or_default();
        faults
            .unless(entry["matcher"]["id"] == "byName" && !name.is_empty(), || format!("{what}: {}", entry["matcher"]));
        // A column that no longer exists would be coloured in vain.
        faults.unless(panel["type"] != "table" || titles.contains(name), || format!("{what}: no column {name:?}"));
        let properties = entry["properties"].as_array().map(Vec::as_slice).unwrap_or_default();
        faults.unless(!properties.is_empty(), || format!("{what}: nothing about {name:?}"));
        for property in properties {
            let value = &property["value"];
            match property["id"].as_str() {
                Some("unit") => unit(value, what, faults),
                Some("thresholds") => thresholds(value, what, faults),
                Some("mappings") => mappings(value, what, faults),
                Some("links") => all_links(value, what, faults),
                Some("color") => colour(&value["fixedColor"], what, faults),
                Some("custom.cellOptions") => {
                    faults.unless(value["type"] == "color-text", || format!("{what}: a cell of {value}"));
                }
                other => faults.unless(false, || format!("{what}: an override of {other:?}")),
            }
        }
    }
}

fn unit(unit: &Value, what: &str, faults: &mut Faults) {
    let known = unit.as_str().is_some_and(|unit| UNITS.contains(&unit));
    faults.unless(known, || format!("{what}: Grafana does not know the unit {unit}"));
}

pub(super) fn colour(colour: &Value, what: &str, faults: &mut Faults) {
    let known = colour.as_str().is_some_and(|colour| COLOURS.contains(&colour));
    faults.unless(known, || format!("{what}: Grafana does not know the colour {colour}"));
}

/// The first holds always, the others from growing values on.
fn thresholds(thresholds: &Value, what: &str, faults: &mut Faults) {
    faults.unless(thresholds["mode"] == "absolute", || format!("{what}: thresholds {}", thresholds["mode"]));
    let steps = thresholds["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut last = None;
    for (place, step) in steps.iter().enumerate() {
        colour(&step["color"], what, faults);
        let value = step["value"].as_f64();
        let right = if place == 0 { step["value"].is_null() } else { value.is_some() && value > last };
        faults.unless(right, || format!("{what}: the threshold {} of {thresholds}", step["value"]));
        last = value;
    }
    faults.unless(!steps.is_empty(), || format!("{what}: no thresholds"));
}

fn mappings(mappings: &Value, what: &str, faults: &mut Faults) {
    faults.unless(mappings.is_array(), || format!("{what}: no list of mappings"));
    for mapping in mappings.as_array().into_iter().flatten() {
        let options = mapping["options"].as_object();
        let whole = mapping["type"] == "value" && options.is_some_and(|options| !options.is_empty());
        faults.unless(whole, || format!("{what}: the mapping {mapping}"));
        for result in options.into_iter().flat_map(|options| options.values()) {
            faults
                .unless(is_text(&result["text"]) && result["index"].is_u64(), || format!("{what}: mapped to {result}"));
            colour(&result["color"], what, faults);
        }
    }
}

fn all_links(links: &Value, what: &str, faults: &mut Faults) {
    let links = links.as_array().map(Vec::as_slice).unwrap_or_default();
    faults.unless(!links.is_empty(), || format!("{what}: no link in its list"));
    for link in links {
        faults.unless(is_text(&link["title"]) && is_text(&link["url"]), || format!("{what}: the link {link}"));
    }
}

/// The titles of a table's columns.
fn transformations<'a>(panel: &'a Value, what: &str, faults: &mut Faults) -> BTreeSet<&'a str> {
    let steps = panel["transformations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ids: Vec<&str> = steps.iter().filter_map(|step| step["id"].as_str()).collect();
    if panel["type"] != "table" {
        faults.unless(steps.is_empty(), || format!("{what}: {ids:?} of no table"));
        return BTreeSet::new();
    }
    faults.unless(ids == ["merge", "organize"], || format!("{what}: the transformations {ids:?}"));
    let Some(options) = steps.last().map(|step| &step["options"]) else { return BTreeSet::new() };
    let keys = |key: &str| options[key].as_object().into_iter().flat_map(|map| map.keys()).collect::<BTreeSet<_>>();
    let (hidden, order, titled) = (keys("excludeByName"), keys("indexByName"), keys("renameByName"));
    faults.unless(order == titled && hidden.is_disjoint(&order), || {
        format!("{what}: columns without a title or a place")
    });
    // A query whose value is neither shown nor hidden would be a column called "Value #C".
    let several = panel["targets"].as_array().is_some_and(|targets| targets.len() > 1);
    for target in panel["targets"].as_array().into_iter().flatten() {
        let reference = target["refId"].as_str().unwrap_or_default();
        let value = if several { format!("Value #{reference}") } else { "Value".to_owned() };
        let seen = hidden.contains(&value) || order.contains(&value);
        faults.unless(seen, || format!("{what}: nothing says what {value:?} is"));
    }
    let titles: Vec<&str> = options["renameByName"]
        .as_object()
        .into_iter()
        .flat_map(|map| map.values())
        .filter_map(Value::as_str)
        .collect();
    let set: BTreeSet<&str> = titles.iter().copied().collect();
    faults.unless(set.len() == titles.len(), || format!("{what}: two columns are called the same: {titles:?}"));
    set
}
