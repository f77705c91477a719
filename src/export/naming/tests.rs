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
        // Units with a stroke.
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

/// KubeVirt 1.9's names for what virt-handler measures through libvirt, as its documentation lists them. Those that
/// libvirt does not tell a read-only connection are not among them: file systems and load of the guest agent, CPU
/// affinity, the deprecated `network_traffic_bytes_total`.
const KUBEVIRT: &str = "
    kubevirt_vmi_cpu_system_usage_seconds_total
    kubevirt_vmi_cpu_usage_seconds_total
    kubevirt_vmi_cpu_user_usage_seconds_total
    kubevirt_vmi_dirty_rate_bytes_per_second
    kubevirt_vmi_memory_actual_balloon_bytes
    kubevirt_vmi_memory_available_bytes
    kubevirt_vmi_memory_cached_bytes
    kubevirt_vmi_memory_domain_bytes
    kubevirt_vmi_memory_pgmajfault_total
    kubevirt_vmi_memory_pgminfault_total
    kubevirt_vmi_memory_resident_bytes
    kubevirt_vmi_memory_swap_in_traffic_bytes
    kubevirt_vmi_memory_swap_out_traffic_bytes
    kubevirt_vmi_memory_unused_bytes
    kubevirt_vmi_memory_usable_bytes
    kubevirt_vmi_migration_data_bytes_total
    kubevirt_vmi_migration_data_processed_bytes
    kubevirt_vmi_migration_data_remaining_bytes
    kubevirt_vmi_migration_dirty_memory_rate_bytes
    kubevirt_vmi_migration_memory_transfer_rate_bytes
    kubevirt_vmi_network_receive_bytes_total
    kubevirt_vmi_network_receive_errors_total
    kubevirt_vmi_network_receive_packets_dropped_total
    kubevirt_vmi_network_receive_packets_total
    kubevirt_vmi_network_transmit_bytes_total
    kubevirt_vmi_network_transmit_errors_total
    kubevirt_vmi_network_transmit_packets_dropped_total
    kubevirt_vmi_network_transmit_packets_total
    kubevirt_vmi_storage_flush_requests_total
    kubevirt_vmi_storage_flush_times_seconds_total
    kubevirt_vmi_storage_iops_read_total
    kubevirt_vmi_storage_iops_write_total
    kubevirt_vmi_storage_read_times_seconds_total
    kubevirt_vmi_storage_read_traffic_bytes_total
    kubevirt_vmi_storage_write_times_seconds_total
    kubevirt_vmi_storage_write_traffic_bytes_total
    kubevirt_vmi_vcpu_delay_seconds_total
    kubevirt_vmi_vcpu_seconds_total
    kubevirt_vmi_vcpu_wait_seconds_total
";

/// Other names that KubeVirt publishes, with other labels or another meaning: ours must keep off them.
const TAKEN: [&str; 12] = [
    "kubevirt_vmi_info",
    "kubevirt_vmi_vnic_info",
    "kubevirt_vmi_gpu_info",
    "kubevirt_vmi_status_addresses",
    "kubevirt_vmi_sync_total",
    "kubevirt_vmi_non_evictable",
    "kubevirt_vmi_node_cpu_affinity",
    "kubevirt_vmi_network_traffic_bytes_total",
    "kubevirt_vmi_migration_succeeded",
    "kubevirt_vmi_migration_failed",
    "kubevirt_vmi_phase_count",
    "kubevirt_vmi_memory_used_bytes",
];

#[test]
fn rows_that_claim_a_kubevirt_name_have_it_and_the_list_is_complete() {
    let mut ours: Vec<String> = Vec::new();
    for row in Selection::everything(Vocabulary::Kubevirt).vm {
        let name = of_row(&row.name, row.metric);
        if row.metric.kubevirt.starts_with("kubevirt_vmi_") && !row.metric.kubevirt.contains(' ') {
            assert_eq!(name, row.metric.kubevirt, "{}", row.name);
            ours.push(name);
        } else {
            assert!(
                !KUBEVIRT.contains(&format!(" {name}\n")),
                "{name} is KubeVirt's name, but the row does not say so"
            );
            assert!(!TAKEN.contains(&name.as_str()), "{name} means something else in KubeVirt");
        }
    }
    ours.sort();
    let theirs: Vec<&str> = KUBEVIRT.split_whitespace().collect();
    assert_eq!(ours, theirs);
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
    /// A name that was translated is left alone by the next translator on its way. (A unit with a stroke is the
    /// exception, in the reference as here: its `per_second` is looked for as one word.)
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
