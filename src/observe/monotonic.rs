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

/// Says of each type with counters to which group it belongs, and what a row reads of it.
macro_rules! counted {
    ($($counted:ident: $group:ident, |$of:ident, $read:ident| $value:expr;)+) => {
        $(impl Counters for $counted {
            const GROUP: Group = Group::$group;
            type Values = [Option<u64>; counters_of(Group::$group)];

            fn value(&self, read: &Read) -> Option<Value> {
                let value: fn(&Self, &Read) -> Option<Value> = |$of, $read| $value;
                value(self, read)
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
