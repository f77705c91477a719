//! The statistics of one incarnation: takes readings in, drops them when they are too old.

use tokio::time::Instant;

use super::labels::{drop_duplicates, drop_meaningless, join};
use super::monotonic::CounterStarts;
use super::room::{self, Cut};
use super::settings::Intervals;
use crate::model::{Collection, Group, GroupAge, Memory, Reading, Timestamp, Vcpus, Version, Vm};
use crate::source::{Monitor, Stats};

/// What is remembered besides the statistics themselves.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    starts: CounterStarts,
    /// When each group was last read, on the monotonic clock: ages and staleness go by it, not by timestamps.
    read_at: [Option<Instant>; Group::ALL.len()],
    /// How many vCPUs and devices of the newest readings did not fit.
    cut: Cut,
    /// Parameters of others that were not even decoded.
    beyond: u32,
    /// Whether the shown memory reading came without the QEMU and so has only the balloon's size.
    memory_is_partial: bool,
}

/// The circumstances of a reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    /// Its timestamp.
    pub(super) at: Timestamp,
    /// The same moment on the monotonic clock.
    pub(super) now: Instant,
    /// The start of the incarnation, if it was seen.
    pub(super) seen: Option<Timestamp>,
    /// The version of the daemon's libvirt.
    pub(super) libvirt: Option<Version>,
}

impl Figures {
    /// Takes a reading in. A group missing from it keeps its last one. Returns how many devices were left out because
    /// another has the same target.
    pub(super) fn take(&mut self, vm: &mut Vm, stats: Stats, arrival: Arrival) -> u64 {
        let Arrival { at, seen, libvirt, .. } = arrival;
        let whole = stats.monitor == Monitor::Answered;
        self.expect_anew(&stats);
        // Every field by its name: a new group cannot be forgotten here.
        let Stats {
            id: _,
            status: _,
            cpu,
            memory,
            vcpus,
            disks,
            nics,
            io_threads,
            dirty_rate,
            job,
            monitor: _,
            unknown_parameters: _,
            left_out: _,
            parameters: _,
            took: _,
        } = stats;
        let mut dropped = 0;
        if let Some(cpu) = cpu {
            let start = self.starts.cpu(seen, at, &cpu);
            vm.cpu = Some(Reading { at, start, value: cpu });
            self.read(Group::Cpu, arrival);
        }
        if let Some(memory) = memory {
            self.take_memory(vm, memory, whole, arrival);
        }
        if let Some(mut vcpus) = vcpus {
            vcpus.each.sort_by_key(|vcpu| vcpu.number);
            vcpus.each.dedup_by_key(|vcpu| vcpu.number);
            let (start, each) = self.starts.vcpus(seen, at, vcpus.each);
            let value = Vcpus { current: vcpus.current, maximum: vcpus.maximum, each };
            vm.vcpus = Some(Reading { at, start, value });
            self.read(Group::Vcpu, arrival);
        }
        if let Some(mut disks) = disks {
            dropped += drop_duplicates(&mut disks);
            let (start, mut value) = self.starts.disks(seen, at, disks);
            join(&mut value, vm.description.as_deref());
            drop_meaningless(&mut value, libvirt);
            vm.disks = Some(Reading { at, start, value });
            self.read(Group::Block, arrival);
        }
        if let Some(mut nics) = nics {
            dropped += drop_duplicates(&mut nics);
            let (start, mut value) = self.starts.nics(seen, at, nics);
            join(&mut value, vm.description.as_deref());
            vm.nics = Some(Reading { at, start, value });
            self.read(Group::Interface, arrival);
        }
        if let Some(mut threads) = io_threads {
            threads.sort_by_key(|thread| thread.id);
            threads.dedup_by_key(|thread| thread.id);
            vm.io_threads = Some(gauge(vm.io_threads.as_ref(), threads, arrival));
            self.read(Group::Iothread, arrival);
        }
        if let Some(rate) = dirty_rate {
            vm.dirty_rate = Some(gauge(vm.dirty_rate.as_ref(), rate, arrival));
            self.read(Group::Dirtyrate, arrival);
        }
        if let Some(job) = job {
            vm.job = job.map(|job| Reading { at, start: self.starts.job(seen, at, &job), value: job });
            self.read(Group::Job, arrival);
        }
        dropped
    }

    /// Resets the counts for groups in the reading.
    fn expect_anew(&mut self, stats: &Stats) {
        let Cut { disks, nics, io_threads, vcpus } = &mut self.cut;
        let read = [stats.disks.is_some(), stats.nics.is_some(), stats.io_threads.is_some(), stats.vcpus.is_some()];
        for (count, read) in [disks, nics, io_threads, vcpus].into_iter().zip(read) {
            if read {
                *count = 0;
            }
        }
        if read.contains(&true) {
            self.beyond = stats.left_out;
        }
    }

