//! The dashboards of deploy/grafana for each vocabulary, from one source.
//!
//! `fleet`, `one_vm` and `agent` say what is on them; expressions and texts have tokens in place of what differs between
//! the vocabularies. `panel` and `board` make Grafana's JSON of it, and `check` says what Grafana would not take.
//!
//! No expression needs the recording rules of deploy/prometheus: a dashboard must work in a Prometheus that has not loaded
//! them, and a rate over `$__rate_interval` follows the zoom, which a recorded one over five minutes cannot. Like the rules,
//! each takes one series for each VM, whoever has it: virt-otel scraped, virt-otel pushed, or KubeVirt.

mod agent;
mod board;
pub mod check;
mod fleet;
mod one_vm;
mod panel;
mod rest;
mod variable;

use serde_json::Value;
use virt_otel::catalog::Vocabulary;

use super::rules;

/// A dashboard as it ships.
pub struct Shipped {
    /// Its name within its vocabulary: `fleet`, `vm` or `agent`.
    pub name: &'static str,
    /// Its JSON.
    pub json: Value,
}

impl Shipped {
    /// What is in its file. The order of the keys does not depend on how serde_json was built.
    pub fn text(&self) -> String {
        format!("{:#}\n", sorted(&self.json))
    }
}

/// The three dashboards of a vocabulary.
pub fn all(vocabulary: Vocabulary) -> [Shipped; 3] {
    [
        Shipped { name: "fleet", json: fleet::board(vocabulary).json(&tokens(vocabulary, fleet::TOKENS)) },
        Shipped { name: "vm", json: one_vm::board(vocabulary).json(&tokens(vocabulary, one_vm::TOKENS)) },
        Shipped { name: "agent", json: agent::board(vocabulary).json(&tokens(vocabulary, &[])) },
    ]
}

/// The identifier of a dashboard, which is part of its address in Grafana.
fn uid(vocabulary: Vocabulary, name: &str) -> String {
    format!("virt-otel-{}-{name}", rules::name(vocabulary))
}

/// A token, with what stands for it in the libvirt and in the KubeVirt vocabulary.
type Token = (&'static str, &'static str, &'static str);

/// Of every dashboard: the VM in a legend, and the link to its own dashboard from a series.
const TOKENS: &[Token] = &[
    ("@vm@", "{{domain}}", "{{namespace}}/{{name}}"),
    ("@system@", "libvirt", "KubeVirt"),
    (
        "@of a series@",
        "var-domain=${__field.labels.domain}&var-uuid=${__field.labels.uuid}",
        "var-namespace=${__field.labels.namespace}&var-name=${__field.labels.name}",
    ),
    (
        "@of a row@",
        "var-domain=${__data.fields.domain}&var-uuid=${__data.fields.uuid}",
        "var-namespace=${__data.fields.namespace}&var-name=${__data.fields.name}",
    ),
];

/// What stands for a vocabulary's tokens, and the names that rules have for the rest of them.
struct Tokens {
    vocabulary: Vocabulary,
    own: Vec<(&'static str, &'static str)>,
}

fn tokens(vocabulary: Vocabulary, more: &[Token]) -> Tokens {
    let of = |(token, libvirt, kubevirt): &Token| (*token, if is_libvirt(vocabulary) { *libvirt } else { *kubevirt });
    Tokens { vocabulary, own: more.iter().chain(TOKENS).map(of).collect() }
}

impl Tokens {
    /// A text without tokens. The own ones may stand for others.
    fn put_into(&self, text: &str) -> String {
        let text = self.own.iter().fold(text.to_owned(), |text, (token, word)| text.replace(token, word));
        rules::named(&text, self.vocabulary)
    }

    /// [`put_into`](Self::put_into) for every text in a JSON value.
    fn put_into_all(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.put_into(text)),
            Value::Array(values) => values.iter().map(|value| self.put_into_all(value)).collect(),
            Value::Object(entries) => {
                Value::Object(entries.iter().map(|(key, value)| (key.clone(), self.put_into_all(value))).collect())
            }
            other => other.clone(),
        }
    }
}

fn is_libvirt(vocabulary: Vocabulary) -> bool {
    vocabulary == Vocabulary::Libvirt
}

/// Series of VMs with where they run. Under KubeVirt the label `node` says it of each. On a libvirt host a pushed series has it in
/// its job, and as `libvirt_host_name` if that is promoted (otel/prometheus); a scraped one as its instance. Of a VM that has
/// both, the first is taken: an instance may be an address.
fn with_host(vocabulary: Vocabulary, metric: &str, selector: &str) -> String {
    if !is_libvirt(vocabulary) {
        return format!("{metric}{{{selector}}}");
    }
    let comma = if selector.is_empty() { "" } else { "," };
    let of = |more: &str| format!("{metric}{{{selector}{comma}{more}}}");
    let pushed = host_from(&of(&format!("instance=~\"{UUID}\"")), "job", "(.+)/[^/]+");
    let scraped = host_from(&of(&format!("instance!~\"{UUID}\"")), "instance", PORTLESS);
    format!("{pushed} or on (domain, uuid) {}", host_from(&scraped, "libvirt_host_name", "(.+)"))
}

/// The instance of what was pushed of a VM; the last part of its job is what --vm-service-name says.
const UUID: &str = "[0-9a-f]{8}-[0-9a-f-]{27}";
/// An instance, and of it what comes before the port.
const PORTLESS: &str = "(.+?)(?::[0-9]+)?";

fn host_from(series: &str, label: &str, pattern: &str) -> String {
    format!("label_replace({series}, \"host\", \"$1\", \"{label}\", \"{pattern}\")")
}

/// Series of libvirt daemons with their host and URI. The host is what the daemon calls it, as long as that is known; a scraped
/// series has the URI as a label, a pushed one as its instance.
fn with_daemon(metric: &str) -> String {
    let by_job = host_from(&host_from(metric, "instance", PORTLESS), "job", "(.+)/libvirt-daemon");
    let named = format!(
        "{metric} * on (job, instance, uri) group_left (host) max by (job, instance, uri, host) (libvirt_version_info)"
    );
    let any = format!("({named} or on (job, instance, uri) {by_job})");
    format!("label_replace({any}, \"uri\", \"$1\", \"instance\", \"([^:]+://.+)\")")
}

/// Every expression of a dashboard: of its panels, annotations and variables.
pub fn expressions(dashboard: &Value) -> Vec<String> {
    let mut found = Vec::new();
    visit(dashboard, &mut |key, value| {
        if let ("expr" | "definition", Some(text)) = (key, value.as_str()) {
            found.push(text.to_owned());
        }
    });
    found
}

/// Visits each value of an object within a JSON value, with its key.
fn visit<'a>(value: &'a Value, each: &mut dyn FnMut(&str, &'a Value)) {
    match value {
        Value::Object(entries) => entries.iter().for_each(|(key, value)| {
            each(key, value);
            visit(value, each);
        }),
        Value::Array(values) => values.iter().for_each(|value| visit(value, each)),
        _ => {}
    }
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            entries.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(values) => values.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
