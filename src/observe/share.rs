//! Limits how much of the metrics page the VMs of one daemon, and of all, take.
//!
//! [`room`](super::room) limits one VM. But a host names as many VMs as it likes, and a node has a launcher for each of
//! its VMs: an attacker in the host's daemon, or in many launchers, could make each VM as large as any.
//!
//! * Each VM has an allowance that no other can take: what a small one needs.
//! * Beyond that, it draws on its daemon's reserve: first come, first served, and kept until it is given back.
//! * Beyond its reserve, a daemon draws on a surplus that all daemons share. When that runs out, those that want the
//!   most shrink at their next readings until they are equal; a daemon that wants less than that, or has at most its
//!   even share, gives up nothing.
//!
//! All amounts are bytes of the page, as estimated in `room`. Memory and pushes follow from them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use super::room;

/// Most domains tracked per daemon. A node has a thousand at most; the queue holds the queries of four times as many.
pub(super) const DOMAINS_MAX: usize = 4_096;

/// What each VM has for itself: enough for two vCPUs, a disk and an interface. 64 MiB for all domains of a host.
pub(super) const ALLOWANCE: usize = 16 * 1_024;

/// What the VMs of a host may have beyond that, whatever other daemons do: enough for a thousand with four vCPUs, two
/// disks and two interfaces (30 KiB each), or for ten with 512 vCPUs, 64 disks and 64 interfaces.
pub(super) const OF_A_HOST: usize = 32 * 1_024 * 1_024;

/// The same for a launcher, which has one VM: enough for 16 vCPUs, eight disks and two interfaces. 32 MiB for 250
/// launchers.
pub(super) const OF_A_LAUNCHER: usize = 112 * 1_024;

/// What all daemons share. One daemon gets at most half of it, which is more than one VM may have.
const SURPLUS: usize = 48 * 1_024 * 1_024;

/// What all daemons of a process share. One task changes it; the numbers are atomic only so that they can be shared.
#[derive(Debug, Default)]
pub(super) struct Pool {
    daemons: AtomicUsize,
    taken: AtomicUsize,
    /// The surplus of the daemons that want no more.
    content: AtomicUsize,
    /// How many of them want more.
    greedy: AtomicUsize,
}

impl Pool {
    /// The most of the surplus that a daemon holding `now` may have. That leaves as much for one more.
    fn most(&self, now: Stand) -> usize {
        let left = SURPLUS.saturating_sub(self.taken.load(Relaxed).saturating_sub(now.surplus));
        let content = self.content.load(Relaxed).saturating_sub(now.content());
        let greedy = self.greedy.load(Relaxed).saturating_sub(now.greedy.into());
        let level = SURPLUS.saturating_sub(content) / (greedy + 2);
        let even = SURPLUS / (self.daemons.load(Relaxed) + 1);
        left.min(level.max(even))
    }

    fn change(&self, before: Stand, after: Stand) {
        replace(&self.taken, before.surplus, after.surplus);
        replace(&self.content, before.content(), after.content());
        replace(&self.greedy, before.greedy.into(), after.greedy.into());
    }
}

/// What a daemon has of the surplus, and whether it wants more.
#[derive(Debug, Clone, Copy)]
struct Stand {
    surplus: usize,
    greedy: bool,
}

impl Stand {
    const fn content(self) -> usize {
        if self.greedy { 0 } else { self.surplus }
    }
}

/// Replaces a part of a sum.
fn replace(sum: &AtomicUsize, before: usize, after: usize) {
    sum.store(sum.load(Relaxed).saturating_sub(before) + after, Relaxed);
}

/// What the VMs of one daemon share.
#[derive(Debug)]
pub(super) struct Share {
    pool: Arc<Pool>,
    reserve: usize,
    /// What its VMs have beyond their allowances.
    taken: AtomicUsize,
    /// How many of them want more.
    greedy: AtomicUsize,
    /// Whether it was logged that something was left out.
    told: AtomicBool,
}

impl Share {
    pub(super) fn new(pool: &Arc<Pool>, reserve: usize) -> Self {
        pool.daemons.fetch_add(1, Relaxed);
        let [taken, greedy] = [AtomicUsize::new(0), AtomicUsize::new(0)];
        Self { pool: Arc::clone(pool), reserve, taken, greedy, told: AtomicBool::new(false) }
    }

    fn stand(&self) -> Stand {
        let surplus = self.taken.load(Relaxed).saturating_sub(self.reserve);
        Stand { surplus, greedy: self.greedy.load(Relaxed) > 0 }
    }

