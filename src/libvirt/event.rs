//! Converts libvirt's events.

use libvirt_remote::DomainEvent as Raw;

use crate::source::DomainEvent;

/// `VIR_DOMAIN_EVENT_STARTED_MIGRATED` and `VIR_DOMAIN_EVENT_RESUMED_MIGRATED`: the same number in both enumerations.
const MIGRATED: i32 = 1;

/// What an event means. An unknown lifecycle event counts as a change of state: the domain is read again.
pub(super) const fn meaning(event: Raw) -> DomainEvent {
    match event {
        Raw::Lifecycle { event: 0, .. } => DomainEvent::Defined,
        Raw::Lifecycle { event: 1, .. } => DomainEvent::Undefined,
        Raw::Lifecycle { event: 2, detail } => DomainEvent::Started { incoming_migration: detail == MIGRATED },
        Raw::Lifecycle { event: 3, .. } => DomainEvent::Suspended,
        Raw::Lifecycle { event: 4, detail } => DomainEvent::Resumed { migrated: detail == MIGRATED },
        // A crash ends the domain's QEMU, as a stop does.
        Raw::Lifecycle { event: 5 | 8, .. } => DomainEvent::Stopped,
        Raw::Lifecycle { .. } => DomainEvent::StateChanged,
        Raw::Reboot => DomainEvent::Rebooted,
        Raw::DeviceAdded | Raw::DeviceRemoved | Raw::Tunable | Raw::MetadataChange => DomainEvent::DevicesChanged,
        Raw::JobCompleted | Raw::MigrationIteration { .. } => DomainEvent::JobChanged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifecycle(event: i32, detail: i32) -> DomainEvent {
        meaning(Raw::Lifecycle { event, detail })
    }

    #[test]
    fn a_boot_is_told_from_the_arrival_of_a_migration() {
        assert_eq!(lifecycle(2, 0), DomainEvent::Started { incoming_migration: false });
        assert_eq!(lifecycle(2, 1), DomainEvent::Started { incoming_migration: true });
        assert_eq!(lifecycle(4, 0), DomainEvent::Resumed { migrated: false });
        assert_eq!(lifecycle(4, 1), DomainEvent::Resumed { migrated: true });
    }

    #[test]
    fn a_crash_is_an_end() {
        assert_eq!(lifecycle(5, 3), DomainEvent::Stopped);
        assert_eq!(lifecycle(8, 0), DomainEvent::Stopped);
    }

    #[test]
    fn numbers_of_later_versions_are_a_change_of_state() {
        assert_eq!(lifecycle(9, 0), DomainEvent::StateChanged);
        assert_eq!(lifecycle(-1, -1), DomainEvent::StateChanged);
        assert!(lifecycle(77, 1).is_lifecycle());
    }
}
