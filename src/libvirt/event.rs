//! libvirt's event numbers into words.

use crate::source::DomainEvent;

/// An event as libvirt reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RawEvent {
    /// `VIR_DOMAIN_EVENT_ID_LIFECYCLE`
    Lifecycle {
        /// `virDomainEventType`
        event: i32,
        /// One of the `virDomainEvent*DetailType` enumerations, by `event`.
        detail: i32,
    },
    /// `VIR_DOMAIN_EVENT_ID_REBOOT`
    Reboot,
    /// `VIR_DOMAIN_EVENT_ID_DEVICE_ADDED`, `DEVICE_REMOVED`, `TUNABLE`, `METADATA_CHANGE`
    Configuration,
    /// `VIR_DOMAIN_EVENT_ID_JOB_COMPLETED`, `MIGRATION_ITERATION`
    Job,
}

/// `VIR_DOMAIN_EVENT_STARTED_MIGRATED` and `VIR_DOMAIN_EVENT_RESUMED_MIGRATED`: the same number in both enumerations.
const MIGRATED: i32 = 1;

impl RawEvent {
    /// What it means. A lifecycle event that this version does not know is some change of state: the domain is read
    /// afresh.
    pub(crate) const fn meaning(self) -> DomainEvent {
        match self {
            Self::Lifecycle { event: 0, .. } => DomainEvent::Defined,
            Self::Lifecycle { event: 1, .. } => DomainEvent::Undefined,
            Self::Lifecycle { event: 2, detail } => DomainEvent::Started { incoming_migration: detail == MIGRATED },
            Self::Lifecycle { event: 3, .. } => DomainEvent::Suspended,
            Self::Lifecycle { event: 4, detail } => DomainEvent::Resumed { migrated: detail == MIGRATED },
            // A crashed domain is one whose QEMU has ended, as a stopped one.
            Self::Lifecycle { event: 5 | 8, .. } => DomainEvent::Stopped,
            Self::Lifecycle { .. } => DomainEvent::StateChanged,
            Self::Reboot => DomainEvent::Rebooted,
            Self::Configuration => DomainEvent::DevicesChanged,
            Self::Job => DomainEvent::JobChanged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifecycle(event: i32, detail: i32) -> DomainEvent {
        RawEvent::Lifecycle { event, detail }.meaning()
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
