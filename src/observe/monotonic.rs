//! Which figures only grow, by group: what the catalogue exports as a counter, so that start times follow exactly that.

use std::sync::{Arc, LazyLock};

use super::starts::{self, Counters, Devices, Named, Series};
use crate::catalog::{self, Kind, Metric, Read, Value, counters_of};
use crate::model::{Cpu, Disk, Group, Job, Memory, Nic, Since, Stats, Timestamp, Vcpu, Vm};

/// The rows that count, by group.
static ROWS: LazyLock<[Vec<&'static Metric>; Group::ALL.len()]> = LazyLock::new(|| {
    Group::ALL.map(|group| {
        catalog::all().filter(|row| row.kind == Kind::Counter && row.read.group() == Some(group)).collect()
    })
});

/// A number that grows when the value does. The bits of non-negative floating-point numbers sort like the numbers.
const fn ordered(value: Value) -> u64 {
    match value {
        Value::Integer(value) => value,
        Value::Double(value) => value.to_bits(),
    }
}

/// Says of each type with counters to which group it belongs, and what a row reads of it.
macro_rules! counted {
    ($($counted:ident: $group:ident, |$of:ident, $read:ident| $value:expr;)+) => {
        $(impl Counters for $counted {
            type Values = [Option<u64>; counters_of(Group::$group)];

            fn counters(&self) -> Self::Values {
                let value: fn(&Self, &Read) -> Option<Value> = |$of, $read| $value;
                let mut values = Self::Values::default();
                for (place, row) in values.iter_mut().zip(&ROWS[Group::$group as usize]) {
                    *place = value(self, &row.read).map(ordered);
                }
                values
            }
        })+

        /// The groups whose counters are followed.
        #[cfg(test)]
        const FOLLOWED: &[Group] = &[$(Group::$group),+];
    };
}

counted! {
    Cpu: Cpu, |cpu, read| if let Read::Cpu(read) = read { read(cpu) } else { None };
    Memory: Balloon, |memory, read| if let Read::Memory(read) = read { read(memory) } else { None };
    Vcpu: Vcpu, |vcpu, read| match read {
        Read::Vcpu(read) => read(vcpu),
        Read::VcpuEach(_, read) => {
            let mut value = None;
            read(vcpu, &mut |_, of_one| value = Some(of_one));
            value
        }
        _ => None,
    };
    Disk: Block, |disk, read| if let Read::Disk(read) = read { read(disk) } else { None };
    Nic: Interface, |nic, read| if let Read::Nic(read) = read { read(nic) } else { None };
    Job: Job, |job, read| match read {
        Read::Migration(read) | Read::Job(read) => read(job),
        _ => None,
    };
}

impl Named for Vcpu {
    type Name = u32;

    fn name(&self) -> &u32 {
        &self.number
    }
}

impl Named for Disk {
    type Name = Arc<str>;

    fn name(&self) -> &Self::Name {
        &self.target
    }
}

impl Named for Nic {
    type Name = Arc<str>;

    fn name(&self) -> &Self::Name {
        &self.target
    }
}

/// An incarnation's last counters and their starts, by group.
#[derive(Debug, Clone, Default)]
pub(super) struct CounterStarts {
    cpu: Option<Series<<Cpu as Counters>::Values>>,
    memory: Option<Series<<Memory as Counters>::Values>>,
    vcpus: Option<Devices<u32, <Vcpu as Counters>::Values>>,
    disks: Option<Devices<Arc<str>, <Disk as Counters>::Values>>,
    nics: Option<Devices<Arc<str>, <Nic as Counters>::Values>>,
    job: Option<Series<<Job as Counters>::Values>>,
}

impl CounterStarts {
    pub(super) fn cpu(&mut self, seen: Option<Timestamp>, at: Timestamp, cpu: &Cpu) -> Timestamp {
        starts::one(&mut self.cpu, seen, at, cpu)
    }

    pub(super) fn memory(&mut self, seen: Option<Timestamp>, at: Timestamp, memory: &Memory) -> Timestamp {
        starts::one(&mut self.memory, seen, at, memory)
    }

