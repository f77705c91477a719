//! Disks and interfaces of one VM.

use super::super::board::{Row, row};
use super::super::panel::{lines, table};
use super::{amount, rate, several};

pub(super) fn storage() -> Row {
    let by_drive = |name: &str| rate(name, "drive");
    let latency = |kind: &str, requests: &str| {
        format!("{} / ({} > 0)", by_drive(&format!("storage_{kind}_times_seconds")), by_drive(requests))
    };
    let limit = |name: &str| amount(&format!("storage_limit_{name}_per_second"), "drive");
    row(
        "Storage",
        vec![
            lines("Latency", "How long one request takes, as QEMU sees it, while there are any.", "s")
                .query(&latency("read", "storage_iops_read"), "{{drive}} read")
                .query(&latency("write", "storage_iops_write"), "{{drive}} write")
                .query(&latency("flush", "storage_flush_requests"), "{{drive}} flush"),
            several(
                lines("Requests in flight", "On average: the time of all requests in a second.", "short"),
                &by_drive,
                &[
                    ("storage_read_times_seconds", "{{drive}} reads"),
                    ("storage_write_times_seconds", "{{drive}} writes"),
                    ("storage_flush_times_seconds", "{{drive}} flushes"),
                ],
            ),
            several(
                lines("Requests", "With the limits that the domain sets.", "iops"),
                &by_drive,
                &[
                    ("storage_iops_read", "{{drive}} read"),
                    ("storage_iops_write", "{{drive}} write"),
                    ("storage_flush_requests", "{{drive}} flush"),
                ],
            )
            .query(&limit("iops"), "{{drive}} limit")
            .query(&limit("iops_read"), "{{drive}} limit of reads")
            .query(&limit("iops_write"), "{{drive}} limit of writes"),
            several(
                lines("Throughput", "With the limits that the domain sets.", "binBps"),
                &by_drive,
                &[("storage_read_traffic_bytes", "{{drive}} read"), ("storage_write_traffic_bytes", "{{drive}} write")],
            )
            .query(&limit("traffic_bytes"), "{{drive}} limit")
            .query(&limit("read_traffic_bytes"), "{{drive}} limit of reads")
            .query(&limit("write_traffic_bytes"), "{{drive}} limit of writes"),
            table("Sizes", "As the guest sees it, what has been written to, and what is behind it.")
                .label("drive", "Disk")
                .value(&amount("storage_capacity_bytes", "drive"), "Size", "bytes")
                .value(&amount("storage_allocation_bytes", "drive"), "Written to", "bytes")
                .value(&amount("storage_physical_bytes", "drive"), "Behind it", "bytes")
                .size(8, 7),
            table("Limits", "Those that the domain sets, bursts included; per second, in bytes, requests or seconds.")
                .label("drive", "Disk")
                .label("limit", "Limit")
                .value(
                    "max by (drive, limit) (label_replace({__name__=~\"@prefix@_storage_limit_.+\",@of@}, \
                     \"limit\", \"$1\", \"__name__\", \"@prefix@_storage_limit_(.+)\"))",
                    "Value",
                    "short",
                )
                .size(8, 7),
            lines("Errors", "Few of libvirt's drivers count them.", "cps")
                .query(&by_drive("storage_errors"), "{{drive}}")
                .size(8, 7),
        ],
    )
}

pub(super) fn network() -> Row {
    let both = |title: &'static str, about: &'static str, unit: &'static str, name: &str| {
        lines(title, about, unit)
            .query(&rate(&format!("network_receive_{name}"), "interface"), "{{interface}} received")
            .query(&rate(&format!("network_transmit_{name}"), "interface"), "{{interface}} sent")
    };
    row(
        "Network",
        vec![
            both("Traffic", "The guest's directions.", "binBps", "bytes"),
            both("Packets", "", "pps", "packets"),
            both("Packets dropped", "On the host, to and from the guest.", "pps", "packets_dropped"),
            both("Errors", "", "cps", "errors"),
        ],
    )
}
