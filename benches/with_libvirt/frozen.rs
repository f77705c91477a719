//! One VM of the fleet is frozen: the effect on the others.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::agent;
use crate::fleet::Fleet;
use crate::lab::wait_until;
use crate::peers::Exporter;
use crate::support::receiver::Receiver;

const INTERVAL: Duration = Duration::from_secs(5);

/// How long the others are watched, in intervals.
const WATCHED: u32 = 6;

/// How long to wait for a peer; our HTTP client gives up after the same time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What was seen of the others.
pub(crate) struct Others {
    /// The oldest reading of any of them, before and after the freeze.
    pub(crate) oldest_before: Duration,
    pub(crate) oldest: Duration,
    /// Domains that were reported stuck, or lacked their figures on a page.
    pub(crate) harmed: usize,
    /// From the freeze until the frozen one was reported stuck.
    pub(crate) noticed: Duration,
}

impl Others {
    pub(crate) const fn interval() -> Duration {
        INTERVAL
    }

    /// By how much the latest reading was later than its interval allows.
    pub(crate) fn late(&self) -> Duration {
        self.oldest.saturating_sub(INTERVAL)
    }
}

pub(crate) fn agent(fleet: &Fleet, receiver: &Receiver) -> Others {
    let agent = agent::start(fleet, receiver, &["--interval", "5s"]);
    // The first round is not spread like later ones.
    sleep(2 * INTERVAL);
    let (frozen, others) = fleet.names.split_first().expect("a fleet");
    let watch = |rounds: u32| {
        let started = Instant::now();
        let (mut oldest, mut harmed): (f64, Vec<&str>) = (0.0, Vec::new());
        while started.elapsed() < rounds * INTERVAL {
            let page = agent.metrics();
            for name in others {
                let labels = [("domain", name.as_str())];
                let read = page.has("libvirt_domain_storage_iops_write_total", &labels);
                if !read || page.get("libvirt_domain_collection_stuck", &labels) != Some(0.0) {
                    harmed.push(name);
                }
            }
            let ages = page.all("libvirt_domain_collection_age_seconds", &[]);
            let ages = ages.iter().filter(|sample| sample.label("domain") != Some(frozen)).map(|sample| sample.value);
            oldest = ages.fold(oldest, f64::max);
            sleep(Duration::from_millis(200));
        }
        harmed.sort_unstable();
        harmed.dedup();
        (Duration::from_secs_f64(oldest), harmed.len())
    };
    let (oldest_before, _) = watch(2);

    fleet.libvirtd.freeze(frozen);
    let since = Instant::now();
    let (oldest_at_first, harmed_at_first) = watch(1);
    wait_until(Duration::from_secs(30), "the frozen domain to be called stuck", || {
        let stuck = agent.metrics().get("libvirt_domain_collection_stuck", &[("domain", frozen)]);
        (stuck == Some(1.0)).then_some(())
    });
    let noticed = since.elapsed();
    let (oldest, harmed) = watch(WATCHED);
    fleet.libvirtd.thaw(frozen);
    wait_until(Duration::from_secs(30), "the thawed domain to be read", || {
        let stuck = agent.metrics().get("libvirt_domain_collection_stuck", &[("domain", frozen)]);
        (stuck == Some(0.0)).then_some(())
    });
    Others { oldest_before, oldest: oldest.max(oldest_at_first), harmed: harmed.max(harmed_at_first), noticed }
}

/// What the peers report when each is the first to meet a frozen domain.
pub(crate) fn peers(fleet: &Fleet, exporter: &Exporter) -> [String; 2] {
    let frozen = &fleet.names[0];
    let nothing = || format!("no answer within {} s", PATIENCE.as_secs());

    fleet.libvirtd.freeze(frozen);
    let started = Instant::now();
    let virsh = match fleet.libvirtd.virsh_within(PATIENCE, &["domstats", "--nowait"]) {
        Ok(printed) => {
            format!(
                "{} of {} domains after {:.1?}",
                printed.matches("Domain: ").count(),
                fleet.names.len(),
                started.elapsed()
            )
        }
        Err(_) => nothing(),
    };
    fleet.libvirtd.thaw(frozen);
    // Waits for a call that still holds the domain's job.
    fleet.libvirtd.virsh(&["domstats", frozen]);

    fleet.libvirtd.freeze(frozen);
    let started = Instant::now();
    let exported = match exporter.scrape() {
        Ok(page) => {
            let domains = page.text().matches("\nlibvirt_domain_info_virtual_cpus{").count();
            format!("{domains} of {} domains after {:.1?}", fleet.names.len(), started.elapsed())
        }
        Err(_) => nothing(),
    };
    fleet.libvirtd.thaw(frozen);
    [virsh, exported]
}
