//! The table of the VMs.

use std::cmp::Reverse;
use std::fmt::Write as _;

use super::html::{ABSENT, escaped, span};
use crate::admin::content;
use crate::admin::limits::ROWS;
use crate::model::{Bytes, HypervisorType, Memory, Status, Vm};
use crate::rates::Rates;

/// How much a VM should be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Concern {
    /// None.
    Well,
    /// It is emulated.
    Emulated,
    /// It, or a part of it, cannot be read.
    Unread,
}

impl Concern {
    pub(super) fn of(vm: &Vm) -> Self {
        if why_not(vm).is_some() {
            Self::Unread
        } else if vm.hypervisor == Some(HypervisorType::QemuTcg) {
            Self::Emulated
        } else {
            Self::Well
        }
    }

    /// The class of its row.
    const fn class(self) -> &'static str {
        match self {
            Self::Well => "",
            Self::Emulated => " class=\"emulated\"",
            Self::Unread => " class=\"unread\"",
        }
    }
}

/// Why it, or a part of it, could not be read; `None` if all was.
fn why_not(vm: &Vm) -> Option<String> {
    let collection = &vm.collection;
    if collection.connected == Some(false) {
        let reason = collection.reason.as_deref().map(|reason| format!(": {}", escaped(reason)));
        return Some(format!("its libvirt cannot be reached{}", reason.unwrap_or_default()));
    }
    if collection.stuck {
        return Some("its QEMU does not answer, or a job keeps it busy".to_owned());
    }
    if vm.hypervisor == Some(HypervisorType::Unknown) {
        return Some("libvirt has not said what runs it".to_owned());
    }
    (collection.complete == Some(false)).then(|| "a part of it did not answer".to_owned())
}

/// A row for each VM, those that should be looked at first.
pub(super) fn table(status: &content::Status, html: &mut String) {
    let none = Rates::default();
    let rates = status.rates.iter().chain(std::iter::repeat(&none));
    let mut vms: Vec<_> =
        status.snapshot.vms.iter().zip(rates).map(|(vm, rates)| (Concern::of(vm), vm, rates)).collect();
    vms.sort_by_cached_key(|(concern, vm, _)| (Reverse(*concern), vm.identity.shown()));
    html.push_str(
        "<div class=\"wide\"><table>\n<caption>VMs, those to look at first</caption>\n<thead><tr><th scope=\"col\">Name\
         <th scope=\"col\">State<th scope=\"col\">Hypervisor<th scope=\"col\">CPU %<th scope=\"col\">Memory used / total\
         <th scope=\"col\">Read<th scope=\"col\">Why not</tr></thead>\n<tbody>\n",
    );
    for (concern, vm, rates) in vms.iter().take(ROWS) {
        row(*concern, vm, rates, status, html);
    }
    html.push_str("</tbody></table></div>\n");
    if let Some(more) = vms.len().checked_sub(ROWS).filter(|more| *more > 0) {
        let _ = writeln!(html, "<p>and {more} more, all of them after these by name; /metrics has every one.</p>");
    }
}

fn row(concern: Concern, vm: &Vm, rates: &Rates, status: &content::Status, html: &mut String) {
    let absent = || ABSENT.to_owned();
    let state = vm.status.map_or_else(absent, Status::shown);
    let hypervisor = vm.hypervisor.map_or(ABSENT, |hypervisor| hypervisor.as_str());
    let cpu = rates.cpu.map_or_else(absent, |cpu| format!("{:.0}", cpu * 100.0));
    let memory = vm.memory.as_ref().map_or_else(absent, |memory| memory_of(&memory.value));
    let age = vm.newest().map_or_else(absent, |newest| {
        format!("{} ago", span(status.snapshot.published.since(newest) + status.state.snapshot_age.unwrap_or_default()))
    });
    let _ = writeln!(
        html,
        "<tr{}><th scope=\"row\">{}<td>{state}<td>{hypervisor}<td>{cpu}<td>{memory}<td>{age}<td>{}</tr>",
        concern.class(),
        escaped(&vm.identity.shown()),
        why_not(vm).unwrap_or_default(),
    );
}

/// What the guest itself reports as used, and what it has.
fn memory_of(memory: &Memory) -> String {
    let mebibytes = |bytes: Option<Bytes>| {
        bytes.map_or_else(|| ABSENT.to_owned(), |Bytes(bytes)| format!("{} MiB", bytes.div_ceil(1_024 * 1_024)))
    };
    format!("{} / {}", mebibytes(memory.used()), mebibytes(memory.current))
}
