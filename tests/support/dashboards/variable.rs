//! Variables of a dashboard, and their JSON.

use serde_json::{Value, json};

use super::panel::datasource;

/// Where the data comes from. Every dashboard has it.
pub(super) fn source() -> Value {
    json!({
        "type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "regex": "",
        "current": {}, "options": [], "hide": 0, "multi": false, "includeAll": false, "refresh": 1, "skipUrlSync": false,
    })
}

/// Values that Prometheus has. `several`: any number of them can be chosen, and all of them at first.
pub(super) fn values(name: &str, label: &str, query: &str, pattern: &str, several: bool) -> Value {
    let mut variable = json!({
        "type": "query", "name": name, "label": label, "datasource": datasource(),
        "definition": query, "query": { "query": query, "refId": format!("values-{name}") },
        "regex": pattern, "sort": 1, "options": [], "hide": 0, "skipUrlSync": false,
        // With the time range: what is no more can be looked at in its own time.
        "refresh": 2,
        "multi": several, "includeAll": several, "current": {},
    });
    if several {
        // Also what lacks the label.
        variable["allValue"] = json!(".*");
        variable["current"] = json!({ "selected": true, "text": ["All"], "value": ["$__all"] });
    }
    variable
}

/// One of these values.
pub(super) fn choice(name: &str, label: &str, values: &[&str], chosen: &str) -> Value {
    let option = |value: &&str| json!({ "text": value, "value": value, "selected": *value == chosen });
    json!({
        "type": "custom", "name": name, "label": label, "query": values.join(","),
        "options": values.iter().map(option).collect::<Vec<_>>(),
        "current": { "text": chosen, "value": chosen, "selected": true },
        "hide": 0, "multi": false, "includeAll": false, "skipUrlSync": false,
    })
}

/// What somebody types.
pub(super) fn typed(name: &str, label: &str, at_first: &str) -> Value {
    let option = json!({ "text": at_first, "value": at_first, "selected": true });
    json!({
        "type": "textbox", "name": name, "label": label, "query": at_first, "options": [option], "current": option,
        "hide": 0, "skipUrlSync": false,
    })
}
