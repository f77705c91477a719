//! `virt-otel snapshot`: the table for people.

use std::fmt::Write;

use crate::model::{Bytes, Collection, Daemon, Identity, State, Status, Vm, disturbs};
use crate::snapshot::Snapshot;

/// The columns, with their maximum widths; a line has at most 120 characters.
const COLUMNS: [(&str, usize); 8] = [
    ("NAME", 24),
    ("STATE", 22),
    ("HYPERVISOR", 10),
    ("VCPUS", 5),
    ("MEM USED/TOTAL", 14),
    ("DISK R/W", 11),
    ("NET RX/TX", 11),
    ("READ", 7),
];

/// Stands for an unknown value.
pub(super) const ABSENT: &str = "-";

/// A snapshot as text: a line for each daemon, then a table with a line for each VM. Unknown values are `-`.
///
/// Amounts of data are since the VM's start, in powers of 1024 (`1.5G`).
#[must_use]
pub fn table(snapshot: &Snapshot) -> String {
    let mut out = daemons(snapshot);
    if snapshot.vms.is_empty() {
        return out;
    }
    let rows: Vec<[String; COLUMNS.len()]> = snapshot.vms.iter().map(|vm| row(vm)).collect();
    let mut widths = COLUMNS.map(|(title, _)| title.chars().count());
    for row in &rows {
        for ((width, cell), (_, max)) in widths.iter_mut().zip(row).zip(COLUMNS) {
            *width = cell.chars().count().clamp(*width, max.max(*width));
        }
    }
    if !out.is_empty() {
        out.push('\n');
    }
    push_line(&COLUMNS.map(|(title, _)| title), &widths, &mut out);
    for row in &rows {
        push_line(&row.each_ref().map(String::as_str), &widths, &mut out);
    }
    out
}

/// A line for each daemon.
pub(super) fn daemons(snapshot: &Snapshot) -> String {
    let mut out = String::new();
    for daemon in &snapshot.daemons {
        push_daemon(daemon, &mut out);
    }
    out
}

// Writing into a string cannot fail, so the results of `write!` are dropped here.
fn push_daemon(daemon: &Daemon, out: &mut String) {
    out.push_str(&printable(&daemon.id.0));
    out.push_str(if daemon.up { ": up" } else { ": down" });
    if let Some(facts) = &daemon.facts {
        let _ = write!(out, ", host {}", printable(&facts.host_name));
        if let Some(version) = facts.libvirt {
            let _ = write!(out, ", libvirt {version}");
        }
        if let Some(version) = facts.hypervisor {
            let _ = write!(out, ", {} {version}", printable(&facts.driver));
        }
    }
    for (state, count) in State::ALL.iter().zip(daemon.domains.iter().flatten()).filter(|(_, count)| **count > 0) {
        let _ = write!(out, ", {count} {}", state.as_str());
    }
    out.push('\n');
}

fn push_line(cells: &[&str; COLUMNS.len()], widths: &[usize; COLUMNS.len()], out: &mut String) {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        let _ = write!(line, "{:width$}  ", cut(cell, *width));
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

fn row(vm: &Vm) -> [String; COLUMNS.len()] {
    [
        name(&vm.identity),
        vm.status.map_or_else(absent, Status::shown),
        vm.hypervisor.map_or_else(absent, |hypervisor| hypervisor.as_str().to_owned()),
        vm.vcpus.as_ref().and_then(|vcpus| vcpus.value.current).map_or_else(absent, |current| current.to_string()),
        memory(vm),
        pair(
            vm.disks.as_ref().and_then(|disks| sum(disks.value.iter().map(|disk| disk.value.read_bytes))),
            vm.disks.as_ref().and_then(|disks| sum(disks.value.iter().map(|disk| disk.value.write_bytes))),
        ),
        pair(
            vm.nics.as_ref().and_then(|nics| sum(nics.value.iter().map(|nic| nic.value.receive_bytes))),
            vm.nics.as_ref().and_then(|nics| sum(nics.value.iter().map(|nic| nic.value.transmit_bytes))),
        ),
        collection(&vm.collection).to_owned(),
    ]
}

/// What people call it, as a terminal takes it.
pub(super) fn name(identity: &Identity) -> String {
    printable(&identity.shown())
}

/// What the guest itself reports as used, and what it has. QEMU's memory on the host is something else, and is not
/// shown instead.
pub(super) fn memory(vm: &Vm) -> String {
    let Some(memory) = vm.memory.as_ref().map(|reading| &reading.value) else { return absent() };
    pair(memory.used(), memory.current)
}

pub(super) const fn collection(collection: &Collection) -> &'static str {
    match (collection.stuck, collection.complete) {
        (true, _) => "stuck",
        (false, Some(true)) => "ok",
        (false, Some(false)) => "partial",
        (false, None) => ABSENT,
    }
}

