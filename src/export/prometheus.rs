//! Snapshots as text for Prometheus: the classic format 0.0.4 and OpenMetrics 1.0.
//!
//! One page has every family once, in the order of the catalogue, and the agent's own metrics after them. A family
//! without a series is omitted. There are no timestamps: Prometheus would not mark such series as stale, and it
//! timestamps what it scrapes. There are no `_created` lines either: Prometheus makes series of them.
//!
//! Memory: a page is one string that the caller provides. Rendering allocates the labels that identify the VMs once per
//! page, and nothing per series.

mod family;
mod format;
mod own;
mod write;

use std::collections::BTreeSet;

pub use format::Format;
use prometheus::proto::MetricFamily;

use self::family::{Header, push_sample};
use self::write::{push_label, push_labels, push_pair};
use super::naming;
use crate::catalog::{IdentityLabels, Metric, Point, Selected, Selection, daemon_label, daemon_labels};
use crate::model::{Daemon, Place};
use crate::snapshot::Snapshot;

/// Writes snapshots as text. Created once: names and headers never change.
#[derive(Debug)]
pub struct Renderer {
    daemon: Vec<Family>,
    vm: Vec<Family>,
    /// The names of all families, so that none of the agent's own repeats one.
    names: BTreeSet<String>,
}

/// A row, ready to be written.
#[derive(Debug)]
struct Family {
    row: &'static Metric,
    header: Header,
}

impl Renderer {
    /// A renderer of these rows.
    #[must_use]
    pub fn new(selection: &Selection) -> Self {
        let daemon: Vec<Family> = selection.daemon.iter().map(Family::new).collect();
        let vm: Vec<Family> = selection.vm.iter().map(Family::new).collect();
        let names = daemon
            .iter()
            .chain(&vm)
            .flat_map(|family| [family.header.series.clone(), family.header.family.clone()])
            .collect();
        Self { daemon, vm, names }
    }

    /// Appends a page to `out`: the snapshot, then `own`, the metrics of the agent itself as a registry gathered them.
    /// In OpenMetrics it ends with `# EOF`.
    pub fn render(&self, snapshot: &Snapshot, own: &[MetricFamily], format: Format, out: &mut String) {
        for family in &self.daemon {
            let mut header = Some(family.header.text(format));
            for daemon in &snapshot.daemons {
                render_daemon(family, daemon, &mut header, out);
            }
        }
        let identities = Identities::new(snapshot);
        for family in &self.vm {
            let mut header = Some(family.header.text(format));
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
        Self { row, header: Header::new(naming::of_row(&selected.name, row), row.kind, row.unit, row.brief) }
    }

    /// Appends a series, after the header if it was not written yet.
    fn push(&self, identity: &str, point: Point<'_>, header: Option<&str>, out: &mut String) {
        if let Some(header) = header {
            out.push_str(header);
        }
        push_sample(&self.header.series, identity, point.labels, point.value, out);
    }
}

/// The labels that identify each VM of a snapshot, written out.
struct Identities {
    text: String,
    ends: Vec<usize>,
}

impl Identities {
    fn new(snapshot: &Snapshot) -> Self {
        // Several hosts may know one domain: during a migration, and as a leftover after it. If an agent reads several
        // daemons, their URIs distinguish the two. That never changes while the agent runs, because the configuration
        // names the daemons. Under KubeVirt each VM has a daemon of its own, and its name distinguishes it: there the
        // labels are KubeVirt's.
        let several = snapshot.daemons.len() > 1;
        let mut identities = Self { text: String::new(), ends: Vec::with_capacity(snapshot.vms.len()) };
        for vm in snapshot.vms.iter() {
            let identity = IdentityLabels::new(&vm.identity);
            push_labels(identity.labels(), &mut identities.text);
            for (index, (label, value)) in identity.own().enumerate() {
                // Two keys (`a.b`, `a/b`) may make one label, and a duplicate label costs the whole page.
                if !identity.own().take(index).any(|(earlier, _)| earlier == label) {
                    identities.text.push(',');
                    push_pair(label, value, &mut identities.text);
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
