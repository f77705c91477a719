//! Which VMs are read.

use std::fmt;
use std::sync::Arc;

/// Which VMs are read, by their names: on a libvirt host the domain's, under KubeVirt `NAMESPACE/NAME`. One that is left
/// out is as if it did not exist. By default all are read.
#[derive(Clone, Default)]
pub struct VmChoice {
    /// How the choice was said.
    said: Arc<str>,
    wants: Option<Arc<Wants>>,
}

/// Whether the VM of a name is read.
type Wants = dyn Fn(&str) -> bool + Send + Sync;

impl VmChoice {
    /// Those for whose name this is true. `said` is the same for the same choice.
    pub fn new(said: impl Into<Arc<str>>, wants: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { said: said.into(), wants: Some(Arc::new(wants)) }
    }

    /// Whether the VM of this name is read.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        self.wants.as_ref().is_none_or(|wants| wants(name))
    }
}

impl fmt::Debug for VmChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("VmChoice").field(&self.said).finish()
    }
}

impl PartialEq for VmChoice {
    fn eq(&self, other: &Self) -> bool {
        self.said == other.said
    }
}

impl Eq for VmChoice {}
