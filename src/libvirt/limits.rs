//! The limit on open files. A VM in a launcher pod takes two: a connection for events and one for calls.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are open before the first connection: standard streams, the runtime's own, the listener, and the API.
const STANDING: u64 = 14;

/// Files reserved for what must go on when connections get no more: probes, scrapes, pushes, the Kubernetes API. A
/// scraper or two, a kubelet's probes and a Collector take a dozen.
const HEADROOM: u64 = 64;

/// The headroom is at most the limit divided by this.
const HEADROOM_PART: u64 = 4;

/// Raises the soft limit on open files to the hard limit. Returns the resulting limit; [`u64::MAX`] if there is none.
///
/// # Errors
///
/// When the kernel refuses. The limit is then unchanged.
pub fn raise_open_files() -> io::Result<u64> {
    let now = getrlimit(Resource::Nofile);
    if now.current != now.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: now.maximum, ..now })?;
    }
    Ok(open_files())
}

/// How many files may be open; [`u64::MAX`] if there is no limit.
#[must_use]
pub fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The files that connections may have, counted per process, as its descriptor limit is, and before they are opened.
/// Descriptor numbers do not tell how many are left: lower ones may be free, and free ones may be promised.
#[derive(Debug)]
pub(super) struct Stock {
    limit: fn() -> u64,
    taken: AtomicU64,
}

/// The files of this process.
pub(super) static STOCK: Stock = Stock::new(open_files);

impl Stock {
    pub(super) const fn new(limit: fn() -> u64) -> Self {
        Self { limit, taken: AtomicU64::new(0) }
    }

    /// How many files may be open.
    pub(super) fn limit(&self) -> u64 {
        (self.limit)()
    }

    fn take(&self, files: u64) -> bool {
        let limit = self.limit();
        let most = limit.saturating_sub(STANDING + HEADROOM.min(limit / HEADROOM_PART));
        let take = |taken: u64| taken.checked_add(files).filter(|taken| *taken <= most);
        files == 0 || self.taken.fetch_update(Relaxed, Relaxed, take).is_ok()
    }

    /// How many are taken.
    #[cfg(test)]
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Relaxed)
    }
}

/// The files of one daemon's connections. A daemon needs two connections, and one alone is useless: the first also
/// reserves the files of the second, or gets none.
#[derive(Debug)]
pub(super) struct Share {
    stock: &'static Stock,
    /// Files per connection.
    each: u64,
    connections: Mutex<u64>,
}

impl Share {
    pub(super) fn of(stock: &'static Stock, each: u64) -> Arc<Self> {
        Arc::new(Self { stock, each, connections: Mutex::default() })
    }

    /// Takes the files of one more connection. `Err`: the limit, if too few are left.
    pub(super) fn take(self: &Arc<Self>) -> Result<Files, u64> {
        let mut connections = self.connections();
        if !self.stock.take(self.taken_beside(*connections)) {
            return Err(self.stock.limit());
        }
        *connections += 1;
        Ok(Files(Arc::clone(self)))
    }

    fn connections(&self) -> MutexGuard<'_, u64> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many files a connection takes beside `others`.
    const fn taken_beside(&self, others: u64) -> u64 {
        match others {
            0 => 2 * self.each,
            1 => 0,
            _ => self.each,
        }
    }
}

/// The files of a connection, released on drop.
#[derive(Debug)]
pub(super) struct Files(Arc<Share>);

impl Drop for Files {
    fn drop(&mut self) {
        let Self(share) = self;
        let mut connections = share.connections();
        *connections = connections.saturating_sub(1);
        share.stock.taken.fetch_sub(share.taken_beside(*connections), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_files_are_kept_for_others() {
        let fit = |limit: fn() -> u64| {
            let stock = Stock::new(limit);
            (0..2_000).take_while(|_| stock.take(1)).count()
        };
        assert_eq!(fit(|| 1_024), 1_024 - 14 - 64);
        assert_eq!(fit(|| 64), 64 - 14 - 16, "a quarter of a low limit");
        assert_eq!((fit(|| 16), fit(|| 0)), (0, 0));
        assert!(Stock::new(|| u64::MAX).take(1_000_000));
    }

    /// Whether a daemon gets one more connection, which then stays open.
    fn opens(share: &Arc<Share>, open: &mut Vec<Files>) -> bool {
        share.take().map(|files| open.push(files)).is_ok()
    }

    #[test]
    fn who_has_the_first_gets_the_second_and_nobody_gets_the_first_alone() {
        // Room for four.
        static STOCK: Stock = Stock::new(|| 24);
        let [one, other, third] = [(); 3].map(|()| Share::of(&STOCK, 1));
        let [mut ones, mut others] = [Vec::new(), Vec::new()];
        assert!(opens(&one, &mut ones) && opens(&other, &mut others));
        assert_eq!(third.take().unwrap_err(), 24);
        assert!(opens(&one, &mut ones) && !opens(&one, &mut ones), "a third is not taken from who was promised it");
        assert!(opens(&other, &mut others));

        // A daemon keeps the file of a connection that has ended, whichever of the two it was.
        drop(ones.remove(0));
        assert!(third.take().is_err() && opens(&one, &mut ones));
        ones.clear();
        assert!(opens(&other, &mut others) && opens(&other, &mut others) && third.take().is_err());
        others.remove(0);
        assert_eq!(STOCK.taken(), 3);
        others.clear();
        assert_eq!(STOCK.taken(), 0);
    }

    #[test]
    fn connections_of_several_files_take_as_many() {
        static STOCK: Stock = Stock::new(|| 1_024);
        let share = Share::of(&STOCK, 4);
        let taken = [8, 8, 12, 16].map(|taken| (share.take().unwrap(), taken, STOCK.taken()));
        assert!(taken.iter().all(|(_, expected, taken)| expected == taken), "{taken:?}");
        drop(taken);
        assert_eq!(STOCK.taken(), 0);
    }

    #[test]
    fn however_many_ask_at_once_as_many_get_both_as_fit() {
        // Room for five.
        static STOCK: Stock = Stock::new(|| 32);
        for _ in 0..200 {
            let began = std::sync::Barrier::new(8);
            let got = std::thread::scope(|scope| {
                let ask = || {
                    let share = Share::of(&STOCK, 1);
                    began.wait();
                    share.take().map(|first| [first, share.take().unwrap()])
                };
                let asking = [(); 8].map(|()| scope.spawn(ask));
                asking.map(|asking| asking.join().unwrap()).into_iter().flatten().collect::<Vec<_>>()
            });
            assert_eq!((got.len(), STOCK.taken()), (5, 10));
        }
    }

    #[test]
    fn the_limit_is_raised_as_far_as_allowed() {
        let before = getrlimit(Resource::Nofile);
        assert_eq!(raise_open_files().unwrap(), before.maximum.unwrap_or(u64::MAX));
        assert_eq!(getrlimit(Resource::Nofile).current, before.maximum);
    }
}
