//! The labels that identify a VM or a daemon at the Prometheus endpoint.

use uuid::Uuid;

use super::Label;
use super::attribute::{DOMAIN, URI, UUID};
use crate::model::{Daemon, DaemonId, Identity, Place};

/// The labels that identify a VM: on every one of its series at the Prometheus endpoint, and on the OTLP points of
/// rows that [carry the identity](super::Metric::carries_identity).
#[derive(Debug)]
pub struct IdentityLabels<'a> {
    name: &'a str,
    uuid: [u8; uuid::fmt::Hyphenated::LENGTH],
}

impl<'a> IdentityLabels<'a> {
    /// The labels of this identity.
    #[must_use]
    pub fn new(identity: &'a Identity) -> Self {
        // Each kind of place identifies its VMs in its own way.
        match identity.place {
            Place::Host { .. } => Self { name: &identity.name, uuid: hyphenated(identity.uuid) },
        }
    }

    /// On a libvirt host: `domain` and `uuid`.
    #[must_use]
    pub fn labels(&self) -> [Label<'_>; 2] {
        [Label::new(&DOMAIN, self.name), Label::new(&UUID, std::str::from_utf8(&self.uuid).unwrap_or_default())]
    }
}

/// The label that identifies a daemon: `uri`. The host's name is no part of it, because it is known only once the
/// daemon has answered, and a daemon that never did must be seen as `libvirt_up 0`.
#[must_use]
pub fn daemon_labels(daemon: &Daemon) -> [Label<'_>; 1] {
    [daemon_label(&daemon.id)]
}

/// The same label of a VM's daemon: it tells two VMs with one UUID apart where several daemons are read.
#[must_use]
pub fn daemon_label(daemon: &DaemonId) -> Label<'_> {
    Label::new(&URI, &daemon.0)
}

fn hyphenated(uuid: Uuid) -> [u8; uuid::fmt::Hyphenated::LENGTH] {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    uuid.hyphenated().encode_lower(&mut text);
    text
}
