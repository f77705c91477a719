//! The translation, against the cases of the specification and against KubeVirt's names.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::catalog::{Selection, Vocabulary};

#[test]
fn translates_as_the_specification_says() {
    for (name, unit, kind, expected) in [
        // Names.
        ("system.io", "", Kind::Gauge, "system_io"),
        ("system..io", "", Kind::Gauge, "system_io"),
        ("system__io", "", Kind::Gauge, "system_io"),
        ("__system_io__", "", Kind::Gauge, "system_io"),
        ("job:load:sum", "", Kind::Gauge, "job:load:sum"),
        ("broken metric speed", "", Kind::Gauge, "broken_metric_speed"),
        ("3_14 digits", "", Kind::Gauge, "_3_14_digits"),
        ("smörgås.bord", "", Kind::Gauge, "sm_rg_s_bord"),
        ("…", "By", Kind::Gauge, ""),
        ("", "By", Kind::Counter, ""),
        // Units.
        ("system.network.io", "By", Kind::Gauge, "system_network_io_bytes"),
        ("system.network.bytes", "By", Kind::Gauge, "system_network_bytes"),
        ("bytes.x", "By", Kind::Gauge, "bytes_x"),
        ("system.uptime", "s", Kind::Gauge, "system_uptime_seconds"),
        ("hw.temperature", "Cel", Kind::Gauge, "hw_temperature_celsius"),
        ("hw.fan", "%", Kind::Gauge, "hw_fan_percent"),
        ("apples", "apples", Kind::Gauge, "apples"),
        ("fruit", "apples", Kind::Gauge, "fruit_apples"),
        ("requests", "{request}", Kind::Gauge, "requests"),
        ("queue", "{request}By", Kind::Gauge, "queue"),
        // Units with a slash.
        ("rate", "By/s", Kind::Gauge, "rate_bytes_per_second"),
        ("speed", "m/h", Kind::Gauge, "speed_meters_per_hour"),
        ("speed", "km/h", Kind::Gauge, "speed_km_per_hour"),
        ("requests", "{request}/s", Kind::Gauge, "requests_per_second"),
        ("requests", "By/{request}", Kind::Gauge, "requests_bytes"),
        ("requests", "By/", Kind::Gauge, "requests_bytes"),
        ("rate.bytes", "By/s", Kind::Gauge, "rate_bytes_per_second"),
        // Counters.
        ("requests", "", Kind::Counter, "requests_total"),
        ("requests", "1", Kind::Counter, "requests_total"),
        ("requests.total", "", Kind::Counter, "requests_total"),
        ("total.requests", "", Kind::Counter, "requests_total"),
        ("network.total.io", "By", Kind::Counter, "network_io_bytes_total"),
        ("in.total.state", "", Kind::Counter, "in_state_total"),
        // What only looks like a counter.
        ("in.total.state", "", Kind::UpDownCounter, "in_total_state"),
        ("memory.usage", "By", Kind::UpDownCounter, "memory_usage_bytes"),
        ("state", "1", Kind::UpDownCounter, "state"),
        // Ratios.
        ("cpu.utilization", "1", Kind::Gauge, "cpu_utilization_ratio"),
        ("hit.ratio.now", "1", Kind::Gauge, "hit_now_ratio"),
        ("cpu.utilization", "", Kind::Gauge, "cpu_utilization"),
    ] {
        assert_eq!(metric(name, unit, kind), expected, "{name:?} in {unit:?} as {kind:?}");
    }
}

#[test]
fn units_have_words() {
    for (ucum, word) in [
        ("", ""),
        ("1", ""),
        ("s", "seconds"),
        ("By", "bytes"),
        ("By/s", "bytes_per_second"),
        ("{packet}", ""),
        ("{operation}/s", "per_second"),
    ] {
        assert_eq!(unit(ucum), word, "{ucum:?}");
    }
}

#[test]
fn labels_of_other_attributes_are_valid() {
    assert_eq!(label("libvirt.domain.name"), "libvirt_domain_name");
    assert_eq!(label("1st:key"), "key_1st_key");
}

#[test]
fn no_two_rows_have_one_prometheus_name() {
    for vocabulary in [Vocabulary::Libvirt, Vocabulary::Kubevirt] {
        let selection = Selection::everything(vocabulary);
        let mut seen = BTreeMap::new();
        for row in selection.vm.iter().chain(&selection.daemon) {
            let name = of_row(&row.name, row.metric);
            if let Some(other) = seen.insert(name.clone(), &row.name) {
                panic!("{} and {other} are both {name}", row.name);
            }
        }
    }
}

proptest! {
    /// The next translator does not change a translated name. (A unit with a slash is the exception, in the reference
    /// as here: its `per_second` is looked for as one word.)
    #[test]
    fn translating_twice_is_translating_once(
        name in "[a-z0-9._ :é]{0,30}|total|(total|bytes|ratio|x)(\\.(total|bytes|ratio|x)){0,4}",
        unit in prop::sample::select(vec!["", "1", "s", "By", "{packet}"]),
        kind in prop::sample::select(vec![Kind::Counter, Kind::UpDownCounter, Kind::Gauge]),
    ) {
        let once = metric(&name, unit, kind);
        prop_assert_eq!(metric(&once, unit, kind), once.clone());
    }

    #[test]
    fn any_name_becomes_a_valid_one_or_none(
        name in "\\PC{0,40}",
        unit in "\\PC{0,8}",
        kind in prop::sample::select(vec![Kind::Counter, Kind::UpDownCounter, Kind::Gauge]),
    ) {
        let name = metric(&name, &unit, kind);
        prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':'), "{}", name);
        prop_assert!(!name.starts_with(|c: char| c.is_ascii_digit()), "{}", name);
    }
}
