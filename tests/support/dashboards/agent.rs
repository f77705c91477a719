//! The agents themselves.
//!
//! An agent that is both scraped and pushes has two jobs and instances, and some labels of the second kind are made of the
//! OpenTelemetry keys. Its node, or else its host, is the same in both, and `target_info` says it of both: each agent is one.

use virt_otel::agent::instruments;
use virt_otel::catalog::{Attribute, Instrument, Kind, Vocabulary, attribute};
use virt_otel::export::naming;

use super::board::{Board, Row, closed_row, row};
use super::panel::{BAD, DOUBTFUL, PLAIN, Panel, lanes, lines, stat, table};
use super::rest::{legend, over_time, unit};
use super::{is_libvirt, variable, with_daemon};

/// 1 for each agent that was chosen, by job and instance, with what it is called.
const AGENTS: &str = r#"topk by (job, instance) (1, label_replace(target_info{k8s_node_name!="",k8s_node_name=~"$agent"}, "agent", "$1", "k8s_node_name", "(.+)") or label_replace(target_info{k8s_node_name="",host_name=~"$agent"}, "agent", "$1", "host_name", "(.+)"))"#;

/// Every name that an agent may be chosen by.
const NAMES: &str = r#"query_result(group by (agent) (virt_otel_build_info * on (job, instance) group_left (agent) topk by (job, instance) (1, label_replace(label_replace(target_info, "agent", "$1", "host_name", "(.+)"), "agent", "$1", "k8s_node_name", "(.+)"))))"#;

/// The label that the Collectors of otel/collector, or Prometheus itself, make of a key.
fn pushed(of: &Attribute) -> String {
    let renamed = attribute::ALL.iter().find(|known| known.key == of.key && !known.label.is_empty());
    renamed.map_or_else(|| naming::label(of.key), |known| known.label.to_owned())
}

fn instrument(name: &str) -> Option<Instrument> {
    instruments().find(|own| own.name == name)
}

/// An own metric of each agent, for each value of its labels.
fn of_each(own: &Instrument) -> String {
    let series = over_time(own.kind, &naming::metric(own.name, &own.unit.ucum(), own.kind));
    let labels = own.attributes.iter().map(|attribute| (attribute.label, pushed(attribute)));
    let series = labels.filter(|(label, pushed)| label != pushed).fold(series, |series, (label, pushed)| {
        format!("label_replace({series}, \"{label}\", \"$1\", \"{pushed}\", \"(.+)\")")
    });
    let labels: String = own.attributes.iter().map(|attribute| format!(", {}", attribute.label)).collect();
    format!("max by (agent{labels}) ({series} * on (job, instance) group_left (agent) {AGENTS})")
}

/// [`of_each`] for a name; an unknown name stays in the expression, where the test of names finds it.
fn own(name: &str) -> String {
    instrument(name).map_or_else(|| name.replace('.', "_"), |own| of_each(&own))
}

fn legend_of(name: &str) -> String {
    let labels = instrument(name).map(|own| legend(own.attributes)).unwrap_or_default();
    format!("{{{{agent}}}} {labels}").trim_end().to_owned()
}

/// Lines of own metrics, each with a word.
fn drawn(title: &str, about: &str, unit: &'static str, metrics: &[(&str, &str)]) -> Panel {
    metrics.iter().fold(lines(title, about, unit), |panel, (name, word)| {
        panel.query(&own(name), format!("{} {word}", legend_of(name)).trim_end())
    })
}

/// How long one of several took on average.
fn each(duration: &str, count: &str, labels: &str) -> String {
    format!("{} / on (agent{labels}) ({} > 0)", own(duration), own(count))
}

