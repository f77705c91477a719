//! Applies an answered or failed reading to a VM: its statistics, and whether it is stuck.

use tokio::time::Instant;

use super::figures::{Arrival, rejoin};
use super::room::{PAGE_MAX, fit_description};
use super::settings::{Intervals, PARAMETERS_OF_ONE, STALE_AFTER};
use super::track::{Moment, Phase, Surroundings, Track, Wants};
use crate::model::Groups;
use crate::source::{Monitor, ReadError, Stats};

impl Track {
    /// It was read; `None`: the daemon does not know it.
    pub(super) fn on_stats(
        &mut self,
        answer: Result<Option<Stats>, ReadError>,
        asked: Groups,
        launched: Instant,
        moment: Moment,
        around: &Surroundings,
    ) -> Wants {
        if self.phase != Phase::Active {
            return Wants::default();
        }
        let mut stats = match answer {
            Ok(None) => return Wants { remove: true, ..Wants::default() },
            Ok(Some(stats)) => stats,
            Err(error) => return self.not_read(&error, launched, around),
        };
        self.pace.charge(stats.parameters / PARAMETERS_OF_ONE, moment.instant);
        if self.figures.state_is_newer_than(launched) {
            // libvirt gathers the state first: it is as old as the call, and a newer one is known.
            stats.status = None;
        }
        if let Some(status) = stats.status.filter(|status| !status.state.is_active()) {
            // For a domain that does not run, libvirt reports its own process' CPU time.
            return self.on_status(Some(status), moment, around);
        }
        self.attempted = true;
        if stats.id.is_none() {
            return Wants { status: true, ..Wants::default() };
        }
        let mut wants = self.check_incarnation(&stats, around);
        self.attempted = true;
        self.failing = false;
        let was_stuck = self.is_stuck();
        self.judge(&stats, asked, moment, around);
        wants.lifecycle |= self.log_stuck(was_stuck, around);
        wants.lifecycle |= stats.status.is_some_and(|status| self.vm.status != Some(status));
        self.take(stats, moment, around);
        wants.describe |= !wants.describe && self.wants_devices(moment.instant);
        wants
    }

    /// A call abandoned at its deadline has returned.
    pub(super) fn on_late(&mut self, stats: Option<Stats>, moment: Moment, around: &Surroundings) -> Wants {
        let launched = self.left_behind.take();
        if self.phase != Phase::Active {
            return Wants::default();
        }
        let was_stuck = self.is_stuck();
        self.hung = false;
        self.busy_since = None;
        self.busy_long = false;
        self.touch();
        let healed = self.log_stuck(was_stuck, around);
        if let (Some(mut stats), Some(launched)) = (stats, launched)
            && stats.id.is_some()
            && stats.id == self.id
        {
            self.figures.keep_news_only(&mut stats, launched);
            self.take(stats, moment, around);
        }
        Wants { read: true, lifecycle: healed, ..Wants::default() }
    }

    fn not_read(&mut self, error: &ReadError, launched: Instant, around: &Surroundings) -> Wants {
        self.attempted = true;
        self.complete = Some(false);
        self.touch();
        let mut wants = Wants::default();
        match error {
            ReadError::Deadline { .. } => {
                let was_stuck = self.is_stuck();
                self.left_behind = Some(launched);
                self.hung = true;
                wants.lifecycle = self.log_stuck(was_stuck, around);
            }
            ReadError::Disconnected { .. } => {} // the source reports it itself
            ReadError::Libvirt { .. } | ReadError::Xml { .. } | ReadError::Overloaded { .. } => {
                if !std::mem::replace(&mut self.failing, true) && around.may_log() {
                    tracing::warn!(
                        domain = %self.name, uuid = %self.vm.key.uuid, %error,
                        "could not read the domain's statistics; its last readings are shown until they are too old"
                    );
                }
            }
        }
        wants
    }

    /// Logs when it becomes stuck or recovers. `true` if either.
    fn log_stuck(&self, before: bool, around: &Surroundings) -> bool {
        let (domain, uuid) = (&self.name, &self.vm.key.uuid);
        if before == self.is_stuck() || !around.may_log() {
            return before != self.is_stuck();
        }
        match (before, self.is_stuck()) {
            (false, true) if self.hung => {
                tracing::warn!(
                    %domain, %uuid,
                    "stuck: the domain's QEMU does not answer; what needs no QEMU is read on. Look at its QEMU process \
                     and at the storage under its disks"
                );
            }
            (false, true) => {
                tracing::warn!(
                    %domain, %uuid,
                    "a job that libvirt does not name has kept the domain busy for three intervals; see `virsh domjobinfo`"
                );
            }
            (true, false) => tracing::info!(%domain, %uuid, "the domain can be read in full again"),
            _ => return false,
        }
        true
    }

