//! Read intervals, and every limit of `observe` with its reason.

use std::sync::Arc;
use std::time::Duration;

use super::pace::Pace;
use crate::backoff::Waits;
use crate::model::{Group, Groups, MetadataKey, VmChoice};

/// The default interval of every group.
///
/// Fifteen seconds for all groups, block included: it is the usual scrape interval, so that a `rate()` over one minute
/// sees at least four readings of everything. Block is the most expensive group (a third of a whole reading of 6 ms),
/// yet the whole reading is 0.04 % of a core per VM; with many disks, slow it down with `--group-interval block=60s`.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(15);

/// The shortest interval there is; anything below is raised to it. A reading takes libvirt 5-9 ms: more often than
/// this, the agent would mostly observe its own load.
pub const LEAST_INTERVAL: Duration = Duration::from_millis(100);

/// The longest interval there is; anything above is lowered to it. Prometheus drops a series that has no sample for
/// five minutes.
pub const MOST_INTERVAL: Duration = Duration::from_secs(300);

/// A batch of readings (a clump) spans the shortest interval divided by this; no reading is made earlier than that.
const CLUMP_PART: u32 = 10;

/// Most readings in a clump. With ten of them the total cost is that of one bulk call of libvirt, with five 7 % more
/// (measured); a hundred VMs at an interval of 15 s are ten within a tenth of it.
pub(super) const CLUMP_MAX: usize = 10;

/// How long a call may run before it is given up. A source enforces shorter deadlines itself (3 s, and once 30 s after
/// connecting); this one only guards against a source that breaks its promise.
pub(super) const CALL_GUARD: Duration = Duration::from_secs(120);

/// Events of all daemons that may wait for the loop. Every iteration empties it; a source whose events do not fit keeps
/// them in its own bounded channel, and reports when that overflows.
pub(super) const EVENT_QUEUE: usize = 64;

/// Events and answers that one loop iteration takes in before it publishes: enough to make one snapshot of a burst, few
/// enough to stay below a millisecond.
pub(super) const TURN_BATCH: usize = 128;

/// Minimum time between two readings of a VM triggered by events that are not lifecycle events: a guest in a reset loop
/// sends a reboot event every few seconds, or faster.
pub(super) const EVENT_GAP: Duration = Duration::from_secs(1);

/// How often lifecycle events of one VM may trigger queries for its state, its XML and its statistics. A start has four
/// events, a migration ten; a script that does both and pauses the VM, many times over, is still seen at once. After
/// that eight a second: events cost an attacker in a launcher nothing.
pub(super) const EVENT_PACE: Pace = Pace { burst: 64, every: Duration::from_millis(125) };

/// Parameters in an answer that cost one more reading of that pace: an answer may have 8 MiB. An ordinary VM's has a
/// tenth of them.
pub(super) const PARAMETERS_OF_ONE: u32 = 1_024;

/// How often events of one libvirt host may name an unknown domain. Hundreds may be restored at once when a host boots;
/// after that no host creates more than ten a second.
pub(super) const STRANGERS_OF_A_HOST: Pace = Pace { burst: 256, every: Duration::from_millis(100) };

/// The same for a launcher, which has one domain, and at times the previous one.
pub(super) const STRANGERS_OF_A_LAUNCHER: Pace = Pace { burst: 4, every: Duration::from_secs(10) };

/// How often events of one daemon may trigger a list of its domains: when some were lost, or named too many unknown
/// domains. A list may have 4 MiB.
pub(super) const LIST_PACE: Pace = Pace { burst: 4, every: Duration::from_secs(10) };

/// A RESUMED and a STARTED (either may come first) within this time are one boot, and one detection. libvirt sends them
/// within one dispatch; the rest is queueing.
pub(super) const BOOT_PAIR: Duration = Duration::from_secs(1);

/// Minimum time between two XML queries for devices that statistics name and the XML lacks. Some devices are never in
/// the XML.
pub(super) const UNKNOWN_DEVICE_GAP: Duration = Duration::from_secs(60);

/// The waits before a failed XML query is retried.
pub(super) const DESCRIBE_RETRY: Waits =
    Waits { first: Duration::from_secs(1), longest: Duration::from_secs(60), jitter: false };

/// How often the domains are listed without a trigger, to notice changes for which a daemon sent no event. A list takes
/// libvirt milliseconds, and every VM's lock once.
pub(super) const LIST_EVERY: Duration = Duration::from_secs(300);

/// The waits before a failed list is retried.
pub(super) const LIST_RETRY: Waits =
    Waits { first: Duration::from_secs(1), longest: Duration::from_secs(30), jitter: false };

/// How long nothing may listen at the socket of a launcher that was not reached before, until that is worth a warning.
///
/// A sidecar starts before the launcher's own container. That one starts its libvirt within a second or two, and within
/// ten times that on a node that starts many pods at once. The Kubernetes API takes seconds to say that a VMI has ended.
pub const NOT_YET: Duration = Duration::from_secs(30);

/// Minimum time between two snapshots while readings come in: far more often than any scrape or export.
pub(super) const PUBLISH_GAP: Duration = Duration::from_millis(100);

/// Minimum time between two snapshots while lifecycle events come in. The first is published at once; in a storm (one
/// script starts every VM of a host) this bounds the work. A VMI that begins to run makes two, one for what the API
/// reports and one, a few milliseconds later, for its XML: 10 ms are promised for the second.
pub(super) const URGENT_GAP: Duration = Duration::from_millis(2);

/// Longest time between two snapshots: ages must grow, and readings that are too old must be dropped, while nothing is
/// read.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);

/// A group is dropped when its newest reading is older than this many of its intervals.
pub(super) const STALE_AFTER: u32 = 3;

/// Minimum difference between two timestamps of one VM: receivers that count in milliseconds would see one point twice.
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

    /// These, with another for one group.
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

    /// The shortest interval among these groups; without any group, the shortest of all.
    #[must_use]
    pub fn shortest(&self, groups: Groups) -> Duration {
        let least = groups.iter().map(|group| self.of(group)).min();
        least.or_else(|| self.0.iter().min().copied()).unwrap_or(DEFAULT_INTERVAL)
    }

    /// The window within which due readings are made together.
    pub(super) fn clump_span(&self) -> Duration {
        self.shortest(Groups::all()) / CLUMP_PART
    }

    /// The age beyond which a group is not shown.
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

/// The configuration of `observe`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How often each group is read.
    pub intervals: Intervals,
    /// Which groups are read at all; the state and the job always are.
    pub groups: Groups,
    /// Which domains of a host are read. Which VMIs are is decided before.
    pub choice: VmChoice,
    /// What of a domain's metadata is a label of each of its series at the endpoint.
    pub metadata_labels: Arc<[MetadataKey]>,
    /// How long nothing may listen at a launcher's socket before that is worth a warning: [`NOT_YET`], or nothing if
    /// somebody waits for what is read.
    pub not_yet: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            intervals: Intervals::default(),
            groups: Groups::all(),
            choice: VmChoice::default(),
            metadata_labels: Arc::default(),
            not_yet: NOT_YET,
        }
    }
}
