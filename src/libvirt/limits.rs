//! How many files the process may have open. A VM in a launcher pod takes four: two connections, each with a socket and
//! libvirt's own descriptor to wake it.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open files towards `wanted`, as far as an unprivileged process may, and never lowers it. Returns
/// what it is now, in files; [`u64::MAX`] where there is none.
///
/// # Errors
///
/// When the kernel refuses. The limit is then what it was.
pub fn raise_open_files(wanted: u64) -> io::Result<u64> {
    let now = getrlimit(Resource::Nofile);
    let raised = raised(now, wanted);
    if raised != now {
        setrlimit(Resource::Nofile, raised)?;
    }
    Ok(raised.current.unwrap_or(u64::MAX))
}

/// The limits after raising them: `None` is no limit.
fn raised(now: Rlimit, wanted: u64) -> Rlimit {
    let current = now.current.map(|current| current.max(wanted.min(now.maximum.unwrap_or(u64::MAX))));
    Rlimit { current, ..now }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(current: impl Into<Option<u64>>, maximum: impl Into<Option<u64>>) -> Rlimit {
        Rlimit { current: current.into(), maximum: maximum.into() }
    }

    #[test]
    fn the_limit_is_raised_as_far_as_allowed_and_never_lowered() {
        for (now, expected) in [
            (limits(1_024, 524_288), limits(4_200, 524_288)),
            (limits(1_024, 4_096), limits(4_096, 4_096)),
            (limits(1_024, None), limits(4_200, None)),
            (limits(8_192, 8_192), limits(8_192, 8_192)),
            (limits(None, None), limits(None, None)),
        ] {
            assert_eq!(raised(now, 4_200), expected, "{now:?}");
        }
    }

    #[test]
    fn the_kernel_says_what_it_is() {
        let now = getrlimit(Resource::Nofile);
        let [soft, hard] = [now.current, now.maximum].map(|limit| limit.unwrap_or(u64::MAX));
        assert_eq!(raise_open_files(1).unwrap(), soft, "not lowered");
        let one_more = soft.saturating_add(1).min(hard);
        assert_eq!(raise_open_files(one_more).unwrap(), one_more);
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), one_more);
    }
}
