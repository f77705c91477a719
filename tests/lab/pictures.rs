//! Pictures of the dashboards for the documents, from live VMs: `make pictures`.
//!
//! Their panels' own queries are asked; what Grafana would do with the answers, `svg` does as simply as can be.

mod svg;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::dashboards::{common, with};
use super::support::prometheus::Series;
use super::support::{Agent, Domain, Libvirtd, Prometheus3, PrometheusOptions, kvm, repository};
use svg::{Content, Panel, STEP, amount, named, picture};

/// How long is looked back.
const SPAN: Duration = Duration::from_secs(120);

/// What of each dashboard is drawn, by the titles of its rows.
const DRAWN: [(&str, &[&str]); 2] = [
    ("fleet", &["Now", "Trouble", "Who runs on what", "CPU"]),
    ("vm", &["At a glance", "CPU", "Memory", "Storage", "Network"]),
];

/// The panels of a dashboard that are drawn, filled with what Prometheus says now.
fn panels(
    dashboard: &str,
    rows: &[&str],
    values: &[(&'static str, &str)],
    prometheus: &Prometheus3,
    end: f64,
) -> Vec<Panel> {
    let path = repository().join(format!("deploy/grafana/libvirt/{dashboard}.json"));
    let board: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("the dashboard")).expect("JSON");
    let mut all = common();
    all.extend(values.iter().copied());
    let (mut panels, mut drawn, mut skipped, mut last) = (Vec::new(), false, 0.0, 0.0);
    for panel in board["panels"].as_array().into_iter().flatten() {
        let place = |key: &str| panel["gridPos"][key].as_f64().expect("a place in the grid");
        let (top, height) = (place("y"), place("h"));
        let title = panel["title"].as_str().unwrap_or_default().to_owned();
        if panel["type"] == "row" {
            drawn = rows.contains(&title.as_str());
        }
        // Text stands alone in its line, and explains what is not in the picture.
        let left_out = !drawn || panel["type"] == "text";
        if left_out {
            skipped += f64::max(top + height - last, 0.0);
        }
        last = f64::max(last, top + height);
        if left_out {
            continue;
        }
        let content = content(panel, &|expression| with(&all, expression), prometheus, end);
        panels.push(Panel { title, grid: (place("x"), top - skipped, place("w"), height), content });
    }
    panels
}

/// What a panel shows.
fn content(panel: &Value, filled: &dyn Fn(&str) -> String, prometheus: &Prometheus3, end: f64) -> Content {
    let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap_or_default();
    let targets = panel["targets"].as_array().into_iter().flatten();
    let targets: Vec<(String, &str)> = targets
        .map(|target| {
            (filled(target["expr"].as_str().unwrap_or_default()), target["legendFormat"].as_str().unwrap_or_default())
        })
        .collect();
    let lines = || -> Vec<(String, Series)> {
        let over = |(expression, legend): &(String, &str)| {
            let series =
                prometheus.query_range(expression, end - SPAN.as_secs_f64(), end, Duration::from_secs_f64(STEP));
            let legend = (*legend).to_owned();
            series.into_iter().map(move |series| (named(&legend, &series.labels), series))
        };
        targets.iter().flat_map(over).collect()
    };
    match panel["type"].as_str().unwrap_or_default() {
        "row" => Content::Heading,
        "stat" => {
            let (expression, legend) = &targets[0];
            let one = prometheus.query_at(expression, end).into_iter().next();
            let shown = |series: Series| {
                if legend.is_empty() { amount(series.value(), unit) } else { named(legend, &series.labels) }
            };
            Content::Stat(one.map(shown).unwrap_or_default())
        }
        "state-timeline" => Content::Timeline(lines()),
        "table" => {
            // As Grafana merges them: one row for the same labels, with a column for each query.
            let mut rows: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
            for (at, (expression, _)) in targets.iter().enumerate() {
                for series in prometheus.query_at(expression, end) {
                    rows.entry(named_by(&series)).or_insert_with(|| vec![None; targets.len()])[at] =
                        Some(series.value());
                }
            }
            let mut rows: Vec<_> = rows.into_iter().collect();
            rows.sort_by(|(_, one), (_, other)| other[0].unwrap_or_default().total_cmp(&one[0].unwrap_or_default()));
            let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| amount(value, "short"));
            let columns = |values: Vec<Option<f64>>| values.into_iter().map(shown).collect::<Vec<_>>().join("   ");
            Content::Table(rows.into_iter().map(|(name, values)| format!("{name}   {}", columns(values))).collect())
        }
        _ => Content::Lines { unit: unit.to_owned(), lines: lines() },
    }
}

/// What tells a row of a table from others.
fn named_by(series: &Series) -> String {
    let labels = series.labels.iter().filter(|(label, _)| *label != "uuid");
    labels.map(|(_, value)| value.clone()).collect::<Vec<_>>().join("   ")
}

#[test]
#[ignore = "draws pictures: make pictures"]
fn the_dashboards_are_drawn_from_live_vms() {
    let libvirtd = Libvirtd::system();
    let web = Domain::tcg_linux("web", 2, 1).vcpus(2, 2);
    libvirtd.boot(&web);
    libvirtd.boot(&Domain::tcg_linux("db", 1, 1));
    libvirtd.create_paused(&Domain::tcg("batch"));
    assert!(kvm(), "the picture has a VM on KVM");
    libvirtd.create_paused(&Domain::kvm("cache"));
    libvirtd.create(&Domain::tcg("build"));
    let agent = Agent::start(&["--libvirt-uri", &libvirtd.uri(), "--interval", "1s", "--exporters", "prometheus"], &[]);
    let prometheus = Prometheus3::start(PrometheusOptions {
        agent: Some(agent.port()),
        scrape_interval: Some("1s".to_owned()),
        ..PrometheusOptions::default()
    });
    std::thread::sleep(SPAN / 2);
    libvirtd.freeze("build");
    std::thread::sleep(SPAN / 2);
    let end = prometheus.value("time()").expect("a time");
    for (dashboard, rows) in DRAWN {
        let values = [("domain", web.name()), ("uuid", web.uuid())];
        let panels = panels(dashboard, rows, &values, &prometheus, end);
        let with_data = panels.iter().filter(|panel| !panel.is_empty()).count();
        assert!(with_data * 3 > panels.len() * 2, "{dashboard}: only {with_data} of {} panels have data", panels.len());
        let caption = format!(
            "deploy/grafana/libvirt/{dashboard}.json: its panels' own queries, answered by a Prometheus that scraped virt-otel; \
             drawn by tests/lab/pictures, not by Grafana."
        );
        let drawn = picture(&panels, (end - SPAN.as_secs_f64(), end), &caption);
        if let Ok(pictures) = std::env::var("PICTURES") {
            std::fs::write(format!("{pictures}/dashboard-{dashboard}.svg"), drawn).expect("a place for the picture");
        }
    }
}
