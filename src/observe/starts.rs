//! Start timestamps of series. Pure.
//!
//! The start of the incarnation if that was observed; else *exactly* the timestamp of the first reading, since
//! receivers take a start before the first point as a promise that everything counted happened since. A counter that
//! goes back moves the start of its set to the timestamp of that reading: a value never drops while its start stays.

use std::sync::Arc;

use super::monotonic::{Counters, Named};
use crate::model::{Cpu, Disk, Job, Memory, Nic, Since, Timestamp, Vcpu, Vm};
use crate::source::Stats;

/// A set of counters that share a start: those of the CPU, of one disk, of one interface.
#[derive(Debug, Clone, Copy)]
pub(super) struct Series<V> {
    start: Timestamp,
    /// Whether the counters stood at zero at `start`. If not, `start` is the timestamp of a first reading, and a
    /// counter that appears later cannot share it.
    from_zero: bool,
    last: V,
}

impl<V: AsRef<[Option<u64>]> + AsMut<[Option<u64>]> + Copy> Series<V> {
    fn begin(seen: Option<Timestamp>, at: Timestamp, values: V) -> Self {
        Self { start: seen.unwrap_or(at), from_zero: seen.is_some(), last: values }
    }

    /// Takes in the next reading, and returns its start.
    fn follow(&mut self, at: Timestamp, values: V) -> Timestamp {
        if went_back(&self.last, &values) {
            *self = Self::begin(None, at, values);
            return at;
        }
        let mut appeared = false;
        for (last, value) in self.last.as_mut().iter_mut().zip(values.as_ref()) {
            appeared |= last.is_none() && value.is_some();
            // A value that is absent this time is remembered: it may come back lower.
            *last = value.or(*last);
        }
        if appeared && !self.from_zero {
            self.start = at;
        }
        self.start
    }
}

fn went_back<V: AsRef<[Option<u64>]>>(last: &V, values: &V) -> bool {
    let pairs = last.as_ref().iter().zip(values.as_ref());
    pairs.into_iter().any(|(last, value)| matches!((last, value), (Some(last), Some(value)) if value < last))
}

/// Devices of one kind that come and go, each with its own start.
#[derive(Debug, Clone)]
pub(super) struct Devices<N, V> {
    start: Timestamp,
    each: Vec<(N, Series<V>)>,
}

impl<N: Clone + PartialEq, V: AsRef<[Option<u64>]> + AsMut<[Option<u64>]> + Copy> Devices<N, V> {
    /// The series of this name; looks at its old place first, since most lists never change.
    fn find(&self, place: usize, name: &N) -> Option<&Series<V>> {
        match self.each.get(place) {
            Some((found, series)) if found == name => Some(series),
            _ => self.each.iter().find(|(found, _)| found == name).map(|(_, series)| series),
        }
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
        one(&mut self.cpu, seen, at, cpu)
    }

    pub(super) fn memory(&mut self, seen: Option<Timestamp>, at: Timestamp, memory: &Memory) -> Timestamp {
        one(&mut self.memory, seen, at, memory)
    }

    pub(super) fn job(&mut self, seen: Option<Timestamp>, at: Timestamp, job: &Job) -> Timestamp {
        one(&mut self.job, seen, at, job)
    }

    pub(super) fn vcpus(
        &mut self,
        seen: Option<Timestamp>,
        at: Timestamp,
        vcpus: Vec<Vcpu>,
    ) -> (Timestamp, Vec<Since<Vcpu>>) {
        each(&mut self.vcpus, seen, at, vcpus)
    }

    pub(super) fn disks(
        &mut self,
        seen: Option<Timestamp>,
        at: Timestamp,
        disks: Vec<Disk>,
    ) -> (Timestamp, Vec<Since<Disk>>) {
        each(&mut self.disks, seen, at, disks)
    }

    pub(super) fn nics(
        &mut self,
        seen: Option<Timestamp>,
        at: Timestamp,
        nics: Vec<Nic>,
    ) -> (Timestamp, Vec<Since<Nic>>) {
        each(&mut self.nics, seen, at, nics)
    }

    /// Forgets the entries at the end that were cut from the VM: only what is shown needs a start.
    pub(super) fn keep_shown(&mut self, vm: &Vm) {
        keep(&mut self.vcpus, vm.vcpus.as_ref().map(|vcpus| vcpus.value.each.len()));
        keep(&mut self.disks, vm.disks.as_ref().map(|disks| disks.value.len()));
        keep(&mut self.nics, vm.nics.as_ref().map(|nics| nics.value.len()));
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
        cpu.is_some_and(|(series, cpu)| went_back(&series.last, &cpu.counters()))
            || any_went_back(self.vcpus.as_ref(), vcpus.as_ref().map(|vcpus| vcpus.each.as_slice()))
            || any_went_back(self.disks.as_ref(), disks.as_deref())
            || any_went_back(self.nics.as_ref(), nics.as_deref())
    }
}

fn one<T: Counters>(
    series: &mut Option<Series<T::Values>>,
    seen: Option<Timestamp>,
    at: Timestamp,
    value: &T,
) -> Timestamp {
    match series {
        Some(series) => series.follow(at, value.counters()),
        None => series.insert(Series::begin(seen, at, value.counters())).start,
    }
}

/// Follows a whole list. An entry missing from it is forgotten: when it comes back it starts again.
fn each<T: Counters + Named>(
    devices: &mut Option<Devices<T::Name, T::Values>>,
    seen: Option<Timestamp>,
    at: Timestamp,
    values: Vec<T>,
) -> (Timestamp, Vec<Since<T>>) {
    // Those of the first list were there when the incarnation began; later ones were plugged in since.
    let (start, born) = match devices {
        Some(devices) => (devices.start, None),
        None => (seen.unwrap_or(at), seen),
    };
    let mut followed = Vec::with_capacity(values.len());
    let mut since = Vec::with_capacity(values.len());
    for (place, value) in values.into_iter().enumerate() {
        let known = devices.as_ref().and_then(|devices| devices.find(place, value.name()));
        let series = match known {
            Some(series) => {
                let mut series = *series;
                series.follow(at, value.counters());
                series
            }
            None => Series::begin(born, at, value.counters()),
        };
        followed.push((value.name().clone(), series));
        since.push(Since { start: series.start, value });
    }
    *devices = Some(Devices { start, each: followed });
    (start, since)
}

fn keep<N, V>(devices: &mut Option<Devices<N, V>>, shown: Option<usize>) {
    if let Some((devices, shown)) = devices.as_mut().zip(shown) {
        devices.each.truncate(shown);
        devices.each.shrink_to_fit();
    }
}

fn any_went_back<T: Counters + Named>(devices: Option<&Devices<T::Name, T::Values>>, values: Option<&[T]>) -> bool {
    let (Some(devices), Some(values)) = (devices, values) else { return false };
    values.iter().enumerate().any(|(place, value)| {
        devices.find(place, value.name()).is_some_and(|series| went_back(&series.last, &value.counters()))
    })
}