    /// What a VM that now holds `held` beyond its allowance may hold beyond it.
    fn left(&self, held: usize) -> usize {
        let others = self.taken.load(Relaxed).saturating_sub(held);
        (self.reserve + self.pool.most(self.stand())).saturating_sub(others)
    }

    /// A VM's amount, or whether it wants more, has changed.
    fn change(&self, before: Part, after: Part) {
        let stand = self.stand();
        replace(&self.taken, before.beyond(), after.beyond());
        replace(&self.greedy, before.greedy.into(), after.greedy.into());
        self.pool.change(stand, self.stand());
    }

    /// Whether a new VM may have this name.
    pub(super) fn takes_name(&self, name: &str) -> bool {
        room::name_bytes(name) <= ALLOWANCE + self.left(0)
    }

    /// Whether to log that something was left out of its VMs: once.
    pub(super) fn is_news(&self) -> bool {
        !self.told.swap(true, Relaxed)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.pool.daemons.fetch_sub(1, Relaxed);
    }
}

/// What one VM has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Part {
    /// What its name and its further labels take, on each series that every VM has.
    name: usize,
    /// What its vCPUs, its devices and their description take.
    shown: usize,
    /// Whether it wants more.
    greedy: bool,
}

impl Part {
    const fn beyond(self) -> usize {
        (self.name + self.shown).saturating_sub(ALLOWANCE)
    }
}

/// What one VM has. Dropping it gives that back.
#[derive(Debug)]
pub(super) struct Claim {
    share: Arc<Share>,
    part: Part,
}

impl Claim {
    pub(super) fn new(share: &Arc<Share>) -> Self {
        Self { share: Arc::clone(share), part: Part::default() }
    }

    /// The most that it may have, including its name.
    fn most(&self) -> usize {
        ALLOWANCE + self.share.left(self.part.beyond())
    }

    /// The most that its vCPUs, its devices and their description may take now.
    pub(super) fn room(&self) -> usize {
        self.most().saturating_sub(self.part.name)
    }

    /// Whether it may take this name.
    pub(super) fn takes_name(&self, name: &str) -> bool {
        self.takes(room::name_bytes(name))
    }

    /// Whether what identifies it may take this much.
    pub(super) fn takes(&self, bytes: usize) -> bool {
        bytes <= self.part.name || bytes + self.part.shown <= self.most()
    }

    /// Counts the longest of the names that it has, by what each takes.
    pub(super) fn set_names<const N: usize>(&mut self, names: [usize; N]) {
        let name = names.into_iter().max().unwrap_or_default();
        self.set(Part { name, ..self.part });
    }

    /// Sets what its vCPUs, its devices and their description take; `greedy` if it wants more.
    pub(super) fn set_shown(&mut self, shown: usize, greedy: bool) {
        self.set(Part { shown, greedy, ..self.part });
    }

