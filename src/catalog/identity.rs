//! The labels that identify a VM or a daemon at the Prometheus endpoint.

use uuid::Uuid;

use super::attribute::{DOMAIN, NAME, NAMESPACE, NODE, URI, UUID};
use super::{Attribute, Label, Vocabulary};
use crate::model::{Daemon, DaemonId, Identity, Launcher, MetadataLabels, Place};

/// The labels that identify a VM: on every one of its series at the Prometheus endpoint, and on the OTLP points of
/// rows that [carry the identity](super::Metric::carries_identity).
#[derive(Debug)]
pub struct IdentityLabels<'a> {
    place: Identified<'a>,
}

/// Each kind of place identifies its VMs in its own way.
#[derive(Debug)]
enum Identified<'a> {
    Domain { name: &'a str, uuid: [u8; uuid::fmt::Hyphenated::LENGTH], labels: &'a MetadataLabels },
    Vmi(&'a Launcher),
}

/// The most labels that identify a VM.
const IDENTITY_MAX: usize = 3;

impl<'a> IdentityLabels<'a> {
    /// The labels of this identity.
    #[must_use]
    pub fn new(identity: &'a Identity) -> Self {
        let place = match &identity.place {
            Place::Host { labels, .. } => Identified::Domain {
                name: &identity.name,
                labels,
                // On a host every VM has a domain, and so a UUID.
                uuid: hyphenated(identity.uuid.unwrap_or_default()),
            },
            Place::Launcher(launcher) => Identified::Vmi(launcher),
        };
        Self { place }
    }

    /// On a libvirt host `domain` and `uuid`, under KubeVirt `namespace`, `name` and `node`.
    pub fn labels(&self) -> impl Iterator<Item = Label<'_>> {
        let labels: [Option<Label<'_>>; IDENTITY_MAX] = match &self.place {
            Identified::Domain { name, uuid, .. } => [
                Some(Label::new(&DOMAIN, name)),
                Some(Label::new(&UUID, std::str::from_utf8(uuid).unwrap_or_default())),
                None,
            ],
            Identified::Vmi(launcher) => [
                Some(Label::new(&NAMESPACE, &launcher.namespace)),
                Some(Label::new(&NAME, &launcher.name)),
                Some(Label::new(&NODE, &launcher.node)),
            ],
        };
        labels.into_iter().flatten()
    }

    /// What the configuration allows of a VMI's labels and of a domain's metadata, each with its name: at the endpoint
    /// each series has it too, as KubeVirt's do. Over OTLP it is on the Resource.
    pub fn own(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let (labels, metadata) = match self.place {
            Identified::Domain { labels, .. } => (None, Some(labels)),
            Identified::Vmi(launcher) => (Some(&launcher.labels), None),
        };
        let labels = labels.into_iter().flatten().map(|label| (&*label.label, &*label.value));
        labels.chain(metadata.into_iter().flat_map(MetadataLabels::iter))
    }
}

impl Vocabulary {
    /// The attributes that identify a VM in this vocabulary.
    #[must_use]
    pub const fn identity(self) -> &'static [&'static Attribute] {
        match self {
            Self::Libvirt => &[&DOMAIN, &UUID],
            Self::Kubevirt => &[&NAMESPACE, &NAME, &NODE],
        }
    }
}

/// The label that identifies a daemon: `uri`. The host's name is not part of it: it is known only once the daemon has
/// answered, and a daemon that never did must appear as `libvirt_up 0`.
#[must_use]
pub fn daemon_labels(daemon: &Daemon) -> [Label<'_>; 1] {
    [daemon_label(&daemon.id)]
}

/// The same label of a VM's daemon: it distinguishes two VMs with one UUID when several daemons are read.
#[must_use]
pub fn daemon_label(daemon: &DaemonId) -> Label<'_> {
    Label::new(&URI, &daemon.0)
}

/// A UUID as libvirt writes it.
pub(super) fn hyphenated(uuid: Uuid) -> [u8; uuid::fmt::Hyphenated::LENGTH] {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    uuid.hyphenated().encode_lower(&mut text);
    text
}
