//! How many files the process may have open. A VM in a launcher pod takes two: a connection for events and one for calls.

use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are kept for what must go on when there are no more: probes, scrapes, pushes, the Kubernetes API. A scraper
/// or two, a kubelet's probes and a Collector take a dozen.
const HEADROOM: u64 = 64;

/// Of a limit that is very low, this part is the headroom.
const HEADROOM_PART: u64 = 4;

/// Raises the limit of open files to the most that an unprivileged process may have. Returns what it is now;
/// [`u64::MAX`] where there is none.
///
/// # Errors
///
/// When the kernel refuses. The limit is then what it was.
pub fn raise_open_files() -> io::Result<u64> {
    let now = getrlimit(Resource::Nofile);
    if now.current != now.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: now.maximum, ..now })?;
    }
    Ok(open_files())
}

/// How many files may be open; [`u64::MAX`] where there is no limit.
#[must_use]
pub fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Files that somebody has been promised, over the whole process: so are its descriptors.
static PROMISED: AtomicU64 = AtomicU64::new(0);

/// The promise that one more file may be opened, for as long as it lives: nobody who comes later takes it. Who needs two
/// files and got one would else keep it for nothing when there is no other.
#[derive(Debug)]
pub(super) struct Promise(());

impl Promise {
    pub(super) fn new() -> Self {
        PROMISED.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        PROMISED.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The files that the process may have open, how many of them are promised, and how many are kept back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Files {
    limit: u64,
    promised: u64,
}

impl Files {
    /// For somebody who has been promised another file than the one that is opened now.
    pub(super) fn for_the_first() -> Self {
        Self { limit: open_files(), promised: PROMISED.load(Ordering::Relaxed) }
    }

    /// For somebody who has been promised the one that is opened now.
    pub(super) fn for_the_promised() -> Self {
        let first = Self::for_the_first();
        Self { promised: first.promised.saturating_sub(1), ..first }
    }

    /// As if so many might be open.
    #[cfg(test)]
    pub(super) const fn limited_to(limit: u64) -> Self {
        Self { limit, promised: 0 }
    }

    /// How many files may be open.
    pub(super) const fn limit(self) -> u64 {
        self.limit
    }

    /// Whether the file with this number may be kept. The kernel gives the lowest number that is free, so that a high one
    /// means that few are left.
    pub(super) fn may_keep(self, number: RawFd) -> bool {
        let headroom = HEADROOM.min(self.limit / HEADROOM_PART);
        let taken = headroom.saturating_add(self.promised);
        u64::try_from(number).is_ok_and(|number| number < self.limit.saturating_sub(taken))
    }

    /// The number that the last of so many files would get that are opened now, if those above the lowest free number are
    /// free, too. `None` when there is not even one.
    pub(super) fn last_of(self, files: u8) -> Option<RawFd> {
        // A name of a directory that is always there, without opening it.
        let probe = open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
        probe.as_raw_fd().checked_add(RawFd::from(files.saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_files_are_kept_for_others() {
        let may_keep = |number, limit| Files { limit, promised: 0 }.may_keep(number);
        assert!(may_keep(959, 1_024) && !may_keep(960, 1_024));
        assert!(may_keep(11, 16) && !may_keep(12, 16), "a quarter of a low limit");
        assert!(may_keep(i32::MAX, u64::MAX));
        assert!(!may_keep(0, 0));
        let promised = Files { limit: 1_024, promised: 60 };
        assert!(promised.may_keep(899) && !promised.may_keep(900), "what others were promised is not taken");
        assert!(!Files { limit: 4, promised: 60 }.may_keep(0));
    }

    #[test]
    fn a_promise_lasts_as_long_as_it_is_kept() {
        let promise = Promise::new();
        // Other tests make some, too.
        assert!(Files::for_the_first().promised >= 1);
        drop(promise);
    }

    #[test]
    fn the_limit_is_raised_as_far_as_allowed() {
        let before = getrlimit(Resource::Nofile);
        assert_eq!(raise_open_files().unwrap(), before.maximum.unwrap_or(u64::MAX));
        assert_eq!(getrlimit(Resource::Nofile).current, before.maximum);
    }
}