    /// Cuts what does not fit into `page` bytes of the metrics page. Returns the bytes taken.
    pub(super) fn fit(&mut self, vm: &mut Vm, page: usize) -> usize {
        let (cut, taken) = room::fit(vm, page);
        if cut != Cut::default() {
            self.starts.keep_shown(vm);
        }
        self.cut.disks += cut.disks;
        self.cut.nics += cut.nics;
        self.cut.io_threads += cut.io_threads;
        self.cut.vcpus += cut.vcpus;
        taken
    }

    /// How many vCPUs, devices and their parameters were left out of the newest readings for lack of room.
    pub(super) fn left_out(&self) -> u64 {
        let Cut { disks, nics, io_threads, vcpus } = self.cut;
        let cut = u64::try_from(disks + nics + io_threads + vcpus).unwrap_or(u64::MAX);
        cut.saturating_add(self.beyond.into())
    }

    /// Of a busy VM's memory libvirt knows only the balloon's size. That never replaces a whole reading, which stays
    /// until it is too old; after that the partial one is better than nothing, and what it lacks is absent.
    fn take_memory(&mut self, vm: &mut Vm, memory: Memory, whole: bool, arrival: Arrival) {
        let whole = whole || memory.resident.is_some();
        if !whole && vm.memory.is_some() && !self.memory_is_partial {
            return;
        }
        let start = self.starts.memory(arrival.seen, arrival.at, &memory);
        vm.memory = Some(Reading { at: arrival.at, start, value: memory });
        self.memory_is_partial = !whole;
        self.read(Group::Balloon, arrival);
    }

    fn read(&mut self, group: Group, arrival: Arrival) {
        self.read_at[group as usize] = Some(arrival.now);
    }

    /// The state was read.
    pub(super) fn state_read(&mut self, now: Instant) {
        self.read_at[Group::State as usize] = Some(now);
    }

    /// Whether the state was read after this moment.
    pub(super) fn state_is_newer_than(&self, moment: Instant) -> bool {
        self.read_at[Group::State as usize].is_some_and(|read| read > moment)
    }

    /// Whether a host-side counter has gone back.
    pub(super) fn went_back(&self, stats: &Stats) -> bool {
        self.starts.went_back(stats)
    }

    /// Keeps only what is new in an answer that came after its deadline.
    ///
    /// libvirt gathers the groups one after the other. State and CPU time come first and are as old as the call; the
    /// job may be, too. A group that has been read since the call was sent would go back in time.
    pub(super) fn keep_news_only(&self, stats: &mut Stats, launched: Instant) {
        let old = |group: Group| self.read_at[group as usize].is_some_and(|read| read >= launched);
        for group in Group::ALL {
            if matches!(group, Group::State | Group::Cpu | Group::Job) || old(group) {
                stats.forget(group);
            }
        }
    }

    /// Drops every group whose newest reading is too old. `true` if there was one.
    pub(super) fn expire(&self, vm: &mut std::sync::Arc<Vm>, now: Instant, intervals: &Intervals) -> bool {
        let mut dropped = false;
        for group in Group::ALL {
            let age = self.age(group, now);
            if age.is_some_and(|age| age > intervals.stale_after(group)) && vm.shows(group) {
                std::sync::Arc::make_mut(vm).hide(group);
                dropped = true;
            }
        }
        dropped
    }

    fn age(&self, group: Group, now: Instant) -> Option<std::time::Duration> {
        self.read_at[group as usize].map(|read| now.saturating_duration_since(read))
    }

    /// How old each group's newest reading is. The age keeps growing after the group was dropped.
    pub(super) fn ages(&self, now: Instant) -> Vec<GroupAge> {
        Group::ALL.into_iter().filter_map(|group| self.age(group, now).map(|age| GroupAge { group, age })).collect()
    }
}

/// Removes everything that belongs to a running QEMU from a VM, except its state.
pub(super) fn strip(vm: &mut Vm) {
    vm.hypervisor = None;
    vm.description = None;
    for group in Group::ALL {
        if group != Group::State {
            vm.hide(group);
        }
    }
    vm.collection = Collection::default();
}

/// Whether any statistics are shown.
pub(super) fn has_figures(vm: &Vm) -> bool {
    Group::ALL.into_iter().any(|group| group != Group::State && vm.shows(group))
}

/// Gives the shown devices their new description.
pub(super) fn rejoin(vm: &mut Vm) {
    let description = vm.description.as_deref();
    if let Some(disks) = &mut vm.disks {
        join(&mut disks.value, description);
    }
    if let Some(nics) = &mut vm.nics {
        join(&mut nics.value, description);
    }
}

/// A reading without counters: it keeps the start of the one before.
fn gauge<T, U>(before: Option<&Reading<U>>, value: T, arrival: Arrival) -> Reading<T> {
    let start = before.map_or_else(|| arrival.seen.unwrap_or(arrival.at), |before| before.start);
    Reading { at: arrival.at, start, value }
}
