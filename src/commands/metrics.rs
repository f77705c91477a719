//! `virt-otel metrics`: the catalogue, for people and for programs.

use std::io::{self, Write};

use serde_json::json;

use crate::agent;
use crate::catalog::attribute;
use crate::catalog::{
    Attribute, Instrument, Kind, Metric, NOT_EXPORTED, NotExported, SECTIONS, Section, Stability, Unit, Vocabulary,
};
use crate::export::naming;

/// Writes the catalogue as Markdown: this is `docs/metrics.md`.
///
/// # Errors
/// Those of the writer.
pub fn markdown(out: &mut impl Write) -> io::Result<()> {
    out.write_all(INTRODUCTION.as_bytes())?;
    for section in &SECTIONS {
        markdown_section(section, out)?;
    }
    out.write_all(KUBEVIRTS_ALONE.as_bytes())?;
    for NotExported { name, publisher, why } in &NOT_EXPORTED {
        writeln!(out, "| {} | {publisher} | {} |", code(name), cell(why))?;
    }
    out.write_all(ATTRIBUTES.as_bytes())?;
    for attribute in attribute::ALL {
        markdown_attribute(attribute, out)?;
    }
    out.write_all(OWN.as_bytes())?;
    for instrument in agent::instruments() {
        markdown_instrument(&instrument, out)?;
    }
    out.write_all(OWN_ATTRIBUTES.as_bytes())?;
    for attribute in own_attributes() {
        markdown_attribute(attribute, out)?;
    }
    Ok(())
}

/// The attributes of the agent's own metrics, each once.
fn own_attributes() -> Vec<&'static Attribute> {
    let mut attributes: Vec<&Attribute> = Vec::new();
    for attribute in agent::instruments().flat_map(|instrument| instrument.attributes) {
        if !attributes.contains(attribute) {
            attributes.push(attribute);
        }
    }
    attributes
}

/// Writes the catalogue as JSON: an object with the arrays `metrics` and `attributes`.
///
/// # Errors
/// Those of the writer.
pub fn json(out: &mut impl Write) -> io::Result<()> {
    let metrics: Vec<_> =
        SECTIONS.iter().flat_map(|section| section.metrics.iter().map(move |row| json_metric(section, row))).collect();
    let attributes: Vec<_> = attribute::ALL.iter().copied().map(json_attribute).collect();
    serde_json::to_writer_pretty(&mut *out, &json!({ "metrics": metrics, "attributes": attributes }))?;
    writeln!(out)
}

const OWN: &str = "
## The agent's own metrics

About the agent itself, under its own Resource (`service.name` is `virt-otel`). They are on the same page, and pushed
with the rest. In libvirt mode `libvirt.uri` is
the daemon's URI, in sidecar mode the path of the socket, and in kubevirt mode always `launchers`: all virt-launcher pods
are counted together, and what is to be known of each one is in the series of its VM.

| Metric | Unit | Kind | Attributes | |
|---|---|---|---|---|
";

const OWN_ATTRIBUTES: &str = "
| Key | Label at the endpoint | Label made of the key | Values | |
|---|---|---|---|---|
";

const INTRODUCTION: &str = "\
# Metrics

<!-- Rendered from src/catalog by `cargo test --test contract`; change the catalogue, not this file. -->

Every metric that virt-otel exports: of virtual machines, of libvirt daemons, and at the end its own.
`virt-otel metrics` prints the same.

**Names.** A metric has one name in OpenTelemetry and one in Prometheus; the second follows from the first by the
translation that Prometheus and the Collector apply by default, so it is the same whether virt-otel is scraped or
pushes. In libvirt mode the names of a VM's metrics begin with `libvirt.domain.` (`libvirt_domain_`), in kubevirt and
sidecar mode with `kubevirt.vmi.` (`kubevirt_vmi_`); the rest is the same: `libvirt.domain.cpu.usage` is
`kubevirt.vmi.cpu.usage`, and on the endpoint `kubevirt_vmi_cpu_usage_seconds_total`. The tables have the names of
libvirt mode; those of what the Kubernetes API alone knows, which is read in kubevirt mode only, begin with
`kubevirt.vmi.` there, and the section on OpenStack is of libvirt mode only. Where KubeVirt has a metric, this is its name: the column *KubeVirt* says so, and
[compatibility.md](compatibility.md) compares them all.

