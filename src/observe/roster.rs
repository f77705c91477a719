//! Who is to be read: daemons that come and go, and to which VMI each belongs.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::model::{DaemonId, Launcher, Phase, Vmi};
use crate::source::{Source, SourceEvent};

/// A daemon, and what it reports of its own accord.
pub struct Feed {
    /// The daemon.
    pub source: Arc<dyn Source>,
    /// What it reports.
    pub events: mpsc::Receiver<SourceEvent>,
    /// Whose daemon it is; `None` for that of a libvirt host, every domain of which is a VM of its own.
    pub owner: Option<Owner>,
}

impl Feed {
    /// The daemon of a libvirt host.
    #[must_use]
    pub fn host(source: Arc<dyn Source>, events: mpsc::Receiver<SourceEvent>) -> Self {
        Self { source, events, owner: None }
    }
}

/// A change of who is to be read.
pub enum Roster {
    /// This daemon is to be read as well.
    Add(Feed),
    /// What is known of a daemon's owner has changed.
    Update(DaemonId, Owner),
    /// This daemon is to be read no more: its VM is gone, or somebody else's now.
    Remove(DaemonId),
    /// Every daemon that was there at the start has been named.
    Complete,
}

/// Whose daemon it is, when it runs the domain of one VMI and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The VM, as it is identified.
    pub who: Who,
    /// What the Kubernetes API says of it; `None` where there is none to ask.
    pub vmi: Option<Arc<Vmi>>,
}

/// How the VMI of a launcher is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// From the beginning.
    Known(Arc<Launcher>),
    /// But for its name, which its domain will say. The name in here is empty.
    NamedByDomain(Arc<Launcher>),
}

impl Owner {
    /// Whether its domain may be read: the VMI runs, or nobody says that it does not.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.vmi.as_ref().is_none_or(|vmi| vmi.phase == Phase::Running)
    }

    /// Whether it is being handed over to another node: its domain here may end at any moment, and so may its daemon.
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

    /// The VM behind a domain of this name; `None` for a domain that is not its.
    pub(super) fn launcher_of(&self, domain: &str) -> Option<Arc<Launcher>> {
        // An underscore is in no name of Kubernetes, so that the first one divides the two.
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
