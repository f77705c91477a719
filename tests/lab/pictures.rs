//! Pictures of the dashboards for the documents, from live VMs: `make pictures`. Perses' components draw them in Chromium.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::dashboards::{common, with};
use super::status::chromium;
use super::support::{Agent, Domain, Libvirtd, Prometheus3, PrometheusOptions, kvm, prepared, repository};

/// How long is looked back.
const SPAN: Duration = Duration::from_secs(120);
/// What of the kinds of panels is drawn.
const KINDS: [&str; 2] = ["stat", "timeseries"];
/// How wide a line of panels is, in columns.
const COLUMNS: u64 = 24;
/// What panels.jsx makes of a row of the grid, of the gap below a line, of a heading, and of the caption, in pixels.
const PIXELS: [u64; 4] = [34, 6, 32, 44];

/// What of each dashboard is drawn, by the titles of its rows.
const DRAWN: [(&str, &[&str]); 2] =
    [("fleet", &["Now", "Who runs on what", "CPU"]), ("vm", &["At a glance", "CPU", "Memory", "Storage", "Network"])];

/// The rows of a dashboard that are drawn, with their panels as panels.jsx takes them.
fn rows(dashboard: &str, rows: &[&str], values: &[(&'static str, &str)]) -> Vec<Value> {
    let path = repository().join(format!("deploy/grafana/libvirt/{dashboard}.json"));
    let board: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("the dashboard")).expect("JSON");
    let mut all = common();
    all.extend(values.iter().copied());
    let (mut drawn, mut wanted) = (Vec::new(), false);
    for panel in board["panels"].as_array().into_iter().flatten() {
        if panel["type"] == "row" {
            wanted = panel["title"].as_str().is_some_and(|title| rows.contains(&title));
            if wanted {
                drawn.push(json!({ "title": panel["title"], "panels": [] }));
            }
        } else if wanted && KINDS.iter().any(|kind| panel["type"] == *kind) {
            let targets = panel["targets"].as_array().into_iter().flatten();
            let query = |target: &Value| {
                let expression = with(&all, target["expr"].as_str().expect("an expression"));
                json!({ "query": expression, "legend": target["legendFormat"] })
            };
            let place = &panel["gridPos"];
            // Beside a table, which is left out, it is wider than half a line.
            let width = place["w"].as_u64().expect("a width").min(COLUMNS / 2);
            let one = json!({
                "title": panel["title"], "kind": panel["type"], "width": width, "height": place["h"],
                "unit": panel["fieldConfig"]["defaults"]["unit"], "queries": targets.map(query).collect::<Vec<_>>() });
            let row = drawn.last_mut().expect("a row before its panels");
            row["panels"].as_array_mut().expect("a list").push(one);
        }
    }
    drawn
}

/// How high the picture of these rows is.
fn height(rows: &[Value]) -> u64 {
    let [grid, gap, heading, caption] = PIXELS;
    let mut height = caption;
    for row in rows {
        height += heading;
        let (mut used, mut highest) = (0, 0);
        for panel in row["panels"].as_array().into_iter().flatten() {
            let of = |key: &str| panel[key].as_u64().expect("a number");
            if used + of("width") > COLUMNS {
                height += highest * grid + gap;
                (used, highest) = (0, 0);
            }
            used += of("width");
            highest = highest.max(of("height"));
        }
        height += highest * grid + gap;
    }
    height
}

#[test]
#[ignore = "needs Chromium and Perses' components: make pictures"]
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
    let script = prepared("perses", "perses/panels.js");
    for (dashboard, titles) in DRAWN {
        let values = [("domain", web.name()), ("uuid", web.uuid())];
        let rows = rows(dashboard, titles, &values);
        let caption = format!(
            "Stats and lines of deploy/grafana/libvirt/{dashboard}.json: their own queries, answered by a Prometheus that scraped \
             virt-otel; drawn by Perses' components, not by Grafana."
        );
        let drawn = json!({
            "prometheus": format!("http://127.0.0.1:{}", prometheus.port()),
            "start": (end - SPAN.as_secs_f64()) * 1e3, "end": end * 1e3, "caption": caption, "rows": rows });
        let folder = TempDir::new().expect("a folder");
        let page = folder.path().join("page.html");
        let html = format!(
            "<!doctype html><meta charset=\"utf-8\"><body style=\"margin:0\"><div id=\"root\"></div>\
             <script>window.drawn = {drawn};</script><script src=\"{}\"></script>",
            script.display()
        );
        std::fs::write(&page, html).expect("a page");
        let picture = folder.path().join("picture.png");
        let (size, shot) =
            (format!("--window-size=1212,{}", height(&rows)), format!("--screenshot={}", picture.display()));
        let page = format!("file://{}", page.display());
        let patience = "--virtual-time-budget=30000";
        let dom = chromium(folder.path(), &[patience, &size, "--dump-dom", &page]);
        let charts = dom.matches("<canvas").count();
        let panels = rows.iter().flat_map(|row| row["panels"].as_array()).flatten();
        let lines = panels.filter(|panel| panel["kind"] == "timeseries").count();
        assert!(charts * 3 > lines * 2, "{dashboard}: {charts} charts of {lines} panels with lines");
        chromium(folder.path(), &[patience, &size, &shot, &page]);
        let drawn = std::fs::read(&picture).expect("a picture");
        assert!(drawn.len() > 50_000, "{dashboard}: an empty page, {} bytes", drawn.len());
        if let Ok(pictures) = std::env::var("PICTURES") {
            std::fs::write(format!("{pictures}/dashboard-{dashboard}.png"), &drawn).expect("a place for the picture");
        }
    }
}
