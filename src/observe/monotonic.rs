//! Which figures only grow: what the catalogue exports as a counter, so that start times follow exactly that.

use std::sync::LazyLock;

use crate::catalog::{self, Kind, Metric, Read, Value, counters_of};
use crate::model::{Cpu, Disk, Group, Job, Memory, Nic, Vcpu};

/// Something that has counters.
pub(super) trait Counters {
    /// The group that it belongs to.
    const GROUP: Group;

    /// An array with a place for each of its counters in the catalogue.
    type Values: AsRef<[Option<u64>]> + AsMut<[Option<u64>]> + Copy + Default + std::fmt::Debug;

    /// What a row reads of it; `None` where libvirt reported nothing, and for rows about something else.
    fn value(&self, read: &Read) -> Option<Value>;

    /// The values of its counters; `None` where libvirt reported none.
    fn counters(&self) -> Self::Values {
        let mut values = Self::Values::default();
        for (place, row) in values.as_mut().iter_mut().zip(&ROWS[Self::GROUP as usize]) {
            *place = self.value(&row.read).map(ordered);
        }
        values
    }
}

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

/// One of several things of a kind, identified by a name that does not change.
pub(super) trait Named {
    /// The name.
    type Name: Clone + PartialEq + std::fmt::Debug;

    /// Its name.
    fn name(&self) -> &Self::Name;
}

impl Counters for Cpu {
    const GROUP: Group = Group::Cpu;
    type Values = [Option<u64>; counters_of(Group::Cpu)];

    fn value(&self, read: &Read) -> Option<Value> {
        if let Read::Cpu(read) = read { read(self) } else { None }
    }
}

impl Counters for Memory {
    const GROUP: Group = Group::Balloon;
    type Values = [Option<u64>; counters_of(Group::Balloon)];

    fn value(&self, read: &Read) -> Option<Value> {
        if let Read::Memory(read) = read { read(self) } else { None }
    }
}

impl Counters for Vcpu {
    const GROUP: Group = Group::Vcpu;
    type Values = [Option<u64>; counters_of(Group::Vcpu)];

    fn value(&self, read: &Read) -> Option<Value> {
        match read {
            Read::Vcpu(read) => read(self),
            Read::VcpuEach(_, read) => {
                let mut value = None;
                read(self, &mut |_, of_one| value = Some(of_one));
                value
            }
            _ => None,
        }
    }
}

impl Counters for Disk {
    const GROUP: Group = Group::Block;
    type Values = [Option<u64>; counters_of(Group::Block)];

    fn value(&self, read: &Read) -> Option<Value> {
        if let Read::Disk(read) = read { read(self) } else { None }
    }
}

impl Counters for Nic {
    const GROUP: Group = Group::Interface;
    type Values = [Option<u64>; counters_of(Group::Interface)];

    fn value(&self, read: &Read) -> Option<Value> {
        if let Read::Nic(read) = read { read(self) } else { None }
    }
}

impl Counters for Job {
    const GROUP: Group = Group::Job;
    type Values = [Option<u64>; counters_of(Group::Job)];

    fn value(&self, read: &Read) -> Option<Value> {
        if let Read::Migration(read) | Read::Job(read) = read { read(self) } else { None }
    }
}

impl Named for Vcpu {
    type Name = u32;

    fn name(&self) -> &u32 {
        &self.number
    }
}

impl Named for Disk {
    type Name = std::sync::Arc<str>;

    fn name(&self) -> &Self::Name {
        &self.target
    }
}

impl Named for Nic {
    type Name = std::sync::Arc<str>;

    fn name(&self) -> &Self::Name {
        &self.target
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
        let followed = [Cpu::GROUP, Memory::GROUP, Vcpu::GROUP, Disk::GROUP, Nic::GROUP, Job::GROUP];
        for row in catalog::all().filter(|row| row.kind == Kind::Counter) {
            let group = row.read.group();
            assert!(group.is_some_and(|group| followed.contains(&group)), "{} has no start time", row.name);
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
