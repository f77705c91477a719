//! The landing page: for a person who opens the address in a browser.

use std::fmt::Write as _;
use std::time::Duration;

use super::content::State;
use super::paths::Paths;

/// A page with the version, the links, and the agent's state.
pub(super) fn page(state: &State, paths: Paths) -> String {
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
    html.push_str(if paths == Paths::All {
        "<li><a href=\"/livez\">/livez</a>: whether every part of the agent turns</li>\n\
         <li><a href=\"/readyz\">/readyz</a>: whether the first round is done</li>\n</ul>\n"
    } else {
        "<li>/livez and /readyz are at the address of --health-listen</li>\n</ul>\n"
    });
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

/// A line saying that the Kubernetes API does not answer; `None` if it does, or is not used.
pub(super) fn api_away(state: &State) -> Option<String> {
    let away = state.api_away.filter(|away| !away.is_zero())?;
    let away = humantime::format_duration(Duration::from_secs(away.as_secs()));
    let known = if state.complete {
        "which VMs there are is known from before"
    } else {
        // It may have named some, or none at all.
        "VMs that it has not named yet are not seen"
    };
    Some(format!("The Kubernetes API has not answered for {away}; {known}.\n"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_that_is_away_is_told_with_what_is_known_without_it() {
        let away = Some(Duration::from_millis(72_300));
        let first = State { api_away: away, ..State::default() };
        let line = api_away(&first).unwrap();
        assert_eq!(
            line,
            "The Kubernetes API has not answered for 1m 12s; VMs that it has not named yet are not seen.\n"
        );
        assert!(page(&first, Paths::All).contains(line.trim_end()));
        let later = State { complete: true, ..first };
        assert_eq!(
            api_away(&later).as_deref(),
            Some("The Kubernetes API has not answered for 1m 12s; which VMs there are is known from before.\n")
        );
    }

    #[test]
    fn an_api_that_answers_or_is_not_asked_is_not_told_of() {
        for api in [None, Some(Duration::ZERO)] {
            assert_eq!(api_away(&State { api_away: api, ..State::default() }), None);
        }
    }
}
