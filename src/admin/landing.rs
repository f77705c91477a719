//! The landing page: for a person who opens the address in a browser.

use std::fmt::Write as _;
use std::time::Duration;

use super::content::State;

/// A page with the version, the links, and how the agent fares.
pub(super) fn page(state: &State) -> String {
    let mut html = String::from(concat!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>virt-otel</title></head>\n<body>\n",
        "<h1>virt-otel ",
        env!("CARGO_PKG_VERSION"),
        "</h1>\n<p>Telemetry of virtual machines run by libvirt, on its own or under KubeVirt, for OpenTelemetry and Prometheus.</p>\n<ul>\n"
    ));
    html.push_str(if state.serves_metrics {
        "<li><a href=\"/metrics\">/metrics</a>: the metrics, for Prometheus</li>\n"
    } else {
        "<li>/metrics is off: `prometheus` is not among --exporters</li>\n"
    });
    html.push_str("<li><a href=\"/livez\">/livez</a>: whether the reading loop turns</li>\n");
    html.push_str("<li><a href=\"/readyz\">/readyz</a>: whether the first round is done</li>\n</ul>\n");
    let age = state.snapshot_age.map_or_else(|| "never".to_owned(), |age| format!("{:.1} s ago", age.as_secs_f64()));
    let _ = writeln!(html, "<p>VMs: {}. Last snapshot: {age}.</p>\n<ul>", state.vms);
    if let Some(away) = api_away(state) {
        let _ = writeln!(html, "<li>{}</li>", away.trim_end());
    }
    for daemon in &state.daemons {
        let up = if daemon.up { "connected" } else { "not connected" };
        let _ = writeln!(html, "<li>{}: {up}</li>", escaped(&daemon.uri));
    }
    html.push_str("</ul>\n</body>\n</html>\n");
    html
}

/// That the Kubernetes API does not answer, as a line; `None` if it does, or is not asked.
pub(super) fn api_away(state: &State) -> Option<String> {
    let away = state.api_away.filter(|away| !away.is_zero())?;
    let away = humantime::format_duration(Duration::from_secs(away.as_secs()));
    Some(format!("The Kubernetes API has not answered for {away}; which VMs there are is known from before.\n"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
