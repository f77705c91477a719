//! One VM: everything that is known of it.

mod description;
mod devices;

use virt_otel::catalog::Vocabulary;

use super::board::{Board, Events, Row, closed_row, row};
use super::panel::{BAD, PLAIN, Panel, lanes, lines, stacked, stat, table, text, word};
use super::{Token, is_libvirt, rest, tokens, variable, with_host};

/// The selector of the VM.
pub(super) const TOKENS: &[Token] = &[("@of@", r#"uuid="$uuid""#, r#"namespace="$namespace",name="$name""#)];

/// How fast a counter of the VM grows, for each value of some labels. A VM that migrates is one VM: its series on both hosts
/// become one line.
fn rate(counter: &str, labels: &str) -> String {
    format!("max by ({labels}) (rate(@prefix@_{counter}_total{{@of@}}[$__rate_interval]))")
}

/// An amount of the VM, for each value of some labels.
fn amount(name: &str, labels: &str) -> String {
    format!("max by ({labels}) (@prefix@_{name}{{@of@}})")
}

/// What is 1 while it holds, and else left out.
fn holds(name: &str, labels: &str) -> String {
    format!("{} == 1", amount(name, labels))
}

/// Several lines, each of a metric and with a legend.
fn several(panel: Panel, of: &dyn Fn(&str) -> String, series: &[(&str, &str)]) -> Panel {
    series.iter().fold(panel, |panel, (name, legend)| panel.query(&of(name), legend))
}

const STATES: &[(&str, &str)] = &[
    ("running", "green"),
    ("paused", "orange"),
    ("crashed", "red"),
    ("blocked", "yellow"),
    ("shutdown", "purple"),
    ("pmsuspended", "purple"),
    ("shutoff", "text"),
    ("no_state", "text"),
];
const TYPES: &[(&str, &str)] = &[("kvm", "green"), ("qemu-tcg", "orange"), ("hyperv", "blue"), ("unknown", "red")];
const TROUBLE: &[(&str, &str)] = &[("stuck", "red"), ("read in part", "orange"), ("libvirt not reached", "purple")];

fn glance(vocabulary: Vocabulary) -> Row {
    let placed = with_host(vocabulary, "@prefix@_collection_stuck", "@of@");
    row(
        "At a glance",
        vec![
            word(
                "State",
                "With the reason for it.",
                &amount("state_reason", "state, reason"),
                "{{state}} ({{reason}})",
            ),
            word(
                "Runs on",
                "What really runs it.",
                &amount("hypervisor_info", "hypervisor_type"),
                "{{hypervisor_type}}",
            ),
            word("Where", "Its host.", &format!("max by (@host@) ({placed})"), "{{@host@}}"),
            stat("vCPUs", "Those that are plugged in.", "short", PLAIN, "max(@prefix@_vcpu_current{@of@})"),
            stat(
                "CPU used",
                "The part of its vCPUs.",
                "percentunit",
                PLAIN,
                "max(rate(@prefix@_cpu_usage_seconds_total{@of@}[$__rate_interval])) / max(@prefix@_vcpu_current{@of@})",
            ),
            stat(
                "CPU ready",
                "The part of the time in which a vCPU could have run and the host ran something else.",
                "percentunit",
                ("green", &[(0.05, "orange"), (0.1, "red")]),
                "avg(max by (id) (rate(@prefix@_vcpu_delay_seconds_total{@of@}[$__rate_interval])))",
            ),
            stat(
                "Memory used",
                "What the guest could not reclaim without swapping. Needs a balloon driver in the guest.",
                "percentunit",
                ("green", &[(0.9, "orange"), (0.95, "red")]),
                "1 - max(@prefix@_memory_usable_bytes{@of@}) / max(@prefix@_memory_available_bytes{@of@})",
            ),
            stat("Stuck", "A call into its QEMU hangs.", "short", BAD, "max(@prefix@_collection_stuck{@of@})")
                .words(&[("0", "no", "green"), ("1", "yes", "red")]),
            stat(
                "libvirt reached",
                "Whether the libvirt that runs it is reached.",
                "short",
                ("red", &[(1.0, "green")]),
                "max(@prefix@_collection_connected{@of@})",
            )
            .words(&[("0", "no", "red"), ("1", "yes", "green")]),
            stat(
                "Read whole",
                "Whether the last reading gave every group of statistics.",
                "short",
                ("orange", &[(1.0, "green")]),
                "max(@prefix@_collection_success{@of@})",
            )
            .words(&[("0", "no", "orange"), ("1", "yes", "green")]),
            stat(
                "Age of the reading",
                "Of the group of statistics that is the oldest.",
                "s",
                ("green", &[(60.0, "orange"), (180.0, "red")]),
                "max(min by (group) (@prefix@_collection_age_seconds{@of@}))",
            ),
            stat(
                "Memory on the host",
                "What its QEMU process holds.",
                "bytes",
                PLAIN,
                "max(@prefix@_memory_resident_bytes{@of@})",
            ),
        ],
    )
}

fn history(vocabulary: Vocabulary) -> Row {
    let mut panels = vec![
        lanes("State", "", STATES).query(&holds("state", "state"), "{{state}}").size(12, 6),
        lanes("Hypervisor", "What really ran it.", TYPES)
            .query(&holds("hypervisor_info", "hypervisor_type"), "{{hypervisor_type}}")
            .size(12, 6),
        lanes("Reading", "When it could not be read, or not wholly.", TROUBLE)
            .query(&holds("collection_stuck", ""), "stuck")
            .query("max(@prefix@_collection_success{@of@}) == 0", "read in part")
            .query("max(@prefix@_collection_connected{@of@}) == 0", "libvirt not reached")
            .size(12, 6),
        lanes("Host", "Where it ran.", &[])
            .query(
                &format!("max by (@host@) ({})", with_host(vocabulary, "@prefix@_hypervisor_info", "@of@")),
                "{{@host@}}",
            )
            .size(12, 6),
    ];
    if !is_libvirt(vocabulary) {
        panels.push(
            lanes("Phase", "As the Kubernetes API says.", &[("running", "green"), ("failed", "red")])
                .query(&holds("phase", "phase"), "{{phase}}")
                .size(12, 8),
        );
        panels.push(
            lanes("Conditions", "Those that are true, as the Kubernetes API says.", &[])
                .query(&holds("condition", "condition"), "{{condition}}")
                .size(12, 8),
        );
    }
    row("History", panels)
}

fn processors() -> Row {
    row(
        "CPU",
        vec![
            several(
                lines("CPUs used", "Of the host, QEMU's own threads included; and how many vCPUs it has.", "short"),
                &|name| rate(name, ""),
                &[
                    ("cpu_usage_seconds", "all"),
                    ("cpu_user_usage_seconds", "in user space"),
                    ("cpu_system_usage_seconds", "in the kernel"),
                ],
            )
            .query(&amount("vcpu_current", ""), "vCPUs")
            .query(&amount("vcpu_maximum", ""), "vCPUs at most"),
            lines("vCPUs used", "Each vCPU's own share of a CPU.", "percentunit")
                .query("sum by (id) (max by (id, state) (rate(@prefix@_vcpu_seconds_total{@of@}[$__rate_interval])))", "CPU {{id}}"),
            lines(
                "CPU ready",
                "The part of the time in which a vCPU could have run and the host ran something else. The guest sees it as steal.",
                "percentunit",
            )
            .query(&rate("vcpu_delay_seconds", "id"), "CPU {{id}}"),
            lines("CPU wait", "Time on a run queue of the host.", "percentunit")
                .query(&rate("vcpu_wait_seconds", "id"), "CPU {{id}}"),
            lanes("What the vCPUs do", "", &[])
                .query(&holds("vcpu_state", "id, state"), "CPU {{id}} {{state}}")
                .size(12, 7),
            lanes("vCPUs that the guest has halted", "A guest that idles halts its vCPUs.", &[])
                .query(&holds("vcpu_halted", "id"), "CPU {{id}}")
                .size(12, 7),
        ],
    )
}

fn memory(vocabulary: Vocabulary) -> Row {
    let amounts = |panel: Panel, series: &[(&str, &str)]| several(panel, &|name| amount(name, ""), series);
    let mut panels = vec![
        text(
            24,
            2,
            "What only the guest knows (used, usable, unused, cached, faults, swap) is there only with a **balloon driver** in the \
             guest and a statistics period on the balloon device (`<memballoon><stats period='10'/></memballoon>`; KubeVirt sets \
             it). If *Age of the guest's figures* grows, the guest hangs or its driver is gone.",
        ),
        amounts(
            lines("Memory that it has", "", "bytes"),
            &[
                ("memory_maximum_bytes", "may have"),
                ("memory_actual_balloon_bytes", "has"),
                ("memory_domain_bytes", "has (KubeVirt's second name)"),
                ("memory_resident_bytes", "held on the host"),
            ],
        ),
        amounts(
            lines("Memory in the guest", "Needs a balloon driver.", "bytes")
                .query("max(@prefix@_memory_available_bytes{@of@}) - max(@prefix@_memory_usable_bytes{@of@})", "used"),
            &[
                ("memory_available_bytes", "available"),
                ("memory_usable_bytes", "usable"),
                ("memory_unused_bytes", "unused"),
                ("memory_cached_bytes", "cached"),
            ],
        ),
        several(
            lines("Page faults", "Major ones needed a disk. Needs a balloon driver.", "cps"),
            &|name| rate(name, ""),
            &[("memory_pgmajfault", "major"), ("memory_pgminfault", "minor")],
        )
        .size(8, 8),
        several(
            lines("Swapped by the guest", "Needs a balloon driver.", "binBps"),
            &|name| format!("max(rate(@prefix@_{name}{{@of@}}[$__rate_interval]))"),
            &[("memory_swap_in_traffic_bytes", "read back"), ("memory_swap_out_traffic_bytes", "written")],
        )
        .size(8, 8),
        lines("Age of the guest's figures", "", "s")
            .query(&amount("memory_last_update_age_seconds", ""), "age")
            .size(8, 8),
    ];
    if !is_libvirt(vocabulary) {
        panels.push(amounts(
            lines("Memory that KubeVirt gives", "", "bytes").size(24, 7),
            &[
                ("memory_guest_at_boot_bytes", "at boot"),
                ("memory_guest_current_bytes", "now"),
                ("memory_guest_requested_bytes", "requested"),
                ("launcher_memory_overhead_bytes", "the launcher's overhead"),
            ],
        ));
    }
    row("Memory", panels)
}

fn jobs(vocabulary: Vocabulary) -> Row {
    let of_job = |name: &str| amount(&format!("job_{name}"), "operation");
    let bytes = |title: &'static str, name: &str| {
        lines(title, "", "bytes")
            .query(&of_job(&format!("{name}_bytes")), "{{operation}} in all")
            .query(&of_job(&format!("{name}_processed_bytes")), "{{operation}} moved")
            .query(&of_job(&format!("{name}_remaining_bytes")), "{{operation}} left")
            .size(8, 8)
    };
    let mut panels = vec![
        lanes("Job", "What libvirt does to the VM; a migration is such a job.", &[])
            .query(&holds("job_state", "operation, state"), "{{operation}} {{state}}")
            .size(12, 7),
        several(
            lines("Time", "", "s").size(12, 7),
            &of_job,
            &[
                ("elapsed_time_seconds", "{{operation}} so far"),
                ("remaining_time_seconds", "{{operation}} may still take"),
                ("downtime_seconds", "{{operation}} expected downtime"),
                ("setup_time_seconds", "{{operation}} setup"),
            ],
        ),
        bytes("Data", "data"),
        bytes("Memory", "memory"),
        bytes("Disks", "disk"),
        several(
            lines(
                "Speed, and what is dirtied",
                "A migration whose guest dirties memory as fast as it moves does not end.",
                "binBps",
            )
            .size(8, 8),
            &of_job,
            &[
                ("memory_rate_bytes_per_second", "{{operation}} memory"),
                ("memory_dirty_rate_bytes_per_second", "{{operation}} dirtied"),
                ("disk_rate_bytes_per_second", "{{operation}} disks"),
            ],
        ),
        several(
            lines("Rounds, and pages asked for", "", "short").size(8, 8),
            &of_job,
            &[("memory_iteration", "{{operation}} round"), ("postcopy_requests", "{{operation}} pages asked for")],
        ),
        lines("Slowed down so that it can end", "The share of the vCPUs' time that is taken from them.", "percentunit")
            .query(&of_job("auto_converge_throttle_ratio"), "{{operation}}")
            .up_to_one()
            .size(8, 8),
        several(
            lines("Migration", "The same figures as those of the job, under KubeVirt's names.", "bytes"),
            &|name| amount(name, ""),
            &[
                ("migration_data_bytes_total", "in all"),
                ("migration_data_processed_bytes", "moved"),
                ("migration_data_remaining_bytes", "left"),
                ("migration_memory_transfer_rate_bytes", "memory moved a second"),
                ("migration_dirty_memory_rate_bytes", "memory dirtied a second"),
            ],
        ),
        several(
            lines("Dirty rate", "There only if somebody had libvirt measure it.", "binBps"),
            &|name| amount(name, ""),
            &[("dirty_rate_bytes_per_second", "dirtied")],
        ),
    ];
    if !is_libvirt(vocabulary) {
        panels.push(
            table("Last migration", "As the Kubernetes API says.")
                .label("migration_uid", "UID")
                .label("status", "It")
                .value(
                    "1000 * max by (migration_uid) (@prefix@_migration_start_time_seconds{@of@})",
                    "Began",
                    "dateTimeAsIso",
                )
                .value(
                    "1000 * max by (migration_uid, status) (@prefix@_migration_end_time_seconds{@of@})",
                    "Ended",
                    "dateTimeAsIso",
                )
                .value(&amount("migration_succeeded", "migration_uid"), "Succeeded", "none")
                .called(&[("1", "yes", "green")])
                .value(&amount("migration_failed", "migration_uid"), "Failed", "none")
                .called(&[("1", "yes", "red")])
                .size(24, 4),
        );
    }
    closed_row("Jobs and migrations", panels)
}

fn readings() -> Row {
    closed_row(
        "How it is read",
        vec![
            stacked("Age of each group of statistics", "", "s")
                .query("min by (group) (@prefix@_collection_age_seconds{@of@})", "{{group}}")
                .size(24, 8),
        ],
    )
}

pub(super) fn board(vocabulary: Vocabulary) -> Board {
    let mut rows = vec![
        glance(vocabulary),
        history(vocabulary),
        description::description(vocabulary),
        processors(),
        memory(vocabulary),
        devices::storage(),
        devices::network(),
        jobs(vocabulary),
        readings(),
    ];
    let named = rest::words(&rows, &tokens(vocabulary, TOKENS));
    rows.push(closed_row("Everything else, by its name", rest::of_the_vm(vocabulary, &named)));
    let variables = if is_libvirt(vocabulary) {
        vec![
            variable::values("domain", "VM", "label_values(libvirt_domain_collection_stuck, domain)", "", false),
            variable::values(
                "uuid",
                "UUID",
                "label_values(libvirt_domain_collection_stuck{domain=\"$domain\"}, uuid)",
                "",
                false,
            ),
        ]
    } else {
        vec![
            variable::values(
                "namespace",
                "Namespace",
                "label_values(kubevirt_vmi_collection_connected, namespace)",
                "",
                false,
            ),
            variable::values(
                "name",
                "VM",
                "label_values(kubevirt_vmi_collection_connected{namespace=\"$namespace\"}, name)",
                "",
                false,
            ),
        ]
    };
    let mut events = vec![
        Events {
            name: "Migrations",
            colour: "blue",
            expression: "max by (operation) (@prefix@_job_elapsed_time_seconds{@of@,operation=~\"migration_.+\"})"
                .to_owned(),
            title: "{{operation}}",
            at_its_value: false,
        },
        Events {
            name: "Stuck",
            colour: "red",
            expression: "max(@prefix@_collection_stuck{@of@}) == 1".to_owned(),
            title: "Stuck",
            at_its_value: false,
        },
    ];
    if !is_libvirt(vocabulary) {
        events.push(Events {
            name: "Migrations that ended",
            colour: "purple",
            expression: "1000 * max by (status) (@prefix@_migration_end_time_seconds{@of@})".to_owned(),
            title: "A migration {{status}}",
            at_its_value: true,
        });
    }
    Board {
        vocabulary,
        name: "vm",
        title: "virt-otel / One VM (@system@)",
        about: "Everything that is known of one VM.",
        variables,
        events,
        rows,
    }
}
