//! KubeVirt 1.9's metrics of its VMIs, and how virt-otel treats each: the source of docs/compatibility.md.

use std::fmt::Write;

use virt_otel::catalog::{NOT_EXPORTED, Profile, Selection, Vocabulary};
use virt_otel::export::naming;

use self::Kind::{Counter, Gauge, Histogram};
use self::Verdict::{Differs, NotExported, NotOurs, Same};

/// A metric of KubeVirt.
pub struct Theirs {
    /// Its name.
    pub name: &'static str,
    /// Its declared kind.
    pub kind: Kind,
    /// Those of the labels `namespace`, `name` and `node` that it has.
    pub who: &'static [&'static str],
    /// Its other labels, except those made from the VMI's.
    pub labels: &'static [&'static str],
    /// How virt-otel treats it.
    pub verdict: Verdict,
}

/// The kind in the TYPE line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// How virt-otel treats a KubeVirt metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has one of the same name, labels, unit and kind; with a note.
    Same(&'static str),
    /// It has one of this name, which differs in this.
    Differs(&'static str),
    /// It has none of this name, because of this.
    NotOurs(&'static str),
    /// It has none of this name and cannot; the catalogue says why.
    NotExported,
}

/// Metrics that come from one place.
pub struct Group {
    /// What they are.
    pub title: &'static str,
    /// Who publishes them.
    pub publisher: &'static str,
    /// The metrics.
    pub metrics: &'static [Theirs],
}

const fn theirs(
    name: &'static str,
    kind: Kind,
    who: &'static [&'static str],
    labels: &'static [&'static str],
    verdict: Verdict,
) -> Theirs {
    Theirs { name, kind, who, labels, verdict }
}

const WHO: &[&str] = &["namespace", "name", "node"];

