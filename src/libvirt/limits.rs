//! How many files the process may have open. A VM in a launcher pod takes two: a connection for events and one for calls.

use std::io;
use std::os::fd::RawFd;

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

/// Whether a file may be kept that was given a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// It may.
    Left,
    /// It is one of the last ones.
    Reserved {
        /// How many files may be open.
        limit: u64,
    },
}

/// Whether the file with this number may be kept. The kernel gives the lowest number that is free, so that a high one means
/// that few are left.
pub(super) fn room(number: RawFd) -> Room {
    let limit = open_files();
    if has_room(number, limit) { Room::Left } else { Room::Reserved { limit } }
}

fn has_room(number: RawFd, limit: u64) -> bool {
    let headroom = HEADROOM.min(limit / HEADROOM_PART);
    u64::try_from(number).is_ok_and(|number| number < limit.saturating_sub(headroom))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_files_are_kept_for_others() {
        assert!(has_room(959, 1_024) && !has_room(960, 1_024));
        assert!(has_room(11, 16) && !has_room(12, 16), "a quarter of a low limit");
        assert!(has_room(i32::MAX, u64::MAX));
        assert!(!has_room(0, 0));
    }

    #[test]
    fn the_limit_is_raised_as_far_as_allowed() {
        let before = getrlimit(Resource::Nofile);
        assert_eq!(raise_open_files().unwrap(), before.maximum.unwrap_or(u64::MAX));
        assert_eq!(getrlimit(Resource::Nofile).current, before.maximum);
    }
}
