//! Panels and their JSON.

use serde_json::{Value, json};

use super::Tokens;

/// The data source that the dashboard's variable names.
pub(super) fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

/// How a panel shows its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A number for each series.
    Stat,
    /// The label of each series.
    Words,
    Lines,
    Stacked,
    /// A lane for each series, coloured while there is a sample.
    Lanes,
    Table,
    Text,
}

/// Values from which on a colour holds, after the one that always holds.
pub(super) type Steps = (&'static str, &'static [(f64, &'static str)]);

/// Nothing of it is good.
pub(super) const BAD: Steps = ("green", &[(1.0, "red")]);
/// Some of it may be.
pub(super) const DOUBTFUL: Steps = ("green", &[(1.0, "orange")]);
/// It says nothing of good or bad.
pub(super) const PLAIN: Steps = ("blue", &[]);

struct Query {
    expression: String,
    legend: String,
}

/// A column of a table.
pub(super) struct Column {
    field: String,
    title: &'static str,
    unit: &'static str,
    steps: Option<Steps>,
    words: &'static [(&'static str, &'static str, &'static str)],
    link: bool,
}

/// A panel, without its place.
pub(super) struct Panel {
    kind: Kind,
    title: String,
    about: String,
    unit: &'static str,
    width: u64,
    height: u64,
    max: Option<f64>,
    steps: Steps,
    queries: Vec<Query>,
    columns: Vec<Column>,
    colours: &'static [(&'static str, &'static str)],
    words: &'static [(&'static str, &'static str, &'static str)],
    link: bool,
}

/// A text, in Markdown.
pub(super) fn text(width: u64, height: u64, markdown: &str) -> Panel {
    Panel { width, height, ..Panel::new(Kind::Text, "", markdown, "") }
}

/// One number, coloured.
pub(super) fn stat(title: &str, about: &str, unit: &'static str, steps: Steps, expression: &str) -> Panel {
    Panel { width: 4, height: 4, steps, ..Panel::new(Kind::Stat, title, about, unit) }.query(expression, "")
}

/// What a label of one series says.
pub(super) fn word(title: &str, about: &str, expression: &str, legend: &str) -> Panel {
    Panel { width: 4, height: 4, ..Panel::new(Kind::Words, title, about, "none") }.query(expression, legend)
}

/// Lines over time.
pub(super) fn lines(title: &str, about: &str, unit: &'static str) -> Panel {
    Panel::new(Kind::Lines, title, about, unit)
}

/// Areas over time, one on top of the other.
pub(super) fn stacked(title: &str, about: &str, unit: &'static str) -> Panel {
    Panel::new(Kind::Stacked, title, about, unit)
}

/// What holds when.
pub(super) fn lanes(title: &str, about: &str, colours: &'static [(&'static str, &'static str)]) -> Panel {
    Panel { colours, ..Panel::new(Kind::Lanes, title, about, "none") }
}

/// A table of what holds now.
pub(super) fn table(title: &str, about: &str) -> Panel {
    Panel::new(Kind::Table, title, about, "short")
}

impl Panel {
    fn new(kind: Kind, title: &str, about: &str, unit: &'static str) -> Panel {
        Panel {
            kind,
            title: title.to_owned(),
            about: about.to_owned(),
            unit,
            width: 12,
            height: 8,
            max: None,
            steps: PLAIN,
            queries: Vec::new(),
            columns: Vec::new(),
            colours: &[],
            words: &[],
            link: false,
        }
    }

    /// One more series, or set of series.
    pub(super) fn query(mut self, expression: &str, legend: &str) -> Panel {
        self.queries.push(Query { expression: expression.to_owned(), legend: legend.to_owned() });
        self
    }

    pub(super) fn size(mut self, width: u64, height: u64) -> Panel {
        (self.width, self.height) = (width, height);
        self
    }

    /// Its series are shares of a whole.
    pub(super) fn up_to_one(mut self) -> Panel {
        self.max = Some(1.0);
        self
    }

