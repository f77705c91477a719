//! A whole dashboard: rows of panels, flowing from left to right.

use serde_json::{Value, json};
use virt_otel::catalog::Vocabulary;

use super::super::rules;
use super::panel::{Panel, datasource};
use super::{Tokens, uid, variable};

/// How many columns Grafana's grid has.
pub(super) const COLUMNS: u64 = 24;

/// The version of the JSON model: of Grafana 10.3. Newer ones convert it themselves.
const SCHEMA: u64 = 39;

/// Panels under a heading.
pub(super) struct Row {
    pub(super) title: &'static str,
    /// Closed at first: it costs no query until somebody opens it.
    pub(super) closed: bool,
    pub(super) panels: Vec<Panel>,
}

pub(super) fn row(title: &'static str, panels: Vec<Panel>) -> Row {
    Row { title, closed: false, panels }
}

pub(super) fn closed_row(title: &'static str, panels: Vec<Panel>) -> Row {
    Row { title, closed: true, panels }
}

/// Events that are drawn over every panel with a time axis.
pub(super) struct Events {
    pub(super) name: &'static str,
    pub(super) colour: &'static str,
    pub(super) expression: String,
    pub(super) title: &'static str,
    /// The series' value is when it happened, in milliseconds; otherwise it goes on for as long as there is a series above 0.
    pub(super) at_its_value: bool,
}

/// A dashboard.
pub(super) struct Board {
    pub(super) vocabulary: Vocabulary,
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    /// Besides the data source.
    pub(super) variables: Vec<Value>,
    pub(super) events: Vec<Events>,
    pub(super) rows: Vec<Row>,
}

impl Board {
    pub(super) fn json(&self, tokens: &Tokens) -> Value {
        json!({
            "uid": uid(self.vocabulary, self.name),
            "title": tokens.put_into(self.title),
            "description": tokens.put_into(self.about),
            "tags": ["virt-otel", rules::name(self.vocabulary)],
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": true,
            "graphTooltip": 1,
            "timezone": "browser",
            "refresh": "30s",
            "time": { "from": "now-1h", "to": "now" },
            "timepicker": {},
            "fiscalYearStartMonth": 0,
            "links": [{
                "type": "dashboards", "title": "virt-otel", "tags": ["virt-otel"], "asDropdown": true, "icon": "external link",
                "includeVars": false, "keepTime": true, "targetBlank": false, "tooltip": "", "url": "",
            }],
            "templating": { "list": self.variables(tokens) },
            "annotations": { "list": self.annotations(tokens) },
            "panels": self.panels(tokens),
        })
    }

    fn variables(&self, tokens: &Tokens) -> Vec<Value> {
        [variable::source()]
            .into_iter()
            .chain(self.variables.iter().map(|variable| tokens.put_into_all(variable)))
            .collect()
    }

    fn annotations(&self, tokens: &Tokens) -> Vec<Value> {
        let by_people = json!({
            "name": "Annotations & Alerts", "type": "dashboard", "builtIn": 1, "enable": true, "hide": true,
            "iconColor": "rgba(0, 211, 255, 1)", "datasource": { "type": "grafana", "uid": "-- Grafana --" },
        });
        let ours = self.events.iter().map(|events| {
            json!({
                "name": events.name, "enable": true, "hide": false, "iconColor": events.colour, "datasource": datasource(),
                "expr": tokens.put_into(&events.expression), "step": "30s", "tagKeys": "",
                "titleFormat": tokens.put_into(events.title), "textFormat": "", "useValueForTime": events.at_its_value,
            })
        });
        [by_people].into_iter().chain(ours).collect()
    }

    fn panels(&self, tokens: &Tokens) -> Vec<Value> {
        let vm = uid(self.vocabulary, "vm");
        let (mut id, mut y, mut out) = (0, 0, Vec::new());
        let mut next = || {
            id += 1;
            id
        };
        for row in &self.rows {
            let mut heading = json!({
                "id": next(), "type": "row", "title": row.title, "collapsed": row.closed, "panels": [],
                "gridPos": { "x": 0, "y": y, "w": COLUMNS, "h": 1 },
            });
            y += 1;
            let (mut x, mut highest, mut panels) = (0, 0, Vec::new());
            for panel in &row.panels {
                if x + panel.width() > COLUMNS {
                    y += highest;
                    (x, highest) = (0, 0);
                }
                panels.push(panel.json(next(), x, y, tokens, &vm));
                x += panel.width();
                highest = highest.max(panel.height());
            }
            y += highest;
            if row.closed {
                heading["panels"] = Value::Array(panels);
                out.push(heading);
            } else {
                out.push(heading);
                out.append(&mut panels);
            }
        }
        out
    }
}