fn health(vocabulary: Vocabulary) -> Row {
    let agents = own("virt_otel.build.info");
    let mut panels = vec![
        stat(
            "Agents",
            "Each once, whether it is scraped, pushes, or both.",
            "short",
            PLAIN,
            &format!("count(count by (agent) ({agents}))"),
        ),
        stat(
            "Oldest snapshot",
            "What an agent shows is renewed all the time: an old snapshot means that it stands still.",
            "s",
            ("green", &[(30.0, "orange"), (60.0, "red")]),
            &format!("max({})", own("virt_otel.snapshot.age")),
        ),
        stat(
            "VMs stuck",
            "A call into their QEMU hangs past its deadline.",
            "short",
            BAD,
            &format!("sum({})", own("virt_otel.stuck")),
        ),
        stat(
            "VMs busy",
            "Somebody else's job keeps them.",
            "short",
            DOUBTFUL,
            &format!("sum({})", own("virt_otel.busy")),
        ),
        stat(
            "Calls abandoned",
            "Calls into libvirt that hang now and were left behind: each occupies a worker of its daemon.",
            "short",
            BAD,
            &format!("sum({})", own("virt_otel.libvirt.calls_abandoned")),
        ),
        stat(
            "Points lost",
            "Points that never reached the Collector, a second.",
            "cps",
            ("green", &[(0.001, "red")]),
            &format!("sum({})", own("virt_otel.otlp.points_dropped")),
        ),
        table("Agents", "With their versions.")
            .label("agent", "Agent")
            .label("version", "Version")
            .value(&agents, "There", "none")
            .called(&[("1", "yes", "green")])
            .value(&own("virt_otel.snapshot.age"), "Age of its snapshot", "s")
            .value(&own("virt_otel.otlp.queued"), "Pushes that wait", "short")
            .value(&own("virt_otel.stuck"), "VMs stuck", "short")
            .size(24, 7),
    ];
    if is_libvirt(vocabulary) {
        panels.push(
            lanes("libvirt daemons that are not reached", "Of all hosts.", &[])
                .query(&format!("max by (host, uri) ({}) == 0", with_daemon("libvirt_up")), "{{host}} {{uri}}")
                .size(8, 7),
        );
        panels.push(
            table("libvirt daemons", "What they said of themselves.")
                .label("host", "Host")
                .label("driver", "Driver")
                .label("libvirt_version", "libvirt")
                .label("hypervisor_version", "Hypervisor")
                .facts("max by (host, driver, libvirt_version, hypervisor_version) (libvirt_version_info)")
                .size(8, 7),
        );
        panels.push(
            lines("Domains by state", "As libvirt's list has them.", "short")
                .query(
                    &format!("sum by (state) (max by (host, uri, state) ({})) > 0", with_daemon("libvirt_domains")),
                    "{{state}}",
                )
                .size(8, 7),
        );
    }
    row("Health", panels)
}

fn reading() -> Row {
    row(
        "Reading",
        vec![
            drawn(
                "Readings",
                "Of VMs: answered, and failed.",
                "cps",
                &[("virt_otel.readings", "answered"), ("virt_otel.reading_failures", "failed")],
            ),
            lines("Time of a reading", "How long libvirt takes for each group of statistics, on average.", "s").query(
                &each("virt_otel.group.duration", "virt_otel.group.readings", ", libvirt_stats_group"),
                &legend_of("virt_otel.group.duration"),
            ),
            drawn("VMs stuck and busy", "", "short", &[("virt_otel.stuck", "stuck"), ("virt_otel.busy", "busy")]),
            drawn(
                "Left out",
                "What one VM or one daemon may not have so much of, or what this version does not know; see the runbook.",
                "cps",
                &[
                    ("virt_otel.left_out", "vCPUs and devices"),
                    ("virt_otel.domains_left_out", "domains"),
                    ("virt_otel.unknown_parameters", "unknown statistics"),
                ],
            ),
            drawn(
                "Detections",
                "Queries of domains' XML.",
                "cps",
                &[("virt_otel.descriptions", "all"), ("virt_otel.description_failures", "failed")],
            ),
            drawn(
                "Snapshots, and turns of the loop",
                "",
                "cps",
                &[("virt_otel.snapshots", "snapshots"), ("virt_otel.loop.turns", "turns")],
            ),
        ],
    )
}

fn libvirt() -> Row {
    row(
        "Calls into libvirt",
        vec![
            drawn("Calls", "", "cps", &[("virt_otel.libvirt.calls", "")]),
            lines("Time of a call", "On average, of those that have returned.", "s").query(
                &each("virt_otel.libvirt.call_duration", "virt_otel.libvirt.calls", ", libvirt_uri, libvirt_call"),
                &legend_of("virt_otel.libvirt.calls"),
            ),
            drawn(
                "Calls that failed or were late",
                "",
                "cps",
                &[
                    ("virt_otel.libvirt.call_failures", "failed"),
                    ("virt_otel.libvirt.calls_late", "late"),
                    ("virt_otel.libvirt.requests_refused", "not made"),
                ],
            ),
            drawn(
                "Calls in flight",
                "",
                "short",
                &[
                    ("virt_otel.libvirt.calls_in_flight", "within their deadline"),
                    ("virt_otel.libvirt.calls_abandoned", "abandoned"),
                ],
            ),
            drawn("Connections", "", "short", &[("virt_otel.libvirt.connections", "")]).size(8, 8),
            drawn(
                "Connected and lost",
                "",
                "cps",
                &[("virt_otel.libvirt.connects", "connected"), ("virt_otel.libvirt.disconnects", "lost")],
            )
            .size(8, 8),
            drawn(
                "Events of libvirt",
                "",
                "cps",
                &[("virt_otel.libvirt.events", "taken"), ("virt_otel.libvirt.events_dropped", "dropped")],
            )
            .size(8, 8),
        ],
    )
}

