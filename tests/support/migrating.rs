//! What other exporters call their metrics, and what those are here: the source of docs/migrating.md.

use std::fmt::Write;

/// An exporter.
pub struct Peer {
    /// Its name and version.
    pub title: &'static str,
    /// What to know before looking names up.
    pub about: &'static str,
    /// Names that others have, too.
    shared: &'static [&'static [Row]],
    /// The rest.
    rows: &'static [Row],
}

/// A name, what it is here, and what is different. Of a name without any here the last says why.
pub type Row = (&'static str, &'static [&'static str], &'static str);

impl Peer {
    /// Its names.
    pub fn names(&self) -> impl Iterator<Item = &'static Row> {
        self.rows.iter().chain(self.shared.iter().copied().flatten())
    }
}

/// What every descendant of the first exporter calls the same: a domain.
const DOMAIN: &[Row] = &[
    ("domain_info_maximum_memory_bytes", &["libvirt_domain_memory_maximum_bytes"], ""),
    ("domain_info_memory_usage_bytes", &["libvirt_domain_memory_actual_balloon_bytes"], ""),
    ("domain_info_virtual_cpus", &["libvirt_domain_vcpu_current"], ""),
    ("domain_info_cpu_time_seconds_total", &["libvirt_domain_cpu_usage_seconds_total"], ""),
];

/// The same: what a disk has moved.
const REQUESTS: &[Row] = &[
    ("domain_block_stats_read_bytes_total", &["libvirt_domain_storage_read_traffic_bytes_total"], ""),
    ("domain_block_stats_read_requests_total", &["libvirt_domain_storage_iops_read_total"], ""),
    ("domain_block_stats_write_bytes_total", &["libvirt_domain_storage_write_traffic_bytes_total"], ""),
    ("domain_block_stats_write_requests_total", &["libvirt_domain_storage_iops_write_total"], ""),
];

/// The same: an interface.
const INTERFACES: &[Row] = &[
    ("domain_interface_stats_receive_bytes_total", &["libvirt_domain_network_receive_bytes_total"], ""),
    ("domain_interface_stats_receive_packets_total", &["libvirt_domain_network_receive_packets_total"], ""),
    ("domain_interface_stats_receive_errors_total", &["libvirt_domain_network_receive_errors_total"], ""),
    ("domain_interface_stats_receive_drops_total", &["libvirt_domain_network_receive_packets_dropped_total"], ""),
    ("domain_interface_stats_transmit_bytes_total", &["libvirt_domain_network_transmit_bytes_total"], ""),
    ("domain_interface_stats_transmit_packets_total", &["libvirt_domain_network_transmit_packets_total"], ""),
    ("domain_interface_stats_transmit_errors_total", &["libvirt_domain_network_transmit_errors_total"], ""),
    ("domain_interface_stats_transmit_drops_total", &["libvirt_domain_network_transmit_packets_dropped_total"], ""),
];

/// What some of them call the same: how long a disk took.
const TIMES: &[Row] = &[
    ("domain_block_stats_read_time_seconds_total", &["libvirt_domain_storage_read_times_seconds_total"], ""),
    ("domain_block_stats_write_time_seconds_total", &["libvirt_domain_storage_write_times_seconds_total"], ""),
    ("domain_block_stats_flush_requests_total", &["libvirt_domain_storage_flush_requests_total"], ""),
    ("domain_block_stats_flush_time_seconds_total", &["libvirt_domain_storage_flush_times_seconds_total"], ""),
    ("domain_block_stats_capacity_bytes", &["libvirt_domain_storage_capacity_bytes"], ""),
];

/// The same: a vCPU.
const VCPUS: &[Row] = &[
    ("domain_vcpu_state", &["libvirt_domain_vcpu_state"], "A series for each state."),
    (
        "domain_vcpu_time_seconds_total",
        &["libvirt_domain_vcpu_seconds_total"],
        "With the vCPU's state as a label: sum over it.",
    ),
    ("domain_vcpu_wait_seconds_total", &["libvirt_domain_vcpu_wait_seconds_total"], ""),
    ("domain_vcpu_delay_seconds_total", &["libvirt_domain_vcpu_delay_seconds_total"], ""),
];

/// The same: the guest's memory.
const GUEST_MEMORY: &[Row] = &[
    ("domain_memory_stats_major_fault_total", &["libvirt_domain_memory_pgmajfault_total"], ""),
    ("domain_memory_stats_minor_fault_total", &["libvirt_domain_memory_pgminfault_total"], ""),
    ("domain_memory_stats_unused_bytes", &["libvirt_domain_memory_unused_bytes"], ""),
    ("domain_memory_stats_available_bytes", &["libvirt_domain_memory_available_bytes"], ""),
    ("domain_memory_stats_usable_bytes", &["libvirt_domain_memory_usable_bytes"], ""),
    ("domain_memory_stats_rss_bytes", &["libvirt_domain_memory_resident_bytes"], ""),
    (
        "domain_memory_stats_used_percent",
        &["libvirt_domain_memory_available_bytes", "libvirt_domain_memory_usable_bytes"],
        "One less their ratio; deploy/prometheus records it.",
    ),
];

