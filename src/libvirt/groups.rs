//! The statistics groups as libvirt's flags.

use crate::model::{Group, Groups};

/// `VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT`: do not wait for a domain that another client's job keeps busy.
pub(super) const NOWAIT: u32 = 1 << 29;

/// The groups as `virDomainStatsTypes`. Never 0, which libvirt takes for "all": the state is always included.
pub(super) fn bits(groups: Groups) -> u32 {
    groups.iter().fold(Group::State.flag(), |bits, group| bits | group.flag())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_group_is_not_every_group() {
        assert_eq!(bits(Groups::NONE), 1);
        let flags: Vec<u32> = Group::ALL.into_iter().map(Group::flag).filter(|flag| *flag != 0).collect();
        assert!(flags.iter().all(|flag| flag.is_power_of_two()), "{flags:?}");
        assert_eq!(bits(Groups::all()), flags.iter().sum::<u32>(), "each has a bit of its own");
    }
}
