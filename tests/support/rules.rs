//! The files of deploy/prometheus for each vocabulary, from one source.

use std::collections::BTreeSet;

use virt_otel::agent::instruments;
use virt_otel::catalog::{Selection, Vocabulary, attribute};
use virt_otel::export::naming;

/// What a token of the source is in each file.
const TOKENS: &[(&str, &str, &str)] = &[
    ("@file@", "libvirt", "kubevirt"),
    ("@prefix@", "libvirt_domain", "kubevirt_vmi"),
    ("@id@", "domain, uuid", "namespace, name, node"),
    ("@host@", "host", "node"),
    ("@vm@", "{{ $labels.domain }}", "{{ $labels.namespace }}/{{ $labels.name }}"),
    ("@one@", r#"domain="web",uuid="u-1""#, r#"namespace="shop",name="web",node="n1""#),
    ("@other@", r#"domain="db",uuid="u-2""#, r#"namespace="shop",name="db",node="n1""#),
    ("@third@", r#"domain="mail",uuid="u-3""#, r#"namespace="shop",name="mail",node="n2""#),
    ("@here@", r#"instance="h1:9464""#, r#"job="virt-otel""#),
];

/// A source, rendered for a vocabulary.
pub fn rendered(source: &str, vocabulary: Vocabulary) -> String {
    let name = name(vocabulary);
    let mut kept = String::new();
    let mut keep = true;
    for line in source.lines() {
        match line.trim().strip_prefix("#only ") {
            Some(only) => keep = only == name,
            None if line.trim() == "#end" => keep = true,
            None if keep => kept.extend([line, "\n"]),
            None => {}
        }
    }
    named(&kept, vocabulary)
}

/// A text with a vocabulary's names in place of tokens.
pub fn named(text: &str, vocabulary: Vocabulary) -> String {
    TOKENS.iter().fold(text.to_owned(), |text, (token, libvirt, kubevirt)| {
        text.replace(token, if vocabulary == Vocabulary::Libvirt { libvirt } else { kubevirt })
    })
}

/// The name of a vocabulary's files.
pub const fn name(vocabulary: Vocabulary) -> &'static str {
    match vocabulary {
        Vocabulary::Libvirt => "libvirt",
        Vocabulary::Kubevirt => "kubevirt",
    }
}

/// The series that rules or dashboards name and nobody has.
pub fn unknown_series(rules: &str, vocabulary: Vocabulary) -> BTreeSet<String> {
    let Selection { vm, daemon } = Selection::everything(vocabulary);
    let rows = vm.into_iter().chain(daemon).map(|row| naming::of_row(&row.name, row.metric));
    let own = instruments().map(|own| naming::metric(own.name, &own.unit.ucum(), own.kind));
    let known: BTreeSet<String> = rows.chain(own).collect();
    // As the endpoint has them, and as a receiver makes them of the keys.
    let labels = instruments().flat_map(|own| own.attributes.iter().copied());
    let labels = labels.flat_map(|attribute| [attribute.label.to_owned(), naming::label(attribute.key)]);
    let at_the_endpoint = attribute::ALL.iter().map(|attribute| attribute.label.to_owned());
    let labels: BTreeSet<String> = labels.chain(at_the_endpoint).chain(["libvirt_host_name".to_owned()]).collect();
    let expressions: String = rules
        .lines()
        .filter(|line| !line.trim_start().starts_with(['#', 's']))
        .map(|line| format!("{line}\n"))
        .collect();
    expressions
        .split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == ':'))
        .filter(|word| ["libvirt_", "kubevirt_vmi_", "virt_otel_"].iter().any(|start| word.starts_with(start)))
        .filter(|word| !known.contains(*word) && !labels.contains(*word))
        // The beginning of several, in a pattern.
        .filter(|word| !(word.ends_with('_') && known.iter().any(|name| name.starts_with(word))))
        .map(str::to_owned)
        .collect()
}

/// The names of the alerts in rules.
pub fn alerts(rules: &str) -> Vec<&str> {
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}
