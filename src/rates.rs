//! What VMs do per second: from the two newest readings of each. Pure.
//!
//! For people, who look at the last interval. Prometheus and others compute rates of the counters themselves.

use std::collections::HashMap;
use std::time::Duration;

use crate::model::{Bytes, Disk, Nic, Since, Timestamp, Vcpu, Vm, VmKey};
use crate::snapshot::Snapshot;

/// What one VM does, per second. `None` until there are two readings of the same incarnation, and where one has not the
/// value.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    /// Processors that it keeps busy: 1.0 is one of them, QEMU's own threads included.
    pub cpu: Option<f64>,
    /// vCPUs that would run and wait for a processor: 1.0 is one of them all the time.
    pub ready: Option<f64>,
    /// Bytes that it reads from its disks.
    pub read: Option<f64>,
    /// Bytes that it writes to them.
    pub written: Option<f64>,
    /// Seconds that a request to a disk took.
    pub latency: Option<f64>,
    /// Bytes that it receives.
    pub received: Option<f64>,
    /// Bytes that it sends.
    pub sent: Option<f64>,
}

/// The two newest readings of all VMs.
#[derive(Debug, Default)]
pub struct Readings {
    vms: HashMap<VmKey, Pairs>,
}

impl Readings {
    /// Takes what is new in a snapshot, and forgets the VMs that are no longer in it.
    pub fn take(&mut self, snapshot: &Snapshot) {
        let mut before = std::mem::take(&mut self.vms);
        self.vms.reserve(snapshot.vms.len());
        for vm in snapshot.vms.iter() {
            let mut pairs = before.remove(&vm.key).unwrap_or_default();
            pairs.take(vm);
            self.vms.insert(vm.key.clone(), pairs);
        }
    }

    /// What a VM does.
    #[must_use]
    pub fn of(&self, vm: &VmKey) -> Rates {
        self.vms.get(vm).map(Pairs::rates).unwrap_or_default()
    }
}

/// The counters of one VM.
#[derive(Debug, Default)]
struct Pairs {
    cpu: Pair<Duration>,
    delay: Pair<Duration>,
    disks: Pair<DiskSums>,
    nics: Pair<NicSums>,
}

impl Pairs {
    fn take(&mut self, vm: &Vm) {
        self.cpu.take(vm.cpu.as_ref().and_then(|cpu| Point::of(cpu.at, cpu.start, cpu.value.time)));
        self.delay.take(vm.vcpus.as_ref().and_then(|vcpus| Point::of(vcpus.at, vcpus.start, delay(&vcpus.value.each))));
        self.disks.take(vm.disks.as_ref().and_then(|disks| Point::of(disks.at, disks.start, DiskSums::of(&disks.value))));
        self.nics.take(vm.nics.as_ref().and_then(|nics| Point::of(nics.at, nics.start, NicSums::of(&nics.value))));
    }

    fn rates(&self) -> Rates {
        let seconds = |older: &Duration, newer: &Duration| newer.checked_sub(*older).map(|span| span.as_secs_f64());
        let (read, written) = (self.disks.rate(|disks| disks.read), self.disks.rate(|disks| disks.written));
        Rates {
            cpu: self.cpu.change(seconds).map(|(change, time)| change / time),
            ready: self.delay.change(seconds).map(|(change, time)| change / time),
            read,
            written,
            latency: self.latency(),
            received: self.nics.rate(|nics| nics.received),
            sent: self.nics.rate(|nics| nics.sent),
        }
    }

    /// Without a request there is none.
    fn latency(&self) -> Option<f64> {
        let requests = self.disks.change(|older, newer| difference(older.requests, newer.requests))?.0;
        let time = |older: &DiskSums, newer: &DiskSums| Some(newer.time?.checked_sub(older.time?)?.as_secs_f64());
        let (time, _) = self.disks.change(time)?;
        (requests > 0.0).then_some(time / requests)
    }
}

/// A value with the time at which it was read, and since when it counts.
#[derive(Debug, Clone, Copy)]
struct Point<T> {
    at: Timestamp,
    start: Timestamp,
    value: T,
}

