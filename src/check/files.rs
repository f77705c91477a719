//! The limit of open files.

use super::finding::{Check, Finding};
use crate::agent::{LAUNCHERS, files_for};

const NEXT: &str = "raise the hard limit: LimitNOFILE= of the agent's unit, or of containerd's or CRI-O's service";

/// What this process may open, after raising its limit as the agent does, against what `vms` VMs take; in mode kubevirt
/// each has a daemon of its own, and a node may come to have many.
pub(super) fn judge(limit: u64, vms: u64, daemon_for_each: bool) -> Finding {
    let needed = files_for(if daemon_for_each { vms } else { 0 });
    let wanted = files_for(if daemon_for_each { LAUNCHERS } else { 0 });
    let detail = if limit == u64::MAX {
        "this process may open any number of files".to_owned()
    } else {
        format!("this process may open {limit} files")
    };
    if limit < needed {
        Finding::failure(Check::OpenFiles, format!("{detail}, and reading {vms} VMs takes {needed}"), NEXT)
    } else if limit < wanted {
        let detail = format!("{detail}; a node of {LAUNCHERS} VMs takes {wanted}, this one's {vms} take {needed}");
        Finding::warning(Check::OpenFiles, detail, NEXT)
    } else {
        Finding::well(Check::OpenFiles, format!("{detail}; {wanted} are enough"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Outcome;

    #[test]
    fn a_limit_is_enough_for_now_for_a_full_node_or_not() {
        for (limit, vms, outcome) in [
            (u64::MAX, 5_000, Outcome::Well),
            (1_048_576, 100, Outcome::Well),
            (1_024, 100, Outcome::Warning),
            (1_024, 500, Outcome::Failure),
        ] {
            assert_eq!(judge(limit, vms, true).outcome, outcome, "{limit} for {vms}");
        }
        // A host's VMs share their daemon's connections.
        assert_eq!(judge(1_024, 500, false).outcome, Outcome::Well);
        assert_eq!(judge(64, 0, false).outcome, Outcome::Failure);
    }
}
