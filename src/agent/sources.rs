//! The daemons that are read.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config;
use crate::libvirt::endpoint::{Endpoint, EndpointCounters, Settings};
use crate::observe::Feed;
use crate::source::SourceEvent;

/// Events of one daemon that wait for `observe`: a host that starts or stops a few hundred VMs by one script sends
/// about three for each, within the time of one turn of the loop. More are dropped, and everything is read afresh.
const EVENTS: usize = 1_024;

/// The started endpoints, one a daemon.
pub struct Sources {
    feeds: Vec<Feed>,
    endpoints: Vec<(String, Arc<EndpointCounters>)>,
}

impl Sources {
    /// Begins to connect to every daemon. Must be called within the runtime.
    #[must_use]
    pub fn start(config: &config::Source) -> Self {
        let mut sources = Self { feeds: Vec::new(), endpoints: Vec::new() };
        for uri in &config.uris {
            let mut settings = Settings::of_uri(uri);
            settings.deadline = config.deadline;
            settings.runtime_dir.clone_from(&config.runtime_dir);
            let (sender, events) = mpsc::channel::<SourceEvent>(EVENTS);
            let endpoint = Endpoint::start(&settings, sender);
            sources.endpoints.push((uri.clone(), Arc::clone(endpoint.counters())));
            sources.feeds.push((endpoint, events));
        }
        sources
    }

    /// The counters of each daemon, by URI.
    #[must_use]
    pub fn endpoints(&self) -> Vec<(String, Arc<EndpointCounters>)> {
        self.endpoints.clone()
    }

    /// What `observe` is given.
    #[must_use]
    pub fn into_feeds(self) -> Vec<Feed> {
        self.feeds
    }
}