impl<T> Point<T> {
    fn of(at: Timestamp, start: Timestamp, value: Option<T>) -> Option<Self> {
        value.map(|value| Self { at, start, value })
    }
}

/// The two newest values.
#[derive(Debug)]
struct Pair<T> {
    older: Option<Point<T>>,
    newer: Option<Point<T>>,
}

impl<T> Default for Pair<T> {
    fn default() -> Self {
        Self { older: None, newer: None }
    }
}

impl<T> Pair<T> {
    /// One that was read again moves the others on. One that was not read, or began to count anew, has no rate.
    fn take(&mut self, point: Option<Point<T>>) {
        let Some(point) = point else {
            *self = Self::default();
            return;
        };
        match &self.newer {
            Some(newer) if newer.at == point.at => {}
            Some(newer) if newer.start != point.start => *self = Self { older: None, newer: Some(point) },
            _ => self.older = std::mem::replace(&mut self.newer, Some(point)),
        }
    }

    /// How much it changed, and in how many seconds.
    fn change(&self, of: impl Fn(&T, &T) -> Option<f64>) -> Option<(f64, f64)> {
        let (older, newer) = (self.older.as_ref()?, self.newer.as_ref()?);
        let seconds = newer.at.since(older.at).as_secs_f64();
        let change = of(&older.value, &newer.value)?;
        (seconds > 0.0).then_some((change, seconds))
    }

    /// The rate of one of its counters.
    fn rate(&self, counter: impl Fn(&T) -> Option<u64>) -> Option<f64> {
        let (change, seconds) = self.change(|older, newer| difference(counter(older), counter(newer)))?;
        Some(change / seconds)
    }
}

/// How much a counter grew; `None` if it went back, as the sum of several does when a device goes.
#[expect(clippy::cast_precision_loss, reason = "people read three digits of it")]
fn difference(older: Option<u64>, newer: Option<u64>) -> Option<f64> {
    Some(newer?.checked_sub(older?)? as f64)
}

/// How long all vCPUs together waited for a processor.
fn delay(vcpus: &[Since<Vcpu>]) -> Option<Duration> {
    vcpus.iter().filter_map(|vcpu| vcpu.value.delay).reduce(Duration::saturating_add)
}

/// The counters of all disks together.
#[derive(Debug, Clone, Copy)]
struct DiskSums {
    read: Option<u64>,
    written: Option<u64>,
    requests: Option<u64>,
    time: Option<Duration>,
}

impl DiskSums {
    fn of(disks: &[Since<Disk>]) -> Option<Self> {
        let all = || disks.iter().map(|disk| &disk.value);
        let requests = sum(all().map(|disk| disk.read_requests)).zip(sum(all().map(|disk| disk.write_requests)));
        let times = all().flat_map(|disk| [disk.read_time, disk.write_time]).flatten();
        (!disks.is_empty()).then(|| Self {
            read: bytes(all().map(|disk| disk.read_bytes)),
            written: bytes(all().map(|disk| disk.write_bytes)),
            requests: requests.map(|(reads, writes)| reads.saturating_add(writes)),
            time: times.reduce(Duration::saturating_add),
        })
    }
}

/// The counters of all interfaces together.
#[derive(Debug, Clone, Copy)]
struct NicSums {
    received: Option<u64>,
    sent: Option<u64>,
}

impl NicSums {
    fn of(nics: &[Since<Nic>]) -> Option<Self> {
        let all = || nics.iter().map(|nic| &nic.value);
        (!nics.is_empty()).then(|| Self {
            received: bytes(all().map(|nic| nic.receive_bytes)),
            sent: bytes(all().map(|nic| nic.transmit_bytes)),
        })
    }
}

/// The sum of those that are known; `None` if none is.
fn sum(values: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    values.flatten().reduce(u64::saturating_add)
}

