//! When a VM's groups are due: each VM at its own offset within the interval, so that a host's VMs are read evenly.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::settings::Intervals;
use crate::model::{Group, Groups};

/// Marks the timer of a daemon's list among the timers of its domains.
pub(super) const LIST_TIMER: Uuid = Uuid::nil();

/// When each group of one VM is next due.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    /// The origin of all VMs' grids.
    epoch: Instant,
    spread: u64,
    due: [Instant; Group::ALL.len()],
}

impl Schedule {
    /// A VM's own schedule: its phase follows from its UUID, so that it is the same after a restart.
    pub(super) fn new(uuid: Uuid, epoch: Instant, now: Instant, intervals: &Intervals) -> Self {
        let mut schedule = Self { epoch, spread: mix(uuid), due: [now; Group::ALL.len()] };
        for group in Group::ALL {
            schedule.advance(group, now, intervals);
        }
        schedule
    }

    /// The groups of this set that are due.
    pub(super) fn due(&self, groups: Groups, now: Instant) -> Groups {
        groups.iter().filter(|group| self.due[*group as usize] <= now).collect()
    }

    /// When the first group of this set is due.
    pub(super) fn next(&self, groups: Groups) -> Option<Instant> {
        groups.iter().map(|group| self.due[group as usize]).min()
    }

    /// These groups are being read: those that are due by `until` are next due at their following grid point.
    pub(super) fn take(&mut self, groups: Groups, until: Instant, intervals: &Intervals) {
        for group in self.due(groups, until).iter() {
            self.advance(group, until, intervals);
        }
    }

    fn advance(&mut self, group: Group, now: Instant, intervals: &Intervals) {
        let interval = intervals.of(group);
        let offset = offset(self.spread, interval, intervals.shortest(Groups::all()));
        self.due[group as usize] = self.epoch + following(offset, interval, now.saturating_duration_since(self.epoch));
    }
}

/// The first point of the grid `offset + n × interval` that is after `elapsed`.
fn following(offset: Duration, interval: Duration, elapsed: Duration) -> Duration {
    let Some(beyond) = elapsed.checked_sub(offset) else { return offset };
    let steps = beyond.as_nanos() / interval.as_nanos().max(1) + 1;
    offset + nanos(steps.saturating_mul(interval.as_nanos()))
}

/// Where in its interval a group is due. All groups of a VM share the phase within the shortest interval, so that one
/// call reads what is due together; slower groups are spread over the shortest intervals within theirs.
fn offset(spread: u64, interval: Duration, shortest: Duration) -> Duration {
    let within = u64::try_from(shortest.as_nanos()).unwrap_or(u64::MAX);
    // The upper half is a fraction of the shortest interval; the lower half picks which of them.
    let fraction = (u128::from(spread >> 32) * u128::from(within)) >> 32;
    let places = (interval.as_nanos() / u128::from(within.max(1))).max(1);
    let place = u128::from(spread & u64::from(u32::MAX)) % places;
    nanos(fraction + place * u128::from(within))
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The finalizer of splitmix64 over both halves: UUIDs made by hand differ in few bits, but their phases must not be
/// close.
fn mix(uuid: Uuid) -> u64 {
    let (high, low) = uuid.as_u64_pair();
    let mut mixed = high.rotate_left(32) ^ low.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_grid_goes_on_after_the_present_moment() {
        assert_eq!(following(3 * SECOND, 15 * SECOND, Duration::ZERO), 3 * SECOND);
        assert_eq!(following(3 * SECOND, 15 * SECOND, 3 * SECOND), 18 * SECOND);
        assert_eq!(following(3 * SECOND, 15 * SECOND, 17 * SECOND), 18 * SECOND);
        assert_eq!(following(3 * SECOND, 15 * SECOND, 1_000 * SECOND), 1_008 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_group_is_due_together_with_the_fast_ones_of_its_vm() {
        let intervals = Intervals::default().with(Group::Block, 60 * SECOND);
        let epoch = Instant::now();
        for number in 0..100 {
            let schedule = Schedule::new(Uuid::from_u128(number), epoch, epoch, &intervals);
            let apart = schedule.due[Group::Block as usize] - schedule.due[Group::Cpu as usize];
            assert_eq!(apart.as_nanos() % (15 * SECOND).as_nanos(), 0, "VM {number}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn vms_numbered_by_hand_are_spread_over_the_interval() {
        let intervals = Intervals::default().with(Group::Block, 60 * SECOND);
        let epoch = Instant::now();
        let mut fast = [0_u32; 15];
        let mut slow = [0_u32; 60];
        for number in 1..=1_500 {
            let schedule = Schedule::new(Uuid::from_u128(number), epoch, epoch, &intervals);
            fast[usize::try_from((schedule.due[Group::Cpu as usize] - epoch).as_secs()).unwrap()] += 1;
            slow[usize::try_from((schedule.due[Group::Block as usize] - epoch).as_secs()).unwrap()] += 1;
        }
        assert!(fast.iter().all(|count| (60..=140).contains(count)), "100 expected in each second: {fast:?}");
        assert!(slow.iter().all(|count| (5..=55).contains(count)), "25 expected in each second: {slow:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_taken_is_due_again_one_interval_later_even_when_late() {
        let intervals = Intervals::default();
        let epoch = Instant::now();
        let mut schedule = Schedule::new(Uuid::from_u128(7), epoch, epoch, &intervals);
        let first = schedule.next(Groups::all()).unwrap();
        let late = first + 4 * SECOND;
        assert_eq!(schedule.due(Groups::all(), late), Groups::all());
        schedule.take(Groups::all(), late, &intervals);
        assert_eq!(schedule.next(Groups::all()), Some(first + 15 * SECOND), "lateness does not move the grid");
        assert!(schedule.due(Groups::all(), late).is_empty());
    }
}
