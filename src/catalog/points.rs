//! Turns a row and a VM into points: the loop that both exporters share.

use super::attribute::{CPU, DEVICE, INTERFACE, IO_THREAD, JOB_OPERATION};
use super::{Attribute, Label, Metric, Point, Read, Value};
use crate::model::{Daemon, Reading, Since, Timestamp, Vm};

impl Metric {
    /// The attributes that its series carry, besides those that identify the VM.
    #[must_use]
    pub const fn attributes(&self) -> &'static [&'static Attribute] {
        match self.read {
            Read::Vm(_)
            | Read::Vmi(_)
            | Read::Cpu(_)
            | Read::Vcpus(_)
            | Read::Memory(_)
            | Read::MemoryAge(_)
            | Read::DirtyRate(_)
            | Read::DirtyRateAge(_)
            | Read::Migration(_)
            | Read::Daemon(_) => &[],
            Read::VmEach(attributes, _)
            | Read::VmiEach(attributes, _)
            | Read::Identified(attributes, _)
            | Read::DaemonEach(attributes, _)
            | Read::VcpuEach(attributes, _)
            | Read::JobEach(attributes, _) => attributes,
            Read::Vcpu(_) => &[&CPU],
            Read::Disk(_) => &[&DEVICE],
            Read::Nic(_) => &[&INTERFACE],
            Read::IoThread(_) => &[&IO_THREAD],
            Read::Job(_) => &[&JOB_OPERATION],
        }
    }

    /// Whether its OTLP points carry the attributes that identify the VM ([`IdentityLabels`](super::IdentityLabels)),
    /// although its Resource does too. `hypervisor_info` promises labels: they must be present even at a receiver that
    /// drops the Resource. At the Prometheus endpoint every series has them.
    #[must_use]
    pub const fn carries_identity(&self) -> bool {
        matches!(self.read, Read::Identified(..))
    }

    /// Emits every point that this row has for a VM. An absent value has none.
    pub fn points(&self, vm: &Vm, emit: &mut dyn FnMut(Point<'_>)) {
        match self.read {
            Read::Vm(read) => {
                if let Some(value) = read(vm) {
                    emit(now(&[], value));
                }
            }
            Read::VmEach(_, read) | Read::Identified(_, read) => {
                read(vm, &mut |labels, value| emit(now(labels, value)))
            }
            Read::Vmi(read) => {
                if let Some(value) = vm.vmi.as_deref().and_then(read) {
                    emit(now(&[], value));
                }
            }
            Read::VmiEach(_, read) => {
                if let Some(vmi) = &vm.vmi {
                    read(vmi, &mut |labels, value| emit(now(labels, value)));
                }
            }
            Read::Cpu(read) => single(vm.cpu.as_ref(), &[], read, emit),
            Read::Vcpus(read) => single(vm.vcpus.as_ref(), &[], read, emit),
            Read::Memory(read) => single(vm.memory.as_ref(), &[], read, emit),
            Read::MemoryAge(read) => age(vm.memory.as_ref(), read, emit),
            Read::DirtyRateAge(read) => age(vm.dirty_rate.as_ref(), read, emit),
            Read::DirtyRate(read) => single(vm.dirty_rate.as_ref(), &[], read, emit),
            Read::Job(read) => {
                if let Some(job) = &vm.job {
                    let labels = [Label::new(&JOB_OPERATION, job.value.operation.as_str())];
                    single(Some(job), &labels, read, emit);
                }
            }
            Read::JobEach(_, read) => {
                if let Some(Reading { at, start, value }) = &vm.job {
                    read(value, &mut |labels, value| emit(read_at(labels, value, *at, *start)));
                }
            }
            Read::Migration(read) => {
                if let Some(job) = vm.job.as_ref().filter(|job| job.value.operation.is_migration()) {
                    single(Some(job), &[], read, emit);
                }
            }
            Read::Vcpu(read) => {
                let Some(vcpus) = &vm.vcpus else { return };
                for Since { start, value: vcpu } in &vcpus.value.each {
                    if let Some(value) = read(vcpu) {
                        let number = Decimal::new(vcpu.number);
                        let labels = [Label::new(&CPU, number.as_str())];
                        emit(read_at(&labels, value, vcpus.at, *start));
                    }
                }
            }
            Read::VcpuEach(_, read) => {
                let Some(vcpus) = &vm.vcpus else { return };
                for Since { start, value: vcpu } in &vcpus.value.each {
                    read(vcpu, &mut |labels, value| emit(read_at(labels, value, vcpus.at, *start)));
                }
            }
            Read::Disk(read) => {
                let Some(disks) = &vm.disks else { return };
                for Since { start, value: disk } in &disks.value {
                    if let Some(value) = read(disk) {
                        let taken = |name: &str| disks.value.iter().any(|other| &*other.value.target == name);
                        let labels = [Label::new(&DEVICE, distinct(disk.drive(), &disk.target, taken))];
                        emit(read_at(&labels, value, disks.at, *start));
                    }
                }
            }
            Read::Nic(read) => {
                let Some(nics) = &vm.nics else { return };
                for Since { start, value: nic } in &nics.value {
                    if let Some(value) = read(nic) {
                        let taken = |name: &str| nics.value.iter().any(|other| &*other.value.target == name);
                        let labels = [Label::new(&INTERFACE, distinct(nic.interface(), &nic.target, taken))];
                        emit(read_at(&labels, value, nics.at, *start));
                    }
                }
            }
            Read::IoThread(read) => {
                let Some(threads) = &vm.io_threads else { return };
                for thread in &threads.value {
                    if let Some(value) = read(thread) {
                        let id = Decimal::new(thread.id);
                        let labels = [Label::new(&IO_THREAD, id.as_str())];
                        emit(read_at(&labels, value, threads.at, threads.start));
                    }
                }
            }
            Read::Daemon(_) | Read::DaemonEach(..) => {}
        }
    }

    /// Emits every point that this row has for a daemon.
    pub fn daemon_points(&self, daemon: &Daemon, emit: &mut dyn FnMut(Point<'_>)) {
        match self.read {
            Read::Daemon(read) => {
                if let Some(value) = read(daemon) {
                    emit(now(&[], value));
                }
            }
            Read::DaemonEach(_, read) => read(daemon, &mut |labels, value| emit(now(labels, value))),
            _ => {}
        }
    }
}

/// The name of a device on its series: its alias, unless that is the target of another device.
///
/// libvirt keeps aliases unique and targets unique, but lets one disk have the alias `vdb` and another the target
/// `vdb`. Duplicate series cost more than the two disks: Prometheus then rejects the whole request.
pub(super) fn distinct<'a>(name: &'a str, target: &'a str, taken: impl Fn(&str) -> bool) -> &'a str {
    if name != target && taken(name) { target } else { name }
}

const fn now<'a>(labels: &'a [Label<'a>], value: Value) -> Point<'a> {
    Point { labels, value, at: None, start: None }
}

const fn read_at<'a>(labels: &'a [Label<'a>], value: Value, at: Timestamp, start: Timestamp) -> Point<'a> {
    Point { labels, value, at: Some(at), start: Some(start) }
}

fn single<T>(
    reading: Option<&Reading<T>>,
    labels: &[Label<'_>],
    read: fn(&T) -> Option<Value>,
    emit: &mut dyn FnMut(Point<'_>),
) {
    if let Some(reading) = reading
        && let Some(value) = read(&reading.value)
    {
        emit(read_at(labels, value, reading.at, reading.start));
    }
}

fn age<T>(reading: Option<&Reading<T>>, read: fn(&T) -> Option<Timestamp>, emit: &mut dyn FnMut(Point<'_>)) {
    if let Some(reading) = reading
        && let Some(moment) = read(&reading.value)
    {
        emit(read_at(&[], reading.at.since(moment).into(), reading.at, reading.start));
    }
}

/// A number as text, without allocating: labels are made for every point of every push.
pub struct Decimal {
    digits: [u8; 10],
    start: usize,
}

impl Decimal {
    /// The decimal digits of a number.
    #[must_use]
    pub fn new(mut number: u32) -> Self {
        let mut digits = [b'0'; 10];
        let mut start = digits.len() - 1;
        loop {
            digits[start] = b'0' + u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
            if number == 0 || start == 0 {
                return Self { digits, start };
            }
            start -= 1;
        }
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[self.start..]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_those_of_the_standard_library() {
        for number in [0, 1, 9, 10, 4_095, u32::MAX] {
            assert_eq!(Decimal::new(number).as_str(), number.to_string());
        }
    }
}