**Labels.** At the Prometheus endpoint every series of a VM carries who it is. In libvirt mode that is `domain` and
`uuid`, and `uri` as well if more than one libvirt daemon is read; a daemon's series carry `uri`. In kubevirt and sidecar
mode it is `namespace`, `name` and `node`; in kubevirt mode also `kubernetes_vmi_label_<key>` for each label of the
VirtualMachineInstance that `--vmi-labels` allows, with the value that it had when the VM was first seen running; and in
libvirt mode `metadata_<key>` for each text of the domain's metadata that `--metadata-labels` allows. The tables list what comes on top of that. Over OTLP the VM is a Resource and its points carry only the attributes in the
tables; the points of `hypervisor.info` carry `domain` and `uuid`, or `namespace`, `name` and `node`, too.

**Absence.** What libvirt does not tell has no series: never 0, never NaN, and no value older than three of its
reading intervals. A domain that does not run has its state, and nothing of what is measured. A
VirtualMachineInstance that waits to run (phase `scheduled`) is at the endpoint, with what the Kubernetes API says of
it, and not in what is pushed: that it is from its first detection on, or once its hypervisor type is `unknown`.

**Ends.** A series that ends is no longer at the endpoint. Over OTLP it gets one point without a value, flagged as not
recorded. A VM that ended and started again between two pushes goes on without such a point: the later start time of
its series says that they began again.

**Kinds.** A counter only grows and starts again with the VM. An up-down counter is an amount that may be added up over
VMs; Prometheus calls it a gauge. A gauge is anything else. An *info* metric is a gauge that is always 1 and has what it
tells in its labels. A state is one series for each value of a closed set, 1 for the present one and 0 for the others;
the reason of a state has one series only, the present one.

**Stability.** A *stable* metric changes its name, unit, kind or attributes only with a major version; those that have
KubeVirt's name are stable. One in *development* may change with a minor version, and the changelog says so.
";

const KUBEVIRTS_ALONE: &str = "
## What KubeVirt alone has

An agent sees one node. These metrics of KubeVirt are about the whole cluster, or about KubeVirt's own components: they
are not ours, and are at KubeVirt's endpoints only. What else of KubeVirt is not here, and why, is in
[compatibility.md](compatibility.md).

| Metric | Published by | Why it is not here |
|---|---|---|
";

const ATTRIBUTES: &str = "
## Attributes

The key is the one over OTLP. A receiver that makes Prometheus labels of it uses the label in the third column, unless
its configuration renames it; virt-otel's own endpoint uses the one in the second. Those without a label there are only
on Resources. A value of more than 4096 bytes is cut.

| Key | Label at the endpoint | Label made of the key | Values | |
|---|---|---|---|---|
";

fn markdown_section(section: &Section, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\n## {}\n\n{}\n", section.title, section.brief)?;
    writeln!(out, "| Metric | Prometheus | Kind | Unit | Attributes | | From | KubeVirt | Stability |")?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
    for row in section.metrics {
        let names = Names::new(vocabulary(row), row);
        let unit = row.unit.ucum();
        let attributes: Vec<String> = row.attributes().iter().map(|attribute| code(attribute.key)).collect();
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            code(&names.opentelemetry),
            code(&names.prometheus),
            kind(row.kind),
            if row.unit == Unit::None { String::new() } else { code(&unit) },
            attributes.join(", "),
            cell(row.brief),
            cell(row.source),
            if is_kubevirts(row) { code(row.kubevirt) } else { cell(row.kubevirt) },
            stability(row.stability),
        )?;
    }
    Ok(())
}

fn markdown_instrument(instrument: &Instrument, out: &mut impl Write) -> io::Result<()> {
    let Instrument { name, unit, kind: of, brief, attributes } = *instrument;
    let attributes: Vec<String> = attributes.iter().map(|attribute| code(attribute.key)).collect();
    writeln!(
        out,
        "| {} | {} | {} | {} | {} |",
        code(name),
        if unit == Unit::None { String::new() } else { code(&unit.ucum()) },
        kind(of),
        attributes.join(", "),
        cell(brief),
    )
}

fn markdown_attribute(attribute: &Attribute, out: &mut impl Write) -> io::Result<()> {
    let list = |values: &[&str]| values.iter().map(|value| code(value)).collect::<Vec<_>>().join(", ");
    let values = if attribute.values.is_empty() {
        format!("any, such as {}", list(attribute.examples))
    } else {
        list(attribute.values)
    };
    writeln!(
        out,
        "| {} | {} | {} | {values} | {} |",
        code(attribute.key),
        if attribute.label.is_empty() { String::new() } else { code(attribute.label) },
        code(&naming::label(attribute.key)),
        cell(attribute.brief),
    )
}

