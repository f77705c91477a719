//! The identity of a VM.

use std::sync::Arc;

use uuid::Uuid;

use super::{GuestOs, Metadata, MetadataLabels, VmiLabel};

/// One libvirt daemon that is read, by its configured URI.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DaemonId(pub Arc<str>);

/// One VM on one daemon. Two hosts may hold the same domain UUID (a leftover of a migration).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmKey {
    /// The daemon that runs it.
    pub daemon: DaemonId,
    /// The domain's UUID.
    pub uuid: Uuid,
}

/// What identifies a VM to receivers of its telemetry: its OpenTelemetry Resource.
///
/// It never changes within an incarnation (one run of the VM). What is unknown when the incarnation is first published
/// stays absent from the Resource until the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The libvirt domain's name.
    pub name: Arc<str>,
    /// The libvirt domain's UUID; `None` for a VMI whose domain has not been seen.
    pub uuid: Option<Uuid>,
    /// The `type` attribute of the domain's XML, verbatim.
    pub domain_type: Option<Arc<str>>,
    /// The guest's architecture, in libvirt's spelling (`x86_64`).
    pub arch: Option<Arc<str>>,
    /// Where it runs.
    pub place: Place,
}

impl Identity {
    /// What people call it: the domain's name; under KubeVirt NAMESPACE/NAME of the VMI.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.place {
            Place::Host { .. } => self.name.to_string(),
            Place::Launcher(launcher) => format!("{}/{}", launcher.namespace, launcher.name),
        }
    }
}

/// Where a VM runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On a libvirt host.
    Host {
        /// The host's name, as libvirt reports it (`virConnectGetHostname`).
        host_name: Arc<str>,
        /// The URI through which the host's libvirt is read.
        uri: Arc<str>,
        /// What its XML says besides the machine, as it was when the incarnation began.
        metadata: Option<Arc<Metadata>>,
        /// What of that the configuration allows as labels.
        labels: MetadataLabels,
    },
    /// In a virt-launcher pod of KubeVirt.
    Launcher(Arc<Launcher>),
}

impl Place {
    /// On a libvirt host, with an XML that says nothing besides the machine.
    #[must_use]
    pub fn host(host_name: Arc<str>, uri: Arc<str>) -> Self {
        Self::Host { host_name, uri, metadata: None, labels: MetadataLabels::default() }
    }

    /// Takes away the labels that come from its XML; `true` if there were any.
    pub fn drop_labels(&mut self) -> bool {
        match self {
            Self::Host { labels, .. } => std::mem::take(labels).iter().next().is_some(),
            Self::Launcher(_) => false,
        }
    }
}

/// A VMI in its virt-launcher pod.
///
/// The pod's UID, not the VMI's, distinguishes it from others: during a migration the VMI is on two nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launcher {
    /// The VMI's namespace.
    pub namespace: Arc<str>,
    /// The VMI's name.
    pub name: Arc<str>,
    /// The VMI's UID; `None` without the Kubernetes API: libvirt does not know it.
    pub uid: Option<Arc<str>>,
    /// The node that runs it.
    pub node: Arc<str>,
    /// The pod's UID.
    pub pod_uid: Arc<str>,
    /// The VMI's allowed labels, as they were when the incarnation began.
    pub labels: Vec<VmiLabel>,
    /// What the guest reported about its operating system when the incarnation began.
    pub guest: GuestOs,
}
