//! The guard of the admin server, with the Kubernetes API as the one who reviews tokens.

use std::sync::Arc;

use super::error::AgentError;
use crate::config::{Web, WebAuth};
use crate::watch::{Reviewer, TokenOwner};
use crate::web::{Follower, Guard, NoAnswer, Review, Reviewing, Tokens, Verdict, WebCounters};

/// The guard, and what keeps it up to date.
pub(super) struct Guarded {
    pub(super) guard: Arc<Guard>,
    pub(super) follower: Follower,
    pub(super) counters: Arc<WebCounters>,
}

impl Guarded {
    /// What the configuration asks for. There is a reviewer where there is a Kubernetes API.
    pub(super) fn new(web: &Web, reviewer: Option<Reviewer>) -> Result<Self, AgentError> {
        let counters = Arc::new(WebCounters::new());
        let (follower, current) = Follower::new(web.document.clone(), Arc::clone(&counters));
        let tokens = match web.auth {
            None => None,
            Some(WebAuth::Kubernetes) => Some(Tokens::new(Arc::new(Cluster(reviewer)))?),
        };
        let guard = Arc::new(Guard::new(current, tokens, Arc::clone(&counters)));
        Ok(Self { guard, follower, counters })
    }
}

/// The cluster as a reviewer. Without one, which the configuration excludes, nobody is let in.
struct Cluster(Option<Reviewer>);

impl Review for Cluster {
    fn review(&self, token: String) -> Reviewing {
        let reviewer = self.0.clone();
        Box::pin(async move {
            let owner = reviewer.ok_or(NoAnswer)?.review(token).await.map_err(|_| NoAnswer)?;
            Ok(match owner {
                TokenOwner::Allowed => Verdict::Allowed,
                TokenOwner::Denied => Verdict::Denied,
                TokenOwner::Nobody => Verdict::Unknown,
            })
        })
    }
}
