//! Rules for every table of the agent's own metrics.

use std::collections::BTreeSet;

use super::*;
use crate::catalog::Value;
use crate::clock::SystemClock;
use crate::snapshot;

/// Every stage runs, and nothing has happened yet.
fn counted() -> Counted {
    let (_, snapshots) = snapshot::channel();
    Counted {
        published: Arc::new(Published { snapshots, clock: Arc::new(SystemClock::new()) }),
        reads: Arc::default(),
        daemons: Arc::new(vec![("qemu:///system".to_owned(), Arc::default())]),
        watch: Some(Arc::default()),
        otlp: Some(Arc::default()),
        credentials: Some(Arc::default()),
        scrapes: Some(Arc::default()),
        web: Some(Arc::default()),
    }
}

/// The exporter appends units and `_total` unconditionally; the Collector and Prometheus check first. Both derive the
/// same name only if ours contain neither.
#[test]
fn names_carry_no_unit_and_no_suffix() {
    for Instrument { name, brief, .. } in instruments() {
        let tokens: Vec<&str> = name.split(['.', '_']).collect();
        for word in ["total", "bytes", "seconds", "ratio", "count", "sum", "bucket", "created"] {
            assert!(!tokens.contains(&word), "{name}");
        }
        assert!(name.starts_with("virt_otel."), "{name}");
        assert!(name.chars().all(|char| char.is_ascii_lowercase() || "._".contains(char)), "{name}");
        assert!(brief.ends_with('.') && !brief.contains('|'), "{name}");
    }
}

#[test]
fn no_name_is_twice_or_a_namespace_of_another() {
    let names: BTreeSet<&str> = instruments().map(|instrument| instrument.name).collect();
    assert_eq!(names.len(), instruments().count());
    for name in &names {
        let space = format!("{name}.");
        assert!(!names.iter().any(|other| other.starts_with(&space)), "{name}");
    }
}

#[test]
fn every_key_has_a_namespace() {
    for Instrument { name, attributes, .. } in instruments() {
        for attribute in attributes {
            assert!(attribute.key.contains('.'), "{} of {name}", attribute.key);
            assert!(!attribute.label.is_empty(), "{} of {name}", attribute.key);
        }
    }
}

#[test]
fn a_row_yields_its_attributes_their_values_and_the_kind_of_number_that_its_unit_has() {
    let observables = counted().observables();
    assert_eq!(observables.len(), instruments().count());
    for observable in observables {
        let Instrument { name, unit, attributes, .. } = observable.instrument;
        observable.read(&mut |labels, value| {
            let keys: Vec<&str> = labels.iter().map(|label| label.attribute.key).collect();
            let expected: Vec<&str> = attributes.iter().map(|attribute| attribute.key).collect();
            assert_eq!(keys, expected, "{name}");
            for label in labels.iter().filter(|label| !label.attribute.values.is_empty()) {
                assert!(label.attribute.values.contains(&label.value), "{name}: {}", label.value);
            }
            assert_eq!(matches!(value, Value::Double(_)), unit.is_double(), "{name}");
        });
    }
}

#[test]
fn a_stage_that_does_not_run_has_no_rows() {
    let idle = Counted { watch: None, otlp: None, credentials: None, scrapes: None, web: None, ..counted() };
    let names: Vec<&str> = idle.observables().iter().map(|row| row.instrument.name).collect();
    for stage in [
        "virt_otel.kubernetes.",
        "virt_otel.otlp.",
        "virt_otel.credentials.",
        "virt_otel.scrape",
        "virt_otel.web_config.",
    ] {
        assert!(!names.iter().any(|name| name.starts_with(stage)), "{stage}");
        assert!(instruments().any(|instrument| instrument.name.starts_with(stage)), "{stage}");
    }
}

#[test]
fn before_the_first_snapshot_there_is_no_age() {
    let age = counted().observables().into_iter().find(|row| row.instrument.name == "virt_otel.snapshot.age").unwrap();
    age.read(&mut |_, value| panic!("{value:?}"));
}
