//! Applies an answered or failed reading to a VM: its statistics, and whether it is stuck.

use tokio::time::Instant;

use super::context::{DaemonContext, Moment};
use super::domain::DomainState;
use super::figures::{Arrival, rejoin};
use super::incarnation::DomainPhase;
use super::queries::Actions;
use super::room::{PAGE_MAX, fit_description};
use super::settings::{Intervals, PARAMETERS_OF_ONE, STALE_AFTER};
use crate::model::{Group, Groups};
use crate::source::{Monitor, ReadError, Stats};

impl DomainState {
    /// It was read; `None`: the daemon does not know it.
    pub(super) fn on_stats(
        &mut self,
        answer: Result<Option<Stats>, ReadError>,
        asked: Groups,
        launched: Instant,
        moment: Moment,
        context: &DaemonContext,
    ) -> Actions {
        if self.incarnation.phase != DomainPhase::Active {
            return Actions::default();
        }
        let mut stats = match answer {
            Ok(None) => return Actions { remove: true, ..Actions::default() },
            Ok(Some(stats)) => stats,
            Err(error) => return self.not_read(&error, launched, context),
        };
        self.due.pace.charge(stats.parameters / PARAMETERS_OF_ONE, moment.instant);
        if self.figures.state_is_newer_than(launched) {
            // libvirt gathers the state first: it is as old as the call, and a newer one is known.
            stats.status = None;
        }
        if let Some(status) = stats.status.filter(|status| !status.state.is_active()) {
            // For a domain that does not run, libvirt reports its own process' CPU time.
            return self.on_status(Some(status), moment, context);
        }
        self.condition.attempted = true;
        if stats.id.is_none() {
            return Actions { status: true, ..Actions::default() };
        }
        let mut actions = self.check_incarnation(&stats, context);
        self.condition.attempted = true;
        self.condition.failing = false;
        let was_stuck = self.condition.is_stuck();
        self.judge(&stats, asked, moment, context);
        if matches!(stats.monitor, Monitor::Busy | Monitor::Stuck) && self.figures.went_back(&stats) {
            // Its QEMU has ended, and libvirt has 0 for what it reads of the process. The event will follow.
            Group::ALL.into_iter().filter(|group| *group != Group::State).for_each(|group| stats.forget(group));
        }
        actions.lifecycle |= self.log_stuck(was_stuck, context);
        actions.lifecycle |= stats.status.is_some_and(|status| self.vm.status != Some(status));
        self.take(stats, moment, context);
        actions.describe |= !actions.describe && self.wants_devices(moment.instant);
        actions
    }

    /// A call abandoned at its deadline has returned.
    pub(super) fn on_late(&mut self, stats: Option<Stats>, moment: Moment, context: &DaemonContext) -> Actions {
        let launched = self.condition.left_behind.take();
        if self.incarnation.phase != DomainPhase::Active {
            return Actions::default();
        }
        let was_stuck = self.condition.is_stuck();
        self.condition.hung = false;
        self.condition.busy_since = None;
        self.condition.busy_long = false;
        self.touch();
        let healed = self.log_stuck(was_stuck, context);
        if let (Some(mut stats), Some(launched)) = (stats, launched)
            && stats.id.is_some()
            && stats.id == self.incarnation.id
        {
            self.figures.keep_news_only(&mut stats, launched);
            self.take(stats, moment, context);
        }
        Actions { read: true, lifecycle: healed, ..Actions::default() }
    }

    fn not_read(&mut self, error: &ReadError, launched: Instant, context: &DaemonContext) -> Actions {
        self.condition.attempted = true;
        self.condition.complete = Some(false);
        self.touch();
        let mut actions = Actions::default();
        match error {
            ReadError::Deadline { .. } => {
                let was_stuck = self.condition.is_stuck();
                self.condition.left_behind = Some(launched);
                self.condition.hung = true;
                actions.lifecycle = self.log_stuck(was_stuck, context);
            }
            ReadError::Disconnected { .. } => {} // the source reports it itself
            ReadError::Libvirt { .. } | ReadError::Xml { .. } | ReadError::Overloaded { .. } => {
                if !std::mem::replace(&mut self.condition.failing, true) && context.may_log() {
                    tracing::warn!(
                        domain = %self.name, uuid = %self.vm.key.uuid, %error,
                        "could not read the domain's statistics; its last readings are shown until they are too old"
                    );
                }
            }
        }
        actions
    }