    /// What its numbers are called, in which colour.
    pub(super) fn words(mut self, words: &'static [(&'static str, &'static str, &'static str)]) -> Panel {
        self.words = words;
        self
    }

    /// Each of its series leads to the dashboard of its VM.
    pub(super) fn leading_to_the_vm(mut self) -> Panel {
        self.link = true;
        self
    }

    fn with(mut self, field: String, title: &'static str) -> Panel {
        self.columns.push(Column { field, title, unit: "", steps: None, words: &[], link: false });
        self
    }

    /// Changes the column that was named last.
    fn but(mut self, change: impl FnOnce(&mut Column)) -> Panel {
        if let Some(column) = self.columns.last_mut() {
            change(column);
        }
        self
    }

    /// A column with a label.
    pub(super) fn label(self, label: &str, title: &'static str) -> Panel {
        self.with(label.to_owned(), title)
    }

    /// A column with the label of a VM, that leads to its dashboard.
    pub(super) fn vm(self, label: &str, title: &'static str) -> Panel {
        self.label(label, title).but(|column| column.link = true)
    }

    /// A query, and the column with its value.
    pub(super) fn value(self, expression: &str, title: &'static str, unit: &'static str) -> Panel {
        let field = format!("Value #{}", reference(self.queries.len()));
        self.facts(expression).with(field, title).but(|column| column.unit = unit)
    }

    /// A query of whose answer only the labels are shown.
    pub(super) fn facts(self, expression: &str) -> Panel {
        self.query(expression, "")
    }

    /// Colours the last column by its value.
    pub(super) fn coloured(self, steps: Steps) -> Panel {
        self.but(|column| column.steps = Some(steps))
    }

    /// What the values of the last column are called, in which colour.
    pub(super) fn called(self, words: &'static [(&'static str, &'static str, &'static str)]) -> Panel {
        self.but(|column| column.words = words)
    }

    pub(super) fn width(&self) -> u64 {
        self.width
    }

    pub(super) fn height(&self) -> u64 {
        self.height
    }

    /// Its expressions, with tokens.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &str> {
        self.queries.iter().map(|query| query.expression.as_str())
    }

    /// Its JSON at a place.
    pub(super) fn json(&self, id: u64, x: u64, y: u64, tokens: &Tokens, vm: &str) -> Value {
        let place = json!({ "x": x, "y": y, "w": self.width, "h": self.height });
        let about = tokens.put_into(&self.about);
        if self.kind == Kind::Text {
            return json!({
                "id": id, "type": "text", "title": "", "gridPos": place, "transparent": true,
                "options": { "mode": "markdown", "content": about },
            });
        }
        let mut panel = json!({
            "id": id,
            "type": self.plugin(),
            "title": tokens.put_into(&self.title),
            "description": about,
            "datasource": datasource(),
            "gridPos": place,
            "options": self.options(),
            "fieldConfig": { "defaults": self.defaults(tokens, vm), "overrides": self.overrides(tokens, vm) },
            "targets": self.targets(tokens),
        });
        if self.kind == Kind::Table {
            panel["transformations"] = self.transformations();
        }
        panel
    }

    fn plugin(&self) -> &'static str {
        match self.kind {
            Kind::Stat | Kind::Words => "stat",
            Kind::Lines | Kind::Stacked => "timeseries",
            Kind::Lanes => "state-timeline",
            Kind::Table => "table",
            Kind::Text => "text",
        }
    }

    fn targets(&self, tokens: &Tokens) -> Vec<Value> {
        // Over a range, a number would be the last there was, though it may be an hour old.
        let at_once = matches!(self.kind, Kind::Table | Kind::Words | Kind::Stat);
        let target = |(place, query): (usize, &Query)| {
            json!({
                "refId": reference(place),
                "datasource": datasource(),
                "expr": tokens.put_into(&query.expression),
                "legendFormat": tokens.put_into(&query.legend),
                "editorMode": "code",
                "format": if self.kind == Kind::Table { "table" } else { "time_series" },
                "instant": at_once,
                "range": !at_once,
            })
        };
        self.queries.iter().enumerate().map(target).collect()
    }

    fn options(&self) -> Value {
        let legend = |shown: bool| {
            json!({
                "showLegend": shown, "displayMode": "table", "placement": "bottom", "calcs": ["mean", "max", "lastNotNull"],
            })
        };
        match self.kind {
            Kind::Stat | Kind::Words => json!({
                "colorMode": if self.kind == Kind::Stat { "background" } else { "value" },
                "graphMode": "none",
                "justifyMode": "auto", "orientation": "auto",
                "textMode": if self.kind == Kind::Stat { "value" } else { "name" },
                "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
            }),
            Kind::Lines | Kind::Stacked => json!({
                "legend": legend(true), "tooltip": { "mode": "multi", "sort": "desc" },
            }),
            Kind::Lanes => json!({
                "alignValue": "left", "mergeValues": true, "rowHeight": 0.8, "showValue": "never",
                "legend": { "showLegend": false, "displayMode": "list", "placement": "bottom" },
                "tooltip": { "mode": "single", "sort": "none" },
            }),
            Kind::Table | Kind::Text => {
                // The first column that is coloured or measured says what the table is about.
                let first = self.columns.iter().find(|column| column.field.starts_with("Value #"));
                let sorted = first.map(|column| json!({ "displayName": column.title, "desc": true }));
                json!({ "showHeader": true, "cellHeight": "sm", "sortBy": sorted.into_iter().collect::<Vec<_>>() })
            }
        }
    }

    fn defaults(&self, tokens: &Tokens, vm: &str) -> Value {
        let mut defaults = json!({
            "unit": self.unit,
            "color": { "mode": self.colour() },
            "thresholds": thresholds(self.steps),
            "mappings": mappings(self.words),
        });
        match self.kind {
            Kind::Lines | Kind::Stacked => {
                defaults["min"] = json!(0);
                defaults["custom"] = json!({
                    "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1, "showPoints": "auto", "pointSize": 4,
                    "fillOpacity": if self.kind == Kind::Stacked { 40 } else { 5 }, "spanNulls": false,
                    "stacking": { "mode": if self.kind == Kind::Stacked { "normal" } else { "none" }, "group": "A" },
                });
            }
            Kind::Lanes => defaults["custom"] = json!({ "fillOpacity": 80, "lineWidth": 0, "spanNulls": false }),
            Kind::Table => {
                defaults["custom"] = json!({ "align": "auto", "cellOptions": { "type": "auto" }, "filterable": true });
            }
            Kind::Stat | Kind::Words | Kind::Text => {}
        }
        if let Some(max) = self.max {
            defaults["max"] = json!(max);
        }
        if self.link {
            defaults["links"] = json!([link("@of a series@", tokens, vm)]);
        }
        defaults
    }

    fn colour(&self) -> &'static str {
        match self.kind {
            Kind::Lines | Kind::Stacked | Kind::Lanes => "palette-classic",
            Kind::Stat | Kind::Words | Kind::Table | Kind::Text => "thresholds",
        }
    }

    fn overrides(&self, tokens: &Tokens, vm: &str) -> Vec<Value> {
        let by_name = |name: &str, properties: Vec<Value>| json!({ "matcher": { "id": "byName", "options": name }, "properties": properties });
        let lanes = self.colours.iter().map(|(name, colour)| {
            by_name(name, vec![json!({ "id": "color", "value": { "mode": "fixed", "fixedColor": colour } })])
        });
        let columns = self.columns.iter().filter_map(|column| {
            let mut properties = Vec::new();
            let mut put = |id: &str, value: Value| properties.push(json!({ "id": id, "value": value }));
            if !column.unit.is_empty() {
                put("unit", json!(column.unit));
            }
            if let Some(steps) = column.steps {
                put("thresholds", thresholds(steps));
            }
            if !column.words.is_empty() {
                put("mappings", mappings(column.words));
            }
            if column.steps.is_some() || !column.words.is_empty() {
                put("custom.cellOptions", json!({ "type": "color-text" }));
            }
            if column.link {
                put("links", json!([link("@of a row@", tokens, vm)]));
            }
            (!properties.is_empty()).then(|| by_name(column.title, properties))
        });
        lanes.chain(columns).collect()
    }

    /// Rows of the same VM become one, and columns get their order and titles.
    fn transformations(&self) -> Value {
        // Grafana numbers the values only if there are several queries.
        let field = |column: &Column| match column.field.strip_prefix("Value #") {
            Some(_) if self.queries.len() == 1 => "Value".to_owned(),
            _ => column.field.clone(),
        };
        let fields: Vec<String> = self.columns.iter().map(field).collect();
        let values = (0..self.queries.len()).map(|place| match self.queries.len() {
            1 => "Value".to_owned(),
            _ => format!("Value #{}", reference(place)),
        });
        let hidden = values.filter(|value| !fields.contains(value)).chain(["Time".to_owned()]);
        let hidden: serde_json::Map<_, _> = hidden.map(|field| (field, json!(true))).collect();
        let order: serde_json::Map<_, _> =
            fields.iter().enumerate().map(|(place, field)| (field.clone(), json!(place))).collect();
        let titles: serde_json::Map<_, _> =
            fields.iter().zip(&self.columns).map(|(field, column)| (field.clone(), json!(column.title))).collect();
        json!([
            { "id": "merge", "options": {} },
            {
                "id": "organize",
                "options": { "excludeByName": hidden, "indexByName": order, "renameByName": titles },
            },
        ])
    }
}

/// The letter of a query; there are never as many as letters.
fn reference(place: usize) -> &'static str {
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ".get(place..=place).unwrap_or("?")
}

fn thresholds((base, steps): Steps) -> Value {
    let first = json!({ "color": base, "value": null });
    let steps = steps.iter().map(|(from, colour)| json!({ "color": colour, "value": from }));
    let steps: Vec<Value> = [first].into_iter().chain(steps).collect();
    json!({ "mode": "absolute", "steps": steps })
}

/// Words for values: the value, its word, and the colour.
fn mappings(words: &[(&str, &str, &str)]) -> Value {
    if words.is_empty() {
        return json!([]);
    }
    let options: serde_json::Map<_, _> = words
        .iter()
        .enumerate()
        .map(|(place, (value, text, colour))| {
            ((*value).to_owned(), json!({ "text": text, "color": colour, "index": place }))
        })
        .collect();
    json!([{ "type": "value", "options": options }])
}

fn link(which: &str, tokens: &Tokens, vm: &str) -> Value {
    let which = tokens.put_into(which);
    json!({ "title": "This VM", "url": format!("/d/{vm}?${{datasource:queryparam}}&{which}&${{__url_time_range}}") })
}
