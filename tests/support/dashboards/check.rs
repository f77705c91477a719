//! What Grafana would not take of a dashboard, or would show wrong: the rules of its JSON model, as far as they hold for the
//! panels that ship.

mod fields;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::board::COLUMNS;
use super::visit;
use words::references;

/// The plugins that ship with Grafana and are used.
const PANELS: [&str; 6] = ["row", "stat", "state-timeline", "table", "text", "timeseries"];

/// What is wrong with a dashboard. `uids` are those of all that ship: links lead to no other.
pub fn faults(board: &Value, uids: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Faults::default();
    head(board, &mut faults);
    let panels = flat(board);
    faults.unless(!panels.is_empty(), || "no panels".to_owned());
    let mut ids = BTreeSet::new();
    for panel in &panels {
        let what = format!("panel {} {}", panel["id"], panel["title"]);
        let id = panel["id"].as_u64().filter(|id| *id > 0);
        faults.unless(id.is_some_and(|id| ids.insert(id)), || format!("{what}: its id is not a number of its own"));
        one(panel, &what, &mut faults);
    }
    overlaps(&panels, &mut faults);
    variables(board, &mut faults);
    annotations(board, &mut faults);
    links(board, uids, &mut faults);
    faults.found
}

/// What was found.
#[derive(Debug, Default)]
struct Faults {
    found: Vec<String>,
}

impl Faults {
    fn unless(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.found.push(fault());
        }
    }
}

/// Every panel, those within closed rows too.
pub fn flat(board: &Value) -> Vec<&Value> {
    let panels = board["panels"].as_array().into_iter().flatten();
    panels.flat_map(|panel| [panel].into_iter().chain(panel["panels"].as_array().into_iter().flatten())).collect()
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

fn head(board: &Value, faults: &mut Faults) {
    let uid = board["uid"].as_str().unwrap_or_default();
    let may = |letter: char| letter.is_ascii_alphanumeric() || ['-', '_'].contains(&letter);
    faults.unless((1..=40).contains(&uid.len()) && uid.chars().all(may), || format!("uid {uid:?}"));
    for key in ["title", "description", "refresh"] {
        faults.unless(is_text(&board[key]), || format!("{key}: {}", board[key]));
    }
    for (key, low, high) in [("schemaVersion", 36, 41), ("version", 1, u64::from(u32::MAX)), ("graphTooltip", 0, 2)] {
        let number = board[key].as_u64();
        faults.unless(number.is_some_and(|number| (low..=high).contains(&number)), || format!("{key}: {}", board[key]));
    }
    faults.unless(is_text(&board["time"]["from"]) && is_text(&board["time"]["to"]), || "no time range".to_owned());
    let tags = board["tags"].as_array();
    faults.unless(tags.is_some_and(|tags| tags.iter().all(is_text)), || format!("tags: {}", board["tags"]));
    // The identifier is that of one database.
    faults.unless(board.get("id").is_none_or(Value::is_null), || "an id of one Grafana".to_owned());
    visit(board, &mut |key, value| {
        let token = value.as_str().is_some_and(|text| text.contains('@'));
        faults.unless(!token, || format!("{key} has a token: {value}"));
    });
}

fn one(panel: &Value, what: &str, faults: &mut Faults) {
    let kind = panel["type"].as_str().unwrap_or_default();
    faults.unless(PANELS.contains(&kind), || format!("{what}: no panel of Grafana is called {kind:?}"));
    let place = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64());
    let fits = matches!(place, [Some(x), Some(_), Some(w), Some(h)] if w > 0 && h > 0 && x + w <= COLUMNS);
    faults.unless(fits, || format!("{what}: outside of the grid: {}", panel["gridPos"]));
    if kind == "text" {
        let modes = ["markdown", "html", "code"].map(|mode| json!(mode));
        faults.unless(modes.contains(&panel["options"]["mode"]), || format!("{what}: {}", panel["options"]));
        faults.unless(is_text(&panel["options"]["content"]), || format!("{what}: it has no text"));
        return;
    }
    faults.unless(is_text(&panel["title"]), || format!("{what}: no title"));
    if kind == "row" {
        let inside = panel["panels"].as_array().map(|inside| !inside.is_empty());
        // Of an open row the panels follow it.
        faults.unless(panel["collapsed"].as_bool() == inside && inside.is_some(), || {
            format!("{what}: its panels are where they cannot be seen")
        });
        return;
    }
    source(&panel["datasource"], what, faults);
    queries(panel, kind, what, faults);
    faults.unless(panel["options"].is_object(), || format!("{what}: no options"));
    fields::check(panel, what, faults);
}

/// The data source is the one that the variable names.
fn source(datasource: &Value, what: &str, faults: &mut Faults) {
    let wanted = json!({ "type": "prometheus", "uid": "${datasource}" });
    faults.unless(*datasource == wanted, || format!("{what}: data source {datasource}"));
}