/// Every `kubevirt_vmi_*` metric.
pub const GROUPS: [Group; 2] = [
    Group {
        title: "Measured on the node",
        publisher: "virt-handler, from libvirt and the guest agent",
        metrics: &[
            theirs("kubevirt_vmi_cpu_usage_seconds_total", Counter, WHO, &[], Same("")),
            theirs("kubevirt_vmi_cpu_user_usage_seconds_total", Counter, WHO, &[], Same("")),
            theirs("kubevirt_vmi_cpu_system_usage_seconds_total", Counter, WHO, &[], Same("")),
            theirs("kubevirt_vmi_vcpu_seconds_total", Counter, WHO, &["id", "state"], Same("")),
            theirs("kubevirt_vmi_vcpu_wait_seconds_total", Counter, WHO, &["id"], Same("")),
            theirs("kubevirt_vmi_vcpu_delay_seconds_total", Counter, WHO, &["id"], Same("")),
            theirs(
                "kubevirt_vmi_node_cpu_affinity",
                Gauge,
                WHO,
                &[],
                NotOurs(
                    "It costs a further call for each VM and reading, and changes only when somebody pins a VM anew.",
                ),
            ),
            theirs("kubevirt_vmi_memory_resident_bytes", Gauge, WHO, &[], Same("")),
            theirs("kubevirt_vmi_memory_available_bytes", Gauge, WHO, &[], Same("")),
            theirs("kubevirt_vmi_memory_unused_bytes", Gauge, WHO, &[], Same("")),
            theirs("kubevirt_vmi_memory_usable_bytes", Gauge, WHO, &[], Same("")),
            theirs("kubevirt_vmi_memory_cached_bytes", Gauge, WHO, &[], Same("")),
            theirs("kubevirt_vmi_memory_actual_balloon_bytes", Gauge, WHO, &[], Same("")),
            theirs("kubevirt_vmi_memory_domain_bytes", Gauge, WHO, &[], Same("")),
            theirs(
                "kubevirt_vmi_memory_swap_in_traffic_bytes",
                Gauge,
                WHO,
                &[],
                Same("A gauge although it only grows, as in KubeVirt."),
            ),
            theirs("kubevirt_vmi_memory_swap_out_traffic_bytes", Gauge, WHO, &[], Same("The same.")),
            theirs("kubevirt_vmi_memory_pgmajfault_total", Counter, WHO, &[], Same("")),
            theirs("kubevirt_vmi_memory_pgminfault_total", Counter, WHO, &[], Same("")),
            theirs("kubevirt_vmi_storage_iops_read_total", Counter, WHO, &["drive"], Same("")),
            theirs("kubevirt_vmi_storage_iops_write_total", Counter, WHO, &["drive"], Same("")),
            theirs("kubevirt_vmi_storage_read_traffic_bytes_total", Counter, WHO, &["drive"], Same("")),
            theirs("kubevirt_vmi_storage_write_traffic_bytes_total", Counter, WHO, &["drive"], Same("")),
            theirs("kubevirt_vmi_storage_read_times_seconds_total", Counter, WHO, &["drive"], Same("")),
            theirs("kubevirt_vmi_storage_write_times_seconds_total", Counter, WHO, &["drive"], Same("")),
            theirs("kubevirt_vmi_storage_flush_requests_total", Counter, WHO, &["drive"], Same("")),
            theirs("kubevirt_vmi_storage_flush_times_seconds_total", Counter, WHO, &["drive"], Same("")),
            theirs("kubevirt_vmi_network_receive_bytes_total", Counter, WHO, &["interface"], Same("")),
            theirs("kubevirt_vmi_network_transmit_bytes_total", Counter, WHO, &["interface"], Same("")),
            theirs("kubevirt_vmi_network_receive_packets_total", Counter, WHO, &["interface"], Same("")),
            theirs("kubevirt_vmi_network_transmit_packets_total", Counter, WHO, &["interface"], Same("")),
            theirs("kubevirt_vmi_network_receive_errors_total", Counter, WHO, &["interface"], Same("")),
            theirs("kubevirt_vmi_network_transmit_errors_total", Counter, WHO, &["interface"], Same("")),
            theirs("kubevirt_vmi_network_receive_packets_dropped_total", Counter, WHO, &["interface"], Same("")),
            theirs("kubevirt_vmi_network_transmit_packets_dropped_total", Counter, WHO, &["interface"], Same("")),
            theirs(
                "kubevirt_vmi_network_traffic_bytes_total",
                Counter,
                WHO,
                &["interface", "type"],
                NotOurs(
                    "KubeVirt has deprecated it. The same data is in kubevirt_vmi_network_receive_bytes_total and kubevirt_vmi_network_transmit_bytes_total.",
                ),
            ),
            theirs(
                "kubevirt_vmi_filesystem_capacity_bytes",
                Gauge,
                WHO,
                &["disk_name", "mount_point", "file_system_type"],
                NotOurs("Only a command to the guest agent tells it, and a read-only connection may send none."),
            ),
            theirs(
                "kubevirt_vmi_filesystem_used_bytes",
                Gauge,
                WHO,
                &["disk_name", "mount_point", "file_system_type"],
                NotOurs("The same."),
            ),
            theirs("kubevirt_vmi_guest_load_1m", Gauge, WHO, &[], NotOurs("The same.")),
            theirs("kubevirt_vmi_guest_load_5m", Gauge, WHO, &[], NotOurs("The same.")),
            theirs("kubevirt_vmi_guest_load_15m", Gauge, WHO, &[], NotOurs("The same.")),
            theirs(
                "kubevirt_vmi_dirty_rate_bytes_per_second",
                Gauge,
                WHO,
                &[],
                Same(
                    "Only where somebody else had libvirt measure it: KubeVirt starts a measurement for each scrape, virt-otel never does.",
                ),
            ),
            theirs("kubevirt_vmi_migration_data_bytes_total", Counter, WHO, &[], Same("")),
            theirs("kubevirt_vmi_migration_data_remaining_bytes", Gauge, WHO, &[], Same("")),
            theirs("kubevirt_vmi_migration_data_processed_bytes", Gauge, WHO, &[], Same("")),
            theirs("kubevirt_vmi_migration_dirty_memory_rate_bytes", Gauge, WHO, &[], Same("")),
            theirs("kubevirt_vmi_migration_memory_transfer_rate_bytes", Gauge, WHO, &[], Same("")),
            theirs(
                "kubevirt_vmi_guest_os_panic_total",
                Counter,
                &["namespace", "name"],
                &["type", "bugcheck_code"],
                NotOurs(
                    "libvirt tells the kind of a panic once, in an event. That a guest has panicked is seen in kubevirt_vmi_state_reason.",
                ),
            ),
            theirs(
                "kubevirt_vmi_gpu_info",
                Gauge,
                &["namespace", "node"],
                &["pod", "resource", "uuid"],
                NotOurs("The kubelet tells it to those who may open its socket of pod resources."),
            ),
            theirs("kubevirt_vmi_sync_total", Counter, &["namespace", "name"], &[], NotExported),
        ],
    },
    Group {
        title: "Known to the Kubernetes API",
        publisher: "virt-controller and virt-api",
        metrics: &[
            theirs(
                "kubevirt_vmi_info",
                Gauge,
                WHO,
                &[
                    "phase",
                    "os",
                    "workload",
                    "flavor",
                    "instance_type",
                    "preference",
                    "guest_os_kernel_release",
                    "guest_os_machine",
                    "guest_os_arch",
                    "guest_os_name",
                    "guest_os_version_id",
                    "evictable",
                    "outdated",
                    "vmi_pod",
                ],
                Differs(
                    "Without vmi_pod: except after a migration, a VMI does not say what its pod is called, and virt-otel may not read pods (the pod's UID is in the OTLP Resource). evictable is there only if the VMI has an eviction strategy of its own. instance_type and preference have their names where KubeVirt writes `<other>` for those that do not come from KubeVirt.",
                ),
            ),
            theirs(
                "kubevirt_vmi_non_evictable",
                Gauge,
                WHO,
                &[],
                Same(
                    "Only if the VMI has an eviction strategy of its own: the cluster's default is in an object that virt-otel may not read.",
                ),
            ),
            theirs(
                "kubevirt_vmi_status_addresses",
                Gauge,
                WHO,
                &["vnic_name", "interface_name", "address", "type"],
                Same("The other addresses of an interface are in kubevirt_vmi_further_addresses."),
            ),
            theirs(
                "kubevirt_vmi_vnic_info",
                Gauge,
                &["namespace", "name"],
                &["vnic_name", "binding_type", "network", "binding_name", "model"],
                Same(""),
            ),
            theirs("kubevirt_vmi_launcher_memory_overhead_bytes", Gauge, &["namespace", "name"], &[], Same("")),
            theirs(
                "kubevirt_vmi_migration_start_time_seconds",
                Gauge,
                WHO,
                &["migration_name"],
                Differs("migration_uid in place of migration_name: the VMI tells the UID only."),
            ),
            theirs(
                "kubevirt_vmi_migration_end_time_seconds",
                Gauge,
                WHO,
                &["migration_name", "status"],
                Differs("migration_uid in place of migration_name: the VMI tells the UID only."),
            ),
            theirs(
                "kubevirt_vmi_migration_succeeded",
                Gauge,
                &["namespace"],
                &["vmi", "vmim"],
                Differs(
                    "migration_uid in place of vmim, and name beside vmi. Of the last migration of a VM only, where KubeVirt has one for each migration object that still exists.",
                ),
            ),
            theirs("kubevirt_vmi_migration_failed", Gauge, &["namespace"], &["vmi", "vmim"], Differs("The same.")),
            theirs("kubevirt_vmi_migrations_in_pending_phase", Gauge, &[], &[], NotExported),
            theirs("kubevirt_vmi_migrations_in_scheduling_phase", Gauge, &[], &[], NotExported),
            theirs("kubevirt_vmi_migrations_in_unset_phase", Gauge, &[], &[], NotExported),
            theirs("kubevirt_vmi_migrations_in_running_phase", Gauge, &[], &[], NotExported),
            theirs("kubevirt_vmi_number_of_outdated", Gauge, &[], &[], NotExported),
            theirs("kubevirt_vmi_phase_transition_time_seconds", Histogram, &[], &["phase", "last_phase"], NotExported),
            theirs("kubevirt_vmi_phase_transition_time_from_creation_seconds", Histogram, &[], &["phase"], NotExported),
            theirs("kubevirt_vmi_phase_transition_time_from_deletion_seconds", Histogram, &[], &["phase"], NotExported),
            theirs(
                "kubevirt_vmi_migration_phase_transition_time_from_creation_seconds",
                Histogram,
                &[],
                &["phase"],
                NotExported,
            ),
            theirs("kubevirt_vmi_last_api_connection_timestamp_seconds", Gauge, &["namespace"], &["vmi"], NotExported),
        ],
    },
];