/// The sum of those values that are known; `None` if none is.
fn sum(values: impl Iterator<Item = Option<Bytes>>) -> Option<Bytes> {
    values.flatten().reduce(|Bytes(one), Bytes(other)| Bytes(one.saturating_add(other)))
}

fn pair(one: Option<Bytes>, other: Option<Bytes>) -> String {
    match (one, other) {
        (None, None) => absent(),
        _ => format!("{}/{}", one.map_or_else(absent, humane), other.map_or_else(absent, humane)),
    }
}

/// Bytes in the largest power of 1024 that leaves a whole part, with a decimal below 10.
pub(super) fn humane(Bytes(bytes): Bytes) -> String {
    const SUFFIXES: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    if bytes < 1_024 {
        return format!("{bytes}B");
    }
    // Tenths of the unit, rounded to the nearest. In u128 ten times u64::MAX fits.
    let mut unit: u128 = 1_024;
    for suffix in SUFFIXES {
        let tenths = (u128::from(bytes) * 10 + unit / 2) / unit;
        if tenths < 100 {
            return format!("{}.{}{suffix}", tenths / 10, tenths % 10);
        }
        let whole = (u128::from(bytes) + unit / 2) / unit;
        if whole < 1_024 {
            return format!("{whole}{suffix}");
        }
        unit *= 1_024;
    }
    // Not reached: 2^64 bytes are 16 of the last unit.
    format!("{bytes}B")
}

pub(super) fn absent() -> String {
    ABSENT.to_owned()
}

/// External text, without characters that could move a terminal's cursor or turn the direction of writing.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|letter| if disturbs(letter) { '?' } else { letter }).collect()
}

/// The text, cut to a width; an ellipsis marks a cut.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{testing::sample, testing::vmis};

    #[test]
    fn shows_each_vm_in_one_line() {
        let mut snapshot = sample::snapshot();
        snapshot.daemons.push(Arc::new(sample::dead_daemon("qemu+ssh://other/system")));
        let expected = "\
qemu:///system: up, host kvm-17.example.org, libvirt 9.0.0, QEMU 7.2.15, 3 running, 1 paused, 1 shutoff
qemu+ssh://other/system: down

NAME               STATE               HYPERVISOR  VCPUS  MEM USED/TOTAL  DISK R/W   NET RX/TX  READ
web-1              running             kvm         2      570M/2.0G       3.0G/512M  128M/64M   ok
db-1               paused (ioerror)    qemu-tcg    -      -               -          -          stuck
mover              running             kvm         -      -               -          -          ok
a \"quoted\" \\ näme  running             unknown     -      -               -          -          -
old-1              shutoff (shutdown)  -           -      -               -          -          ok
";
        assert_eq!(table(&snapshot), expected);
    }

    #[test]
    fn vms_under_kubevirt_are_called_by_namespace_and_name() {
        let text = table(&Snapshot { vms: vec![Arc::new(vmis::unreachable())].into(), ..Snapshot::default() });
        assert!(text.contains("\nshop/lost-1  -      unknown "), "{text}");
    }

    #[test]
    fn fits_a_terminal_whatever_the_names_are() {
        let mut vm = sample::running();
        let mut identity = (*vm.identity).clone();
        identity.name = format!("\u{1b}[2J{}", "x".repeat(300)).into();
        vm.identity = Arc::new(identity);
        let text = table(&Snapshot { vms: vec![Arc::new(vm)].into(), ..Snapshot::default() });
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(text.contains('…'), "{text}");
    }

    #[test]
    fn the_widest_table_fits_120_characters() {
        let width: usize = COLUMNS.iter().map(|(title, max)| (*max).max(title.len())).sum();
        assert!(width + 2 * (COLUMNS.len() - 1) <= 120, "{width}");
    }

    #[test]
    fn nothing_known_is_an_empty_text() {
        assert_eq!(table(&Snapshot::default()), "");
    }

    #[test]
    fn amounts_are_short_and_never_zero_for_something() {
        for (bytes, expected) in [
            (0, "0B"),
            (1_023, "1023B"),
            (1_024, "1.0K"),
            (1_536, "1.5K"),
            (10 * 1_024, "10K"),
            (1_024 * 1_024 - 1, "1.0M"),
            (2_048 * 1_024 * 1_024, "2.0G"),
            (u64::MAX, "16E"),
        ] {
            assert_eq!(humane(Bytes(bytes)), expected, "{bytes}");
        }
    }
}
