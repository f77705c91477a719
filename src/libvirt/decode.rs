//! Decodes libvirt's typed parameters.
//!
//! The input is a flat list of named values: `cpu.time`, `vcpu.0.state`, `block.2.rd.reqs`. Names and types differ
//! between versions of libvirt and QEMU, and a daemon may send anything. So every parameter is decoded on its own: a
//! known name fills its field, a known name that is not used is left out, everything else is skipped and counted.
//! Nothing here can fail, and no announced number is trusted (`block.count`, the highest number): memory is allocated
//! for what is in the list, up to [`MAX_VCPUS`] and [`MAX_DEVICES`]; what exceeds them is counted.
//!
//! A list does not say whether the domain's QEMU took part in it. [`stats`] infers it from values that only QEMU
//! provides.

mod devices;
mod groups;
mod job;
mod numbered;
mod value;

#[cfg(test)]
mod tests;

use crate::model::{Bytes, Cpu, Disk, Group, Groups, IoThread, Memory, Nic};
use crate::source::{Monitor, Stats};

pub use devices::{MAX_DEVICES, MAX_VCPUS};
pub use job::job;

pub use libvirt_remote::{Parameter, Value};

use devices::{Devices, Vcpus};
use groups::{Dirty, State};
use value::Fit;

/// Decodes what `virDomainListGetStats` returned for one domain.
///
/// * `id` is the domain's id, `None` if it does not run. If it does not run, or its state says so, only the state is
///   kept: libvirt then fills `cpu.*` with its own process's time.
/// * `asked` are the requested groups; others are not filled. [`Group::Job`] belongs to another call and is ignored.
///
/// # Whether QEMU took part
///
/// [`Monitor::NotAsked`] if no requested group needs QEMU. [`Monitor::Answered`] if the answer has anything that comes
/// only through it (or with it, as `balloon.rss` does). [`Monitor::Busy`] if all of that is missing where it should be:
/// the balloon group lacks `balloon.rss`, or disks have names and no figures. Where neither can be decided (only cpu,
/// vcpu, iothread or dirtyrate were requested; no disk; a driver other than QEMU), the answer counts as complete:
/// `Answered`. So to detect a busy domain, request the balloon group.
///
/// For a busy domain, disks (unless it has none), I/O threads and dirty rate are `None`, and memory holds only what
/// libvirt itself knows.
///
/// From libvirt 11 on, a call that hung in a QEMU is answered when the QEMU dies, with 0 for whatever its process would
/// have said. That is no answer of the domain: `Busy`, with the id alone.
#[must_use]
pub fn stats<'a>(id: Option<u32>, parameters: impl IntoIterator<Item = Parameter<'a>>, asked: Groups) -> Stats {
    let mut decoder = Decoder::default();
    for parameter in parameters {
        decoder.take(&parameter);
    }
    decoder.finish(id, asked)
}

/// [`stats`] in steps, for callers that yield in between.
#[derive(Debug, Default)]
pub struct Decoder {
    draft: Draft,
    taken: u32,
    unknown: u32,
    beyond: u32,
}

impl Decoder {
    /// Takes one parameter.
    pub fn take(&mut self, parameter: &Parameter<'_>) {
        self.taken = self.taken.saturating_add(1);
        match self.draft.take(&parameter.field, &parameter.value) {
            Fit::Unknown => self.unknown = self.unknown.saturating_add(1),
            Fit::Beyond => self.beyond = self.beyond.saturating_add(1),
            Fit::Taken | Fit::LeftOut => {}
        }
    }

    /// The decoded statistics. See [`stats`].
    #[must_use]
    pub fn finish(self, id: Option<u32>, asked: Groups) -> Stats {
        let stats = self.draft.finish(id, asked);
        Stats { unknown_parameters: self.unknown, left_out: self.beyond, parameters: self.taken, ..stats }
    }
}

/// Everything decoded so far.
#[derive(Debug, Default)]
struct Draft {
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
    fn take(&mut self, name: &str, value: &Value<'_>) -> Fit {
        let Some((group, rest)) = name.split_once('.') else { return Fit::Unknown };
        match group {
            "state" => self.state.take(rest, value),
            "cpu" => groups::cpu(&mut self.cpu, rest, value),
            "balloon" => groups::balloon(&mut self.memory, rest, value),
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

    fn finish(self, id: Option<u32>, asked: Groups) -> Stats {
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
