//! The groups with numbered items: vcpu, net, block, iothread.

use std::collections::HashSet;
use std::sync::Arc;

use crate::model::{Disk, IoThread, Nic, Vcpu, VcpuState};
use crate::source::VcpuStats;

use super::Value;
use super::numbered::{self, Numbered};
use super::value::{self, Fit};

/// vCPUs of this number and above are ignored: KVM gives no guest more on any architecture.
pub const MAX_VCPUS: u32 = 4096;

/// The most disks, the most interfaces and the most I/O threads that are decoded per domain: more than a machine has
/// slots for, and few enough that a daemon that invents some cannot flood a backend with series.
pub const MAX_DEVICES: usize = 1024;

/// `vcpu.*`
#[derive(Debug)]
pub(super) struct Vcpus {
    current: Option<u64>,
    maximum: Option<u64>,
    each: Numbered<Vcpu>,
    /// Whether a field is present that only QEMU knows.
    pub(super) from_monitor: bool,
}

impl Default for Vcpus {
    fn default() -> Self {
        // `take` only accepts numbers below MAX_VCPUS.
        Self { current: None, maximum: None, each: Numbered::new(usize::MAX), from_monitor: false }
    }
}

impl Vcpus {
    pub(super) fn take(&mut self, rest: &str, value: &Value<'_>) -> Fit {
        match rest {
            "current" => return value::count(value, &mut self.current),
            "maximum" => return value::count(value, &mut self.maximum),
            _ => {}
        }
        let Some((number, field)) = numbered::split(rest) else { return Fit::Unknown };
        let Some(vcpu) = (number < MAX_VCPUS).then(|| self.each.entry(number)).flatten() else { return Fit::Beyond };
        match field {
            "time" => value::nanos(value, &mut vcpu.time),
            "wait" => value::nanos(value, &mut vcpu.wait),
            "delay" => value::nanos(value, &mut vcpu.delay),
            "state" => {
                let mut state = None;
                let fit = value::number(value, &mut state);
                vcpu.state = state.map(VcpuState::from_libvirt);
                fit
            }
            "halted" => {
                self.from_monitor = true;
                value::flag(value, &mut vcpu.halted)
            }
            // KVM's own counters, named by the kernel: an open set.
            _ if [".sum", ".cur", ".max"].iter().any(|suffix| field.ends_with(suffix)) => {
                self.from_monitor = true;
                Fit::LeftOut
            }
            _ => Fit::Unknown,
        }
    }

    /// `None` if the answer has no vCPUs.
    pub(super) fn finish(self) -> Option<VcpuStats> {
        if self.current.is_none() && self.maximum.is_none() && self.each.is_empty() {
            return None;
        }
        let each = self.each.into_iter().map(|(number, vcpu)| Vcpu { number, ..vcpu }).collect();
        Some(VcpuStats { current: self.current, maximum: self.maximum, each })
    }
}

/// Numbered devices of one kind.
#[derive(Debug)]
pub(super) struct Devices<T> {
    /// The group's count is in the answer.
    counted: bool,
    each: Numbered<T>,
}

impl<T: Default> Default for Devices<T> {
    fn default() -> Self {
        Self { counted: false, each: Numbered::new(MAX_DEVICES) }
    }
}

impl<T: Default> Devices<T> {
    /// Takes `count`, or decodes a device's field with `field`.
    pub(super) fn take(
        &mut self,
        rest: &str,
        value: &Value<'_>,
        field: impl FnOnce(&mut T, &str, &Value<'_>) -> Fit,
    ) -> Fit {
        if rest == "count" {
            // The number is not trusted: the devices that follow are counted.
            self.counted = true;
            return value::count(value, &mut None);
        }
        let Some((number, name)) = numbered::split(rest) else { return Fit::Unknown };
        self.each.entry(number).map_or(Fit::Beyond, |device| field(device, name, value))
    }

    /// Whether the group is in the answer.
    pub(super) fn answered(&self) -> bool {
        self.counted || !self.each.is_empty()
    }

    /// The devices by ascending number. Unnamed ones (libvirt cannot monitor them) are left out, and so are those with
    /// the name of an earlier one: a disk's backing files follow it under its own name.
    pub(super) fn named(self, name: impl Fn(&T) -> &Arc<str>) -> Vec<T> {
        let mut names = HashSet::new();
        let devices = self.each.into_iter().map(|(_, device)| device);
        devices.filter(|device| !name(device).is_empty() && names.insert(Arc::clone(name(device)))).collect()
    }
}

/// `block.<number>.*`
pub(super) fn block(disk: &mut Disk, field: &str, value: &Value<'_>) -> Fit {
    match field {
        "name" => value::name(value, &mut disk.target),
        "rd.reqs" => value::count(value, &mut disk.read_requests),
        "rd.bytes" => value::bytes(value, &mut disk.read_bytes),
        "rd.times" => value::nanos(value, &mut disk.read_time),
        "wr.reqs" => value::count(value, &mut disk.write_requests),
        "wr.bytes" => value::bytes(value, &mut disk.write_bytes),
        "wr.times" => value::nanos(value, &mut disk.write_time),
        "fl.reqs" => value::count(value, &mut disk.flush_requests),
        "fl.times" => value::nanos(value, &mut disk.flush_time),
        "errors" => value::count(value, &mut disk.errors),
        "capacity" => value::bytes(value, &mut disk.capacity),
        "allocation" => value::bytes(value, &mut disk.allocation),
        "physical" => value::bytes(value, &mut disk.physical),
        "path" | "backingIndex" | "threshold" => Fit::LeftOut,
        _ if ["limits.", "latency_histogram.", "timed_group."].iter().any(|prefix| field.starts_with(prefix)) => {
            Fit::LeftOut
        }
        _ => Fit::Unknown,
    }
}

/// Whether a disk has figures beside its name. For a busy domain, libvirt returns only the names.
pub(super) fn has_figures(disk: &Disk) -> bool {
    disk.read_requests.is_some() || disk.capacity.is_some() || disk.physical.is_some()
}

/// `net.<number>.*`
pub(super) fn net(nic: &mut Nic, field: &str, value: &Value<'_>) -> Fit {
    match field {
        "name" => value::name(value, &mut nic.target),
        "rx.bytes" => value::bytes(value, &mut nic.receive_bytes),
        "rx.pkts" => value::count(value, &mut nic.receive_packets),
        "rx.errs" => value::count(value, &mut nic.receive_errors),
        "rx.drop" => value::count(value, &mut nic.receive_drops),
        "tx.bytes" => value::bytes(value, &mut nic.transmit_bytes),
        "tx.pkts" => value::count(value, &mut nic.transmit_packets),
        "tx.errs" => value::count(value, &mut nic.transmit_errors),
        "tx.drop" => value::count(value, &mut nic.transmit_drops),
        _ => Fit::Unknown,
    }
}

/// `iothread.<id>.*`
pub(super) fn iothread(thread: &mut IoThread, field: &str, value: &Value<'_>) -> Fit {
    match field {
        "poll-max-ns" => value::nanos(value, &mut thread.poll_max),
        "poll-grow" => value::count(value, &mut thread.poll_grow),
        "poll-shrink" => value::count(value, &mut thread.poll_shrink),
        "poll-weight" => Fit::LeftOut,
        _ => Fit::Unknown,
    }
}

/// The I/O threads by ascending id.
pub(super) fn iothreads(threads: Devices<IoThread>) -> Vec<IoThread> {
    threads.each.into_iter().map(|(id, thread)| IoThread { id, ..thread }).collect()
}