fn kubernetes() -> Row {
    row(
        "The Kubernetes API",
        vec![
            lanes("The API is away", "When it did not answer an agent.", &[])
                .query(&format!("{} == 0", own("virt_otel.kubernetes.connected")), "{{agent}}")
                .size(8, 8),
            drawn("Away for", "", "s", &[("virt_otel.kubernetes.away", "")]).size(8, 8),
            drawn("Events of the watch", "", "cps", &[("virt_otel.kubernetes.events", "")]).size(8, 8),
            drawn("Requests that failed", "", "cps", &[("virt_otel.kubernetes.errors", "")]),
            drawn(
                "Left out of what the API says",
                "",
                "cps",
                &[
                    ("virt_otel.kubernetes.objects_dropped", "objects"),
                    ("virt_otel.kubernetes.fields_dropped", "fields"),
                    ("virt_otel.kubernetes.labels_dropped", "labels"),
                ],
            ),
        ],
    )
}

fn push() -> Row {
    row(
        "Pushed to the Collector",
        vec![
            drawn(
                "Points",
                "",
                "cps",
                &[
                    ("virt_otel.otlp.points_sent", "accepted"),
                    ("virt_otel.otlp.points_retried", "sent again"),
                    ("virt_otel.otlp.points_rejected", "rejected"),
                ],
            ),
            drawn("Points lost", "By the reason.", "cps", &[("virt_otel.otlp.points_dropped", "")]),
            drawn(
                "Requests",
                "",
                "reqps",
                &[("virt_otel.otlp.requests", "all"), ("virt_otel.otlp.request_failures", "failed")],
            )
            .size(8, 8),
            drawn("Size of the requests", "Before compression.", "binBps", &[("virt_otel.otlp.size", "")]).size(8, 8),
            drawn("Pushes that wait", "", "short", &[("virt_otel.otlp.queued", "")]).size(8, 8),
        ],
    )
}

fn scrapes() -> Row {
    row(
        "Scraped by Prometheus",
        vec![
            drawn(
                "Scrapes",
                "",
                "reqps",
                &[("virt_otel.scrapes", "answered"), ("virt_otel.scrapes_refused", "refused")],
            )
            .size(8, 8),
            lines("Time of a scrape", "How long a page takes to render, on average.", "s")
                .query(&each("virt_otel.scrape.duration", "virt_otel.scrapes", ""), "{{agent}}")
                .size(8, 8),
            lines("Size of a page", "Before compression, on average.", "bytes")
                .query(&each("virt_otel.scrape.size", "virt_otel.scrapes", ""), "{{agent}}")
                .size(8, 8),
        ],
    )
}

/// What belongs to the mode of the other vocabulary.
fn is_elsewhere(own: &Instrument, vocabulary: Vocabulary) -> bool {
    is_libvirt(vocabulary) && own.name.starts_with("virt_otel.kubernetes.")
}

pub(super) fn board(vocabulary: Vocabulary) -> Board {
    let mut rows = vec![health(vocabulary), reading(), libvirt()];
    if !is_libvirt(vocabulary) {
        rows.push(kubernetes());
    }
    rows.extend([push(), scrapes()]);
    let named = super::rest::words(&rows, &super::tokens(vocabulary, &[]));
    let others = instruments().filter(|own| !is_elsewhere(own, vocabulary)).filter_map(|own| {
        let name = naming::metric(own.name, &own.unit.ucum(), own.kind);
        let panel =
            || lines(&name, own.brief, unit(own.unit, own.kind)).query(&of_each(&own), &legend_of(own.name)).size(8, 7);
        (!super::rest::names(&named, &name)).then(panel)
    });
    let others: Vec<Panel> = others.collect();
    if !others.is_empty() {
        rows.push(closed_row("Everything else, by its name", others));
    }
    Board {
        vocabulary,
        name: "agent",
        title: "virt-otel / The agent itself (@system@)",
        about: "Whether the agents are well: what they read, how libvirt answers, what they push and serve.",
        variables: vec![variable::values("agent", "Agent", NAMES, "/agent=\"([^\"]+)\"/", true)],
        events: Vec::new(),
        rows,
    }
}
