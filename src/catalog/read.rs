//! How rows are read: a variant for each thing that a row may be about, with its group, its attributes and its points.

use super::attribute::{CPU, DEVICE, INTERFACE, IO_THREAD, JOB_OPERATION};
use super::{Attribute, Emit, Entity, Label, Metric, Point, Value, Vocabulary};
use crate::model::{
    Cpu, Daemon, DirtyRate, Disk, Group, IoThread, Job, Memory, Nic, Reading, Since, Timestamp, Vcpu, Vcpus, Vm, Vmi,
};

/// How a row is read. The variant determines what the series belong to, and so which attributes they carry and when
/// they were read.
#[derive(Debug)]
pub enum Read {
    /// One series per VM, true at the time of the export.
    Vm(fn(&Vm) -> Option<Value>),
    /// Any number of series per VM with these attributes, true at the time of the export.
    VmEach(&'static [&'static Attribute], fn(&Vm, Emit<'_>)),
    /// Like [`Read::VmEach`]; over OTLP its points also carry the attributes that identify the VM (see
    /// [`Metric::carries_identity`]).
    Identified(&'static [&'static Attribute], fn(&Vm, Emit<'_>)),
    /// One series per domain of a libvirt host, true at the time of the export. Not under KubeVirt.
    Domain(fn(&Vm) -> Option<Value>),
    /// Any number of series per domain of a libvirt host with these attributes, true at the time of the export.
    DomainEach(&'static [&'static Attribute], fn(&Vm, Emit<'_>)),
    /// One series per VMI, from the Kubernetes API; true at the time of the export. Only under KubeVirt.
    Vmi(fn(&Vmi) -> Option<Value>),
    /// Any number of series per VMI with these attributes, from the Kubernetes API.
    VmiEach(&'static [&'static Attribute], fn(&Vmi, Emit<'_>)),
    /// One series per VM, from the group `cpu`.
    Cpu(fn(&Cpu) -> Option<Value>),
    /// One series per VM, from the group `vcpu`.
    Vcpus(fn(&Vcpus) -> Option<Value>),
    /// One series per vCPU.
    Vcpu(fn(&Vcpu) -> Option<Value>),
    /// One series per vCPU and value of a further attribute.
    VcpuEach(&'static [&'static Attribute], fn(&Vcpu, Emit<'_>)),
    /// One series per VM, from the group `balloon`.
    Memory(fn(&Memory) -> Option<Value>),
    /// One series per VM, from the group `balloon`: the age of this timestamp when the reading arrived.
    MemoryAge(fn(&Memory) -> Option<Timestamp>),
    /// One series per disk.
    Disk(fn(&Disk) -> Option<Value>),
    /// One series per network interface.
    Nic(fn(&Nic) -> Option<Value>),
    /// One series per I/O thread.
    IoThread(fn(&IoThread) -> Option<Value>),
    /// One series per VM, from the group `dirtyrate`.
    DirtyRate(fn(&DirtyRate) -> Option<Value>),
    /// One series per VM, from the group `dirtyrate`: the age of this timestamp when the reading arrived.
    DirtyRateAge(fn(&DirtyRate) -> Option<Timestamp>),
    /// One series per VM, from the group `job`, with the job's operation.
    Job(fn(&Job) -> Option<Value>),
    /// Like [`Read::Job`], and one series per value of a further attribute. The function emits the operation too.
    JobEach(&'static [&'static Attribute], fn(&Job, Emit<'_>)),
    /// One series per VM, from the group `job`, while it migrates; KubeVirt has no attribute here.
    Migration(fn(&Job) -> Option<Value>),
    /// One series per daemon.
    Daemon(fn(&Daemon) -> Option<Value>),
    /// Any number of series per daemon with these attributes.
    DaemonEach(&'static [&'static Attribute], fn(&Daemon, Emit<'_>)),
}

impl Read {
    /// What the series belong to.
    #[must_use]
    pub const fn entity(&self) -> Entity {
        match self {
            Self::Daemon(_) | Self::DaemonEach(..) => Entity::Daemon,
            _ => Entity::Vm,
        }
    }

    /// Whether it is in this vocabulary: rows from the Kubernetes API exist only under KubeVirt, and those about what a
    /// host's domains alone have not there.
    #[must_use]
    pub const fn is_in(&self, vocabulary: Vocabulary) -> bool {
        match self {
            Self::Vmi(_) | Self::VmiEach(..) => matches!(vocabulary, Vocabulary::Kubevirt),
            Self::Domain(_) | Self::DomainEach(..) => matches!(vocabulary, Vocabulary::Libvirt),
            _ => true,
        }
    }

    /// The group in which it is read; `None` for what is true at the time of the export.
    #[must_use]
    pub const fn group(&self) -> Option<Group> {
        match self {
            Self::Vm(_)
            | Self::VmEach(..)
            | Self::Identified(..)
            | Self::Domain(_)
            | Self::DomainEach(..)
            | Self::Vmi(_)
            | Self::VmiEach(..)
            | Self::Daemon(_)
            | Self::DaemonEach(..) => None,
            Self::Cpu(_) => Some(Group::Cpu),
            Self::Vcpus(_) | Self::Vcpu(_) | Self::VcpuEach(..) => Some(Group::Vcpu),
            Self::Memory(_) | Self::MemoryAge(_) => Some(Group::Balloon),
            Self::Disk(_) => Some(Group::Block),
            Self::Nic(_) => Some(Group::Interface),
            Self::IoThread(_) => Some(Group::Iothread),
            Self::DirtyRate(_) | Self::DirtyRateAge(_) => Some(Group::Dirtyrate),
            Self::Job(_) | Self::JobEach(..) | Self::Migration(_) => Some(Group::Job),
        }
    }
}

impl Metric {
    /// The attributes that its series carry, besides those that identify the VM.
    #[must_use]
    pub const fn attributes(&self) -> &'static [&'static Attribute] {
        match self.read {
            Read::Vm(_)
            | Read::Domain(_)
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
            | Read::DomainEach(attributes, _)
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
            Read::Vm(read) | Read::Domain(read) => {
                if let Some(value) = read(vm) {
                    emit(now(&[], value));
                }
            }
            Read::VmEach(_, read) | Read::Identified(_, read) | Read::DomainEach(_, read) => {
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
                        let labels = [Label::new(&DEVICE, disk.drive())];
                        emit(read_at(&labels, value, disks.at, *start));
                    }
                }
            }
            Read::Nic(read) => {
                let Some(nics) = &vm.nics else { return };
                for Since { start, value: nic } in &nics.value {
                    if let Some(value) = read(nic) {
                        let labels = [Label::new(&INTERFACE, nic.interface())];
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
