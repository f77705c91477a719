//! From named parameters to groups. Those without numbered items are decoded here: state, cpu, balloon, dirtyrate.

use std::time::Duration;

use crate::model::{Bytes, Cpu, DirtyRate, Disk, Group, Groups, IoThread, Memory, Nic, Status, Timestamp};
use crate::source::{Monitor, Stats};

use super::Value;
use super::devices::{self, Devices, Vcpus};
use super::value::{self, Fit};

/// A dirty rate's start below this many seconds is not Unix time (it would lie in 2001 or earlier) but time since the
/// host booted, which QEMU reports wherever the host has a monotonic clock. The time of measurement is then unknown.
const EARLIEST_UNIX_SECONDS: u64 = 1_000_000_000;

/// Everything decoded so far.
#[derive(Debug, Default)]
pub(super) struct Draft {
    state: State,
    cpu: Cpu,
    memory: Memory,
    vcpus: Vcpus,
    nics: Devices<Nic>,
    disks: Devices<Disk>,
    io_threads: Devices<IoThread>,
    dirty: Dirty,
    /// Whether the answer has a parameter that only comes through QEMU's monitor.
    from_monitor: bool,
}

impl Draft {
    pub(super) fn take(&mut self, name: &str, value: &Value<'_>) -> Fit {
        let Some((group, rest)) = name.split_once('.') else { return Fit::Unknown };
        match group {
            "state" => self.state.take(rest, value),
            "cpu" => cpu(&mut self.cpu, rest, value),
            "balloon" => balloon(&mut self.memory, rest, value),
            "vcpu" => self.vcpus.take(rest, value),
            "net" => self.nics.take(rest, value, devices::net),
            "block" => self.disks.take(rest, value, devices::block),
            "iothread" => {
                self.from_monitor = true;
                self.io_threads.take(rest, value, devices::iothread)
            }
            "dirtyrate" => {
                self.from_monitor = true;
                self.dirty.take(rest, value)
            }
            // Groups that are never requested, with open sets of names.
            "perf" | "vm" | "memory" => Fit::LeftOut,
            _ => Fit::Unknown,
        }
    }

    pub(super) fn finish(self, id: Option<u32>, asked: Groups) -> Stats {
        let status = self.state.status();
        let active = id.is_some() && status.is_none_or(|status| status.state.is_active());
        if !active {
            return Stats { id, status, ..Stats::default() };
        }

        // No process has 0 bytes resident: its QEMU has ended meanwhile.
        if self.memory.resident == Some(Bytes(0)) {
            return Stats { id, monitor: Monitor::Busy, ..Stats::default() };
        }

        let disks_answered = self.disks.answered();
        let disks = self.disks.named(|disk| &disk.target);
        let disks_have_figures = disks.iter().any(devices::has_figures);
        let spoke = self.from_monitor
            || self.vcpus.from_monitor
            || self.memory.resident.is_some()
            || disks.iter().any(|disk| disk.read_requests.is_some());
        let silent = self.memory.current.is_some() || (!disks.is_empty() && !disks_have_figures);
        let monitor = if !asked.iter().any(|group| group != Group::Job && group.needs_monitor()) {
            Monitor::NotAsked
        } else if silent && !spoke {
            Monitor::Busy
        } else {
            Monitor::Answered
        };

        // Disks with nothing but names carry no data; a domain without disks has an empty list.
        let disks = (disks_answered && (disks.is_empty() || disks_have_figures)).then_some(disks);
        // libvirt reports nothing about I/O threads where there are none.
        let io_threads = (self.io_threads.answered() || spoke).then(|| devices::iothreads(self.io_threads));
        let nics = self.nics.answered().then(|| self.nics.named(|nic| &nic.target));
        let mut stats = Stats {
            id,
            status,
            cpu: some(self.cpu),
            memory: some(self.memory),
            vcpus: self.vcpus.finish(),
            disks,
            nics,
            io_threads,
            dirty_rate: self.dirty.measured(),
            monitor,
            ..Stats::default()
        };
        // The state is part of every answer.
        for group in Group::ALL.into_iter().filter(|group| *group != Group::State && !asked.contains(*group)) {
            stats.forget(group);
        }
        stats
    }
}

