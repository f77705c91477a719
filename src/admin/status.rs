//! The status page: what the agent holds, for a person who opens the address in a browser. Plain HTML that works without
//! script. Pure.

mod html;
mod vms;

use std::fmt::Write as _;
use std::time::Duration;

use super::content::{Pushes, State, Status};
use super::limits::REFRESH;
use super::paths::Paths;
use crate::model::HypervisorType;
use html::{escaped, span};
use vms::Concern;

/// Colours of the reader's own, light or dark; on a narrow screen the table scrolls and the page does not.
const STYLE: &str = "\
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:1rem auto;max-width:75rem;padding:0 1rem}\
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}caption{text-align:left;font-weight:bold}\
th,td{padding:.2rem .6rem;text-align:left;border-bottom:1px solid #8886;white-space:nowrap}td:last-child{white-space:normal}\
li,p{overflow-wrap:anywhere}.unread th{border-left:.3rem solid #d33}.emulated th{border-left:.3rem solid #c90}";

/// A page with the VMs, the daemons or the API, the pushes, and the links.
pub(super) fn page(status: &Status, paths: Paths) -> String {
    let state = &status.state;
    let mut html = String::new();
    let _ = writeln!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>virt-otel</title>\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta http-equiv=\"refresh\" content=\"{}\">\n<style>{STYLE}</style></head>\n<body>\n<h1>virt-otel {}</h1>",
        REFRESH.as_secs(),
        env!("CARGO_PKG_VERSION"),
    );
    if !status.reads.is_empty() {
        let _ = writeln!(
            html,
            "<p>Reads {} every {}; runs for {}.</p>",
            escaped(&status.reads),
            span(status.interval),
            span(status.runs_for)
        );
    }
    summary(status, &mut html);
    if !status.snapshot.vms.is_empty() {
        vms::table(status, &mut html);
    }
    daemons(status, &mut html);
    if let Some(pushes) = &status.pushes {
        push(pushes, &mut html);
    }
    links(state, paths, &mut html);
    html.push_str("</body>\n</html>\n");
    html
}

fn summary(status: &Status, html: &mut String) {
    let vms = &status.snapshot.vms;
    let _ = write!(html, "<p>{} VMs", status.state.vms);
    let kinds = HypervisorType::ALL.into_iter().map(|kind| {
        let count = vms.iter().filter(|vm| vm.hypervisor == Some(kind)).count();
        (kind.as_str(), count)
    });
    let kinds: Vec<String> =
        kinds.filter(|(_, count)| *count > 0).map(|(kind, count)| format!("{count} {kind}")).collect();
    if !kinds.is_empty() {
        let _ = write!(html, ": {}", kinds.join(", "));
    }
    let concerns = vms.iter().filter(|vm| Concern::of(vm) == Concern::Unread).count();
    if concerns > 0 {
        let _ = write!(html, "; {concerns} to look at");
    }
    let age = status.state.snapshot_age.map_or_else(|| "never".to_owned(), |age| format!("{} ago", span(age)));
    let round = if status.state.complete { "" } else { " The first round of readings is not done." };
    let _ = writeln!(html, ". Last snapshot: {age}.{round}</p>");
}

fn daemons(status: &Status, html: &mut String) {
    html.push_str("<h2>libvirt</h2>\n<ul>\n");
    if let Some(away) = api_away(&status.state) {
        let _ = writeln!(html, "<li>{}</li>", away.trim_end());
    } else if status.state.api_away.is_some() {
        html.push_str("<li>The Kubernetes API answers.</li>\n");
    }
    for daemon in &status.snapshot.daemons {
        let uri = escaped(&daemon.id.0);
        let _ = match (&daemon.facts, &daemon.reason) {
            (Some(facts), _) if daemon.up => {
                let version = facts.libvirt.map(|version| format!(", libvirt {version}")).unwrap_or_default();
                writeln!(html, "<li>{uri}: connected, host {}{version}</li>", escaped(&facts.host_name))
            }
            (_, Some(reason)) => writeln!(html, "<li>{uri}: not connected: {}</li>", escaped(reason)),
            _ if daemon.up => writeln!(html, "<li>{uri}: connected</li>"),
            _ => writeln!(html, "<li>{uri}: not connected yet</li>"),
        };
    }
    html.push_str("</ul>\n");
}