fn bytes(values: impl Iterator<Item = Option<Bytes>>) -> Option<u64> {
    sum(values.map(|value| value.map(|Bytes(bytes)| bytes)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Cpu, Reading};
    use crate::testing::sample;

    /// A VM as it was read this long after the sample, with `factor` times what it had counted.
    fn later(seconds: u64, factor: u32) -> Vm {
        let mut vm = sample::running();
        let at = sample::READ.after(Duration::from_secs(seconds));
        if let Some(cpu) = &mut vm.cpu {
            (cpu.at, cpu.value.time) = (at, cpu.value.time.map(|time| time * factor));
        }
        if let Some(disks) = &mut vm.disks {
            disks.at = at;
            for disk in &mut disks.value {
                let disk = &mut disk.value;
                disk.read_bytes = disk.read_bytes.map(|Bytes(bytes)| Bytes(bytes * u64::from(factor)));
                disk.read_requests = disk.read_requests.map(|requests| requests * u64::from(factor));
                disk.read_time = disk.read_time.map(|time| time * factor);
            }
        }
        vm
    }

    fn of(vm: Vm) -> Snapshot {
        Snapshot { vms: vec![Arc::new(vm)].into(), ..Snapshot::default() }
    }

    fn rates(vms: impl IntoIterator<Item = Vm>) -> Rates {
        let mut readings = Readings::default();
        vms.into_iter().for_each(|vm| readings.take(&of(vm)));
        readings.of(&sample::running().key)
    }

    /// Within a thousandth.
    fn near(value: Option<f64>, expected: f64) -> bool {
        value.is_some_and(|value| (value - expected).abs() <= expected * 0.001)
    }

    #[test]
    fn one_reading_has_no_rate() {
        assert_eq!(rates([later(0, 1)]), Rates::default());
        assert_eq!(rates([later(0, 1), later(0, 1)]), Rates::default(), "nor has the same one, seen twice");
    }

    #[test]
    fn two_readings_have_the_difference_by_the_time_between_them() {
        let vm = sample::running();
        let cpu = vm.cpu.as_ref().and_then(|cpu| cpu.value.time).unwrap().as_secs_f64();
        let found = rates([later(0, 1), later(10, 2)]);
        assert!(near(found.cpu, cpu / 10.0), "{found:?}");
        let read: u64 = vm.disks.iter().flat_map(|disks| &disks.value).map(|disk| disk.value.read_bytes.unwrap().0).sum();
        #[expect(clippy::cast_precision_loss, reason = "a test")]
        let expected = read as f64 / 10.0;
        assert!(near(found.read, expected), "{found:?}");
        assert_eq!(found.written, Some(0.0), "nothing was written");
        assert!(found.latency.is_some_and(|latency| latency > 0.0));
    }

    #[test]
    fn without_a_request_there_is_no_latency() {
        let found = rates([later(0, 1), later(10, 1)]);
        assert_eq!((found.read, found.latency), (Some(0.0), None));
    }

    #[test]
    fn the_two_newest_count() {
        assert_eq!(rates([later(0, 1), later(10, 2), later(20, 2)]).cpu, Some(0.0));
    }

    #[test]
    fn what_begins_anew_or_is_not_read_has_no_rate() {
        let mut again = later(10, 2);
        if let Some(cpu) = &mut again.cpu {
            cpu.start = cpu.at;
        }
        assert_eq!(rates([later(0, 1), again]).cpu, None);
        let unread = Vm { cpu: None, ..later(10, 2) };
        assert_eq!(rates([later(0, 1), unread, later(20, 3)]).cpu, None);
        let back = Vm { cpu: Some(Reading { value: Cpu::default(), ..later(10, 1).cpu.unwrap() }), ..later(10, 1) };
        assert_eq!(rates([later(0, 1), back]).cpu, None);
    }

    #[test]
    fn a_sum_that_went_back_has_no_rate() {
        let mut one_less = later(10, 1);
        one_less.disks.as_mut().unwrap().value.truncate(1);
        assert_eq!(rates([later(0, 1), one_less]).read, None);
    }

    #[test]
    fn a_vm_that_is_gone_is_forgotten() {
        let mut readings = Readings::default();
        readings.take(&of(later(0, 1)));
        readings.take(&Snapshot::default());
        assert!(readings.vms.is_empty());
    }
}