/// The exporters.
pub const PEERS: [Peer; 4] = [
    Peer {
        title: "inovex prometheus-libvirt-exporter 2.5",
        about: "Names begin with `libvirt_`. A disk is `target_device` there and `drive` here, an interface `interface`; a vCPU is \
                `vcpu` there and `id` here. A value that libvirt does not tell is 0 or NaN there and no series here.",
        shared: &[DOMAIN, REQUESTS, INTERFACES, TIMES, VCPUS, GUEST_MEMORY],
        rows: &[
            ("up", &["libvirt_up"], "One for each daemon."),
            ("domains", &["libvirt_domains"], "By state; sum it up."),
            ("domain_timed_out", &["libvirt_domain_collection_stuck"], ""),
            ("domain_info", &["libvirt_domain_machine_info"], ""),
            ("domain_openstack_info", &["libvirt_domain_openstack_info"], "The instance's UUID is the domain's."),
            (
                "domain_info_state",
                &["libvirt_domain_state", "libvirt_domain_state_reason"],
                "A series for each state, not a code.",
            ),
            ("domain_job_info_type", &["libvirt_domain_job_state"], "A series for each state."),
            (
                "domain_job_info_time_elapsed_seconds",
                &["libvirt_domain_job_elapsed_time_seconds"],
                "Milliseconds there.",
            ),
            (
                "domain_job_info_time_remaining_seconds",
                &["libvirt_domain_job_remaining_time_seconds"],
                "Milliseconds there.",
            ),
            ("domain_job_info_data_total_bytes", &["libvirt_domain_job_data_bytes"], ""),
            ("domain_job_info_data_processed_bytes", &["libvirt_domain_job_data_processed_bytes"], ""),
            ("domain_job_info_data_remaining_bytes", &["libvirt_domain_job_data_remaining_bytes"], ""),
            ("domain_job_info_memory_total_bytes", &["libvirt_domain_job_memory_bytes"], ""),
            ("domain_job_info_memory_processed_bytes", &["libvirt_domain_job_memory_processed_bytes"], ""),
            ("domain_job_info_memory_remaining_bytes", &["libvirt_domain_job_memory_remaining_bytes"], ""),
            ("domain_job_info_file_total_bytes", &["libvirt_domain_job_disk_bytes"], ""),
            ("domain_job_info_file_processed_bytes", &["libvirt_domain_job_disk_processed_bytes"], ""),
            ("domain_job_info_file_remaining_bytes", &["libvirt_domain_job_disk_remaining_bytes"], ""),
            ("domain_memory_stats_current_balloon_bytes", &["libvirt_domain_memory_actual_balloon_bytes"], ""),
            ("domain_memory_stats_maximum_bytes", &["libvirt_domain_memory_maximum_bytes"], ""),
            ("domain_memory_stats_swap_in_bytes", &["libvirt_domain_memory_swap_in_traffic_bytes"], ""),
            ("domain_memory_stats_swap_out_bytes", &["libvirt_domain_memory_swap_out_traffic_bytes"], ""),
            (
                "domain_memory_stats_last_update_timestamp_seconds",
                &["libvirt_domain_memory_last_update_age_seconds"],
                "An age.",
            ),
            ("domain_memory_stats_disk_caches_bytes", &["libvirt_domain_memory_cached_bytes"], ""),
            ("domain_memory_stats_hugetlb_pgalloc_total", &["libvirt_domain_memory_hugetlb_pgalloc_total"], ""),
            ("domain_memory_stats_hugetlb_pgfail_total", &["libvirt_domain_memory_hugetlb_pgfail_total"], ""),
            ("domain_block_stats_info", &["libvirt_domain_storage_info"], ""),
            ("domain_interface_stats_info", &["libvirt_domain_network_info"], ""),
            ("domain_vcpu_current", &["libvirt_domain_vcpu_current"], ""),
            ("domain_vcpu_maximum", &["libvirt_domain_vcpu_maximum"], ""),
            ("storage_pool_*", &[], "Storage pools are not read: they belong to the host, and a refresh writes."),
        ],
    },
    Peer {
        title: "Tinkoff libvirt-exporter 2.3",
        about: "Names begin with `libvirt_`. Labels as above. What is missing is 0 there, and paused VMs are.",
        shared: &[DOMAIN, REQUESTS, INTERFACES, TIMES, VCPUS, GUEST_MEMORY],
        rows: &[
            ("up", &["libvirt_up"], "One for each daemon."),
            ("versions_info", &["libvirt_version_info"], ""),
            ("pool_info_*", &[], "Storage pools are not read."),
            (
                "domain_info_meta",
                &["libvirt_domain_machine_info", "libvirt_domain_openstack_info"],
                "The UUID is on every series.",
            ),
            ("domain_info_vstate", &["libvirt_domain_state"], "A series for each state, not a code."),
            ("domain_vcpu_cpu", &[], "On which processor a vCPU is now changes too often to be a series."),
            ("domain_block_meta", &["libvirt_domain_storage_info"], ""),
            ("domain_block_stats_allocation", &["libvirt_domain_storage_allocation_bytes"], ""),
            ("domain_block_stats_physicalsize_bytes", &["libvirt_domain_storage_physical_bytes"], ""),
            (
                "domain_block_stats_limit_*_bytes",
                &[
                    "libvirt_domain_storage_limit_traffic_bytes_per_second",
                    "libvirt_domain_storage_limit_read_traffic_bytes_per_second",
                    "libvirt_domain_storage_limit_write_traffic_bytes_per_second",
                ],
                "No series where there is no limit.",
            ),
            (
                "domain_block_stats_limit_*_requests",
                &[
                    "libvirt_domain_storage_limit_iops_per_second",
                    "libvirt_domain_storage_limit_iops_read_per_second",
                    "libvirt_domain_storage_limit_iops_write_per_second",
                ],
                "",
            ),
            (
                "domain_block_stats_limit_burst_*",
                &[
                    "libvirt_domain_storage_limit_traffic_burst_bytes_per_second",
                    "libvirt_domain_storage_limit_iops_burst_per_second",
                    "libvirt_domain_storage_limit_traffic_burst_length_seconds",
                    "libvirt_domain_storage_limit_iops_burst_length_seconds",
                ],
                "And the same for reads and writes.",
            ),
            ("domain_block_stats_size_iops_bytes", &["libvirt_domain_storage_limit_iops_size_bytes"], ""),
            ("domain_interface_meta", &["libvirt_domain_network_info"], ""),
            ("domain_memory_stats_actual_balloon_bytes", &["libvirt_domain_memory_actual_balloon_bytes"], ""),
            ("domain_memory_stats_disk_cache_bytes", &["libvirt_domain_memory_cached_bytes"], ""),
        ],
    },
    Peer {
        title: "Debian's prometheus-libvirt-exporter 0.2 (kumina)",
        about: "Names begin with `libvirt_`. A disk has `source_file` and `target_device` there; here it has `drive`, and the rest is \
                on `libvirt_domain_storage_info`.",
        shared: &[DOMAIN, REQUESTS, INTERFACES],
        rows: &[("up", &["libvirt_up"], "")],
    },
    Peer {
        title: "Telegraf's input libvirt",
        about: "Measurements and their fields. Times are nanoseconds there and seconds here, memory KiB there and bytes here; a disk or \
                interface is a number there, with its name in a field.",
        shared: &[],
        rows: &[
            (
                "libvirt_state state, reason",
                &["libvirt_domain_state", "libvirt_domain_state_reason"],
                "A series for each state, not a code.",
            ),
            ("libvirt_cpu time", &["libvirt_domain_cpu_usage_seconds_total"], ""),
            ("libvirt_cpu user", &["libvirt_domain_cpu_user_usage_seconds_total"], ""),
            ("libvirt_cpu system", &["libvirt_domain_cpu_system_usage_seconds_total"], ""),
            ("libvirt_cpu haltpoll_*", &[], "Not published."),
            ("libvirt_cpu_cache_monitor*, libvirt_memory_bandwidth_monitor*", &[], "Resource monitors are not read."),
            ("libvirt_balloon current", &["libvirt_domain_memory_actual_balloon_bytes"], ""),
            ("libvirt_balloon maximum", &["libvirt_domain_memory_maximum_bytes"], ""),
            ("libvirt_balloon swap_in", &["libvirt_domain_memory_swap_in_traffic_bytes"], ""),
            ("libvirt_balloon swap_out", &["libvirt_domain_memory_swap_out_traffic_bytes"], ""),
            ("libvirt_balloon major_fault", &["libvirt_domain_memory_pgmajfault_total"], ""),
            ("libvirt_balloon minor_fault", &["libvirt_domain_memory_pgminfault_total"], ""),
            ("libvirt_balloon unused", &["libvirt_domain_memory_unused_bytes"], ""),
            ("libvirt_balloon available", &["libvirt_domain_memory_available_bytes"], ""),
            ("libvirt_balloon usable", &["libvirt_domain_memory_usable_bytes"], ""),
            ("libvirt_balloon rss", &["libvirt_domain_memory_resident_bytes"], ""),
            ("libvirt_balloon disk_caches", &["libvirt_domain_memory_cached_bytes"], ""),
            ("libvirt_balloon last_update", &["libvirt_domain_memory_last_update_age_seconds"], "An age."),
            ("libvirt_balloon hugetlb_pgalloc", &["libvirt_domain_memory_hugetlb_pgalloc_total"], ""),
            ("libvirt_balloon hugetlb_pgfail", &["libvirt_domain_memory_hugetlb_pgfail_total"], ""),
            ("libvirt_vcpu_total current", &["libvirt_domain_vcpu_current"], ""),
            ("libvirt_vcpu_total maximum", &["libvirt_domain_vcpu_maximum"], ""),
            ("libvirt_vcpu state", &["libvirt_domain_vcpu_state"], "A series for each state."),
            (
                "libvirt_vcpu time",
                &["libvirt_domain_vcpu_seconds_total"],
                "With the vCPU's state as a label: sum over it.",
            ),
            ("libvirt_vcpu wait", &["libvirt_domain_vcpu_wait_seconds_total"], ""),
            ("libvirt_vcpu delay", &["libvirt_domain_vcpu_delay_seconds_total"], ""),
            ("libvirt_vcpu halted", &["libvirt_domain_vcpu_halted"], ""),
            ("libvirt_cpu_affinity", &[], "It costs a further call for each VM and reading."),
            (
                "libvirt_net rx_bytes, tx_bytes",
                &["libvirt_domain_network_receive_bytes_total", "libvirt_domain_network_transmit_bytes_total"],
                "",
            ),
            (
                "libvirt_net rx_pkts, tx_pkts",
                &["libvirt_domain_network_receive_packets_total", "libvirt_domain_network_transmit_packets_total"],
                "",
            ),
            (
                "libvirt_net rx_errs, tx_errs",
                &["libvirt_domain_network_receive_errors_total", "libvirt_domain_network_transmit_errors_total"],
                "",
            ),
            (
                "libvirt_net rx_drop, tx_drop",
                &[
                    "libvirt_domain_network_receive_packets_dropped_total",
                    "libvirt_domain_network_transmit_packets_dropped_total",
                ],
                "",
            ),
            ("libvirt_perf", &[], "Perf events are not read."),
            (
                "libvirt_block rd_reqs, wr_reqs",
                &["libvirt_domain_storage_iops_read_total", "libvirt_domain_storage_iops_write_total"],
                "",
            ),
            (
                "libvirt_block rd_bytes, wr_bytes",
                &[
                    "libvirt_domain_storage_read_traffic_bytes_total",
                    "libvirt_domain_storage_write_traffic_bytes_total",
                ],
                "",
            ),
            (
                "libvirt_block rd_times, wr_times",
                &[
                    "libvirt_domain_storage_read_times_seconds_total",
                    "libvirt_domain_storage_write_times_seconds_total",
                ],
                "",
            ),
            ("libvirt_block fl_reqs", &["libvirt_domain_storage_flush_requests_total"], ""),
            ("libvirt_block fl_times", &["libvirt_domain_storage_flush_times_seconds_total"], ""),
            ("libvirt_block errors", &["libvirt_domain_storage_errors_total"], ""),
            ("libvirt_block allocation", &["libvirt_domain_storage_allocation_bytes"], ""),
            ("libvirt_block capacity", &["libvirt_domain_storage_capacity_bytes"], ""),
            ("libvirt_block physical", &["libvirt_domain_storage_physical_bytes"], ""),
            ("libvirt_block threshold", &[], "Not published."),
            ("libvirt_iothread poll_max_ns", &["libvirt_domain_iothread_poll_max_seconds"], ""),
            (
                "libvirt_iothread poll_grow, poll_shrink",
                &["libvirt_domain_iothread_poll_grow", "libvirt_domain_iothread_poll_shrink"],
                "",
            ),
            ("libvirt_dirtyrate megabytes_per_second", &["libvirt_domain_dirty_rate_bytes_per_second"], ""),
            ("libvirt_dirtyrate calc_start_time", &["libvirt_domain_dirty_rate_age_seconds"], "An age."),
        ],
    },
];

/// The tables of docs/migrating.md.
pub fn tables() -> String {
    let mut out = String::new();
    for peer in &PEERS {
        let Peer { title, about, .. } = peer;
        let _ = writeln!(out, "\n## {title}\n\n{about}\n\n| There | Here | |\n|---|---|---|");
        for (theirs, ours, note) in peer.names() {
            let here = match ours {
                [] => "–".to_owned(),
                ours => ours.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
            };
            let _ = writeln!(out, "| `{theirs}` | {here} | {note} |");
        }
    }
    out
}
