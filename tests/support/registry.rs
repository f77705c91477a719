//! The catalogue as an OpenTelemetry registry, in the format that weaver reads (`definition/2`).

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;
use virt_otel::agent::instruments;
use virt_otel::catalog::{
    Attribute, Instrument, Kind, Metric, Selected, Selection, Stability, Unit, Vocabulary, attribute,
};
use virt_otel::model::MetadataKey;

const RENDERED: &str =
    "# Rendered from src/catalog by `cargo test --test contract`; change the catalogue, not this file.\n";

/// Keys that OpenTelemetry's semantic conventions define: they are referred to, and not defined again.
const UPSTREAM: [&str; 24] = [
    "cloud.account.id",
    "cpu.logical_number",
    "error.type",
    "host.arch",
    "host.image.id",
    "host.name",
    "host.type",
    "k8s.namespace.name",
    "k8s.node.name",
    "k8s.persistentvolumeclaim.name",
    "k8s.pod.uid",
    "network.interface.name",
    "os.build_id",
    "os.description",
    "os.name",
    "os.version",
    "service.instance.id",
    "service.name",
    "service.namespace",
    "service.version",
    "system.device",
    "telemetry.sdk.language",
    "telemetry.sdk.name",
    "telemetry.sdk.version",
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
        ("otel/registry/metrics/virt_otel.yaml", own_metrics()),
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
    let own = instruments().flat_map(|instrument| instrument.attributes).copied();
    let mut keys = BTreeSet::from(UPSTREAM);
    for attribute in attribute::ALL.iter().copied().chain(own) {
        if keys.insert(attribute.key) {
            push_attribute(attribute, &mut out);
        }
    }
    out
}

/// The end of a key that stands for many: `kubevirt.vmi.label.<key>`.
const TEMPLATE: &str = ".<key>";

fn push_attribute(attribute: &Attribute, out: &mut String) {
    let (key, kind) = match attribute.key.strip_suffix(TEMPLATE) {
        Some(key) => (key, "template[string]"),
        None if attribute.integer => (attribute.key, "int"),
        None => (attribute.key, "string"),
    };
    let _ = writeln!(out, "- key: {key}");
    if attribute.values.is_empty() {
        let _ = writeln!(out, "  type: {kind}");
    } else {
        out.push_str("  type:\n    members:\n");
        for value in attribute.values {
            let id = value.replace('-', "_").to_lowercase();
            let _ = writeln!(
                out,
                "    - id: {}\n      value: {}\n      stability: development",
                quoted(&id),
                quoted(value)
            );
        }
    }
    let _ = writeln!(out, "  stability: development\n  brief: {}", quoted(attribute.brief));
    if attribute.values.is_empty() {
        let example = |text: &&str| if attribute.integer { (*text).to_owned() } else { quoted(text) };
        let examples: Vec<String> = attribute.examples.iter().map(example).collect();
        let _ = writeln!(out, "  examples: [{}]", examples.join(", "));
    }
}