fn push(pushes: &Pushes, html: &mut String) {
    let accepted =
        pushes.accepted.map_or_else(|| "nothing accepted yet".to_owned(), |ago| format!("accepted {} ago", span(ago)));
    let failure = pushes.failure.as_deref().map(|failure| format!("; {}", escaped(failure))).unwrap_or_default();
    let _ = writeln!(
        html,
        "<h2>OTLP</h2>\n<ul>\n<li>{}: {accepted}; {} wait, {} points lost{failure}</li>\n</ul>",
        escaped(&pushes.endpoint),
        pushes.waiting,
        pushes.lost,
    );
}

fn links(state: &State, paths: Paths, html: &mut String) {
    html.push_str("<ul>\n");
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::limits::ROWS;
    use super::*;
    use crate::rates::Rates;
    use crate::snapshot::Snapshot;
    use crate::testing::sample;

    #[test]
    fn an_api_that_is_away_is_told_with_what_is_known_without_it() {
        let away = Some(Duration::from_millis(72_300));
        let first = State { api_away: away, ..State::default() };
        let line = api_away(&first).unwrap();
        assert_eq!(
            line,
            "The Kubernetes API has not answered for 1m 12s; VMs that it has not named yet are not seen.\n"
        );
        let status = Status { state: first.clone(), ..Status::default() };
        assert!(page(&status, Paths::All).contains(line.trim_end()));
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

    fn shown() -> Status {
        let snapshot = Arc::new(sample::snapshot());
        Status {
            state: State { serves_metrics: true, complete: true, vms: snapshot.vms.len(), ..State::default() },
            reads: "qemu:///system".to_owned(),
            interval: Duration::from_secs(15),
            snapshot,
            ..Status::default()
        }
    }

    #[test]
    fn who_cannot_be_read_comes_first_and_it_says_why() {
        let html = page(&shown(), Paths::All);
        let place = |text: &str| html.find(text).unwrap_or_else(|| panic!("{text}: {html}"));
        assert!(place(">db-1<") < place(">web-1<"), "the one that hangs is first");
        assert!(html.contains("its QEMU does not answer"), "{html}");
        assert!(html.contains("a &quot;quoted&quot; \\ näme"), "{html}");
        assert!(html.contains("5 VMs: 2 kvm, 1 qemu-tcg, 1 unknown; 2 to look at"), "{html}");
    }

    #[test]
    fn what_is_not_known_is_a_dash_and_no_zero() {
        let html = page(&shown(), Paths::All);
        let row = html.lines().find(|line| line.contains(">mover<")).expect("its row");
        assert!(row.contains("<td>–<td>–"), "{row}");
        let known = Rates { cpu: Some(1.25), ..Rates::default() };
        let html = page(&Status { rates: vec![known; 5], ..shown() }, Paths::All);
        assert!(html.contains("<td>125<td>"), "{html}");
    }

    #[test]
    fn a_daemon_that_is_away_says_why_and_so_does_a_push() {
        let mut snapshot = sample::snapshot();
        let mut dead = sample::dead_daemon("qemu+tls://other/system");
        dead.reason = Some("connect to <other>: refused".into());
        snapshot.daemons.push(Arc::new(dead));
        let pushes = Pushes {
            endpoint: "https://collector:4317".to_owned(),
            accepted: Some(Duration::from_secs(90)),
            waiting: 3,
            lost: 7,
            failure: Some("no connection <came> up".to_owned()),
        };
        let html = page(&Status { snapshot: Arc::new(snapshot), pushes: Some(pushes), ..shown() }, Paths::All);
        for part in [
            "qemu+tls://other/system: not connected: connect to &lt;other&gt;: refused",
            "https://collector:4317: accepted 1m 30s ago; 3 wait, 7 points lost; no connection &lt;came&gt; up",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
    }

    #[test]
    fn rows_are_bounded() {
        let one = sample::running();
        let vms = (0..ROWS + 5).map(|number| {
            let mut vm = one.clone();
            let mut identity = (*vm.identity).clone();
            identity.name = format!("vm-{number}").into();
            vm.identity = Arc::new(identity);
            Arc::new(vm)
        });
        let snapshot = Snapshot { vms: vms.collect(), ..Snapshot::default() };
        let html = page(&Status { snapshot: Arc::new(snapshot), ..shown() }, Paths::All);
        assert_eq!(html.matches("<tr><th").count(), ROWS + 1);
        assert!(html.contains("and 5 more"), "{html}");
    }
}
