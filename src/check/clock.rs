//! The machine's clock. Receivers refuse points from the future and from long ago, and stamps of a clock that somebody
//! sets back are held up until it has caught up.
//!
//! What the kernel itself knows of its synchronisation needs a system call for which there is no safe wrapper. So this
//! is what can be seen from outside: the API server's time, where there is one, to its full second; that
//! systemd-timesyncd says that it has synchronised; that an NTP or PTP daemon has told the kernel how far TAI is. Where
//! none of it is there, nothing is claimed.

use std::time::Duration;

use super::finding::{Check, Finding};
use super::system::System;
use crate::clock;
use crate::model::Timestamp;

/// No machine that runs this can be earlier: the beginning of 2026.
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);

/// How far two clocks may differ: the other one is told to its full second, and the answer was on its way.
const AGREE: Duration = Duration::from_secs(5);

/// From here on Prometheus no longer shows the points of a clock that is behind.
const LOOKBACK: Duration = Duration::from_secs(300);

/// The file by which systemd-timesyncd says that it has synchronised the clock.
const TIMESYNC: &str = "run/systemd/timesync/synchronized";

/// What is known of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Evidence {
    /// What it shows.
    pub(super) now: Timestamp,
    /// What the API server's showed at that moment.
    pub(super) there: Option<Timestamp>,
    /// Whether systemd-timesyncd says that it has synchronised it.
    pub(super) timesync: bool,
    /// Whether the kernel was told how far TAI is.
    pub(super) tai: bool,
}

impl Evidence {
    /// What this machine shows by itself at this moment.
    pub(super) fn on(system: &System, now: Timestamp) -> Self {
        Self { now, there: None, timesync: system.has(TIMESYNC), tai: clock::kernel_knows_tai() }
    }
}

pub(super) fn judge(evidence: &Evidence) -> Finding {
    const NEXT: &str = "let chrony, systemd-timesyncd or another NTP client keep this machine's clock; `timedatectl` \
                        and `chronyc tracking` show it";
    let Evidence { now, there, timesync, tai } = *evidence;
    if now < Timestamp::from_unix(EARLIEST) {
        return Finding::failure(Check::Clock, "it shows a time before 2026", NEXT);
    }
    if let Some(there) = there {
        let (ahead, behind) = (now.since(there), there.since(now));
        let (apart, which) = if ahead > behind { (ahead, "ahead of") } else { (behind, "behind") };
        let detail = format!("it is {} s {which} the API server's", apart.as_secs());
        return if apart > LOOKBACK {
            Finding::failure(Check::Clock, detail, NEXT)
        } else if apart > AGREE {
            Finding::warning(Check::Clock, detail, NEXT)
        } else {
            Finding::well(Check::Clock, format!("it agrees with the API server's to within {} s", AGREE.as_secs()))
        };
    }
    if timesync {
        Finding::well(Check::Clock, "systemd-timesyncd has synchronised it")
    } else if tai {
        Finding::well(
            Check::Clock,
            "an NTP or PTP daemon has set the kernel's difference to TAI, as those do that synchronise it",
        )
    } else {
        let reason = "nothing that can be seen from here tells whether it is synchronised";
        Finding::not_tried(Check::Clock, reason).next("on the host, `timedatectl` or `chronyc tracking` tells")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Outcome;
    use crate::check::system::tests::machine;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix(Duration::from_secs(seconds))
    }

    const NOW: u64 = 1_796_000_000;

    #[test]
    fn the_api_servers_time_decides_where_it_is_known() {
        for (there, outcome, says) in [
            (NOW, Outcome::Well, "agrees"),
            (NOW - 5, Outcome::Well, "agrees"),
            (NOW - 6, Outcome::Warning, "6 s ahead of"),
            (NOW + 60, Outcome::Warning, "60 s behind"),
            (NOW + 301, Outcome::Failure, "301 s behind"),
        ] {
            let evidence = Evidence { now: at(NOW), there: Some(at(there)), timesync: true, tai: true };
            let finding = judge(&evidence);
            assert_eq!(finding.outcome, outcome, "{finding:?}");
            assert!(finding.detail.contains(says), "{finding:?}");
        }
    }

    #[test]
    fn without_it_what_can_be_seen_on_this_machine_does_and_else_nothing_is_claimed() {
        let judged = |timesync, tai| judge(&Evidence { now: at(NOW), there: None, timesync, tai });
        assert_eq!(judged(true, false).outcome, Outcome::Well);
        assert_eq!(judged(false, true).outcome, Outcome::Well);
        let unknown = judged(false, false);
        assert!(unknown.outcome == Outcome::NotTried && unknown.next_step.is_some());
    }

    #[test]
    fn a_machine_that_has_lost_its_time_fails_whatever_it_says_of_itself() {
        let evidence = Evidence { now: at(3_600), there: Some(at(3_600)), timesync: true, tai: true };
        assert_eq!(judge(&evidence).outcome, Outcome::Failure);
    }

    #[test]
    fn timesyncds_word_is_a_file() {
        let (_root, system) = machine(&[(TIMESYNC, "")]);
        assert!(Evidence::on(&system, at(NOW)).timesync);
        assert!(!Evidence::on(&machine(&[]).1, at(NOW)).timesync);
    }
}
