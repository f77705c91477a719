//! Events that a daemon sends of its own accord.

use bytes::Bytes;

use crate::Domain;
use crate::xdr::{Decode as _, Malformed, Reader};

/// A kind of event (`virDomainEventID`) to register for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// `VIR_DOMAIN_EVENT_ID_LIFECYCLE`, sent as procedure 318.
    Lifecycle,
    /// `VIR_DOMAIN_EVENT_ID_REBOOT`, sent as procedure 319.
    Reboot,
    /// `VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED`, sent as procedure 333.
    DeviceRemoved,
    /// `VIR_DOMAIN_EVENT_ID_TUNABLE`, sent as procedure 346.
    Tunable,
    /// `VIR_DOMAIN_EVENT_ID_DEVICE_ADDED`, sent as procedure 354.
    DeviceAdded,
    /// `VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION`, sent as procedure 359.
    MigrationIteration,
    /// `VIR_DOMAIN_EVENT_ID_JOB_COMPLETED`, sent as procedure 363.
    JobCompleted,
    /// `VIR_DOMAIN_EVENT_ID_METADATA_CHANGE`, sent as procedure 379.
    MetadataChange,
}

/// Each kind, its `virDomainEventID`, and the procedure that carries its events.
const KINDS: [(EventKind, i32, u32); 8] = [
    (EventKind::Lifecycle, 0, 318),
    (EventKind::Reboot, 1, 319),
    (EventKind::DeviceRemoved, 15, 333),
    (EventKind::Tunable, 17, 346),
    (EventKind::DeviceAdded, 19, 354),
    (EventKind::MigrationIteration, 20, 359),
    (EventKind::JobCompleted, 21, 363),
    (EventKind::MetadataChange, 23, 379),
];

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; KINDS.len()] = {
        let mut all = [Self::Lifecycle; KINDS.len()];
        let mut at = 0;
        while at < KINDS.len() {
            all[at] = KINDS[at].0;
            at += 1;
        }
        all
    };

    /// Its `virDomainEventID`.
    #[must_use]
    pub fn id(self) -> i32 {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or(-1, |(_, id, _)| *id)
    }

    /// The kind whose events this procedure carries.
    pub(crate) fn of_procedure(procedure: u32) -> Option<Self> {
        KINDS.iter().find(|(_, _, number)| *number == procedure).map(|(kind, ..)| *kind)
    }
}

/// An item of a connection's event stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Something happened to a domain.
    Domain {
        /// The domain, with its id at the moment of the event.
        domain: Domain,
        /// What happened.
        what: DomainEvent,
    },
    /// This many events were dropped here because too many were waiting. Read all state anew.
    Lost(u64),
}

/// What happened to a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainEvent {
    /// It appeared, disappeared or changed its state.
    Lifecycle {
        /// `virDomainEventType`
        event: i32,
        /// Of the `virDomainEvent…DetailType` enumeration for `event`.
        detail: i32,
    },
    /// Its guest rebooted.
    Reboot,
    /// A device was removed from it.
    DeviceRemoved,
    /// One of its limits changed.
    Tunable,
    /// A device was added to it.
    DeviceAdded,
    /// Its migration began another iteration.
    MigrationIteration {
        /// The number of the iteration.
        iteration: i32,
    },
    /// One of its jobs completed.
    JobCompleted,
    /// Its title, description or metadata changed.
    MetadataChange,
}

/// Reads an event: its registration, and the fields that this crate uses. The rest may be anything.
pub(crate) fn read(kind: EventKind, body: &Bytes) -> Result<(i32, Domain, DomainEvent), Malformed> {
    let mut reader = Reader::new(body);
    let callback = reader.i32()?;
    let domain = Domain::decode(&mut reader)?;
    let what = match kind {
        EventKind::Lifecycle => DomainEvent::Lifecycle { event: reader.i32()?, detail: reader.i32()? },
        EventKind::Reboot => DomainEvent::Reboot,
        EventKind::DeviceRemoved => DomainEvent::DeviceRemoved,
        EventKind::Tunable => DomainEvent::Tunable,
        EventKind::DeviceAdded => DomainEvent::DeviceAdded,
        EventKind::MigrationIteration => DomainEvent::MigrationIteration { iteration: reader.i32()? },
        EventKind::JobCompleted => DomainEvent::JobCompleted,
        EventKind::MetadataChange => DomainEvent::MetadataChange,
    };
    Ok((callback, domain, what))
}