    /// Whether this reading belongs to the known incarnation; if not, a new one begins with it.
    fn check_incarnation(&mut self, stats: &Stats, around: &Surroundings) -> Wants {
        let mut wants = Wants::default();
        let other = self.id.is_some() && self.id != stats.id;
        if other || (self.verify && self.figures.went_back(stats)) {
            // A detection since the reconnect, or since events were lost, is about this incarnation already.
            let detected =
                (self.verify && self.detection.is_done()).then(|| (self.vm.hypervisor, self.vm.description.clone()));
            self.begin(None);
            wants.lifecycle = true;
            if let Some((hypervisor, description)) = detected {
                let vm = self.vm_mut();
                vm.hypervisor = hypervisor;
                vm.description = description;
                self.show(around);
            } else {
                wants.describe = true;
            }
        } else {
            // A counter that is not in this reading may still have gone back.
            self.verify &= stats.monitor != Monitor::Answered;
        }
        self.id = stats.id;
        wants
    }

    /// Tells full, busy and stuck apart.
    fn judge(&mut self, stats: &Stats, asked: Groups, moment: Moment, around: &Surroundings) {
        if let Some(job) = &stats.job {
            self.job_active = job.as_ref().is_some_and(|job| job.kind.is_active());
        }
        if stats.monitor != Monitor::Busy {
            self.busy_since = None;
            self.busy_long = false;
        }
        match stats.monitor {
            Monitor::Answered => {
                self.hung = false;
                self.left_behind = None;
                self.complete = Some(true);
            }
            Monitor::NotAsked => {
                // A reading of the state alone says nothing about the QEMU.
                if asked.needs_monitor() {
                    self.complete = Some(false);
                }
            }
            Monitor::Stuck => {
                self.hung = true;
                self.complete = Some(false);
            }
            Monitor::Busy => {
                self.complete = Some(false);
                let since = *self.busy_since.get_or_insert(moment.instant);
                let monitored = around.groups.iter().filter(|group| group.needs_monitor()).collect();
                let long = around.intervals.shortest(monitored).saturating_mul(STALE_AFTER);
                // A call that hung before the agent restarted may still hold the job. A job that libvirt reports is a
                // reason, however long it takes.
                self.busy_long = !self.job_active && moment.instant.saturating_duration_since(since) > long;
            }
        }
    }

    fn take(&mut self, stats: Stats, moment: Moment, around: &Surroundings) {
        around.health.unknown_parameters.add(stats.unknown_parameters.into());
        let arrival = Arrival { at: self.stamp(moment), now: moment.instant, seen: self.seen };
        if let Some(status) = stats.status {
            self.vm_mut().status = Some(status);
            self.figures.state_read(moment.instant);
        }
        let mut figures = std::mem::take(&mut self.figures);
        let dropped = figures.take(self.vm_mut(), stats, arrival);
        self.figures = figures;
        self.fit();
        around.health.left_out.add(dropped);
        self.count_left_out(around);
    }

    /// Cuts the VM to its current limit, and records its size.
    pub(super) fn fit(&mut self) {
        let page = self.claim.room();
        let mut figures = std::mem::take(&mut self.figures);
        let vm = self.vm_mut();
        if fit_description(vm, page) {
            rejoin(vm);
        }
        let shown = figures.fit(vm, page);
        self.figures = figures;
        self.claim.set_shown(shown, page < PAGE_MAX && self.is_cut());
    }

    /// Drops stale readings, and releases the room they took.
    pub(super) fn expire(&mut self, now: Instant, intervals: &Intervals) {
        if self.figures.expire(&mut self.vm, now, intervals) {
            let shown = self.figures.fit(std::sync::Arc::make_mut(&mut self.vm), PAGE_MAX);
            self.claim.set_shown(shown, false);
        }
    }

    /// Counts what limits cut from the VM, and logs it once; for a limit that its daemon's VMs share, once for all of
    /// them.
    pub(super) fn count_left_out(&mut self, around: &Surroundings) {
        let described = self.vm.description.as_ref().map_or(0, |description| description.left_out);
        let left_out = self.figures.left_out().saturating_add(described.into());
        around.health.left_out.add(left_out);
        if left_out == 0 {
            return;
        }
        if self.claim.room() < PAGE_MAX {
            if around.share.is_news() && around.may_log() {
                tracing::warn!(
                    daemon = %around.daemon, domain = %self.name,
                    "the domains of this daemon have more vCPUs and devices than they may show together; of the largest, and \
                     of those that came last, some are left out, and their collection.success is 0"
                );
            }
        } else if !std::mem::replace(&mut self.cut_told, true) && around.may_log() {
            tracing::warn!(
                domain = %self.name, uuid = %self.vm.key.uuid, left_out,
                "the domain has more vCPUs or devices than one may show; the last of them are left out, and \
                 collection.success is 0"
            );
        }
    }
}