/// A recording rule of KubeVirt: its name, the deprecated name for the same, whether it works with virt-otel's series
/// alone, and from what.
pub const RULES: &[(&str, &str, bool, &str)] = &[
    (
        "node:kubevirt_vmi_phase:sum",
        "kubevirt_vmi_phase_count",
        true,
        "From kubevirt_vmi_info; without the label vmi_pod.",
    ),
    (
        "vmi:kubevirt_vmi_memory_used_bytes:sum",
        "kubevirt_vmi_memory_used_bytes",
        true,
        "kubevirt_vmi_memory_available_bytes less kubevirt_vmi_memory_usable_bytes.",
    ),
    ("vmi:kubevirt_vmi_memory_available_bytes:sum", "", true, "From kubevirt_vmi_memory_available_bytes."),
    (
        "vmi:kubevirt_vmi_memory_headroom_ratio:sum",
        "",
        true,
        "From kubevirt_vmi_memory_usable_bytes and kubevirt_vmi_memory_available_bytes.",
    ),
    ("vmi:kubevirt_vmi_pgmajfaults:rate5m", "", true, "From kubevirt_vmi_memory_pgmajfault_total."),
    ("vmi:kubevirt_vmi_pgmajfaults:rate30m", "", true, "The same."),
    ("vmi:kubevirt_vmi_swap_traffic_bytes:rate5m", "", true, "From the two swap traffic metrics."),
    ("vmi:kubevirt_vmi_swap_traffic_bytes:rate30m", "", true, "The same."),
    (
        "vmi:kubevirt_vmi_vcpu:count",
        "",
        true,
        "From kubevirt_vmi_vcpu_seconds_total; kubevirt_vmi_vcpu_current says it too.",
    ),
    (
        "vmi:kubevirt_vmi_guest_queue_length:sum",
        "kubevirt_vmi_guest_vcpu_queue",
        false,
        "It needs the guest's load, which only a command to the guest agent tells.",
    ),
    (
        "(no successor)",
        "kubevirt_vmi_migration_data_total_bytes",
        true,
        "From kubevirt_vmi_migration_data_bytes_total.",
    ),
];