fn entities() -> String {
    use attribute::{
        DOMAIN_NAME, DOMAIN_TYPE, DOMAIN_UUID, HOST, HOST_ARCH, K8S_NAMESPACE, K8S_NODE, K8S_POD_UID, OS_BUILD_ID,
        OS_DESCRIPTION, OS_NAME, OS_VERSION, URI, VMI_LABEL, VMI_NAME, VMI_UID,
    };
    let mut out = format!("{RENDERED}file_format: definition/2\nentities:\n");
    let keys = |attributes: &[&'static Attribute]| attributes.iter().map(|attribute| attribute.key).collect::<Vec<_>>();
    let entities: [(&str, &str, Vec<&str>); 4] = [
        (
            "libvirt.domain",
            "A domain of libvirt: a virtual machine on one host.",
            keys(&[&DOMAIN_NAME, &DOMAIN_UUID, &DOMAIN_TYPE, &HOST_ARCH, &HOST, &URI])
                .into_iter()
                .chain(MetadataKey::ALL.map(|key| attribute::metadata::of(key).key))
                .collect(),
        ),
        (
            "kubevirt.vmi",
            "A VirtualMachineInstance of KubeVirt in one virt-launcher pod.",
            keys(&[
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
            ]),
        ),
        ("libvirt.daemon", "A libvirt daemon.", keys(&[&URI, &HOST])),
        (
            AGENT,
            "The agent itself.",
            vec![
                "service.version",
                "host.name",
                "k8s.node.name",
                "telemetry.sdk.language",
                "telemetry.sdk.name",
                "telemetry.sdk.version",
            ],
        ),
    ];
    for (kind, brief, description) in entities {
        let _ = writeln!(out, "- type: {kind}\n  brief: {}\n  stability: development", quoted(brief));
        out.push_str("  requirement_level: recommended\n");
        let mut identity = vec!["service.name", "service.instance.id"];
        if kind != AGENT {
            identity.insert(0, "service.namespace");
        }
        for (role, keys) in [("identity", identity), ("description", description)] {
            let _ = writeln!(out, "  {role}:");
            for key in keys {
                let _ = writeln!(out, "  - ref: {}", key.strip_suffix(TEMPLATE).unwrap_or(key));
            }
        }
    }
    out
}

/// The entity that the agent's own metrics belong to.
const AGENT: &str = "virt_otel.agent";

fn metrics(rows: &[Selected], entity: &str, identity: &[&'static Attribute]) -> String {
    let mut out = format!("{RENDERED}file_format: definition/2\nmetrics:\n");
    for Selected { name, metric: row } in rows {
        let identity = if row.carries_identity() { identity } else { &[] };
        let attributes: Vec<&Attribute> = identity.iter().chain(row.attributes()).copied().collect();
        let level = if describes(row) { DESCRIBES } else { "required" };
        push_metric(name, row.kind, row.unit, row.brief, row.stability, &attributes, level, entity, &mut out);
    }
    out
}

fn own_metrics() -> String {
    let mut out = format!("{RENDERED}file_format: definition/2\nmetrics:\n");
    for Instrument { name, kind, unit, brief, attributes } in instruments() {
        push_metric(name, kind, unit, brief, Stability::Development, attributes, "required", AGENT, &mut out);
    }
    out
}

/// The requirement level of a descriptive attribute: present if known.
const DESCRIBES: &str = "\n      conditionally_required: If libvirt or the Kubernetes API says it.";

/// Whether a row's attributes are descriptive, so that each may be unknown. Other attributes tell series apart and are
/// always present.
pub fn describes(row: &Metric) -> bool {
    let migrations = ["migration.start_time", "migration.end_time", "migration.succeeded", "migration.failed"];
    row.name.ends_with("info") && !row.carries_identity()
        || row.name.ends_with("_addresses")
        || migrations.contains(&row.name)
}

#[allow(clippy::too_many_arguments, reason = "each is one line of what is written")]
fn push_metric(
    name: &str,
    kind: Kind,
    unit: Unit,
    brief: &str,
    stability: Stability,
    attributes: &[&Attribute],
    level: &str,
    entity: &str,
    out: &mut String,
) {
    let instrument = match kind {
        Kind::Counter => "counter",
        Kind::UpDownCounter => "updowncounter",
        Kind::Gauge => "gauge",
    };
    let stability = match stability {
        Stability::Stable => "stable",
        Stability::Development => "development",
    };
    let _ = writeln!(
        out,
        "- name: {name}\n  brief: {}\n  instrument: {instrument}\n  unit: {}\n  stability: {stability}\n  \
         requirement_level: recommended",
        quoted(brief),
        quoted(&unit.ucum()),
    );
    if !attributes.is_empty() {
        out.push_str("  attributes:\n");
        for attribute in attributes {
            let separator = if level.starts_with('\n') { "" } else { " " };
            let _ = writeln!(out, "  - ref: {}\n    requirement_level:{separator}{level}", attribute.key);
        }
    }
    let _ = writeln!(out, "  entity_associations:\n  - {entity}");
}

/// What a request in OTLP's JSON has undeclared: metrics, and the keys, types and values of attributes.
pub fn undeclared(request: &Value) -> BTreeSet<String> {
    let [libvirt, kubevirt] = [Vocabulary::Libvirt, Vocabulary::Kubevirt].map(Selection::everything);
    let rows = [libvirt.vm, libvirt.daemon, kubevirt.vm].concat();
    let names: BTreeSet<&str> =
        rows.iter().map(|row| row.name.as_str()).chain(instruments().map(|instrument| instrument.name)).collect();
    let mut found = BTreeSet::new();
    for resource in array(&request["resourceMetrics"]) {
        array(&resource["resource"]["attributes"]).for_each(|attribute| check(attribute, &mut found));
        for metric in array(&resource["scopeMetrics"]).flat_map(|scope| array(&scope["metrics"])) {
            let name = metric["name"].as_str().unwrap_or_default();
            if !names.contains(name) {
                found.insert(format!("the metric {name}"));
            }
            let points = ["sum", "gauge"].into_iter().flat_map(|kind| array(&metric[kind]["dataPoints"]));
            points.flat_map(|point| array(&point["attributes"])).for_each(|attribute| check(attribute, &mut found));
        }
    }
    found
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Checks that the registry declares an attribute, with its type and value here.
fn check(sent: &Value, found: &mut BTreeSet<String>) {
    let key = sent["key"].as_str().unwrap_or_default();
    let own = instruments().flat_map(|instrument| instrument.attributes).copied();
    let declared = attribute::ALL.iter().copied().chain(own).find(|declared| {
        let template = declared.key.strip_suffix(TEMPLATE).map(|stem| format!("{stem}."));
        declared.key == key || template.is_some_and(|stem| key.starts_with(&stem))
    });
    let Some(declared) = declared else {
        if !UPSTREAM.contains(&key) {
            found.insert(format!("the attribute {key}"));
        }
        return;
    };
    let of_type = if declared.integer { "intValue" } else { "stringValue" };
    let Some(value) = sent["value"].get(of_type) else {
        found.insert(format!("{key} as {}", sent["value"]));
        return;
    };
    if !declared.values.is_empty() && !declared.values.iter().any(|of| value == of) {
        found.insert(format!("{key} with the value {value}"));
    }
}

/// A double-quoted scalar.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
