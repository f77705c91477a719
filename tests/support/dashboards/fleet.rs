//! All VMs: who runs on what, which are not well, and which are the first in what hurts.

mod figures;

use virt_otel::catalog::Vocabulary;

use super::board::{Board, Events, Row, closed_row, row};
use super::panel::{BAD, DOUBTFUL, PLAIN, Panel, Steps, lanes, lines, stacked, stat, table, text};
use super::{Token, is_libvirt, variable, with_daemon, with_host};
use figures::{LINES, LISTS, Types, both, how_many, latency, memory, of_the_top, rate, ready, sum, top, used};

/// The selector of the VMs that were chosen, and what keeps of a vector those on the hosts that were chosen: a libvirt
/// host's name is in different labels, depending on how its series come.
pub(super) const TOKENS: &[Token] = &[
    ("@placed@", "domain, uuid, host", "namespace, name, node"),
    ("@of@", r#"domain=~"$search""#, r#"namespace=~"$namespace",node=~"$node",name=~"$search""#),
    (
        "@here@",
        r#" and on (domain, uuid) (libvirt_domain_collection_stuck{libvirt_host_name=~"$host"} or libvirt_domain_collection_stuck{job=~"(?:$host)/[^/]+"} or libvirt_domain_collection_stuck{instance=~"(?:$host)(?::[0-9]+)?"})"#,
        "",
    ),
];

/// The columns that say which VM it is.
fn who(panel: Panel, vocabulary: Vocabulary) -> Panel {
    if is_libvirt(vocabulary) {
        panel.vm("domain", "VM").label("uuid", "UUID")
    } else {
        panel.label("namespace", "Namespace").vm("name", "VM").label("node", "Node")
    }
}

/// A figure over a window, its unit, and its colours.
type Figure<'a> = (&'a dyn Fn(&str) -> String, &'static str, Steps);

/// The first in a figure: a list over the window, beside lines.
fn first_in(
    vocabulary: Vocabulary,
    title: &'static str,
    about: &str,
    figure: Figure<'_>,
    device: Option<(&'static str, &'static str)>,
) -> [Panel; 2] {
    let (expression, unit, steps) = figure;
    let mut list = who(table(title, about), vocabulary);
    let mut legend = "@vm@".to_owned();
    if let Some((label, heading)) = device {
        list = list.label(label, heading);
        legend = format!("@vm@ {{{{{label}}}}}");
    }
    [
        list.value(&top(&expression(LISTS)), title, unit).coloured(steps).size(10, 8),
        lines(title, "The same over time.", unit)
            .query(&top(&expression(LINES)), &legend)
            .leading_to_the_vm()
            .size(14, 8),
    ]
}

const YES: &[(&str, &str, &str)] = &[("1", "yes", "red")];
const READY: Steps = ("green", &[(0.05, "orange"), (0.1, "red")]);
const FULL: Steps = ("green", &[(0.9, "orange"), (0.95, "red")]);
const SLOW: Steps = ("green", &[(0.02, "orange"), (0.1, "red")]);

fn now(vocabulary: Vocabulary, types: &Types) -> Row {
    let all = types.of("");
    let state = |state: &str| sum(&format!("@prefix@_state{{@of@,state=\"{state}\"}}"));
    let reached = if is_libvirt(vocabulary) {
        let up = with_daemon("libvirt_up");
        stat(
            "Daemons not reached",
            "libvirt daemons that the agent does not reach, on all hosts. Nothing new is known of their VMs.",
            "short",
            BAD,
            &format!("count(max by (host, uri) ({up}) == 0) or 0 * count({up})"),
        )
    } else {
        stat(
            "Not reached",
            "VMs whose libvirt is not reached: only what the Kubernetes API says of them is known.",
            "short",
            BAD,
            "sum(1 - max by (@id@) (@prefix@_collection_connected{@of@}))",
        )
    };
    let types_of = |kind: &str| how_many(&types.of(&format!(",hypervisor_type=\"{kind}\"")), &all);
    row(
        "Now",
        vec![
            stat(
                "VMs",
                "All that are known, running or not, each once: scraped, pushed, or both.",
                "short",
                PLAIN,
                "count(max by (@id@) (@prefix@_collection_stuck{@of@})@here@)",
            ),
            stat("Running", "", "short", PLAIN, &state("running")),
            stat("On KVM", "", "short", PLAIN, &types_of("kvm")),
            stat("Emulated", "They run without KVM, many times slower.", "short", DOUBTFUL, &types_of("qemu-tcg")),
            stat(
                "Emulated, and KVM is there",
                "As the alert VirtOtelVMEmulated has it: other VMs of the same host run on KVM. In a cluster also those whose \
                 label hypervisor says kvm, if that label is allowed (vmiLabels).",
                "short",
                BAD,
                &how_many(&types.unexpected(), &all),
            ),
            stat(
                "Type unknown",
                "What runs them could not be found out; see the runbook.",
                "short",
                DOUBTFUL,
                &types_of("unknown"),
            ),
            stat(
                "Stuck",
                "A call into their QEMU hangs past its deadline, or somebody else's job has kept the agent out for long.",
                "short",
                BAD,
                &sum("@prefix@_collection_stuck{@of@}"),
            ),
            reached,
            stat(
                "Paused by an I/O error",
                "A disk of theirs failed or is full.",
                "short",
                BAD,
                "count(max by (@id@) (@prefix@_state_reason{@of@,state=\"paused\",reason=\"ioerror\"})@here@) \
                 or 0 * count(max by (@id@) (@prefix@_state_reason{@of@}))",
            ),
            stat("Crashed", "", "short", BAD, &state("crashed")),
            stat(
                "Migrating",
                "On their way to another host.",
                "short",
                PLAIN,
                "count(max by (@id@) (@prefix@_job_elapsed_time_seconds{@of@,operation=\"migration_out\"})@here@) \
                 or 0 * count(max by (@id@) (@prefix@_collection_stuck{@of@}))",
            ),
            stat(
                "Read in part",
                "The last reading did not give every group of statistics; see the runbook.",
                "short",
                DOUBTFUL,
                "sum(1 - max by (@id@) (@prefix@_collection_success{@of@})@here@)",
            ),
        ],
    )
}

fn hypervisors(vocabulary: Vocabulary, types: &Types) -> Row {
    let emulated = types.of(r#",hypervisor_type="qemu-tcg""#);
    let (label, host) = if is_libvirt(vocabulary) { ("host", "Host") } else { ("node", "Node") };
    let list = table(
        "Emulated VMs",
        "Those that run without KVM, and whether it is expected there: another VM of the host runs on KVM, or the VM's own label \
         says so.",
    );
    let list = if is_libvirt(vocabulary) { who(list, vocabulary).label("host", host) } else { who(list, vocabulary) };
    let per_host = |kind: &str| format!("count by (@host@) ({})", types.of(&format!(",hypervisor_type=\"{kind}\"")));
    row(
        "Who runs on what",
        vec![
            list.label("hypervisor_type", "Type")
                .value(&types.unexpected(), "KVM expected", "none")
                .called(YES)
                .value(&emulated, "Emulated", "none")
                .called(&[("1", "yes", "orange")])
                .size(12, 9),
            table("VMs of each host", "How many run on KVM, emulated, or on what is not known.")
                .label(label, host)
                .value(&per_host("qemu-tcg"), "Emulated", "short")
                .coloured(DOUBTFUL)
                .value(&per_host("kvm"), "KVM", "short")
                .value(&per_host("unknown"), "Unknown", "short")
                .coloured(DOUBTFUL)
                .size(12, 9),
            stacked("VMs by hypervisor", "", "short")
                .query(&format!("count by (hypervisor_type) ({})", types.of("")), "{{hypervisor_type}}")
                .size(12, 7),
            stacked("VMs by state", "", "short")
                .query("sum by (state) (max by (@id@, state) (@prefix@_state{@of@})@here@) > 0", "{{state}}")
                .size(12, 7),
        ],
    )
}

/// A lane for each VM while something holds.
fn trouble(vocabulary: Vocabulary) -> Row {
    let mut panel = lanes("VMs that are not well", "When a VM is stuck, crashed, or paused by an I/O error.", &[])
        .query("max by (@id@) (@prefix@_collection_stuck{@of@}) == 1@here@", "@vm@ stuck")
        .query("max by (@id@) (@prefix@_state{@of@,state=\"crashed\"}) == 1@here@", "@vm@ crashed")
        .query(
            "max by (@id@) (@prefix@_state_reason{@of@,state=\"paused\",reason=\"ioerror\"}) == 1@here@",
            "@vm@ paused by an I/O error",
        );
    if !is_libvirt(vocabulary) {
        panel = panel.query("max by (@id@) (@prefix@_collection_connected{@of@}) == 0", "@vm@ not reached");
    }
    row("Trouble", vec![panel.leading_to_the_vm().size(24, 7)])
}

fn processors(vocabulary: Vocabulary) -> Row {
    let steal = first_in(
        vocabulary,
        "CPU ready",
        "The part of the time in which a vCPU could have run and the host ran something else, on average over the VM's vCPUs. \
         The guest sees it as steal. From 5 % on users notice it.",
        (&ready, "percentunit", READY),
        None,
    );
    let use_of = first_in(
        vocabulary,
        "CPU used",
        "The part of its vCPUs that a VM uses, QEMU's own threads included: with those it may be more than 100 %.",
        (&used, "percentunit", PLAIN),
        None,
    );
    row("CPU", steal.into_iter().chain(use_of).collect())
}

fn pressure(vocabulary: Vocabulary) -> Row {
    let faults = |window: &str| format!("{}@here@", rate("memory_pgmajfault", "", window));
    row(
        "Memory",
        vec![
            text(
                24,
                2,
                "What a guest uses of its memory only the guest knows: these panels show VMs with a **balloon driver** in the guest \
                 and a statistics period on the balloon device (`<memballoon><stats period='10'/></memballoon>`; KubeVirt sets \
                 it). The others are missing here, not at 0.",
            ),
            who(
                table("Memory used", "The part of its memory that the guest could not reclaim without swapping."),
                vocabulary,
            )
            .value(&top(&memory()), "Used", "percentunit")
            .coloured(FULL)
            .value(&of_the_top(&faults(LISTS), &memory(), ""), "Major faults", "cps")
            .coloured(("green", &[(5.0, "red")]))
            .size(10, 8),
            lines("Memory used", "The same over time.", "percentunit")
                .query(&top(&memory()), "@vm@")
                .up_to_one()
                .leading_to_the_vm()
                .size(14, 8),
            lines(
                "Major page faults",
                "Pages that guests had to read from disk: with full memory a sign of pressure.",
                "cps",
            )
            .query(&top(&faults(LINES)), "@vm@")
            .leading_to_the_vm(),
            lines("Swapped by guests", "What guests read back from swap and wrote to it.", "binBps")
                .query(
                    &top("max by (@id@) (rate(@prefix@_memory_swap_in_traffic_bytes{@of@}[$__rate_interval])) \
                         + max by (@id@) (rate(@prefix@_memory_swap_out_traffic_bytes{@of@}[$__rate_interval]))@here@"),
                    "@vm@",
                )
                .leading_to_the_vm(),
        ],
    )
}

fn storage(vocabulary: Vocabulary) -> Row {
    let drive = Some(("drive", "Disk"));
    let read = first_in(
        vocabulary,
        "Read latency",
        "How long one read request takes, as QEMU sees it, while there are any.",
        (&|window| latency("storage_read_times_seconds", "storage_iops_read", window), "s", SLOW),
        drive,
    );
    let write = first_in(
        vocabulary,
        "Write latency",
        "How long one write request takes, as QEMU sees it, while there are any.",
        (&|window| latency("storage_write_times_seconds", "storage_iops_write", window), "s", SLOW),
        drive,
    );
    let busy = [
        lines("Requests", "Reads and writes of all disks of a VM.", "iops")
            .query(&top(&both("storage_iops_read", "storage_iops_write", ", drive", LINES)), "@vm@")
            .leading_to_the_vm(),
        lines("Throughput", "Reads and writes of all disks of a VM.", "binBps")
            .query(&top(&both("storage_read_traffic_bytes", "storage_write_traffic_bytes", ", drive", LINES)), "@vm@")
            .leading_to_the_vm(),
    ];
    row("Storage", read.into_iter().chain(write).chain(busy).collect())
}

fn network() -> Row {
    row(
        "Network",
        vec![
            lines("Traffic", "Both directions of all interfaces of a VM.", "binBps")
                .query(&top(&both("network_receive_bytes", "network_transmit_bytes", ", interface", LINES)), "@vm@")
                .leading_to_the_vm(),
            lines("Packets dropped", "Both directions of all interfaces of a VM.", "pps")
                .query(
                    &top(&both(
                        "network_receive_packets_dropped",
                        "network_transmit_packets_dropped",
                        ", interface",
                        LINES,
                    )),
                    "@vm@",
                )
                .leading_to_the_vm(),
        ],
    )
}

/// Jobs that move a VM to another host, which the host that it leaves has.
const OUT: &str = "@of@,operation=\"migration_out\"";

fn migrations(vocabulary: Vocabulary) -> Row {
    let job = |name: &str| format!("max by (@id@) (@prefix@_job_{name}{{{OUT}}})@here@");
    let done = format!(
        "max by (@id@) (@prefix@_job_data_processed_bytes{{{OUT}}}) / (max by (@id@) (@prefix@_job_data_bytes{{{OUT}}}) > 0)@here@"
    );
    let mut panels = vec![
        who(
            table(
                "Migrations that run",
                "A migration whose guest dirties memory as fast as it moves does not end by itself.",
            ),
            vocabulary,
        )
        .value(&job("elapsed_time_seconds"), "For", "s")
        .value(&done, "Moved", "percentunit")
        .value(&job("memory_iteration"), "Round", "short")
        .value(&job("memory_rate_bytes_per_second"), "Speed", "binBps")
        .value(&job("memory_dirty_rate_bytes_per_second"), "Dirtied", "binBps")
        .value(&job("downtime_seconds"), "Expected downtime", "s")
        .size(24, 7),
        lines("Left to move", "", "bytes").query(&job("data_remaining_bytes"), "@vm@").leading_to_the_vm(),
        lines("Speed, and what is dirtied", "", "binBps")
            .query(&job("memory_rate_bytes_per_second"), "@vm@ moved")
            .query(&job("memory_dirty_rate_bytes_per_second"), "@vm@ dirtied")
            .leading_to_the_vm(),
    ];
    if !is_libvirt(vocabulary) {
        let ended = |status: &str| {
            format!(
                "1000 * max by (namespace, name) (kubevirt_vmi_migration_end_time_seconds{{@of@,status=\"{status}\"}} \
                 > time() - $__range_s)"
            )
        };
        panels.push(
            table(
                "Migrations that ended",
                "The last one of each VM, if it ended within the time range, as the Kubernetes API says.",
            )
            .label("namespace", "Namespace")
            .vm("name", "VM")
            .value(&ended("failed"), "Failed", "dateTimeFromNow")
            .coloured(("red", &[]))
            .value(&ended("succeeded"), "Succeeded", "dateTimeFromNow")
            .size(24, 7),
        );
    }
    row("Migrations", panels)
}

fn every_vm(vocabulary: Vocabulary, types: &Types) -> Row {
    let list = table("All VMs", "Each leads to its own dashboard.");
    let list = who(list, vocabulary);
    let list = if is_libvirt(vocabulary) {
        list.label("host", "Host")
    } else {
        list.label("phase", "Phase")
            .label("guest_os_name", "Guest OS")
            .facts("max by (@id@, phase, guest_os_name) (kubevirt_vmi_info{@of@})")
    };
    // What does not run has no type.
    let state = "max by (@id@, state, reason) (@prefix@_state_reason{@of@})@here@";
    closed_row(
        "All VMs",
        vec![
            list.label("state", "State")
                .label("reason", "Reason")
                .label("hypervisor_type", "Hypervisor")
                .value(&used(LISTS), "CPU used", "percentunit")
                .value(&ready(LISTS), "CPU ready", "percentunit")
                .coloured(READY)
                .value("max by (@id@) (@prefix@_vcpu_current{@of@})@here@", "vCPUs", "short")
                .value("max by (@id@) (@prefix@_memory_actual_balloon_bytes{@of@})@here@", "Memory", "bytes")
                .value(&memory(), "Memory used", "percentunit")
                .coloured(FULL)
                .value("max by (@id@) (@prefix@_memory_resident_bytes{@of@})@here@", "On the host", "bytes")
                .value("max by (@id@) (@prefix@_collection_stuck{@of@})@here@", "Stuck", "none")
                .called(&[("1", "yes", "red"), ("0", "no", "green")])
                .facts(state)
                .facts(&types.of(""))
                .size(24, 16),
        ],
    )
}

pub(super) fn board(vocabulary: Vocabulary) -> Board {
    let types = Types { vocabulary };
    let mut variables = Vec::new();
    let mut events = vec![Events {
        name: "Migrations",
        colour: "blue",
        expression: "max by (@id@) (@prefix@_job_elapsed_time_seconds{@of@,operation=\"migration_out\"})@here@"
            .to_owned(),
        title: "@vm@ migrates",
        at_its_value: false,
    }];
    if is_libvirt(vocabulary) {
        let hosts =
            format!("query_result(group by (host) ({}))", with_host(vocabulary, "libvirt_domain_collection_stuck", ""));
        variables.push(variable::values("host", "Host", &hosts, "/host=\"([^\"]+)\"/", true));
    } else {
        let known = |label: &str, of: &str| format!("label_values(kubevirt_vmi_collection_connected{of}, {label})");
        variables.push(variable::values("namespace", "Namespace", &known("namespace", ""), "", true));
        let nodes = known("node", "{namespace=~\"$namespace\"}");
        variables.push(variable::values("node", "Node", &nodes, "", true));
        events.push(Events {
            name: "Migrations that failed",
            colour: "red",
            expression:
                "1000 * max by (namespace, name) (kubevirt_vmi_migration_end_time_seconds{@of@,status=\"failed\"})"
                    .to_owned(),
            title: "A migration of @vm@ failed",
            at_its_value: true,
        });
    }
    variables.push(variable::typed("search", "VM (regular expression)", ".*"));
    variables.push(variable::choice("top", "First", &["5", "10", "20", "50"], "10"));
    variables.push(variable::choice("window", "Lists look back", &["1m", "5m", "15m", "1h", "6h"], "5m"));
    Board {
        vocabulary,
        name: "fleet",
        title: "virt-otel / Fleet (@system@)",
        about: "All VMs: who runs on what hypervisor, which are not well, and which are the first in what hurts.",
        variables,
        events,
        rows: vec![
            now(vocabulary, &types),
            trouble(vocabulary),
            hypervisors(vocabulary, &types),
            processors(vocabulary),
            pressure(vocabulary),
            storage(vocabulary),
            network(),
            migrations(vocabulary),
            every_vm(vocabulary, &types),
        ],
    }
}