    pub(super) fn job(&mut self, seen: Option<Timestamp>, at: Timestamp, job: &Job) -> Timestamp {
        starts::one(&mut self.job, seen, at, job)
    }

    pub(super) fn vcpus(
        &mut self,
        seen: Option<Timestamp>,
        at: Timestamp,
        vcpus: Vec<Vcpu>,
    ) -> (Timestamp, Vec<Since<Vcpu>>) {
        starts::each(&mut self.vcpus, seen, at, vcpus)
    }

    pub(super) fn disks(
        &mut self,
        seen: Option<Timestamp>,
        at: Timestamp,
        disks: Vec<Disk>,
    ) -> (Timestamp, Vec<Since<Disk>>) {
        starts::each(&mut self.disks, seen, at, disks)
    }

    pub(super) fn nics(
        &mut self,
        seen: Option<Timestamp>,
        at: Timestamp,
        nics: Vec<Nic>,
    ) -> (Timestamp, Vec<Since<Nic>>) {
        starts::each(&mut self.nics, seen, at, nics)
    }

    /// Forgets the entries at the end that were cut from the VM: only what is shown needs a start.
    pub(super) fn keep_shown(&mut self, vm: &Vm) {
        starts::keep(&mut self.vcpus, vm.vcpus.as_ref().map(|vcpus| vcpus.value.each.len()));
        starts::keep(&mut self.disks, vm.disks.as_ref().map(|disks| disks.value.len()));
        starts::keep(&mut self.nics, vm.nics.as_ref().map(|nics| nics.value.len()));
    }

    /// Whether any host-side counter has gone back. What the guest reports of its memory is left out: a guest that
    /// reboots resets it.
    pub(super) fn went_back(&self, stats: &Stats) -> bool {
        // Every field by its name: whether a new group's counters are the host's is decided here.
        let Stats {
            id: _,
            status: _,
            cpu,
            memory: _,
            vcpus,
            disks,
            nics,
            io_threads: _,
            dirty_rate: _,
            job: _,
            monitor: _,
            unknown_parameters: _,
            left_out: _,
            parameters: _,
            took: _,
        } = stats;
        let cpu = self.cpu.as_ref().zip(cpu.as_ref());
        cpu.is_some_and(|(series, cpu)| series.went_back(&cpu.counters()))
            || starts::any_went_back(self.vcpus.as_ref(), vcpus.as_ref().map(|vcpus| vcpus.each.as_slice()))
            || starts::any_went_back(self.disks.as_ref(), disks.as_deref())
            || starts::any_went_back(self.nics.as_ref(), nics.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Bytes, JobKind, JobOperation};

    /// A counter without a start time of its own would keep its start when it goes back.
    #[test]
    fn every_counter_of_the_catalogue_is_followed() {
        for row in catalog::all().filter(|row| row.kind == Kind::Counter) {
            let group = row.read.group();
            assert!(group.is_some_and(|group| FOLLOWED.contains(&group)), "{} has no start time", row.name);
        }
    }

    #[test]
    fn what_has_every_counter_shows_every_counter() {
        let second = Some(Duration::from_secs(1));
        let cpu = Cpu { time: second, user: second, system: second };
        assert!(cpu.counters().iter().all(Option::is_some), "{:?}", cpu.counters());
        let vcpu = Vcpu { time: second, wait: second, delay: second, ..Vcpu::default() };
        assert!(vcpu.counters().iter().all(Option::is_some), "{:?}", vcpu.counters());
        let job = Job { data_total: Some(Bytes(1)), ..Job::new(JobKind::Unbounded, JobOperation::MigrationOut) };
        assert!(job.counters().iter().all(Option::is_some), "{:?}", job.counters());
        assert!(Cpu::default().counters().iter().all(Option::is_none));
    }

    #[test]
    fn a_number_is_larger_when_the_value_is() {
        let seconds = [0.0, 1e-9, 0.5, 1.0, 1.5, 86_400.25, 1e12];
        for pair in seconds.windows(2) {
            assert!(ordered(Value::Double(pair[0])) < ordered(Value::Double(pair[1])), "{pair:?}");
        }
    }
}