fn json_metric(section: &Section, row: &Metric) -> serde_json::Value {
    // A row that is not in a vocabulary has no name in it.
    let name = |vocabulary: Vocabulary| row.read.is_in(vocabulary).then(|| Names::new(vocabulary, row));
    let (libvirt, kubevirt) = (name(Vocabulary::Libvirt), name(Vocabulary::Kubevirt));
    let opentelemetry = |names: &Option<Names>| names.as_ref().map(|names| names.opentelemetry.clone());
    let prometheus = |names: &Option<Names>| names.as_ref().map(|names| names.prometheus.clone());
    let attributes: Vec<&str> = row.attributes().iter().map(|attribute| attribute.key).collect();
    json!({
        "section": section.title,
        "name": { "libvirt": opentelemetry(&libvirt), "kubevirt": opentelemetry(&kubevirt) },
        "prometheus": { "libvirt": prometheus(&libvirt), "kubevirt": prometheus(&kubevirt) },
        "kind": kind(row.kind),
        "unit": row.unit.ucum(),
        "value": if row.unit.is_double() { "double" } else { "int" },
        "attributes": attributes,
        "brief": row.brief,
        "source": row.source,
        "stability": stability(row.stability),
        "same_as_kubevirt": is_kubevirts(row),
        "note": if is_kubevirts(row) { "" } else { row.kubevirt },
    })
}

fn json_attribute(attribute: &Attribute) -> serde_json::Value {
    json!({
        "key": attribute.key,
        "label": attribute.label,
        "brief": attribute.brief,
        "values": attribute.values,
        "examples": attribute.examples,
    })
}

/// The vocabulary whose names the tables show.
const fn vocabulary(row: &Metric) -> Vocabulary {
    if row.read.is_in(Vocabulary::Libvirt) { Vocabulary::Libvirt } else { Vocabulary::Kubevirt }
}

/// Both names of a row.
struct Names {
    opentelemetry: String,
    prometheus: String,
}

impl Names {
    fn new(vocabulary: Vocabulary, row: &Metric) -> Self {
        let opentelemetry = format!("{}{}", vocabulary.prefix(row.read.entity()), row.name);
        let prometheus = naming::of_row(&opentelemetry, row);
        Self { opentelemetry, prometheus }
    }
}

/// Whether the row has KubeVirt's own name.
fn is_kubevirts(row: &Metric) -> bool {
    row.kubevirt.starts_with("kubevirt_vmi_") && !row.kubevirt.contains(' ')
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::UpDownCounter => "updowncounter",
        Kind::Gauge => "gauge",
    }
}

const fn stability(stability: Stability) -> &'static str {
    match stability {
        Stability::Stable => "stable",
        Stability::Development => "development",
    }
}

fn code(text: &str) -> String {
    format!("`{}`", cell(text))
}

/// A text in a cell of a table: a `|` would end it, and `<n>` would be taken for HTML.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_every_row_and_every_attribute() {
        let mut out = Vec::new();
        json(&mut out).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["metrics"].as_array().unwrap().len(), crate::catalog::all().count());
        assert_eq!(value["attributes"].as_array().unwrap().len(), attribute::ALL.len());
        assert!(out.ends_with(b"\n"));
    }

    #[test]
    fn what_the_api_alone_knows_has_no_name_in_libvirt_mode() {
        let mut out = Vec::new();
        json(&mut out).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let metrics = value["metrics"].as_array().unwrap();
        let of = |kubevirt: &str| metrics.iter().find(|metric| metric["name"]["kubevirt"] == kubevirt).unwrap();
        let info = of("kubevirt.vmi.info");
        assert_eq!(info["prometheus"], json!({ "libvirt": null, "kubevirt": "kubevirt_vmi_info" }));
        assert_eq!(info["name"]["libvirt"], serde_json::Value::Null);
        assert_eq!(of("kubevirt.vmi.cpu.usage")["name"]["libvirt"], "libvirt.domain.cpu.usage");
    }

    #[test]
    fn every_row_of_the_markdown_has_as_many_cells_as_its_header() {
        let mut out = Vec::new();
        markdown(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let mut cells = 0;
        for line in text.lines().filter(|line| line.starts_with('|')) {
            let count = line.replace("\\|", "").matches('|').count();
            if line.starts_with("| Metric") || line.starts_with("| Key") {
                cells = count;
            }
            assert_eq!(count, cells, "{line}");
        }
    }

    #[test]
    fn a_reader_that_goes_away_is_an_error_and_no_panic() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert_eq!(markdown(&mut Closed).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(json(&mut Closed).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