/// Alerts about VMs that KubeVirt's operator installs: their names, whether they can fire with virt-otel's series alone, and
/// why or from what.
pub const ALERTS: &[(&[&str], bool, &str)] = &[
    (
        &["VMCannotBeEvicted"],
        true,
        "From kubevirt_vmi_non_evictable and kubevirt_vmi_info: for VMIs with an eviction strategy of their own.",
    ),
    (
        &["KubeVirtVMGuestMemoryPressure", "KubeVirtVMGuestMemoryAvailableLow"],
        true,
        "From the recording rules of memory above and kubevirt_vmi_info.",
    ),
    (
        &["KubeVirtVMIExcessiveMigrations"],
        false,
        "It counts the values of vmim, which kubevirt_vmi_migration_succeeded has no more than one of here.",
    ),
    (
        &["OutdatedVirtualMachineInstanceWorkloads"],
        false,
        "It needs kubevirt_vmi_number_of_outdated, of virt-controller.",
    ),
    (
        &["VirtualMachineStuckInUnhealthyState", "VirtualMachineStuckOnNode"],
        false,
        "They need kubevirt_vm_info, of virt-controller.",
    ),
    (
        &["GuestVCPUQueueHighWarning", "GuestVCPUQueueHighCritical"],
        false,
        "They need the guest's load, which only a command to the guest agent tells.",
    ),
    (
        &["GuestFilesystemAlmostOutOfSpace"],
        false,
        "It needs the guest's file systems, which only a command to the guest agent tells.",
    ),
    (&["VMNonRecoverableOSPanic"], false, "It needs kubevirt_vmi_guest_os_panic_total."),
    (
        &["VirtLauncherPodsStuckFailed", "OrphanedVirtualMachineInstances"],
        false,
        "They need the series of kube-state-metrics.",
    ),
];

