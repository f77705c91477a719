//! The statistics groups as libvirt's flags.

use crate::model::{Group, Groups};

/// `VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT`: do not wait for a domain that another client's job keeps busy.
pub(super) const NOWAIT: u32 = 1 << 29;

/// The groups as `virDomainStatsTypes`. Never 0, which libvirt takes for "all": the state is always included.
pub(super) fn bits(groups: Groups) -> u32 {
    groups.iter().fold(STATE, |bits, group| bits | bit(group))
}

/// `VIR_DOMAIN_STATS_STATE`
const STATE: u32 = 1;

const fn bit(group: Group) -> u32 {
    match group {
        // The job has a call of its own.
        Group::State | Group::Job => STATE,
        Group::Cpu => 1 << 1,
        Group::Balloon => 1 << 2,
        Group::Vcpu => 1 << 3,
        Group::Interface => 1 << 4,
        Group::Block => 1 << 5,
        Group::Iothread => 1 << 7,
        Group::Dirtyrate => 1 << 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_group_is_not_every_group() {
        assert_eq!(bits(Groups::NONE), STATE);
        assert_eq!(bits(Groups::all()), 0b10_1011_1111);
    }
}
