//! The daemons to read, which come and go, and the VMI that each belongs to.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::model::{DaemonId, Launcher, Phase, Vmi};
use crate::source::{Source, SourceEvent};

/// A daemon, and the events it reports.
pub struct Feed {
    /// The daemon.
    pub source: Arc<dyn Source>,
    /// What it reports.
    pub events: mpsc::Receiver<SourceEvent>,
    /// The owner of the daemon; `None` for a libvirt host, where every domain is a VM of its own.
    pub owner: Option<Owner>,
}

impl Feed {
    /// The daemon of a libvirt host.
    #[must_use]
    pub fn host(source: Arc<dyn Source>, events: mpsc::Receiver<SourceEvent>) -> Self {
        Self { source, events, owner: None }
    }
}

/// A change in the daemons to read.
pub enum Roster {
    /// Read this daemon too.
    Add(Feed),
    /// Information about a daemon's owner has changed.
    Update(DaemonId, Owner),
    /// Stop reading this daemon: its VM is gone, or runs elsewhere now.
    Remove(DaemonId),
    /// Every daemon present at startup has been added.
    Complete,
}

/// The owner of a daemon that runs the domain of one VMI and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// How the VM is identified.
    pub who: Who,
    /// What the Kubernetes API says about it; `None` without an API to query.
    pub vmi: Option<Arc<Vmi>>,
    /// Whether a sidecar in its pod pushes it.
    pub has_sidecar: bool,
}

/// How a virt-launcher pod's VMI is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// From the beginning.
    Known(Arc<Launcher>),
    /// Except for its name, which its domain will give; it is empty here.
    NamedByDomain(Arc<Launcher>),
}

impl Owner {
    /// Whether its domain may be read: the VMI runs, or nothing says that it does not.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.vmi.as_ref().is_none_or(|vmi| vmi.phase == Phase::Running)
    }

    /// Whether it is migrating to another node: its domain and its daemon here may end at any moment.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        let node = &self.launcher().node;
        self.vmi.as_ref().and_then(|vmi| vmi.migration.as_ref()).is_some_and(|migration| {
            migration.start.is_some()
                && !migration.completed
                && !migration.failed
                && migration.source_node.as_ref() == Some(node)
        })
    }

    /// The VM behind a domain of this name; `None` if the domain is not this owner's.
    pub(super) fn launcher_of(&self, domain: &str) -> Option<Arc<Launcher>> {
        // Kubernetes names have no underscore, so the first one separates namespace and name.
        let (namespace, name) = domain.split_once('_')?;
        match &self.who {
            Who::Known(launcher) => {
                (*launcher.namespace == *namespace && *launcher.name == *name).then(|| Arc::clone(launcher))
            }
            Who::NamedByDomain(launcher) => (*launcher.namespace == *namespace && !name.is_empty())
                .then(|| Arc::new(Launcher { name: name.into(), ..Launcher::clone(launcher) })),
        }
    }

    /// The name that its domain must have.
    pub(super) fn domain_name(&self) -> String {
        let launcher = self.launcher();
        let name = if launcher.name.is_empty() { "<name>" } else { &launcher.name };
        format!("{}_{name}", launcher.namespace)
    }

    fn launcher(&self) -> &Arc<Launcher> {
        match &self.who {
            Who::Known(launcher) | Who::NamedByDomain(launcher) => launcher,
        }
    }
}