/// `None` if no field was set.
fn some<T: Default + PartialEq>(said: T) -> Option<T> {
    (said != T::default()).then_some(said)
}

/// `state.*`
#[derive(Debug, Default)]
struct State {
    state: Option<i64>,
    reason: Option<i64>,
}

impl State {
    fn take(&mut self, field: &str, value: &Value<'_>) -> Fit {
        match field {
            "state" => value::number(value, &mut self.state),
            "reason" => value::number(value, &mut self.reason),
            _ => Fit::Unknown,
        }
    }

    /// A missing reason becomes `unknown`; without a state there is no status.
    fn status(&self) -> Option<Status> {
        self.state.map(|state| Status::from_libvirt(state, self.reason.unwrap_or(-1)))
    }
}

/// `cpu.*`
fn cpu(cpu: &mut Cpu, field: &str, value: &Value<'_>) -> Fit {
    match field {
        "time" => value::nanos(value, &mut cpu.time),
        "user" => value::nanos(value, &mut cpu.user),
        "system" => value::nanos(value, &mut cpu.system),
        _ if ["haltpoll.", "cache.monitor.", "energy.monitor."].iter().any(|prefix| field.starts_with(prefix)) => {
            Fit::LeftOut
        }
        _ => Fit::Unknown,
    }
}

/// `balloon.*`
fn balloon(memory: &mut Memory, field: &str, value: &Value<'_>) -> Fit {
    match field {
        "current" => value::kib(value, &mut memory.current),
        "maximum" => value::kib(value, &mut memory.maximum),
        "swap_in" => value::kib(value, &mut memory.swap_in),
        "swap_out" => value::kib(value, &mut memory.swap_out),
        "major_fault" => value::count(value, &mut memory.major_faults),
        "minor_fault" => value::count(value, &mut memory.minor_faults),
        "unused" => value::kib(value, &mut memory.unused),
        "available" => value::kib(value, &mut memory.available),
        "usable" => value::kib(value, &mut memory.usable),
        "disk_caches" => value::kib(value, &mut memory.disk_caches),
        "hugetlb_pgalloc" => value::count(value, &mut memory.huge_page_allocations),
        "hugetlb_pgfail" => value::count(value, &mut memory.huge_page_failures),
        "rss" => value::kib(value, &mut memory.resident),
        "last-update" => {
            let mut since_epoch = None;
            let fit = value::seconds(value, &mut since_epoch);
            // 0 is "the guest has never reported", not 1970.
            memory.last_update = since_epoch.filter(|since_epoch| !since_epoch.is_zero()).map(Timestamp::from_unix);
            fit
        }
        _ => Fit::Unknown,
    }
}

/// `dirtyrate.*`
#[derive(Debug, Default)]
struct Dirty {
    rate: Option<Bytes>,
    start: Option<Duration>,
    period: Option<Duration>,
}

impl Dirty {
    fn take(&mut self, field: &str, value: &Value<'_>) -> Fit {
        match field {
            "megabytes_per_second" => value::mib(value, &mut self.rate),
            "calc_start_time" => value::seconds(value, &mut self.start),
            "calc_period" => value::seconds(value, &mut self.period),
            "calc_status" | "calc_mode" => Fit::LeftOut,
            _ if field.starts_with("vcpu.") => Fit::LeftOut,
            _ => Fit::Unknown,
        }
    }

    /// `None` if no rate was measured.
    fn measured(&self) -> Option<DirtyRate> {
        let measured = self
            .start
            .filter(|start| start.as_secs() >= EARLIEST_UNIX_SECONDS)
            .and_then(|start| start.checked_add(self.period?))
            .map(Timestamp::from_unix);
        self.rate.map(|rate| DirtyRate { bytes_per_second: Some(rate), measured })
    }
}