    /// Logs when it becomes stuck or recovers. `true` if either.
    fn log_stuck(&self, before: bool, context: &DaemonContext) -> bool {
        let (domain, uuid) = (&self.name, &self.vm.key.uuid);
        if before == self.condition.is_stuck() || !context.may_log() {
            return before != self.condition.is_stuck();
        }
        match (before, self.condition.is_stuck()) {
            (false, true) if self.condition.hung => {
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
    fn check_incarnation(&mut self, stats: &Stats, context: &DaemonContext) -> Actions {
        let mut actions = Actions::default();
        let other = self.incarnation.id.is_some() && self.incarnation.id != stats.id;
        if other || (self.incarnation.verify && self.figures.went_back(stats)) {
            // A detection since the reconnect, or since events were lost, is about this incarnation already.
            let detected = (self.incarnation.verify && self.detection.is_done())
                .then(|| (self.vm.hypervisor, self.vm.description.clone()));
            self.begin(None);
            actions.lifecycle = true;
            if let Some((hypervisor, description)) = detected {
                let vm = self.vm_mut();
                vm.hypervisor = hypervisor;
                vm.description = description;
                self.show(context);
            } else {
                actions.describe = true;
            }
        } else {
            // Without the CPU time, which libvirt has of every domain that runs, nothing was compared.
            if self.incarnation.id.is_some() && stats.cpu.as_ref().is_some_and(|cpu| cpu.time.is_some()) {
                let former = self.detection.gone_on();
                if former.is_some() && (former != self.vm.hypervisor || !self.visible) {
                    self.vm_mut().hypervisor = former;
                    actions.lifecycle = true;
                    if !self.visible {
                        self.show(context);
                    }
                }
            }
            // A counter that is not in this reading may still have gone back.
            self.incarnation.verify &= stats.monitor != Monitor::Answered;
        }
        self.incarnation.id = stats.id;
        actions
    }

    /// Tells full, busy and stuck apart.
    fn judge(&mut self, stats: &Stats, asked: Groups, moment: Moment, context: &DaemonContext) {
        if let Some(job) = &stats.job {
            self.condition.job_active = job.as_ref().is_some_and(|job| job.kind.is_active());
        }
        if stats.monitor != Monitor::Busy {
            self.condition.busy_since = None;
            self.condition.busy_long = false;
        }
        match stats.monitor {
            Monitor::Answered => {
                self.condition.hung = false;
                self.condition.left_behind = None;
                self.condition.complete = Some(true);
            }
            Monitor::NotAsked => {
                // A reading of the state alone says nothing about the QEMU.
                if asked.needs_monitor() {
                    self.condition.complete = Some(false);
                }
            }
            Monitor::Stuck => {
                self.condition.hung = true;
                self.condition.complete = Some(false);
            }
            Monitor::Busy => {
                self.condition.complete = Some(false);
                let since = *self.condition.busy_since.get_or_insert(moment.instant);
                let monitored = context.groups.iter().filter(|group| group.needs_monitor()).collect();
                let long = context.intervals.shortest(monitored).saturating_mul(STALE_AFTER);
                // A call that hung before the agent restarted may still hold the job. A job that libvirt reports is a
                // reason, however long it takes.
                self.condition.busy_long =
                    !self.condition.job_active && moment.instant.saturating_duration_since(since) > long;
            }
        }
    }

    fn take(&mut self, stats: Stats, moment: Moment, context: &DaemonContext) {
        context.counters.unknown_parameters.add(stats.unknown_parameters.into());
        let arrival = Arrival {
            at: self.incarnation.stamp(moment),
            now: moment.instant,
            seen: self.incarnation.seen,
            libvirt: context.libvirt,
        };
        if let Some(status) = stats.status {
            self.vm_mut().status = Some(status);
            self.figures.state_read(moment.instant);
        }
        let mut figures = std::mem::take(&mut self.figures);
        let dropped = figures.take(self.vm_mut(), stats, arrival);
        self.figures = figures;
        self.fit();
        context.counters.left_out.add(dropped);
        self.count_left_out(context);
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
    pub(super) fn count_left_out(&mut self, context: &DaemonContext) {
        let described = self.vm.description.as_ref().map_or(0, |description| description.left_out);
        let left_out = self.figures.left_out().saturating_add(described.into());
        context.counters.left_out.add(left_out);
        if left_out == 0 {
            return;
        }
        if self.claim.room() < PAGE_MAX {
            if context.share.is_news() && context.may_log() {
                tracing::warn!(
                    daemon = %context.daemon, domain = %self.name,
                    "the domains of this daemon have more vCPUs and devices than they may show together; of the largest, and \
                     of those that came last, some are left out, and their collection.success is 0"
                );
            }
        } else if !std::mem::replace(&mut self.condition.cut_told, true) && context.may_log() {
            tracing::warn!(
                domain = %self.name, uuid = %self.vm.key.uuid, left_out,
                "the domain has more vCPUs or devices than one may show; the last of them are left out, and \
                 collection.success is 0"
            );
        }
    }
}
