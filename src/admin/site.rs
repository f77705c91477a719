//! What is served at an address.

use std::sync::Arc;

use super::content::Content;
use super::counters::ScrapeCounters;
use super::paths::Paths;
use crate::web::Guard;

/// What is served at an address, and to whom.
#[derive(Clone)]
pub struct Site {
    /// The paths.
    pub paths: Paths,
    /// What they show.
    pub content: Arc<dyn Content>,
    /// What counts the scrapes.
    pub counters: Arc<ScrapeCounters>,
    /// Who refuses connections and requests; `None` if nobody does.
    pub guard: Option<Arc<Guard>>,
}
