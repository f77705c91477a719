//! Snapshots as text for Prometheus: the classic format 0.0.4 and OpenMetrics 1.0.
//!
//! One page has every family once, in the order of the catalogue, and the agent's own metrics after them. A family
//! without a series is not on it. There are no timestamps: Prometheus would refuse to mark such series as stale, and
//! it stamps what it scrapes. There are no `_created` lines either: Prometheus makes series of them.
//!
//! Memory: a page is one string that the caller brings. Rendering allocates the labels that identify the VMs, once
//! for a page, and nothing for a series.

mod format;
mod own;
mod write;

use std::collections::BTreeSet;

pub use format::Format;
use prometheus::proto::MetricFamily;

use self::write::{push_help, push_label, push_labels, push_pair, push_value};
use super::naming;
use crate::catalog::{IdentityLabels, Kind, Metric, Point, Selected, Selection, daemon_label, daemon_labels};
use crate::model::{Daemon, Place};
use crate::snapshot::Snapshot;

/// Writes snapshots as text. Made once: names and headers never change.
#[derive(Debug)]
pub struct Renderer {
    daemon: Vec<Family>,
    vm: Vec<Family>,
    /// The names of all families, so that none of the agent's own can be on the page a second time.
    names: BTreeSet<String>,
}

/// A row, ready to be written.
#[derive(Debug)]
struct Family {
    row: &'static Metric,
    /// The name of its series.
    series: String,
    /// The name of the family in OpenMetrics.
    family: String,
    /// HELP and TYPE in the classic format.
    text: String,
    /// HELP, TYPE and UNIT in OpenMetrics.
    openmetrics: String,
}

impl Renderer {
    /// A renderer of these rows.
    #[must_use]
    pub fn new(selection: &Selection) -> Self {
        let daemon: Vec<Family> = selection.daemon.iter().map(Family::new).collect();
        let vm: Vec<Family> = selection.vm.iter().map(Family::new).collect();
        let names =
            daemon.iter().chain(&vm).flat_map(|family| [family.series.clone(), family.family.clone()]).collect();
        Self { daemon, vm, names }
    }

    /// Appends a page to `out`: the snapshot, then `own`, the metrics of the agent itself as a registry gathered
    /// them. In OpenMetrics it ends with the mark that nothing follows.
    pub fn render(&self, snapshot: &Snapshot, own: &[MetricFamily], format: Format, out: &mut String) {
        for family in &self.daemon {
            let mut header = Some(family.header(format));
            for daemon in &snapshot.daemons {
                render_daemon(family, daemon, &mut header, out);
            }
        }
        let identities = Identities::new(snapshot);
        for family in &self.vm {
            let mut header = Some(family.header(format));
            for (vm, identity) in snapshot.vms.iter().zip(identities.iter()) {
                family.row.points(vm, &mut |point| {
                    family.push(identity, point, header.take(), out);
                });
            }
        }
        for family in own.iter().filter(|family| !self.has(family.name())) {
            own::push_family(family, format, out);
        }
        if format == Format::OpenMetrics100 {
            out.push_str("# EOF\n");
        }
    }

    /// Whether the catalogue has a family of this name, in either format.
    fn has(&self, name: &str) -> bool {
        self.names.contains(name) || name.strip_suffix("_total").is_some_and(|stem| self.names.contains(stem))
    }
}

fn render_daemon(family: &Family, daemon: &Daemon, header: &mut Option<&str>, out: &mut String) {
    let mut identity = String::new();
    push_labels(daemon_labels(daemon).into_iter(), &mut identity);
    family.row.daemon_points(daemon, &mut |point| family.push(&identity, point, header.take(), out));
}

impl Family {
    fn new(selected: &Selected) -> Self {
        let row = selected.metric;
        let series = naming::of_row(&selected.name, row);
        let kind = match row.kind {
            Kind::Counter => "counter",
            Kind::UpDownCounter | Kind::Gauge => "gauge",
        };

        let mut text = String::new();
        push_help(&series, row.brief, Format::Text004, &mut text);
        text.push_str(&format!("# TYPE {series} {kind}\n"));

        // In OpenMetrics a counter's family has the name without `_total`.
        let family = series.strip_suffix("_total").filter(|_| row.kind == Kind::Counter).unwrap_or(&series).to_owned();
        let mut openmetrics = String::new();
        push_help(&family, row.brief, Format::OpenMetrics100, &mut openmetrics);
        openmetrics.push_str(&format!("# TYPE {family} {kind}\n"));
        // A unit that is not the end of the family's name costs the whole scrape.
        let unit = naming::unit(&row.unit.ucum());
        if !unit.is_empty() && family.strip_suffix(&unit).is_some_and(|rest| rest.ends_with('_')) {
            openmetrics.push_str(&format!("# UNIT {family} {unit}\n"));
        }
        Self { row, series, family, text, openmetrics }
    }

    fn header(&self, format: Format) -> &str {
        match format {
            Format::Text004 => &self.text,
            Format::OpenMetrics100 => &self.openmetrics,
        }
    }

    /// Appends a series, after the header if it was not written yet.
    fn push(&self, identity: &str, point: Point<'_>, header: Option<&str>, out: &mut String) {
        if let Some(header) = header {
            out.push_str(header);
        }
        out.push_str(&self.series);
        out.push('{');
        out.push_str(identity);
        for label in point.labels {
            out.push(',');
            push_label(label, out);
        }
        out.push_str("} ");
        push_value(point.value, out);
        out.push('\n');
    }
}

/// The labels that identify each VM of a snapshot, written out.
struct Identities {
    text: String,
    ends: Vec<usize>,
}

impl Identities {
    fn new(snapshot: &Snapshot) -> Self {
        // One domain may be known to several hosts: during a migration, and as a leftover after it. Where an agent
        // reads several daemons, their URI keeps the two apart. It is so for as long as the agent runs, because the
        // daemons are those of the configuration. Under KubeVirt each VM has a daemon of its own, and is told apart by
        // its name: there the labels are KubeVirt's.
        let several = snapshot.daemons.len() > 1;
        let mut identities = Self { text: String::new(), ends: Vec::with_capacity(snapshot.vms.len()) };
        for vm in snapshot.vms.iter() {
            let identity = IdentityLabels::new(&vm.identity);
            push_labels(identity.labels(), &mut identities.text);
            let own = identity.own();
            for (index, label) in own.iter().enumerate() {
                // Two keys (`a.b`, `a/b`) may make one label, and a label that is there twice costs the whole page.
                if !own[..index].iter().any(|earlier| earlier.label == label.label) {
                    identities.text.push(',');
                    push_pair(&label.label, &label.value, &mut identities.text);
                }
            }
            if several && matches!(vm.identity.place, Place::Host { .. }) {
                identities.text.push(',');
                push_label(&daemon_label(&vm.key.daemon), &mut identities.text);
            }
            identities.ends.push(identities.text.len());
        }
        identities
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        self.ends.iter().scan(0, |start, end| {
            let identity = &self.text[*start..*end];
            *start = *end;
            Some(identity)
        })
    }
}

#[cfg(test)]
mod tests;