/// What docs/compatibility.md says of each metric.
pub fn tables() -> String {
    let mut out = String::new();
    for Group { title, publisher, metrics } in &GROUPS {
        let _ = writeln!(out, "\n### {title}\n\nPublished by {publisher}.\n");
        out.push_str("| KubeVirt | Kind | Labels besides namespace, name, node | Here | |\n|---|---|---|---|---|\n");
        for theirs in *metrics {
            let kind = format!("{:?}", theirs.kind).to_lowercase();
            let labels: Vec<String> = theirs.labels.iter().map(|label| format!("`{label}`")).collect();
            let (here, why) = match theirs.verdict {
                Same(note) => ("same", note),
                Differs(how) => ("differs", how),
                NotOurs(why) => ("not ours", why),
                NotExported => ("not ours", why_elsewhere(theirs.name)),
            };
            let _ = writeln!(out, "| `{}` | {kind} | {} | {here} | {} |", theirs.name, labels.join(", "), code(why));
        }
    }
    out
}

/// Why the catalogue has none of that name; empty if it does not say so.
fn why_elsewhere(name: &str) -> &'static str {
    NOT_EXPORTED.iter().find(|elsewhere| elsewhere.name == name).map_or("", |elsewhere| elsewhere.why)
}

/// What docs/compatibility.md says of the recording rules.
pub fn rules() -> String {
    let mut out = "\n| Rule | Deprecated name | Works | |\n|---|---|---|---|\n".to_owned();
    for (name, deprecated, works, from) in RULES {
        let name = if name.starts_with('(') { (*name).to_owned() } else { format!("`{name}`") };
        let deprecated = if deprecated.is_empty() { String::new() } else { format!("`{deprecated}`") };
        let _ = writeln!(out, "| {name} | {deprecated} | {} | {} |", if *works { "yes" } else { "no" }, code(from));
    }
    out
}

/// What docs/compatibility.md says of the alerts.
pub fn alerts() -> String {
    let mut out = "\n| Alert | Fires | |\n|---|---|---|\n".to_owned();
    for (names, fires, why) in ALERTS {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(out, "| {} | {} | {} |", names.join(", "), if *fires { "yes" } else { "no" }, code(why));
    }
    out
}

/// VM metrics that virt-otel has and KubeVirt has not, by Prometheus name.
pub fn ours_alone() -> String {
    let mut out = "\n".to_owned();
    for row in Selection::new(Vocabulary::Kubevirt, |row| Profile::BesideKubevirt.has(row.metric)).vm {
        let _ = writeln!(out, "- `{}`: {}", naming::of_row(&row.name, row.metric), row.metric.brief);
    }
    out
}

/// A note with its metric names in backticks.
fn code(note: &str) -> String {
    let word = |word: &str| {
        let name = word.trim_end_matches(['.', ',', ';', ':']);
        if name.starts_with("kubevirt_") { format!("`{name}`{}", &word[name.len()..]) } else { word.to_owned() }
    };
    note.split(' ').map(word).collect::<Vec<_>>().join(" ")
}