fn queries(panel: &Value, kind: &str, what: &str, faults: &mut Faults) {
    let targets = panel["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
    faults.unless(!targets.is_empty(), || format!("{what}: no queries"));
    let mut references = BTreeSet::new();
    for target in targets {
        let reference = target["refId"].as_str().unwrap_or_default();
        let is_letter = reference.len() == 1 && reference.chars().all(|letter| letter.is_ascii_uppercase());
        faults.unless(is_letter && references.insert(reference), || format!("{what}: refId {}", target["refId"]));
        source(&target["datasource"], what, faults);
        let expression = target["expr"].as_str().unwrap_or_default();
        faults.unless(!expression.is_empty(), || format!("{what}: a query without an expression"));
        faults.unless(is_balanced(expression), || format!("{what}: brackets in {expression}"));
        let ways = [&target["instant"], &target["range"]].map(Value::as_bool);
        let is_one = matches!(ways, [Some(instant), Some(range)] if instant != range);
        faults.unless(is_one, || format!("{what}: neither instant nor range"));
        let format = if kind == "table" { "table" } else { "time_series" };
        faults.unless(target["format"] == format, || format!("{what}: {kind} of {}", target["format"]));
        faults.unless(target["legendFormat"].is_string(), || format!("{what}: no legend"));
    }
}

/// Whether every bracket that opens closes, outside of quotes. Whether it is PromQL, promtool says in tests/lab/dashboards.rs.
fn is_balanced(expression: &str) -> bool {
    let (mut open, mut quoted, mut escaped) = (Vec::new(), false, false);
    for letter in expression.chars() {
        if quoted {
            quoted = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
            continue;
        }
        match letter {
            '"' => quoted = true,
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' if open.pop() != Some(letter) => return false,
            _ => {}
        }
    }
    open.is_empty() && !quoted
}

fn overlaps(panels: &[&Value], faults: &mut Faults) {
    let mut taken: BTreeMap<(u64, u64), &Value> = BTreeMap::new();
    for panel in panels {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap_or(0));
        for place in (x..x + w).flat_map(|column| (y..y + h).map(move |line| (column, line))) {
            if let Some(other) = taken.insert(place, &panel["id"]) {
                faults.unless(false, || format!("panel {} lies on panel {other}", panel["id"]));
                break;
            }
        }
    }
}

fn variables(board: &Value, faults: &mut Faults) {
    let list = board["templating"]["list"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut known = BTreeSet::new();
    for (place, variable) in list.iter().enumerate() {
        let name = variable["name"].as_str().unwrap_or_default();
        let what = format!("variable {name:?}");
        let letters = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        faults.unless(letters && !name.starts_with("__") && known.insert(name), || format!("{what}: its name"));
        faults.unless(is_text(&variable["label"]), || format!("{what}: no label"));
        faults.unless(variable["hide"].as_u64().is_some_and(|hide| hide <= 2), || format!("{what}: hide"));
        faults.unless(variable["current"].is_object() && variable["options"].is_array(), || {
            format!("{what}: its values")
        });
        let right = match variable["type"].as_str() {
            Some("datasource") => name == "datasource" && variable["query"] == "prometheus" && place == 0,
            Some("query") => {
                source(&variable["datasource"], &what, faults);
                is_text(&variable["query"]["refId"])
                    && is_text(&variable["definition"])
                    && variable["query"]["query"] == variable["definition"]
                    && variable["refresh"].as_u64().is_some_and(|refresh| (1..=2).contains(&refresh))
                    && variable["includeAll"].as_bool() == Some(is_text(&variable["allValue"]))
            }
            Some("custom" | "textbox") => {
                let options = variable["options"].as_array().into_iter().flatten();
                let chosen: Vec<_> = options.filter(|option| option["selected"] == true).collect();
                is_text(&variable["query"]) && chosen.len() == 1 && chosen[0]["value"] == variable["current"]["value"]
            }
            _ => false,
        };
        faults.unless(right, || format!("{what}: {variable}"));
    }
    faults.unless(known.contains("datasource"), || "no variable names the data source".to_owned());
    let mut used = BTreeSet::new();
    visit(board, &mut |key, value| {
        let text = value.as_str().filter(|_| key != "definition").unwrap_or_default();
        used.extend(references(text));
    });
    for name in &used {
        faults.unless(known.contains(name.as_str()), || format!("${name} is no variable"));
    }
    for name in known {
        faults.unless(used.contains(name), || format!("variable {name:?} is of no use"));
    }
}

fn annotations(board: &Value, faults: &mut Faults) {
    let list = board["annotations"]["list"].as_array().map(Vec::as_slice).unwrap_or_default();
    faults.unless(!list.is_empty(), || "no annotations".to_owned());
    for annotation in list {
        let what = format!("annotation {}", annotation["name"]);
        let whole =
            is_text(&annotation["name"]) && annotation["enable"].is_boolean() && is_text(&annotation["iconColor"]);
        faults.unless(whole, || format!("{what}: {annotation}"));
        if annotation["builtIn"] == 1 {
            continue;
        }
        source(&annotation["datasource"], &what, faults);
        let expression = annotation["expr"].as_str().unwrap_or_default();
        faults.unless(!expression.is_empty() && is_balanced(expression), || format!("{what}: {expression}"));
        faults.unless(annotation["useValueForTime"].is_boolean(), || format!("{what}: when it is"));
        fields::colour(&annotation["iconColor"], &what, faults);
    }
}

/// Links lead to dashboards that ship.
fn links(board: &Value, uids: &BTreeSet<String>, faults: &mut Faults) {
    visit(board, &mut |key, value| {
        let Some(path) = value.as_str().filter(|_| key == "url").and_then(|url| url.strip_prefix("/d/")) else {
            return;
        };
        let uid = path.split(['?', '/']).next().unwrap_or_default();
        faults.unless(uids.contains(uid), || format!("a link leads to {uid:?}, which does not ship"));
    });
}
