//! The catalogue as an OpenTelemetry registry, in the format that weaver reads (`definition/2`).

use std::fmt::Write;

use virt_otel::catalog::{Attribute, Kind, Metric, Selected, Selection, Stability, Vocabulary, attribute};

const RENDERED: &str =
    "# Rendered from src/catalog by `cargo test --test contract`; change the catalogue, not this file.\n";

/// Keys that OpenTelemetry's semantic conventions define: they are referred to, and not defined again.
const UPSTREAM: [&str; 14] = [
    "cpu.logical_number",
    "host.arch",
    "k8s.namespace.name",
    "k8s.node.name",
    "k8s.pod.uid",
    "network.interface.name",
    "os.build_id",
    "os.description",
    "os.name",
    "os.version",
    "service.instance.id",
    "service.name",
    "service.namespace",
    "system.device",
];

/// Every file of the registry, by its path.
pub fn files() -> Vec<(&'static str, String)> {
    let Selection { vm, daemon } = Selection::everything(Vocabulary::Libvirt);
    let vmi = Selection::everything(Vocabulary::Kubevirt).vm;
    vec![
        ("otel/registry/manifest.yaml", manifest()),
        ("otel/registry/attributes.yaml", attributes()),
        ("otel/registry/entities.yaml", entities()),
        ("otel/registry/metrics/kubevirt.vmi.yaml", metrics(&vmi, "kubevirt.vmi", Vocabulary::Kubevirt.identity())),
        ("otel/registry/metrics/libvirt.domain.yaml", metrics(&vm, "libvirt.domain", Vocabulary::Libvirt.identity())),
        ("otel/registry/metrics/libvirt.yaml", metrics(&daemon, "libvirt.daemon", &[])),
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

/// The end of a key that stands for many: `kubevirt.vmi.label.<key>`.
const TEMPLATE: &str = ".<key>";

fn push_attribute(attribute: &Attribute, out: &mut String) {
    let (key, kind) = match attribute.key.strip_suffix(TEMPLATE) {
        Some(key) => (key, "template[string]"),
        None => (attribute.key, "string"),
    };
    let _ = writeln!(out, "- key: {key}");
    if attribute.values.is_empty() {
        let _ = writeln!(out, "  type: {kind}");
    } else {
        out.push_str("  type:\n    members:\n");
        for value in attribute.values {
            let id = value.replace('-', "_").to_lowercase();
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
        DOMAIN_NAME, DOMAIN_TYPE, DOMAIN_UUID, HOST, HOST_ARCH, K8S_NAMESPACE, K8S_NODE, K8S_POD_UID, OS_BUILD_ID,
        OS_DESCRIPTION, OS_NAME, OS_VERSION, SERVICE_INSTANCE, SERVICE_NAME, SERVICE_NAMESPACE, URI, VMI_LABEL,
        VMI_NAME, VMI_UID,
    };
    let mut out = format!("{RENDERED}file_format: definition/2\nentities:\n");
    for (kind, brief, description) in [
        (
            "libvirt.domain",
            "A domain of libvirt: a virtual machine on one host.",
            &[&DOMAIN_NAME, &DOMAIN_UUID, &DOMAIN_TYPE, &HOST_ARCH, &HOST, &URI][..],
        ),
        (
            "kubevirt.vmi",
            "A VirtualMachineInstance of KubeVirt in one virt-launcher pod.",
            &[
                &K8S_NAMESPACE,
                &K8S_NODE,
                &K8S_POD_UID,
                &VMI_NAME,
                &VMI_UID,
                &VMI_LABEL,
                &DOMAIN_NAME,
                &DOMAIN_UUID,
                &DOMAIN_TYPE,
                &HOST_ARCH,
                &OS_NAME,
                &OS_VERSION,
                &OS_DESCRIPTION,
                &OS_BUILD_ID,
            ],
        ),
        ("libvirt.daemon", "A libvirt daemon.", &[&URI, &HOST]),
    ] {
        let _ = writeln!(out, "- type: {kind}\n  brief: {}\n  stability: development", quoted(brief));
        let identity = &[&SERVICE_NAMESPACE, &SERVICE_NAME, &SERVICE_INSTANCE][..];
        for (role, attributes) in [("identity", identity), ("description", description)] {
            let _ = writeln!(out, "  {role}:");
            for attribute in attributes {
                let _ = writeln!(out, "  - ref: {}", attribute.key.strip_suffix(TEMPLATE).unwrap_or(attribute.key));
            }
        }
    }
    out
}

fn metrics(rows: &[Selected], entity: &str, identity: &[&Attribute]) -> String {
    let mut out = format!("{RENDERED}file_format: definition/2\nmetrics:\n");
    for Selected { name, metric } in rows {
        let identity = if metric.carries_identity() { identity } else { &[] };
        push_metric(name, metric, entity, identity, &mut out);
    }
    out
}

/// Whether the attributes of a row say what something is: then each of them may be unknown. Others tell series apart, and
/// are always there.
pub fn describes(row: &Metric) -> bool {
    let migrations = ["migration.start_time", "migration.end_time", "migration.succeeded", "migration.failed"];
    row.name.ends_with("info") && !row.carries_identity()
        || row.name.ends_with("_addresses")
        || migrations.contains(&row.name)
}

fn push_metric(name: &str, row: &Metric, entity: &str, identity: &[&Attribute], out: &mut String) {
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
    if !row.attributes().is_empty() {
        out.push_str("  attributes:\n");
        let level = if describes(row) { "recommended" } else { "required" };
        for attribute in identity.iter().chain(row.attributes()) {
            let _ = writeln!(out, "  - ref: {}\n    requirement_level: {level}", attribute.key);
        }
    }
    let _ = writeln!(out, "  entity_associations:\n  - {entity}");
}

/// A double-quoted scalar.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
