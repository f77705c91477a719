//! The catalogue as an OpenTelemetry registry, in the format that weaver reads (`definition/2`).

use std::fmt::Write;

use virt_otel::catalog::{Attribute, Entity, Kind, Metric, Selected, Selection, Stability, Vocabulary, attribute};

const RENDERED: &str =
    "# Rendered from src/catalog by `cargo test --test contract`; change the catalogue, not this file.\n";

/// Keys that OpenTelemetry's semantic conventions define: they are referred to, and not defined again.
const UPSTREAM: [&str; 7] = [
    "cpu.logical_number",
    "host.arch",
    "network.interface.name",
    "service.instance.id",
    "service.name",
    "service.namespace",
    "system.device",
];

/// Every file of the registry, by its path.
pub fn files() -> Vec<(&'static str, String)> {
    let Selection { vm, daemon } = Selection::everything(Vocabulary::Libvirt);
    vec![
        ("otel/registry/manifest.yaml", manifest()),
        ("otel/registry/attributes.yaml", attributes()),
        ("otel/registry/entities.yaml", entities()),
        ("otel/registry/metrics/libvirt.domain.yaml", metrics(&vm)),
        ("otel/registry/metrics/libvirt.yaml", metrics(&daemon)),
    ]
}

fn manifest() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "{RENDERED}\
name: virt-otel
description: What virt-otel says about virtual machines run by libvirt.
# An identifier that nothing is published under yet.
schema_url: https://virt-otel.invalid/schemas/{version}
stability: development
dependencies:
- schema_url: https://opentelemetry.io/schemas/1.44.0
  registry_path: https://github.com/open-telemetry/semantic-conventions.git@v1.44.0[model]
"
    )
}

fn attributes() -> String {
    let mut out = format!("{RENDERED}file_format: definition/2\nattributes:\n");
    for attribute in attribute::ALL.into_iter().filter(|attribute| !UPSTREAM.contains(&attribute.key)) {
        push_attribute(attribute, &mut out);
    }
    out
}

fn push_attribute(attribute: &Attribute, out: &mut String) {
    let _ = writeln!(out, "- key: {}", attribute.key);
    if attribute.values.is_empty() {
        out.push_str("  type: string\n");
    } else {
        out.push_str("  type:\n    members:\n");
        for value in attribute.values {
            let id = value.replace('-', "_");
            let _ = writeln!(out, "    - id: {id}\n      value: {}\n      stability: development", quoted(value));
        }
    }
    let _ = writeln!(out, "  stability: development\n  brief: {}", quoted(attribute.brief));
    if attribute.values.is_empty() {
        let examples: Vec<String> = attribute.examples.iter().map(|example| quoted(example)).collect();
        let _ = writeln!(out, "  examples: [{}]", examples.join(", "));
    }
}

fn entities() -> String {
    use attribute::{
        DOMAIN_NAME, DOMAIN_TYPE, DOMAIN_UUID, HOST, HOST_ARCH, SERVICE_INSTANCE, SERVICE_NAME, SERVICE_NAMESPACE, URI,
    };
    let mut out = format!("{RENDERED}file_format: definition/2\nentities:\n");
    for (kind, brief, identity, description) in [
        (
            entity(Entity::Vm),
            "A domain of libvirt: a virtual machine on one host.",
            &[&SERVICE_NAMESPACE, &SERVICE_NAME, &SERVICE_INSTANCE][..],
            &[&DOMAIN_NAME, &DOMAIN_UUID, &DOMAIN_TYPE, &HOST_ARCH, &HOST, &URI][..],
        ),
        (
            entity(Entity::Daemon),
            "A libvirt daemon.",
            &[&SERVICE_NAMESPACE, &SERVICE_NAME, &SERVICE_INSTANCE],
            &[&URI, &HOST],
        ),
    ] {
        let _ = writeln!(out, "- type: {kind}\n  brief: {}\n  stability: development", quoted(brief));
        for (role, attributes) in [("identity", identity), ("description", description)] {
            let _ = writeln!(out, "  {role}:");
            for attribute in attributes {
                let _ = writeln!(out, "  - ref: {}", attribute.key);
            }
        }
    }
    out
}

fn metrics(rows: &[Selected]) -> String {
    let mut out = format!("{RENDERED}file_format: definition/2\nmetrics:\n");
    for Selected { name, metric } in rows {
        push_metric(name, metric, &mut out);
    }
    out
}

fn push_metric(name: &str, row: &Metric, out: &mut String) {
    let instrument = match row.kind {
        Kind::Counter => "counter",
        Kind::UpDownCounter => "updowncounter",
        Kind::Gauge => "gauge",
    };
    let stability = match row.stability {
        Stability::Stable => "stable",
        Stability::Development => "development",
    };
    let _ = writeln!(
        out,
        "- name: {name}\n  brief: {}\n  instrument: {instrument}\n  unit: {}\n  stability: {stability}",
        quoted(row.brief),
        quoted(&row.unit.ucum()),
    );
    let identity: &[&Attribute] = if row.carries_identity() { &[&attribute::DOMAIN, &attribute::UUID] } else { &[] };
    if !row.attributes().is_empty() {
        out.push_str("  attributes:\n");
        for attribute in identity.iter().chain(row.attributes()) {
            // What describes may be unknown; what tells two series apart is always there.
            let level = if row.name.ends_with(".info") && !row.carries_identity() { "recommended" } else { "required" };
            let _ = writeln!(out, "  - ref: {}\n    requirement_level: {level}", attribute.key);
        }
    }
    let _ = writeln!(out, "  entity_associations:\n  - {}", entity(row.read.entity()));
}

const fn entity(entity: Entity) -> &'static str {
    match entity {
        Entity::Vm => "libvirt.domain",
        Entity::Daemon => "libvirt.daemon",
    }
}

/// A double-quoted scalar.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