    fn set(&mut self, part: Part) {
        let before = std::mem::replace(&mut self.part, part);
        if before != part {
            self.share.change(before, part);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.set(Part::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1_024 * 1_024;

    fn share(pool: &Arc<Pool>, reserve: usize) -> Arc<Share> {
        Arc::new(Share::new(pool, reserve))
    }

    /// Gives a VM what it wants, up to its limit. Returns that.
    fn takes(claim: &mut Claim, wants: usize) -> usize {
        let shown = wants.min(claim.room());
        claim.set_shown(shown, shown < wants);
        shown
    }

    #[test]
    fn four_thousand_small_vms_and_a_thousand_ordinary_ones_are_shown_whole() {
        for (vms, wants) in [(DOMAINS_MAX, ALLOWANCE + 6 * 1_024), (1_000, 48 * 1_024), (10, 4 * MIB)] {
            let pool = Arc::new(Pool::default());
            let [one, another] = [share(&pool, OF_A_HOST), share(&pool, OF_A_HOST)];
            let mut claims: Vec<_> = (0..vms).flat_map(|_| [Claim::new(&one), Claim::new(&another)]).collect();
            assert!(claims.iter_mut().all(|claim| takes(claim, wants) == wants), "{vms} of {wants} bytes");
        }
    }

    #[test]
    fn what_all_together_have_is_bounded_and_given_back() {
        let pool = Arc::new(Pool::default());
        let hosts: Vec<_> = (0..8).map(|_| share(&pool, OF_A_HOST)).collect();
        let mut claims: Vec<_> = hosts.iter().flat_map(|host| (0..100).map(|_| Claim::new(host))).collect();
        let taken: usize = claims.iter_mut().map(|claim| takes(claim, 16 * MIB)).sum();
        assert!(taken <= claims.len() * ALLOWANCE + 8 * OF_A_HOST + SURPLUS, "{taken}");
        assert!(hosts[0].stand().surplus > 0 && pool.taken.load(Relaxed) <= SURPLUS);
        drop(claims);
        assert!(hosts.iter().all(|host| host.taken.load(Relaxed) == 0));
        drop(hosts);
        let Pool { daemons, taken, content, greedy } = &*pool;
        assert_eq!([daemons, taken, content, greedy].map(|number| number.load(Relaxed)), [0; 4]);
    }

    #[test]
    fn a_small_vm_gives_way_to_nobody() {
        let pool = Arc::new(Pool::default());
        let host = share(&pool, OF_A_HOST);
        let mut greedy: Vec<_> = (0..100).map(|_| Claim::new(&host)).collect();
        let launchers: Vec<_> = (0..100).map(|_| share(&pool, OF_A_LAUNCHER)).collect();
        greedy.extend(launchers.iter().map(Claim::new));
        for claim in &mut greedy {
            takes(claim, 16 * MIB);
        }
        assert_eq!(takes(&mut Claim::new(&host), ALLOWANCE), ALLOWANCE);
        let launcher = share(&pool, OF_A_LAUNCHER);
        assert_eq!(takes(&mut Claim::new(&launcher), ALLOWANCE + OF_A_LAUNCHER), ALLOWANCE + OF_A_LAUNCHER);
    }

    #[test]
    fn of_many_daemons_the_largest_give_way_first() {
        let pool = Arc::new(Pool::default());
        let launchers: Vec<_> = (0..24).map(|_| share(&pool, OF_A_LAUNCHER)).collect();
        let mut greedy: Vec<_> = launchers.iter().map(Claim::new).collect();
        let large = share(&pool, OF_A_LAUNCHER);
        let mut before = Claim::new(&large);
        let wants = 1_600 * 1_024;
        assert_eq!(takes(&mut before, wants), wants);
        for _ in 0..3 {
            for claim in &mut greedy {
                takes(claim, 16 * MIB);
            }
            assert_eq!(takes(&mut before, wants), wants, "who has less than its even share keeps it");
        }
        // They also leave room for one that comes later.
        let late = share(&pool, OF_A_LAUNCHER);
        assert_eq!(takes(&mut Claim::new(&late), wants), wants);
        let least = greedy.iter().map(|claim| claim.part.shown).min().unwrap();
        assert!(least > MIB, "{least}");
    }

    #[test]
    fn what_the_others_do_not_want_one_may_have() {
        let pool = Arc::new(Pool::default());
        let launchers: Vec<_> = (0..110).map(|_| share(&pool, OF_A_LAUNCHER)).collect();
        let mut ordinary: Vec<_> = launchers.iter().map(Claim::new).collect();
        let large = share(&pool, OF_A_LAUNCHER);
        let mut large = Claim::new(&large);
        for _ in 0..3 {
            assert!(ordinary.iter_mut().all(|claim| takes(claim, 300 * 1_024) == 300 * 1_024));
            assert_eq!(takes(&mut large, 4 * MIB), 4 * MIB);
        }
    }

    #[test]
    fn a_single_vm_may_be_as_large_as_any() {
        let pool = Arc::new(Pool::default());
        let launcher = share(&pool, OF_A_LAUNCHER);
        assert!(Claim::new(&launcher).room() > room::PAGE_MAX);
    }

    #[test]
    fn long_names_take_room_and_those_that_do_not_fit_are_refused() {
        let pool = Arc::new(Pool::default());
        let host = share(&pool, OF_A_HOST);
        let long = "\\".repeat(1_024);
        let mut claims = Vec::new();
        while host.takes_name(&long) && claims.len() < DOMAINS_MAX {
            let mut claim = Claim::new(&host);
            claim.set_names([room::name_bytes(&long)]);
            claims.push(claim);
        }
        assert!((100..DOMAINS_MAX).contains(&claims.len()), "{}", claims.len());
        assert!(host.takes_name("web-1"), "an ordinary name fits into the allowance");
        assert!(!Claim::new(&host).takes_name(&long) && claims[0].takes_name(&long));
        // It is still shown by its long name.
        claims[0].set_names(["web-1", &long].map(room::name_bytes));
        assert!(!host.takes_name(&long));
        claims[0].set_names([room::name_bytes("web-1")]);
        assert!(host.takes_name(&long));
    }
}
