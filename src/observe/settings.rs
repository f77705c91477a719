//! How often what is read, and every bound of this stage with its reason.

use std::time::Duration;

use super::pace::Pace;
use crate::model::{Group, Groups};

/// The interval at which every group is read unless the user says otherwise.
///
/// Fifteen seconds for all groups, block included: it is the usual scrape interval, so that a `rate()` over one minute
/// sees at least four readings of everything. Block is the dearest group (a third of a whole reading of 6 ms), yet the
/// whole reading is 0.04 % of a core per VM; who has many disks slows it down with `--group-interval block=60s`.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(15);

/// The shortest interval there is; anything below is raised to it. A reading takes libvirt 5-9 ms: more often than this
/// the observer would be the load that it observes.
pub const LEAST_INTERVAL: Duration = Duration::from_millis(100);

/// The longest interval there is; anything above is lowered to it. Prometheus forgets a series that has no sample for
/// five minutes.
pub const MOST_INTERVAL: Duration = Duration::from_secs(300);

/// The span of a clump is this part of the shortest interval: a reading is never made earlier than by that.
const CLUMP_PART: u32 = 10;

/// Readings of one clump. With ten of them the whole costs what one bulk call of libvirt costs, with five 7 % more
/// (measured); a hundred VMs at an interval of 15 s are ten within a tenth of it.
pub(super) const CLUMP_MAX: usize = 10;

/// How long a call may be out before it counts as never coming back. A source holds shorter deadlines itself (3 s, and
/// once 30 s after connecting); this one only guards against a source that breaks its promise.
pub(super) const CALL_GUARD: Duration = Duration::from_secs(120);

/// Events of all daemons that wait for the loop. The loop empties it at every turn; a source whose events do not fit
/// keeps them in its own bounded channel, and says so when that overflows.
pub(super) const EVENT_QUEUE: usize = 64;

/// Events and answers that one turn of the loop takes in before it publishes: enough to make one snapshot of a burst,
/// few enough that the turn stays below a millisecond.
pub(super) const TURN_BATCH: usize = 128;

/// Least time between two readings of a VM that events ask for, unless they are lifecycle events: a guest in a reset
/// loop makes a reboot event every few seconds, or faster.
pub(super) const EVENT_GAP: Duration = Duration::from_secs(1);

/// How often lifecycle events of one VM may make us ask for its state, its XML and its figures. A start has four events, a
/// migration ten, and a script that does both and pauses it as well, many times over, is still seen at once. After that
/// eight a second: an event costs whoever has taken over a launcher nothing.
pub(super) const EVENT_PACE: Pace = Pace { burst: 64, every: Duration::from_millis(125) };

/// An answer with so many parameters more costs one reading more of that pace: an answer may have 8 MiB. An ordinary VM's
/// has a tenth of them.
pub(super) const PARAMETERS_OF_ONE: u32 = 1_024;

/// How often events of one libvirt host may name a domain that we do not know. Hundreds may be restored at once when a host
/// boots; after that no host makes more than ten a second.
pub(super) const STRANGERS_OF_A_HOST: Pace = Pace { burst: 256, every: Duration::from_millis(100) };

/// The same for a launcher, which has one domain, and at times the one before it.
pub(super) const STRANGERS_OF_A_LAUNCHER: Pace = Pace { burst: 4, every: Duration::from_secs(10) };

/// How often events of one daemon may make us list its domains: when some were lost, or named more unknown domains than
/// they may. A list may have 4 MiB.
pub(super) const LIST_PACE: Pace = Pace { burst: 4, every: Duration::from_secs(10) };

/// A RESUMED and a STARTED (either may come first) within this time are one boot, and one detection. libvirt sends them
/// within one dispatch; the rest is the queue between.
pub(super) const BOOT_PAIR: Duration = Duration::from_secs(1);

/// Least time between two XML queries that are made because a statistic names a device that the XML did not have. Some
/// devices never are in the XML.
pub(super) const UNKNOWN_DEVICE_GAP: Duration = Duration::from_secs(60);

/// First wait before an XML query that failed is made again; it doubles each time.
pub(super) const DESCRIBE_RETRY: Duration = Duration::from_secs(1);

/// Longest wait before an XML query that failed is made again.
pub(super) const DESCRIBE_RETRY_MOST: Duration = Duration::from_secs(60);

/// How often the domains are listed although nothing asks for it: events that a daemon never sent are noticed then. A
/// list takes libvirt milliseconds, and every VM's lock once.
pub(super) const LIST_EVERY: Duration = Duration::from_secs(300);

/// First wait before a list that failed is asked for again; it doubles each time.
pub(super) const LIST_RETRY: Duration = Duration::from_secs(1);

/// Longest wait before a list that failed is asked for again.
pub(super) const LIST_RETRY_MOST: Duration = Duration::from_secs(30);

/// Least time between two snapshots while readings come in: ten a second are far above any scrape or export.
pub(super) const PUBLISH_GAP: Duration = Duration::from_millis(100);

/// Least time between two snapshots while lifecycle events come in. The first is published at once; of a storm (every
/// VM of a host started by one script) this bounds the work. A VMI that begins to run makes two, one for what the API
/// says and one, a few milliseconds later, for what its XML says: 10 ms are promised for the second.
pub(super) const URGENT_GAP: Duration = Duration::from_millis(2);

/// Longest time between two snapshots: what is true "now" (the age of a reading that does not come, the dropping of one
/// that is too old) must go on while nothing is read.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);

/// A group is dropped when its newest reading is older than this many of its intervals.
pub(super) const STALE_AFTER: u32 = 3;

/// Two stamps of one VM differ by this much at least: receivers that count in milliseconds would see one point twice.
pub(super) const STAMP_STEP: Duration = Duration::from_millis(1);

/// How often each group is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals([Duration; Group::ALL.len()]);

impl Intervals {
    /// The same interval for every group.
    #[must_use]
    pub fn uniform(interval: Duration) -> Self {
        Self([interval.clamp(LEAST_INTERVAL, MOST_INTERVAL); Group::ALL.len()])
    }

    /// These, but another for one group.
    #[must_use]
    pub fn with(mut self, group: Group, interval: Duration) -> Self {
        self.0[group as usize] = interval.clamp(LEAST_INTERVAL, MOST_INTERVAL);
        self
    }

    /// How often this group is read.
    #[must_use]
    pub const fn of(&self, group: Group) -> Duration {
        self.0[group as usize]
    }

    /// The shortest interval among these groups; of no group, the shortest of all.
    #[must_use]
    pub fn shortest(&self, groups: Groups) -> Duration {
        let least = groups.iter().map(|group| self.of(group)).min();
        least.or_else(|| self.0.iter().min().copied()).unwrap_or(DEFAULT_INTERVAL)
    }

    /// Within which time readings that are due are made together.
    pub(super) fn clump_span(&self) -> Duration {
        self.shortest(Groups::all()) / CLUMP_PART
    }

    /// From which age on a group is no longer shown.
    #[must_use]
    pub fn stale_after(&self, group: Group) -> Duration {
        self.of(group).saturating_mul(STALE_AFTER)
    }
}

impl Default for Intervals {
    fn default() -> Self {
        Self::uniform(DEFAULT_INTERVAL)
    }
}

/// What `observe` is told by the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How often each group is read.
    pub intervals: Intervals,
    /// Which groups are read at all; the state and the job always are.
    pub groups: Groups,
}

impl Default for Settings {
    fn default() -> Self {
        Self { intervals: Intervals::default(), groups: Groups::all() }
    }
}
