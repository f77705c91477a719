//! How connections are secured.

use std::sync::Arc;

use rustls::ServerConfig;

/// How connections are secured. Two are the same if they are of the same reading of the document.
#[derive(Clone)]
pub struct Security(Arc<ServerConfig>);

impl Security {
    pub(super) const fn new(config: Arc<ServerConfig>) -> Self {
        Self(config)
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0)
    }
}

impl PartialEq for Security {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Security {}

impl std::fmt::Debug for Security {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Security").finish_non_exhaustive()
    }
}
